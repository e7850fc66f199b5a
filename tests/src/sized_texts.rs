//! Texts of a given number of tokens.

/// Words that are one token each for the tiny model and for the real one.
const WORDS: &[&str] = &[
    "the", "cat", "sat", "on", "red", "sun", "rain", "but", "not", "over", "two", "green", "fish", "that",
    "swim", "back", "to", "sea", "when", "they", "sing", "hello", "world",
];

/// A text of so many tokens, of which `[CLS]` and `[SEP]` are two; its words are in no short period.
pub fn text_of(tokens: usize) -> String {
    let words = tokens.checked_sub(2).expect("[CLS] and [SEP] are two");
    let words: Vec<&str> = (0..words).map(|i| WORDS[(i * i + tokens * 3) % WORDS.len()]).collect();
    words.join(" ")
}
