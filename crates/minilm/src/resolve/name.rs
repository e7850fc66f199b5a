//! What the user calls the model, and which names and paths are safe to use.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::ResolveError;

const DEFAULT_OWNER: &str = "sentence-transformers";

/// Who owns models that are known by a name that begins so, and are not of [`DEFAULT_OWNER`]. The first that fits counts.
const OWNERS: [(&str, &str); 15] = [
    ("bge-", "BAAI"),
    ("e5-", "intfloat"),
    ("multilingual-e5-", "intfloat"),
    // Generation 1; what came later has other names.
    ("gte-small", "thenlper"),
    ("gte-base-en", "Alibaba-NLP"),
    ("gte-base", "thenlper"),
    ("gte-large-en", "Alibaba-NLP"),
    ("gte-large", "thenlper"),
    ("gte-", "Alibaba-NLP"),
    ("bert-base-", "google-bert"),
    ("bert-large-", "google-bert"),
    ("distilbert-base-", "distilbert"),
    ("mpnet-base", "microsoft"),
    ("roberta-", "FacebookAI"),
    ("xlm-roberta-", "FacebookAI"),
];

/// What a user's name for a model stands for.
#[derive(Debug)]
pub(super) enum Target {
    Directory(PathBuf),
    Model(ModelName),
}

/// A model's name on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelName {
    owner: String,
    name: String,
}

impl ModelName {
    /// The model's folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("models--{}--{}", self.owner, self.name)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Tells paths from names: an existing directory is a path, and so is what cannot be a name.
pub(super) fn target(given: &OsStr) -> Result<Target, ResolveError> {
    let path = Path::new(given);
    if path.is_dir() {
        return Ok(Target::Directory(path.to_owned()));
    }
    let text = given.to_str().filter(|text| !is_only_a_path(text));
    let Some(text) = text else {
        return Err(if path.exists() {
            ResolveError::NotADirectory { path: path.to_owned() }
        } else {
            ResolveError::PathNotFound { path: path.to_owned() }
        });
    };
    parse(text)
        .map(Target::Model)
        .map_err(|reason| ResolveError::InvalidName { name: text.to_owned(), reason: reason.to_owned() })
}

fn is_only_a_path(text: &str) -> bool {
    let has_drive = matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    text.starts_with(['.', '/', '~'])
        || text.ends_with('/')
        || text.contains('\\')
        || text.matches('/').count() > 1
        || has_drive
}

/// The owner of a model whose name stands alone. sentence-transformers has models whose names begin as those do that they were
/// made of: `bert-base-nli-mean-tokens`.
fn owner_of(name: &str) -> &'static str {
    let fine_tuned = ["-nli-", "-stsb-", "-tokens"];
    if fine_tuned.iter().any(|part| name.contains(part)) {
        return DEFAULT_OWNER;
    }
    OWNERS.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(DEFAULT_OWNER, |(_, owner)| owner)
}

fn parse(text: &str) -> Result<ModelName, &'static str> {
    let (owner, name) = text.split_once('/').unwrap_or_else(|| (owner_of(text), text));
    for part in [owner, name] {
        if part.is_empty() {
            return Err("a part of it is empty");
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !part.bytes().all(allowed) {
            return Err("only letters, digits, `-`, `_` and `.` are allowed");
        }
        if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
            return Err("no part may begin or end with `-` or `.`");
        }
        // The cache joins owner and name with `--`.
        if part.contains("--") || part.contains("..") {
            return Err("`--` and `..` are not allowed");
        }
    }
    if text.len() > 96 {
        return Err("it is longer than 96 characters");
    }
    Ok(ModelName { owner: owner.to_owned(), name: name.to_owned() })
}

/// Whether a commit or ETag from a server or a cache can be one file's name.
pub(super) fn is_file_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=128).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('.')
        && !name.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> String {
        match target(OsStr::new(text)) {
            Ok(Target::Model(name)) => name.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn bare_names_belong_to_sentence_transformers() {
        assert_eq!(model("all-MiniLM-L6-v2"), "sentence-transformers/all-MiniLM-L6-v2");
        assert_eq!(model("intfloat/e5-small-v2"), "intfloat/e5-small-v2");
        for name in [
            "all-MiniLM-L12-v2",
            "all-mpnet-base-v2",
            "all-distilroberta-v1",
            "multi-qa-MiniLM-L6-cos-v1",
            "paraphrase-multilingual-MiniLM-L12-v2",
            "paraphrase-multilingual-mpnet-base-v2",
            "distiluse-base-multilingual-cased-v2",
            "gtr-t5-base",
            // Of the library, though they begin as others do.
            "bert-base-nli-mean-tokens",
            "roberta-large-nli-stsb-mean-tokens",
            "distilbert-base-nli-stsb-quora-ranking",
            "bert-base-wikipedia-sections-mean-tokens",
        ] {
            assert_eq!(model(name), format!("sentence-transformers/{name}"));
        }
    }

    #[test]
    fn bare_names_of_known_models_belong_to_their_owners() {
        for (name, owner) in [
            ("bge-small-en-v1.5", "BAAI"),
            ("bge-m3", "BAAI"),
            ("e5-base-v2", "intfloat"),
            ("multilingual-e5-small", "intfloat"),
            ("gte-small", "thenlper"),
            ("gte-large", "thenlper"),
            ("gte-base-en-v1.5", "Alibaba-NLP"),
            ("gte-multilingual-base", "Alibaba-NLP"),
            ("bert-base-uncased", "google-bert"),
            ("distilbert-base-uncased", "distilbert"),
            ("mpnet-base", "microsoft"),
            ("roberta-base", "FacebookAI"),
            ("xlm-roberta-large", "FacebookAI"),
        ] {
            assert_eq!(model(name), format!("{owner}/{name}"));
        }
        // An owner that is named is not put right.
        assert_eq!(model("someone/bge-small-en-v1.5"), "someone/bge-small-en-v1.5");
    }

    #[test]
    fn what_can_only_be_a_path_is_not_looked_up() {
        for text in ["./x", "../x", "/x", "~/x", "x/", "a/b/c", "C:x", "a\\b", "C:\\models\\x", "\\\\h\\x"] {
            let error = target(OsStr::new(text)).unwrap_err();
            assert!(matches!(error, ResolveError::PathNotFound { .. }), "{text}: {error}");
            assert!(error.to_string().contains(text));
        }
    }

    #[test]
    fn names_the_hub_would_refuse_are_refused() {
        let long = "x".repeat(97);
        for text in ["", "a b", "a--b", "-a", "a/-b", "a..b", "x/ä", "x/y?z", "x/y#z", &long] {
            let error = target(OsStr::new(text)).unwrap_err();
            assert!(matches!(error, ResolveError::InvalidName { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn only_plain_etags_are_file_names() {
        for name in ["", ".", "..", "a/b", "a\\b", ".x", "a b", "x:y", &"a".repeat(129)] {
            assert!(!is_file_name(name), "{name}");
        }
        assert!(is_file_name("72b987fd805cfa2b58c4c8c952b274a11bfd5a00"));
        assert!(is_file_name("abc-gzip"));
    }
}
