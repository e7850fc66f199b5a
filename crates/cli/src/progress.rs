//! The bar that shows how far texts are embedded.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use minilm::storage::Position;
use minilm::{EncodeOptions, EncodeProgress};

/// On standard error: texts, texts a second, and where it is known how much there is, the time that is left.
pub(crate) struct EmbedBar {
    bar: ProgressBar,
    extent: Extent,
    texts: AtomicU64,
    begin: Instant,
}

/// Shows on standard error that something is going on, until it is dropped. None if nobody would see it.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn new(message: String) -> Option<Spinner> {
        std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(message);
            bar.enable_steady_tick(Duration::from_millis(100));
            Spinner(bar)
        })
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How much there is to embed.
pub(crate) enum Extent {
    /// An input, by its bytes or rows; a file has a size.
    Input(Position),
    /// So many texts.
    Texts(usize),
}

/// Does what encodes texts, with options that show how far it is: on standard error, unless that is quiet or nobody would see it.
pub(crate) fn with_bar<T>(
    quiet: bool,
    extent: Extent,
    options: EncodeOptions,
    encode: impl FnOnce(&EncodeOptions) -> T,
) -> T {
    let bar = if quiet { None } else { EmbedBar::visible(extent).map(Arc::new) };
    let Some(bar) = bar else { return encode(&options) };
    let result = encode(&options.progress(bar.clone()));
    bar.finish();
    result
}

impl EmbedBar {
    /// Of so many texts. None if nobody would see it.
    pub(crate) fn of_texts(texts: usize) -> Option<EmbedBar> {
        EmbedBar::visible(Extent::Texts(texts))
    }

    fn visible(extent: Extent) -> Option<EmbedBar> {
        std::io::stderr().is_terminal().then(|| {
            let bar = match extent.length() {
                Some(length) => ProgressBar::new(length),
                None => ProgressBar::new_spinner(),
            };
            bar.enable_steady_tick(Duration::from_millis(100));
            EmbedBar::with_bar(bar, extent)
        })
    }

    fn with_bar(bar: ProgressBar, extent: Extent) -> EmbedBar {
        let template = match extent.length() {
            Some(_) => "{msg} [{wide_bar}] {percent}% {eta}",
            None => "{spinner} {msg} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        EmbedBar { bar, extent, texts: AtomicU64::new(0), begin: Instant::now() }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Extent {
    /// The bar's length, if it has one.
    fn length(&self) -> Option<u64> {
        match self {
            Extent::Input(input) => input.length(),
            Extent::Texts(texts) => Some(*texts as u64),
        }
    }

    /// How far the bar is when so many texts are done.
    fn position(&self, texts: u64) -> u64 {
        match self {
            Extent::Input(input) => input.of_texts(texts),
            Extent::Texts(_) => texts,
        }
    }
}

impl EncodeProgress for EmbedBar {
    fn encoded(&self, texts: usize, _total: Option<usize>) {
        let texts = texts as u64;
        // Threads overtake each other, and a bar that goes back forgets how fast it was.
        if self.texts.fetch_max(texts, Ordering::Relaxed) >= texts {
            return;
        }
        if self.extent.length().is_some() {
            self.bar.set_position(self.extent.position(texts).max(self.bar.position()));
        }
        let rate = texts as f64 / self.begin.elapsed().as_secs_f64().max(1e-3);
        self.bar.set_message(format!("{} texts, {rate:.0}/s", HumanCount(texts)));
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    fn bar(extent: Extent) -> EmbedBar {
        let target = ProgressDrawTarget::hidden();
        EmbedBar::with_bar(ProgressBar::with_draw_target(extent.length(), target), extent)
    }

    #[test]
    fn the_bar_is_at_the_bytes_of_the_texts_that_are_done() {
        let input = Position::new(Some(10_000));
        input.count(3_000);
        (0..30).for_each(|_| input.count_text());
        let bar = bar(Extent::Input(input.clone()));
        bar.encoded(10, None);
        assert_eq!(bar.bar.position(), 1_000);
        assert!(bar.bar.message().starts_with("10 texts, "), "{}", bar.bar.message());
        // A thread that was overtaken changes nothing.
        bar.encoded(5, None);
        assert!(bar.bar.message().starts_with("10 texts, ") && bar.bar.position() == 1_000);
        bar.encoded(30, None);
        assert_eq!(bar.bar.position(), 3_000);
        // Shorter texts than before do not move it back.
        (0..30).for_each(|_| input.count_text());
        bar.encoded(31, None);
        assert_eq!(bar.bar.position(), 3_000);
        assert_eq!(bar.bar.length(), Some(10_000));
    }

    #[test]
    fn without_a_size_there_are_only_texts() {
        let bar = bar(Extent::Input(Position::new(None)));
        bar.encoded(1_234, None);
        assert!(bar.bar.message().starts_with("1,234 texts, "), "{}", bar.bar.message());
        assert_eq!(bar.bar.position(), 0);
    }

    #[test]
    fn of_a_number_of_texts_the_bar_counts_texts() {
        let bar = bar(Extent::Texts(2_000));
        bar.encoded(1_234, Some(2_000));
        assert!(bar.bar.message().starts_with("1,234 texts, "), "{}", bar.bar.message());
        assert_eq!((bar.bar.position(), bar.bar.length()), (1_234, Some(2_000)));
    }
}
