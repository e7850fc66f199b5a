//! What a file contains, in messages.

/// How many names a message lists, and how many characters of each.
const LISTED: usize = 20;
const SHOWN: usize = 60;

/// A text in quotes, cut where a message would become unreadable.
///
/// ```
/// assert_eq!(minilm_storage::excerpt("a \"b\""), r#""a \"b\"""#);
/// ```
pub fn excerpt(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// With commas between them; of many the first twenty, and how many more there are.
///
/// ```
/// assert_eq!(minilm_storage::listed(["a", "b"].map(str::to_owned)), "a, b");
/// ```
pub fn listed(names: impl IntoIterator<Item = String>) -> String {
    let mut names = names.into_iter();
    let mut list = names.by_ref().take(LISTED).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => list += &format!(" and {more} more"),
    }
    list
}
