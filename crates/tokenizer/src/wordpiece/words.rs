//! From a text to the words of BERT's pre-tokenizer: split at white space and around punctuation, while it is normalized.

use super::classes::Class;
use super::normalizer::{Ascii, Characters, NormalizedText, Normalizer, Rules};
use super::origins::Origins;

/// Words of more characters are not read, but unknown: 100 in every BERT. Files that ask for more than this are not
/// for WordPiece.
pub(super) const MAX_WORD_CHARS: usize = 128;

/// Where words go.
pub(super) trait Sink {
    /// What they need to know of where a word comes from.
    type Origins: Origins;

    /// A word (UTF-8) that may be read.
    fn word(&mut self, word: &[u8], origins: &Self::Origins);

    /// A word with more characters than may be read.
    fn overlong_word(&mut self, origins: &Self::Origins);
}

/// Where the characters of a word come from.
type OriginOf<S> = <<S as Sink>::Origins as Origins>::Origin;

/// Reads texts, and hands their words on. Made for one text or its parts between added tokens.
pub(super) struct Words<'a, S: Sink> {
    normalizer: Normalizer<'a, S::Origins>,
    splitter: Splitter<S>,
}

/// Splits what is normalized.
struct Splitter<S: Sink> {
    sink: S,
    /// Where the word's bytes come from.
    origins: S::Origins,
    /// The word so far, up to its allowed length.
    word: [u8; MAX_WORD_CHARS * 4],
    /// Its bytes.
    len: usize,
    /// Its characters, be they kept or not.
    chars: usize,
    /// The allowed length.
    max_chars: usize,
}

impl<'a, S: Sink> Words<'a, S> {
    /// `max_chars` is at most [`MAX_WORD_CHARS`].
    pub(super) fn new(rules: &'a Rules, max_chars: usize, sink: S) -> Words<'a, S> {
        debug_assert!(max_chars <= MAX_WORD_CHARS);
        let (word, origins) = ([0; MAX_WORD_CHARS * 4], S::Origins::default());
        let splitter = Splitter { sink, origins, word, len: 0, chars: 0, max_chars };
        Words { normalizer: Normalizer::new(rules), splitter }
    }

    /// Where words go, between two texts.
    pub(super) fn sink(&mut self) -> &mut S {
        &mut self.splitter.sink
    }

    /// Reads a text, after whose end there is no word any more to go on with. It begins at `offset`.
    pub(super) fn read(&mut self, text: &str, offset: usize) {
        let Words { normalizer, splitter } = self;
        let rules = normalizer.rules;
        let ascii = &rules.ascii;
        let end = offset + text.len();
        let mut rest = text;
        while let Some(&byte) = rest.as_bytes().first() {
            let at = end - rest.len();
            let Some(answer) = ascii.get(usize::from(byte)) else {
                let mut chars = rest.chars();
                if let Some(c) = chars.next() {
                    let origin = S::Origins::origin(at, end - chars.as_str().len());
                    normalizer.read(c, origin, splitter);
                }
                rest = chars.as_str();
                continue;
            };
            let mut len = 1;
            match answer {
                Ascii::Letter(_) => {
                    normalizer.flush_marks(splitter);
                    len = splitter.ascii_letters(ascii, rest.as_bytes(), at);
                }
                Ascii::Space => {
                    normalizer.flush_marks(splitter);
                    splitter.end_word();
                }
                Ascii::Punctuation => {
                    normalizer.flush_marks(splitter);
                    splitter.end_word();
                    splitter.origins.put_ascii(0, 1, at);
                    splitter.sink.word(&[byte], &splitter.origins);
                    splitter.origins.clear();
                }
                Ascii::Removed => {}
            }
            rest = &rest[len..];
        }
        normalizer.flush_marks(splitter);
        splitter.end_word();
    }

    /// As `read`, of some bytes of a text that is normalized already.
    pub(super) fn read_normalized(&mut self, text: &NormalizedText<S::Origins>, from: usize, to: usize) {
        for (at, c) in text.text[from..to].char_indices() {
            self.splitter.any(c, text.origins[from + at]);
        }
        self.splitter.end_word();
    }
}

impl<S: Sink> Splitter<S> {
    /// Takes the ASCII letters at the beginning; returns how many.
    #[inline]
    fn ascii_letters(&mut self, ascii: &[Ascii; 128], text: &[u8], at: usize) -> usize {
        let mut room = self.word[self.len..].iter_mut();
        let mut taken = 0;
        for &byte in text {
            let Some(&Ascii::Letter(letter)) = ascii.get(usize::from(byte)) else { break };
            if let Some(place) = room.next() {
                *place = letter;
            }
            taken += 1;
        }
        self.origins.put_ascii(self.len, taken, at);
        self.chars += taken;
        self.len = (self.len + taken).min(self.word.len());
        taken
    }

    fn end_word(&mut self) {
        if self.chars > self.max_chars {
            self.sink.overlong_word(&self.origins);
        } else if self.chars > 0 {
            self.sink.word(&self.word[..self.len], &self.origins);
        }
        (self.len, self.chars) = (0, 0);
        self.origins.clear();
    }
}

impl<S: Sink> Characters<OriginOf<S>> for Splitter<S> {
    fn letter(&mut self, c: char, origin: OriginOf<S>) {
        let before = self.len;
        if self.chars < self.max_chars {
            self.len += c.encode_utf8(&mut self.word[self.len..]).len();
        }
        self.origins.put(before, self.len, origin);
        self.chars += 1;
    }

    fn any(&mut self, c: char, origin: OriginOf<S>) {
        let class = Class::of(c);
        if class.has(Class::SPACE) {
            self.end_word();
        } else if class.has(Class::PUNCTUATION) {
            self.end_word();
            self.letter(c, origin);
            self.end_word();
        } else {
            self.letter(c, origin);
        }
    }

    fn space(&mut self, _: OriginOf<S>) {
        self.end_word();
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::normalizers::{BertNormalizer, Lowercase};
    use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
    use tokenizers::{NormalizedString, Normalizer, PreTokenizedString, PreTokenizer};
    use tokenizers::{OffsetReferential, OffsetType};

    use super::super::origins::Forgotten;
    use super::*;

    struct Collected(Vec<String>);

    impl Sink for Collected {
        type Origins = Forgotten;

        fn word(&mut self, word: &[u8], _: &Forgotten) {
            self.0.push(String::from_utf8(word.to_vec()).unwrap());
        }

        fn overlong_word(&mut self, _: &Forgotten) {
            self.0.push("overlong".to_owned());
        }
    }

    fn words(rules: &Rules, text: &str) -> Vec<String> {
        let mut words = Words::new(rules, MAX_WORD_CHARS, Collected(Vec::new()));
        words.read(text, 0);
        words.splitter.sink.0
    }

    /// By `tokenizers`, whose words have any length.
    fn words_by_crate(normalizer: BertNormalizer, lowercase_first: bool, text: &str) -> Vec<String> {
        let mut text = NormalizedString::from(text);
        if lowercase_first {
            Lowercase.normalize(&mut text).unwrap();
        }
        normalizer.normalize(&mut text).unwrap();
        let mut words = PreTokenizedString::from(text);
        BertPreTokenizer.pre_tokenize(&mut words).unwrap();
        let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(word, ..)| word.to_owned()).filter(|word| !word.is_empty()).collect()
    }

    /// Letters, marks that are kept and marks that are removed, of class 0 and of others, and all that comes between.
    const CHARACTERS: [char; 34] = [
        'a',
        'B',
        ' ',
        '-',
        '\0',
        '\u{1}',
        '\n',
        '\u{85}',
        '\u{ad}',
        'é',
        'İ',
        'ẞ',
        'Σ',
        'Å',
        '中',
        '\u{2b820}',
        '\u{f900}',
        '한',
        '\u{2000}',
        '\u{37e}',
        '\u{301}',
        '\u{323}',
        '\u{345}',
        '\u{900}',
        '\u{302e}',
        '\u{302f}',
        '\u{16ff0}',
        '\u{1d165}',
        '\u{1d15e}',
        '\u{8d3}',
        '\u{1133b}',
        '\u{f73}',
        '\u{200d}',
        '\u{1f600}',
    ];

    /// The words themselves, of which ids tell little where they are unknown: all pairs, and longer texts at random.
    #[test]
    fn words_are_those_of_tokenizers() {
        let mut texts: Vec<String> =
            CHARACTERS.iter().flat_map(|a| CHARACTERS.iter().map(move |b| format!("a{a}{b}"))).collect();
        let mut random = 1_u64;
        texts.extend((0..4_000).map(|_| {
            let next = |random: &mut u64| {
                *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (*random >> 33) as usize
            };
            let len = next(&mut random) % 24;
            // Every second one mostly of marks.
            let from = if next(&mut random).is_multiple_of(2) { 20 } else { 0 };
            (0..len).map(|_| CHARACTERS[from + next(&mut random) % (CHARACTERS.len() - from)]).collect()
        }));
        for number in 0..48 {
            let [clean_text, handle_chinese_chars, lowercase, first] =
                [1, 2, 4, 8].map(|bit| number & bit != 0);
            let strip_accents = [None, Some(false), Some(true)][number / 16];
            let file = format!(
                r#"{{"type": "", "clean_text": {clean_text}, "handle_chinese_chars": {handle_chinese_chars},
                    "strip_accents": {}, "lowercase": {lowercase}}}"#,
                strip_accents.map_or("null".to_owned(), |strip| strip.to_string())
            );
            let rules = Rules::new(&serde_json::from_str(&file).unwrap());
            let rules = if first { rules.lowercase_first() } else { rules };
            let normalizer = BertNormalizer::new(clean_text, handle_chinese_chars, strip_accents, lowercase);
            for text in &texts {
                assert_eq!(words(&rules, text), words_by_crate(normalizer, first, text), "{file} {text:?}");
            }
        }
    }

    #[test]
    fn long_words_are_not_read() {
        let file = r#"{"type": "", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}"#;
        let rules = Rules::new(&serde_json::from_str(file).unwrap());
        for letter in ["A", "ж", "🦀"] {
            for (n, overlong) in [(MAX_WORD_CHARS, false), (MAX_WORD_CHARS + 1, true), (10_000, true)] {
                let found = words(&rules, &format!("{}\u{301} b", letter.repeat(n)));
                let long = if overlong { "overlong".to_owned() } else { letter.to_lowercase().repeat(n) };
                assert_eq!(found, [long, "b".to_owned()]);
            }
        }
    }
}
