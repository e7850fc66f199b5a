//! What a model's card, its `README.md`, says for programs: the licence.
//!
//! Cards begin with YAML between two lines `---`
//! (<https://huggingface.co/docs/hub/model-cards#model-card-metadata>). Of that, the two keys read here are one line each, or a
//! list; YAML beyond is not understood, and then nothing is stated.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What is behind that is not looked at. Cards with the results of a benchmark have hundreds of kilobytes of them before the
/// licence.
const MAX_BYTES: u64 = 4 << 20;
const MAX_LICENSES: usize = 16;
const MAX_LENGTH: usize = 128;

/// The licence that a card states, by the hub's name for it; several are separated by commas.
pub(super) fn license(card: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(card).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    license_in(&String::from_utf8_lossy(&bytes))
}

fn license_in(card: &str) -> Option<String> {
    let mut lines = card.lines().map(str::trim_end);
    if lines.next()? != "---" {
        return None;
    }
    let mut front_matter = Vec::new();
    loop {
        match lines.next()? {
            "---" => break,
            line => front_matter.push(line),
        }
    }
    let names = values(&front_matter, "license")?;
    // The name of a licence that the hub has no name for is in another place.
    if names == ["other"]
        && let Some(names) = values(&front_matter, "license_name")
    {
        return Some(names.join(", "));
    }
    Some(names.join(", "))
}

/// What a top-level key has: one string, or the strings of a list.
fn values<'a>(lines: &[&'a str], key: &str) -> Option<Vec<&'a str>> {
    let mut rest = lines.iter();
    let value = rest.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let value = match value.trim_start() {
        value if value.starts_with('#') => "",
        // Without a space it is no key: `license:mit` is a string.
        stuck if stuck.len() == value.len() && !stuck.is_empty() => return None,
        value => value,
    };
    let values: Vec<&str> = if value.is_empty() {
        let items = rest.map_while(|line| line.trim_start().strip_prefix("- "));
        items.take(MAX_LICENSES + 1).map(scalar).collect::<Option<_>>()?
    } else if let Some(list) = value.strip_prefix('[') {
        let (list, behind) = list.split_once(']')?;
        is_end(behind).then_some(())?;
        list.split(',').take(MAX_LICENSES + 1).map(scalar).collect::<Option<_>>()?
    } else {
        vec![scalar(value)?]
    };
    (1..=MAX_LICENSES).contains(&values.len()).then_some(values)
}

/// A string on one line, plain or quoted, without escapes.
fn scalar(text: &str) -> Option<&str> {
    let text = text.trim();
    let value = match text.chars().next()? {
        quote @ ('"' | '\'') => {
            let (value, behind) = text[1..].split_once(quote)?;
            is_end(behind).then_some(value)?
        }
        // What means something else in YAML: lists, objects, anchors, tags, blocks, comments and what is reserved.
        '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '#' | '%' | '@' | '`' | ',' | '?' | ':'
        | '-' => {
            return None;
        }
        _ => text.split_once(" #").map_or(text, |(value, _)| value.trim_end()),
    };
    let is_shown = |char: char| !char.is_control() && char != '\\' && char != char::REPLACEMENT_CHARACTER;
    let is_name = !value.is_empty() && value.len() <= MAX_LENGTH && value.chars().all(is_shown);
    (is_name && !["~", "null", "Null", "NULL"].contains(&text)).then_some(value)
}

/// Whether nothing but a comment follows.
fn is_end(behind: &str) -> bool {
    let comment = behind.trim_start();
    comment.is_empty() || (comment.starts_with('#') && comment.len() < behind.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(front_matter: &str) -> Option<String> {
        license_in(&format!("---\n{front_matter}\n---\n\n# A model\n"))
    }

    #[test]
    fn licences_are_strings_and_lists() {
        for (front_matter, expected) in [
            ("license: apache-2.0", "apache-2.0"),
            ("language: en\nlicense: mit\ntags:\n- x", "mit"),
            ("license:   mit   # as upstream", "mit"),
            ("license: \"apache-2.0\"", "apache-2.0"),
            ("license: 'apache-2.0' # quoted", "apache-2.0"),
            ("license: [mit, \"apache-2.0\"]", "mit, apache-2.0"),
            ("license:\n- mit\n- 'apache-2.0'\nlanguage: en", "mit, apache-2.0"),
            ("license: # both\n  - mit\n  - apache-2.0", "mit, apache-2.0"),
            ("license: other\nlicense_name: some-terms\nlicense_link: LICENSE", "some-terms"),
            ("license_name: some-terms\nlicense: other", "some-terms"),
            ("license_name: some-terms\nlicense: mit", "mit"),
            ("license: other", "other"),
            ("license: Ünïcode 1.0", "Ünïcode 1.0"),
        ] {
            assert_eq!(stated(front_matter).as_deref(), Some(expected), "{front_matter}");
            let windows = format!("---\r\n{}\r\n---\r\n", front_matter.replace('\n', "\r\n"));
            assert_eq!(license_in(&windows).as_deref(), Some(expected), "{windows:?}");
        }
    }

    #[test]
    fn what_is_not_understood_states_nothing() {
        for front_matter in [
            "",
            "language: en",
            "license:",
            "license: ~",
            "license: null",
            "license:mit",
            "license : mit",
            "licenses: mit",
            " license: mit",
            "model:\n  license: mit",
            "# license: mit",
            "license: |\n  mit",
            "license: >-\n  mit",
            "license: {name: mit}",
            "license: &a mit",
            "license: \"mit",
            "license: \"mit\" x",
            "license: \"mit\"#x",
            "license: 'it''s'",
            "license: [mit",
            "license: [mit, [x]]",
            "license: []",
            "license:\n- [mit]",
            "license: \"m\\x1bit\"",
            "license: m\u{1b}[31mit",
            "license: m\u{fffd}it",
        ] {
            assert_eq!(stated(front_matter), None, "{front_matter}");
        }
        assert_eq!(stated(&format!("license: {}", "x".repeat(129))), None);
        assert_eq!(stated(&format!("license:\n{}", "- x\n".repeat(17))), None);
        for card in [
            "",
            "---",
            "license: mit",
            "# A\n---\nlicense: mit\n---\n",
            "---\nlicense: mit\n",
            "----\nlicense: mit\n---\n",
        ] {
            assert_eq!(license_in(card), None, "{card}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_card_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("README.md");
        assert_eq!(license(&card), None);
        let write = |padding: usize, end: &str| {
            let text = format!("---\nlicense: mit\n{}\n---\n{end}", "x".repeat(padding));
            std::fs::write(&card, text).unwrap();
        };
        write(100, &"text\n".repeat(100_000));
        assert_eq!(license(&card).as_deref(), Some("mit"));
        let results = "    - type: cos_sim\n      value: 1.0\n".repeat(6_000);
        std::fs::write(&card, format!("---\nmodel-index:\n{results}license: mit\n---\n")).unwrap();
        assert!(std::fs::metadata(&card).unwrap().len() > 200_000);
        assert_eq!(license(&card).as_deref(), Some("mit"));
        write(4 << 20, "");
        assert_eq!(license(&card), None);
        // The limit is in the middle of a character.
        write(101, &"ü".repeat(3 << 20));
        assert_eq!(license(&card).as_deref(), Some("mit"));
        std::fs::write(&card, b"---\nauthor: \xff\nlicense: mit\n---\n").unwrap();
        assert_eq!(license(&card).as_deref(), Some("mit"));
        assert_eq!(license(folder.path()), None);
    }
}
