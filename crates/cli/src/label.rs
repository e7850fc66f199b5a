//! Texts as labels: on one line, cut where a person would cut them, and about as wide as they will be.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// A text with a space in the place of line breaks, tabs and whatever else is white or cannot be seen.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    if !text.contains(odd) && !text.contains("  ") && text.trim() == text {
        return Cow::Borrowed(text);
    }
    let words = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

/// How many columns of a terminal a text takes: two a CJK character.
pub(crate) fn columns_of(text: &str) -> usize {
    text.width()
}

/// A text on one line of at most so many columns (at least 1). If it is longer, it is cut between two characters as
/// people see them, after a word if that costs little, and ends in an ellipsis. An empty text becomes something that can
/// be seen.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    let line = one_line(text);
    if line.is_empty() {
        return "(empty)".to_owned();
    }
    // A character of any width may have any number of marks; so the bytes are bounded, too.
    let most_bytes = columns * 16;
    if line.len() <= most_bytes && columns_of(&line) <= columns {
        return line.into_owned();
    }
    let (mut end, mut width, mut after_word) = (0, 1, 0);
    for (start, grapheme) in line.grapheme_indices(true) {
        width += columns_of(grapheme);
        if width > columns || start + grapheme.len() > most_bytes {
            break;
        }
        if grapheme == " " {
            after_word = start;
        }
        end = start + grapheme.len();
    }
    if after_word * 3 >= end * 2 && after_word > 0 {
        end = after_word;
    }
    let kept = line[..end].trim_end();
    // Behind a text from right to left the ellipsis belongs to its left, which this mark says.
    let mark = if kept.chars().next_back().is_some_and(is_right_to_left) { "\u{200f}" } else { "" };
    format!("{kept}…{mark}")
}

/// A text that numbers follow on the same line: without a mark behind a text from right to left, they would be put in
/// this order, too.
pub(crate) fn before_numbers(text: &str) -> Cow<'_, str> {
    if text.contains(is_right_to_left) { Cow::Owned(format!("{text}\u{200e}")) } else { Cow::Borrowed(text) }
}

/// Whether it is of a script that is written from right to left: the blocks of Hebrew, Arabic and their neighbours.
fn is_right_to_left(character: char) -> bool {
    matches!(character, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_line() {
        assert_eq!(one_line("a b"), "a b");
        assert_eq!(one_line("  a\r\n\tb \u{2028} c\u{7}\u{1b}[31md "), "a b c [31md");
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(shortened("a short text", 12), "a short text");
        assert_eq!(shortened("a short text", 11), "a short…");
        assert_eq!(shortened("unbreakable", 6), "unbre…");
        assert_eq!(shortened("", 6), "(empty)");
        assert_eq!(shortened("日本語の文章", 12), "日本語の文章");
        assert_eq!(shortened("日本語の文章", 11), "日本語の文…");
        assert_eq!(shortened("日本語", 1), "…");
    }

    #[test]
    fn what_is_one_character_for_people_is_not_cut() {
        let family = "👩‍👩‍👧‍👦";
        assert_eq!(shortened(&format!("ab{family}cd"), 5), format!("ab{family}…"));
        assert_eq!(shortened(&format!("ab{family}cd"), 4), "ab…");
        assert_eq!(shortened("ne\u{301}e\u{301}x", 3), "ne\u{301}…");
        // Marks without end are no way around the limit.
        assert!(shortened(&format!("a{}", "\u{301}".repeat(10_000)), 10).len() < 200);
    }

    #[test]
    fn the_ellipsis_of_a_text_from_right_to_left_is_at_its_end() {
        assert_eq!(shortened("مرحبا بالعالم كله", 14), "مرحبا بالعالم…\u{200f}");
        assert_eq!((before_numbers("مرحبا"), before_numbers("a")), ("مرحبا\u{200e}".into(), "a".into()));
    }
}
