//! `config_sentence_transformers.json`: what is put before texts, and what else the model says about its vectors.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::folder::PROMPTS_CONFIG;
use crate::modules::read_optional;
use crate::{EncodeOptions, Error, SimilarityFunction};

/// Prompts by their names, and the one that is put before every text for which no other is asked.
///
/// A model has the names `query` and `document` even where its files do not, with an empty prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompts {
    by_name: BTreeMap<String, String>,
    default_name: Option<String>,
}

/// `config_sentence_transformers.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelSettings {
    pub(crate) prompts: Prompts,
    /// How many components vectors are cut to, if the model says so.
    pub(crate) truncate_dim: Option<usize>,
    /// What vectors are compared by.
    pub(crate) similarity: SimilarityFunction,
}

#[derive(Deserialize)]
struct SettingsFile {
    #[serde(default)]
    prompts: BTreeMap<String, Option<String>>,
    default_prompt_name: Option<String>,
    truncate_dim: Option<usize>,
    similarity_fn_name: Option<String>,
    model_type: Option<String>,
}

impl Default for ModelSettings {
    /// Without a file.
    fn default() -> ModelSettings {
        let by_name = without_prompts();
        ModelSettings {
            prompts: Prompts { by_name, default_name: None },
            truncate_dim: None,
            similarity: SimilarityFunction::default(),
        }
    }
}

/// What every model has.
fn without_prompts() -> BTreeMap<String, String> {
    BTreeMap::from(["query", "document"].map(|name| (name.to_owned(), String::new())))
}

impl ModelSettings {
    pub(crate) fn read(directory: &Path) -> Result<ModelSettings, Error> {
        let path = directory.join(PROMPTS_CONFIG);
        let Some(file) = read_optional::<SettingsFile>(&path)? else { return Ok(ModelSettings::default()) };
        if let Some(other) = file.model_type.filter(|kind| kind != "SentenceTransformer") {
            let reason = format!("model_type is {other:?}, expected \"SentenceTransformer\"");
            return Err(Error::Settings { path, reason });
        }
        let mut by_name = without_prompts();
        by_name.extend(file.prompts.into_iter().map(|(name, prompt)| (name, prompt.unwrap_or_default())));
        if let Some(name) = file.default_prompt_name.as_ref().filter(|name| !by_name.contains_key(*name)) {
            let reason =
                format!("default_prompt_name is {name:?}, but the prompts are {}", names_of(&by_name));
            return Err(Error::Settings { path, reason });
        }
        if file.truncate_dim == Some(0) {
            let reason = "truncate_dim is 0, expected at least 1".to_owned();
            return Err(Error::Settings { path, reason });
        }
        let similarity = match file.similarity_fn_name.as_deref().map(str::parse).transpose() {
            Ok(similarity) => similarity.unwrap_or_default(),
            Err(error) => {
                let reason = format!("similarity_fn_name: {error}");
                return Err(Error::Settings { path, reason });
            }
        };
        let prompts = Prompts { by_name, default_name: file.default_prompt_name };
        Ok(ModelSettings { prompts, truncate_dim: file.truncate_dim, similarity })
    }
}

impl Prompts {
    /// What is put before the texts of a call; empty for nothing. As `_resolve_prompt` there: a prompt, else a named one, else
    /// the default.
    pub(crate) fn resolve<'a>(&'a self, options: &'a EncodeOptions) -> Result<&'a str, Error> {
        match (&options.prompt, &options.prompt_name) {
            (Some(prompt), _) => Ok(prompt),
            (None, Some(name)) => match self.by_name.get(name) {
                Some(prompt) => Ok(prompt),
                None => Err(Error::PromptName {
                    name: name.clone(),
                    known: self.names().map(str::to_owned).collect(),
                }),
            },
            (None, None) => Ok(self.default_prompt()),
        }
    }

    /// What is put before texts if nothing else is said; empty for nothing.
    pub(crate) fn default_prompt(&self) -> &str {
        self.default_name.as_ref().and_then(|name| self.by_name.get(name)).map_or("", String::as_str)
    }

    pub(crate) fn default_name(&self) -> Option<&str> {
        self.default_name.as_deref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_name.iter().map(|(name, prompt)| (name.as_str(), prompt.as_str()))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

fn names_of(prompts: &BTreeMap<String, String>) -> String {
    prompts.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Result<ModelSettings, Error> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(PROMPTS_CONFIG), json).unwrap();
        ModelSettings::read(directory.path())
    }

    #[test]
    fn query_and_document_are_names_of_every_model() {
        let none = ModelSettings::read(Path::new("no/such/folder")).unwrap();
        assert_eq!(none.prompts.iter().collect::<Vec<_>>(), [("document", ""), ("query", "")]);
        assert_eq!((none.prompts.default_prompt(), none.truncate_dim), ("", None));
        let some = settings(r#"{"prompts": {"query": "q: ", "passage": "p: ", "document": null}}"#).unwrap();
        let expected = [("document", ""), ("passage", "p: "), ("query", "q: ")];
        assert_eq!(some.prompts.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn vectors_are_compared_by_what_the_model_says() {
        let similarity = |json| settings(json).unwrap().similarity;
        assert_eq!(similarity("{}"), SimilarityFunction::Cosine);
        assert_eq!(similarity(r#"{"similarity_fn_name": null}"#), SimilarityFunction::Cosine);
        assert_eq!(similarity(r#"{"similarity_fn_name": "dot"}"#), SimilarityFunction::DotProduct);
    }

    #[test]
    fn a_prompt_comes_before_its_name_and_that_before_the_default() {
        let json =
            r#"{"prompts": {"query": "q: ", "s": "s: "}, "default_prompt_name": "s", "truncate_dim": 8}"#;
        let ModelSettings { prompts, truncate_dim, .. } = settings(json).unwrap();
        assert_eq!((prompts.default_name(), truncate_dim), (Some("s"), Some(8)));
        let options = EncodeOptions::default();
        assert_eq!(prompts.resolve(&options).unwrap(), "s: ");
        let options = options.prompt_name("query");
        assert_eq!(prompts.resolve(&options).unwrap(), "q: ");
        assert_eq!(prompts.resolve(&options.prompt("")).unwrap(), "");
        let error = prompts.resolve(&EncodeOptions::default().prompt_name("Query")).unwrap_err().to_string();
        assert_eq!(error, "the model has no prompt \"Query\"; its prompts are document, query, s");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (json, says) in [
            (r#"{"default_prompt_name": "passage"}"#, "\"passage\", but the prompts are document, query"),
            (r#"{"truncate_dim": 0}"#, "truncate_dim is 0"),
            (r#"{"model_type": "SparseEncoder"}"#, "model_type is \"SparseEncoder\""),
            (r#"{"model_type": "CrossEncoder"}"#, "model_type is \"CrossEncoder\""),
            (r#"{"similarity_fn_name": "jaccard"}"#, "jaccard"),
            (r#"{"prompts": ["query: "]}"#, "not the expected JSON"),
        ] {
            let error = settings(json).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(PROMPTS_CONFIG), "{error}");
        }
    }
}
