//! Texts of many scripts, made from bytes: what tokenizers are compared on. Any bytes make texts, and nearly the same
//! bytes nearly the same texts, so that fuzzers can mutate them and property tests can shrink them.

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;
use unicode_normalization_alignments::char::canonical_combining_class;

/// Whether a mark that `strip_accents` leaves may be sorted among others: then `tokenizers` takes the places of some for those
/// of others.
pub fn marks_are_reordered(text: &str) -> bool {
    let kept = |c: char| canonical_combining_class(c) != 0 && !c.is_mark_nonspacing();
    text.nfd().any(|(c, _)| kept(c))
}

/// The parts that texts are made of, beside single characters: the tokens of a vocabulary.
pub struct Parts {
    tokens: Vec<String>,
}

impl Parts {
    /// The tokens of a `tokenizer.json`, which is valid.
    pub fn of(tokenizer_json: &str) -> Parts {
        let file: serde_json::Value = serde_json::from_str(tokenizer_json).expect("valid JSON");
        let vocabulary = file["model"]["vocab"].as_object().expect("a vocabulary");
        Parts { tokens: vocabulary.keys().cloned().collect() }
    }

    /// The texts that some bytes make: about one for every twenty.
    pub fn texts(&self, bytes: &[u8]) -> Vec<String> {
        let mut bytes = Bytes(bytes);
        let mut texts = Vec::new();
        while let Some(text) = self.text(&mut bytes) {
            texts.push(text);
        }
        texts
    }

    fn text(&self, bytes: &mut Bytes<'_>) -> Option<String> {
        let mut code = bytes.next()?;
        let mut text = String::new();
        loop {
            match code {
                0..20 => return Some(text),
                20..60 => text.push_str(self.token(bytes)),
                60..75 => text.push_str(self.token(bytes).trim_start_matches("##")),
                75..80 => text.push_str(&self.token(bytes).to_uppercase()),
                80..84 => text.extend(self.token(bytes).chars().flat_map(|c| [c, bytes.in_block(MARKS)])),
                84..110 => text.push(' '),
                110..130 => text.push(bytes.in_block(ASCII)),
                130..138 => text.push(bytes.choose(PECULIAR)),
                138..143 => text.push_str(bytes.choose(ADDED_TOKENS)),
                143..146 => {
                    let token: &str = bytes.choose(ADDED_TOKENS);
                    text.push_str(&token[..usize::from(bytes.byte()) % (token.len() + 1)]);
                }
                146..158 => text.push(bytes.in_block(MARKS)),
                158..220 => {
                    let block = bytes.choose(BLOCKS);
                    for _ in 0..=bytes.byte() % 4 {
                        text.push(bytes.in_block(block));
                    }
                }
                220..236 => {
                    let number = u32::from_be_bytes([0, bytes.byte(), bytes.byte(), bytes.byte()]);
                    text.push(char::from_u32(number % 0x11_0000).unwrap_or(' '));
                }
                // Words that get long enough to be unknown, runs of marks, texts that are cut.
                236..240 if text.len() < 2_000 => {
                    let from = text.len() - text.len().min(usize::from(bytes.byte()));
                    let end = text.get(from..).map_or_else(String::new, str::to_owned);
                    (0..bytes.byte() % 32).for_each(|_| text.push_str(&end));
                }
                240..244 => {
                    let block = bytes.choose(BLOCKS);
                    let c = bytes.in_block(block);
                    text.extend(std::iter::repeat_n(c, 90 + usize::from(bytes.byte()) % 40));
                }
                _ => text.push_str(
                    bytes.choose(&["\n", "\t", "\r\n", "  ", ".", ", ", "'", "-", "##", "\u{3000}"]),
                ),
            }
            match bytes.next() {
                Some(next) => code = next,
                None => return Some(text),
            }
        }
    }

    fn token(&self, bytes: &mut Bytes<'_>) -> &str {
        let index = usize::from(u16::from_be_bytes([bytes.byte(), bytes.byte()]));
        &self.tokens[index % self.tokens.len()]
    }
}

/// What makes a BERT's `tokenizer.json` one of MPNet.
#[derive(Clone, Copy, Debug)]
pub struct MPNet {
    /// Whether letters keep their case, and their accents.
    pub cased: bool,
    /// Whether offsets are without white space.
    pub trim_offsets: bool,
    /// Which property of `<mask>` is true.
    pub mask: &'static str,
}

impl Default for MPNet {
    fn default() -> MPNet {
        MPNet { cased: false, trim_offsets: true, mask: "lstrip" }
    }
}

impl MPNet {
    /// The file with MPNet's special tokens, behind the others, its post-processor, and, as in files that are saved today,
    /// `<unk>` that is found in normalized texts.
    pub fn of(self, tokenizer_json: &str) -> String {
        let mut file: serde_json::Value = serde_json::from_str(tokenizer_json).expect("valid JSON");
        let vocabulary = file["model"]["vocab"].as_object_mut().expect("a vocabulary");
        let first = vocabulary.len();
        let added = |(id, content): (usize, &str)| {
            let is = |property: &str| {
                (content == "<mask>" && self.mask == property)
                    || (content == "<unk>" && property == "normalized")
            };
            serde_json::json!({
                "id": id, "content": content, "single_word": false, "lstrip": is("lstrip"), "rstrip": is("rstrip"),
                "normalized": is("normalized"), "special": true
            })
        };
        let tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
        // One of them is not in the vocabulary.
        vocabulary.extend((first..).zip(tokens).take(4).map(|(id, token)| (token.to_owned(), id.into())));
        let unknown = vocabulary["[UNK]"].clone();
        let mut all: Vec<_> = (first..).zip(tokens).map(added).collect();
        all.push(serde_json::json!({
            "id": unknown, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true
        }));
        file["added_tokens"] = all.into();
        file["post_processor"] = serde_json::json!({
            "type": "RobertaProcessing", "sep": ["</s>", first + 2], "cls": ["<s>", first],
            "trim_offsets": self.trim_offsets, "add_prefix_space": self.cased
        });
        file["normalizer"]["lowercase"] = (!self.cased).into();
        file.to_string()
    }
}

/// Zero once there are no more.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    fn in_block(&mut self, (first, last): (u32, u32)) -> char {
        let offset = match last - first {
            0..256 => u32::from(self.byte()),
            _ => u32::from(u16::from_be_bytes([self.byte(), self.byte()])),
        };
        // Surrogates are in none.
        char::from_u32(first + offset % (last - first + 1)).expect("a character")
    }
}

const ASCII: (u32, u32) = (0, 0x7F);
const MARKS: (u32, u32) = (0x300, 0x36F);

const ADDED_TOKENS: &[&str] = &[
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[UNK]",
    "[PAD]",
    "[cls]",
    "[unused0]",
    "[MASK][MASK]",
    "##[SEP]",
    "<mask>",
    " <mask>",
    "<mask> ",
    "<MASK>",
    "<s>",
    "</s>",
    "<unk>",
    "<Unk>",
    "<unk><mask>",
];

/// What BERT's normalizer and its Unicode tables treat in a way of its own.
const PECULIAR: &[char] = &[
    '\0',
    '\u{1}',
    '\u{b}',
    '\u{7f}',
    '\u{85}',
    '\u{a0}',
    '\u{ad}',
    'İ',
    'ı',
    'ſ',
    'ß',
    'ẞ',
    'Σ',
    'ς',
    'ŉ',
    'ǰ',
    'ΐ',
    'ﬃ',
    'Å',
    'K',
    'Ω',
    '\u{345}',
    '\u{37e}',
    '\u{387}',
    '\u{1fef}',
    '\u{2000}',
    '\u{2028}',
    '\u{2329}',
    '\u{200b}',
    '\u{200d}',
    '\u{feff}',
    '\u{fffd}',
    '\u{fffe}',
    '\u{e000}',
    '\u{10fffd}',
    '\u{302e}',
    '\u{0f73}',
    '\u{0f75}',
    '\u{1d15e}',
    '\u{16ff0}',
    '\u{8d3}',
    '\u{1133b}',
    '\u{2b740}',
    '\u{2b820}',
    '\u{2b91f}',
    '\u{2b920}',
    '\u{2ceb0}',
    '\u{f900}',
    '\u{fa0e}',
    '\u{2fa1d}',
    '\u{30ed}',
    '\u{9fff}',
    '가',
    '힣',
    '\u{1f468}',
    '\u{1f3fd}',
    '\u{fe0f}',
    '\u{e0001}',
];

/// First and last characters.
const BLOCKS: &[(u32, u32)] = &[
    (0x20, 0x7E),
    (0x80, 0xFF),
    (0x100, 0x24F),
    (0x250, 0x2FF),
    (0x300, 0x36F),
    (0x370, 0x3FF),
    (0x400, 0x52F),
    (0x530, 0x5FF),
    (0x600, 0x6FF),
    (0x700, 0x8FF),
    (0x900, 0x97F),
    (0x980, 0xDFF),
    (0xE00, 0xEFF),
    (0xF00, 0xFFF),
    (0x1000, 0x109F),
    (0x10A0, 0x10FF),
    (0x1100, 0x11FF),
    (0x1200, 0x139F),
    (0x13A0, 0x17FF),
    (0x1800, 0x1AFF),
    (0x1B00, 0x1CFF),
    (0x1D00, 0x1DFF),
    (0x1E00, 0x1EFF),
    (0x1F00, 0x1FFF),
    (0x2000, 0x206F),
    (0x2070, 0x20FF),
    (0x2100, 0x23FF),
    (0x2400, 0x2BFF),
    (0x2C00, 0x2DFF),
    (0x2E00, 0x2FFF),
    (0x3000, 0x30FF),
    (0x3100, 0x33FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA000, 0xABFF),
    (0xAC00, 0xD7FF),
    (0xE000, 0xF8FF),
    (0xF900, 0xFAFF),
    (0xFB00, 0xFDFF),
    (0xFE00, 0xFEFF),
    (0xFF00, 0xFFFF),
    (0x1_0000, 0x1_03FF),
    (0x1_0400, 0x1_0FFF),
    (0x1_1000, 0x1_1FFF),
    (0x1_2000, 0x1_6FFF),
    (0x1_7000, 0x1_CFFF),
    (0x1_D000, 0x1_D7FF),
    (0x1_D800, 0x1_EFFF),
    (0x1_F000, 0x1_FAFF),
    (0x2_0000, 0x2_A6DF),
    (0x2_A700, 0x2_CEAF),
    (0x2_F800, 0x2_FA1F),
    (0xE_0000, 0xE_01EF),
    (0xF_0000, 0x10_FFFF),
];
