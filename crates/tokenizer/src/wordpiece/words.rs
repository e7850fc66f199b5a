//! From a text to the words of BERT's normalizer and pre-tokenizer, in one pass.
//!
//! `tokenizers` rewrites the whole text once a step: clean, spaces around Chinese characters, canonical decomposition
//! (NFD) without nonspacing marks, lower case, split at white space, split around punctuation. Each step but one looks at
//! one character at a time, so here every character goes through all of them before the next one is read. The one is NFD,
//! which puts marks behind a letter in canonical order: marks wait until the next letter.

use unicode_normalization_alignments::char::{canonical_combining_class, decompose_canonical};

use super::classes::Class;
use super::file;
use super::origins::Origins;

/// Words of more characters are not read, but unknown: 100 in every BERT. Files that ask for more than this are not
/// for WordPiece.
pub(super) const MAX_WORD_CHARS: usize = 128;

/// What is done to a text, with the answers for ASCII.
#[derive(Clone)]
pub(super) struct Rules {
    lowercase_first: bool,
    clean: bool,
    strip_accents: bool,
    lowercase: bool,
    /// All that makes a character something else than a letter to take as it is.
    special: Class,
    ascii: [Ascii; 128],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ascii {
    /// A letter, or what counts as one, as it is after normalization.
    Letter(u8),
    Space,
    Punctuation,
    Removed,
}

impl Rules {
    pub(super) fn new(normalizer: &file::Normalizer<'_>) -> Rules {
        let mut rules = Rules {
            lowercase_first: false,
            clean: normalizer.clean_text,
            strip_accents: normalizer.strip_accents.unwrap_or(normalizer.lowercase),
            lowercase: normalizer.lowercase,
            special: Class::SPACE.with(Class::PUNCTUATION),
            ascii: [Ascii::Removed; 128],
        };
        let marks = Class::DECOMPOSES.with(Class::NONSTARTER).with(Class::NONSPACING_MARK);
        for (applies, class) in [
            (rules.clean, Class::UNCLEAN),
            (normalizer.handle_chinese_chars, Class::CHINESE),
            (rules.strip_accents, marks),
            (rules.lowercase, Class::LOWERCASES),
        ] {
            if applies {
                rules.special = rules.special.with(class);
            }
        }
        rules.with_ascii()
    }

    pub(super) fn lowercase(&self) -> bool {
        self.lowercase
    }

    /// Lower-cases every text before anything else is done to it.
    pub(super) fn lowercase_first(mut self) -> Rules {
        self.lowercase_first = true;
        self.with_ascii()
    }

    /// ASCII characters have no marks and no decomposition, and one lower-case character.
    fn with_ascii(mut self) -> Rules {
        for (code, answer) in (0..).zip(&mut self.ascii) {
            let class = Class::of(char::from(code)).only(self.special);
            *answer = if class.has(Class::UNCLEAN) {
                Ascii::Removed
            } else if class.has(Class::SPACE) {
                Ascii::Space
            } else if class.has(Class::PUNCTUATION) {
                Ascii::Punctuation
            } else if self.lowercase || self.lowercase_first {
                Ascii::Letter(code.to_ascii_lowercase())
            } else {
                Ascii::Letter(code)
            };
        }
        self
    }
}

/// Where words go.
pub(super) trait Sink {
    /// What they need to know of where a word comes from.
    type Origins: Origins;

    /// A word (UTF-8) that may be read.
    fn word(&mut self, word: &[u8], origins: &Self::Origins);

    /// A word with more characters than may be read.
    fn overlong_word(&mut self, origins: &Self::Origins);
}

/// Reads texts, and hands their words on. Made for one text or its parts between added tokens.
pub(super) struct Words<'a, S: Sink> {
    rules: &'a Rules,
    pub(super) sink: S,
    /// Where the text's character is that is read now.
    origin: <S::Origins as Origins>::Origin,
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
    /// Marks behind the last letter, by canonical combining class. Those that `strip_accents` removes never come here, so
    /// that few texts have any.
    marks: Vec<(u8, char, <S::Origins as Origins>::Origin)>,
}

impl<'a, S: Sink> Words<'a, S> {
    /// `max_chars` is at most [`MAX_WORD_CHARS`].
    pub(super) fn new(rules: &'a Rules, max_chars: usize, sink: S) -> Words<'a, S> {
        debug_assert!(max_chars <= MAX_WORD_CHARS);
        let word = [0; MAX_WORD_CHARS * 4];
        let (origin, origins) = (S::Origins::origin(0, 0), S::Origins::default());
        Words { rules, sink, origin, origins, word, len: 0, chars: 0, max_chars, marks: Vec::new() }
    }

    /// Reads a text, after whose end there is no word any more to go on with. It begins at `offset`.
    pub(super) fn read(&mut self, text: &str, offset: usize) {
        let end = offset + text.len();
        let mut rest = text;
        while let Some(&byte) = rest.as_bytes().first() {
            let at = end - rest.len();
            let Some(answer) = self.rules.ascii.get(usize::from(byte)) else {
                let mut chars = rest.chars();
                if let Some(c) = chars.next() {
                    self.origin = S::Origins::origin(at, end - chars.as_str().len());
                    self.any(c);
                }
                rest = chars.as_str();
                continue;
            };
            let mut len = 1;
            match answer {
                Ascii::Letter(_) => {
                    self.flush_marks();
                    len = self.ascii_letters(rest.as_bytes(), at);
                }
                Ascii::Space => self.space(),
                Ascii::Punctuation => {
                    self.flush_marks();
                    self.end_word();
                    self.origins.put_ascii(0, 1, at);
                    self.sink.word(&[byte], &self.origins);
                    self.origins.clear();
                }
                Ascii::Removed => {}
            }
            rest = &rest[len..];
        }
        self.space();
    }

    /// Takes the ASCII letters at the beginning; returns how many.
    #[inline]
    fn ascii_letters(&mut self, text: &[u8], at: usize) -> usize {
        let mut room = self.word[self.len..].iter_mut();
        let mut taken = 0;
        for &byte in text {
            let Some(&Ascii::Letter(letter)) = self.rules.ascii.get(usize::from(byte)) else { break };
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

    /// A character of the text.
    fn any(&mut self, c: char) {
        if self.rules.lowercase_first && Class::of(c).has(Class::LOWERCASES) {
            c.to_lowercase().for_each(|c| self.clean(c));
        } else {
            self.clean(c);
        }
    }

    fn clean(&mut self, c: char) {
        let class = Class::of(c).only(self.rules.special);
        if class == Class::NONE {
            self.flush_marks();
            self.letter(c);
        } else if class.has(Class::UNCLEAN) {
            // Not even between a letter and its mark.
        } else if self.rules.clean && class.has(Class::SPACE) {
            self.space();
        } else if class.has(Class::CHINESE) {
            self.space();
            self.decompose(c, class);
            self.space();
        } else {
            self.decompose(c, class);
        }
    }

    fn decompose(&mut self, c: char, class: Class) {
        if !self.rules.strip_accents {
            self.lower(c);
        } else if class.has(Class::DECOMPOSES) {
            decompose_canonical(c, |d| self.order(d));
        } else {
            self.order(c);
        }
    }

    /// A mark of class 0 separates other marks, though it may be removed itself.
    fn order(&mut self, c: char) {
        let class = Class::of(c);
        if !class.has(Class::NONSTARTER) {
            self.flush_marks();
        }
        if class.has(Class::NONSPACING_MARK) {
            // Removed.
        } else if class.has(Class::NONSTARTER) {
            self.marks.push((canonical_combining_class(c), c, self.origin));
        } else {
            self.lower(c);
        }
    }

    #[inline(always)]
    fn flush_marks(&mut self) {
        if !self.marks.is_empty() {
            self.take_marks();
        }
    }

    #[cold]
    fn take_marks(&mut self) {
        let mut marks = std::mem::take(&mut self.marks);
        // Stable: marks of the same class stay in their order.
        marks.sort_by_key(|&(class, ..)| class);
        let origin = self.origin;
        for (_, c, mark) in marks.drain(..) {
            self.origin = mark;
            self.lower(c);
        }
        (self.marks, self.origin) = (marks, origin);
    }

    fn lower(&mut self, c: char) {
        if self.rules.lowercase && Class::of(c).has(Class::LOWERCASES) {
            c.to_lowercase().for_each(|c| self.split(c));
        } else {
            self.split(c);
        }
    }

    fn split(&mut self, c: char) {
        let class = Class::of(c);
        if class.has(Class::SPACE) {
            self.end_word();
        } else if class.has(Class::PUNCTUATION) {
            self.end_word();
            self.letter(c);
            self.end_word();
        } else {
            self.letter(c);
        }
    }

    fn letter(&mut self, c: char) {
        let before = self.len;
        if self.chars < self.max_chars {
            self.len += c.encode_utf8(&mut self.word[self.len..]).len();
        }
        self.origins.put(before, self.len, self.origin);
        self.chars += 1;
    }

    fn space(&mut self) {
        self.flush_marks();
        self.end_word();
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
        words.sink.0
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
