//! Which files a sentence-transformers model consists of.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use minilm_weights::{ShardIndex, WeightsError, read_limited};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::ResolveError;
use crate::folder::{
    ADAPTER_CONFIG, ADDED_TOKENS, CONFIG, MAX_MODULES_BYTES, MODEL_CARD, MODULES, Module, PROMPTS_CONFIG,
    SENTENCE_CONFIGS, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG, VOCABULARY, WEIGHTS, WEIGHTS_INDEX,
};
use crate::{Error, supported};

/// Larger than any tokenizer; whatever is read into memory as a whole is limited to this.
pub(super) const MAX_SMALL_FILE: u64 = 64 << 20;

/// A file to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) file: String,
    pub(super) required: bool,
}

impl Wanted {
    fn required(file: String) -> Wanted {
        Wanted { file, required: true }
    }

    fn optional(file: String) -> Wanted {
        Wanted { file, required: false }
    }
}

/// All files besides `modules.json`, by their paths in the model's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelFiles {
    /// What only an adapter has, which is refused.
    pub(super) adapter_config: String,
    /// The transformer's config.
    pub(super) config: String,
    /// All settings but the sentence configs, the transformer's config first; all small.
    pub(super) settings: Vec<Wanted>,
    /// Settings of which the first that is there counts, and the others need not be.
    pub(super) sentence_configs: Vec<String>,
    /// The tokenizer. Needed unless there is a vocabulary.
    pub(super) tokenizer: String,
    /// What an older model has in the place of the tokenizer, and others beside it.
    pub(super) vocabulary: String,
    /// The tokenizer's settings.
    pub(super) tokenizer_config: String,
    /// What changes the tokenizer, unless its settings list all added tokens.
    pub(super) of_tokens: Vec<String>,
    /// The weights of modules behind the transformer; all needed.
    pub(super) module_weights: Vec<String>,
    /// The transformer's weights in one file.
    pub(super) weights: String,
    /// Where there is no such file: the index of their shards.
    pub(super) weights_index: String,
}

impl ModelFiles {
    /// The files of a model with these modules.
    pub(super) fn of(modules: &[Module]) -> ModelFiles {
        let transformer = Module::transformer_path(modules);
        let of_transformer = |name: &str| beside(transformer, name);
        let weights = of_transformer(WEIGHTS);
        let config = of_transformer(CONFIG);
        let mut settings = vec![Wanted::required(config.clone())];
        let mut module_weights = Vec::new();
        for module in modules.iter().filter(|module| !module.path.is_empty()) {
            let has_weights = ["Dense", "LayerNorm"].contains(&module.kind());
            // A pooling without its settings would be guessed; a normalisation has none.
            let required = has_weights || module.kind() == "Pooling";
            let file = beside(&module.path, CONFIG);
            match settings.iter_mut().find(|known| known.file == file) {
                Some(known) => known.required |= required,
                None => settings.push(Wanted { file, required }),
            }
            let file = beside(&module.path, WEIGHTS);
            if has_weights && file != weights && !module_weights.contains(&file) {
                module_weights.push(file);
            }
        }
        settings.push(Wanted::optional(PROMPTS_CONFIG.to_owned()));
        settings.push(Wanted::optional(of_transformer(TOKENIZER_CONFIG)));
        ModelFiles {
            adapter_config: of_transformer(ADAPTER_CONFIG),
            config,
            settings,
            sentence_configs: SENTENCE_CONFIGS.map(of_transformer).into(),
            tokenizer: of_transformer(TOKENIZER),
            vocabulary: of_transformer(VOCABULARY),
            tokenizer_config: of_transformer(TOKENIZER_CONFIG),
            of_tokens: [SPECIAL_TOKENS, ADDED_TOKENS].map(of_transformer).into(),
            module_weights,
            weights,
            weights_index: of_transformer(WEIGHTS_INDEX),
        }
    }

    /// The files of the model in a directory, as its `modules.json` has them, if it has one.
    fn in_directory(directory: &Path) -> Result<ModelFiles, ResolveError> {
        let modules = directory.join(MODULES);
        let modules = if modules.is_file() {
            read_modules(&modules, &directory.display().to_string())?
        } else {
            Vec::new()
        };
        Ok(ModelFiles::of(&modules))
    }
}

/// Whether a file is one of those by which a model is known to be supported or not.
pub(super) fn is_setting(file: &str) -> bool {
    let others = [MODULES, ADAPTER_CONFIG, CONFIG, PROMPTS_CONFIG, TOKENIZER_CONFIG];
    others.iter().chain(&SENTENCE_CONFIGS).any(|name| is_called(file, name))
}

/// Whether a file is one that a tokenizer is made of.
pub(super) fn is_of_tokenizer(file: &str) -> bool {
    [TOKENIZER, VOCABULARY, SPECIAL_TOKENS, ADDED_TOKENS].iter().any(|name| is_called(file, name))
}

/// Whether a file has weights, and so any size.
pub(super) fn is_weights(file: &str) -> bool {
    file.ends_with(".safetensors")
}

/// A file of a folder, which is empty for the model's own.
fn beside(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Whether a file has this name, in whatever folder.
fn is_called(file: &str, name: &str) -> bool {
    file.rsplit('/').next() == Some(name)
}

/// The folder of a file.
fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Reads the `modules.json` at `path`. `place` is where it came from. The paths in it come from the network
/// and are not trusted.
pub(super) fn read_modules(path: &Path, place: &str) -> Result<Vec<Module>, ResolveError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_MODULES_BYTES + 1).read_to_end(&mut text))
        .map_err(ResolveError::io("read", path))?;
    Module::parse_list(&text)
        .map_err(|reason| ResolveError::InvalidModules { place: place.to_owned(), reason })
}

/// Whether a `tokenizer_config.json` lists all added tokens, so that no other file beside the tokenizer counts. What is wrong
/// with it is said by others.
pub(super) fn lists_tokens(tokenizer_config: &Path) -> bool {
    #[derive(Deserialize)]
    struct TokenizerConfig {
        added_tokens_decoder: Option<IgnoredAny>,
    }
    let json = read_limited(tokenizer_config, MAX_SMALL_FILE).unwrap_or_default();
    serde_json::from_slice(&json).is_ok_and(|config: TokenizerConfig| config.added_tokens_decoder.is_some())
}

/// Reads the index at `path`, the file `index` of the model at `place`, and gives back its shards as files of the model. Their
/// names come from the network and are not trusted.
pub(super) fn read_shards(path: &Path, index: &str, place: &str) -> Result<Vec<String>, ResolveError> {
    match ShardIndex::read(path) {
        Ok(found) => Ok(found.shards().iter().map(|shard| beside(folder_of(index), shard)).collect()),
        Err(WeightsError::Open { source, .. }) => Err(ResolveError::io("read", path)(source)),
        Err(error) => {
            let reason = match error {
                WeightsError::InvalidIndex { reason, .. } => reason,
                error => error.to_string(),
            };
            let (index, place) = (index.to_owned(), place.to_owned());
            Err(ResolveError::InvalidShardIndex { index, place, reason })
        }
    }
}

/// All wanted files of a directory, `modules.json` first. Which are required depends on which are there: of two that can
/// stand for each other, one.
pub(super) fn wanted_in(directory: &Path) -> Result<Vec<Wanted>, ResolveError> {
    let model = ModelFiles::in_directory(directory)?;
    let exists = |file: &str| directory.join(file).is_file();
    let mut files = vec![Wanted::optional(MODULES.to_owned())];
    files.extend(model.settings);
    files.extend(model.sentence_configs.into_iter().map(Wanted::optional));
    files.push(Wanted::optional(MODEL_CARD.to_owned()));
    files.push(Wanted { file: model.tokenizer, required: !exists(&model.vocabulary) });
    files.push(Wanted::optional(model.vocabulary));
    files.extend(model.of_tokens.into_iter().map(Wanted::optional));
    files.extend(model.module_weights.into_iter().map(Wanted::required));
    if exists(&model.weights) || !exists(&model.weights_index) {
        files.push(Wanted::required(model.weights));
    } else {
        let (index, place) = (model.weights_index, directory.display().to_string());
        let shards = read_shards(&directory.join(&index), &index, &place)?;
        files.push(Wanted::required(index));
        files.extend(shards.into_iter().map(Wanted::required));
    }
    Ok(files)
}

/// The files that a model may do without, but that would make it another one if they were only not there yet, and of which
/// nothing is known: neither are they there, nor does it have none, as `is_absent` says.
///
/// They are the modules, the tokenizer that counts before a vocabulary, and settings, those of tokens included; of those, no others than
/// sentence-transformers asks for as well, so that a cache that it filled says all there is to know.
pub(super) fn unknown_in(
    directory: &Path,
    is_absent: impl Fn(&str) -> bool,
) -> Result<Vec<String>, ResolveError> {
    let model = ModelFiles::in_directory(directory)?;
    let is_there = |file: &str| directory.join(file).is_file();
    let mut decisive = vec![MODULES.to_owned(), model.tokenizer];
    if !lists_tokens(&directory.join(&model.tokenizer_config)) {
        decisive.extend(model.of_tokens);
    }
    let has_modules = is_there(MODULES);
    decisive.extend(model.settings.into_iter().map(|wanted| wanted.file).filter(|file| {
        // A plain transformer has no prompts there.
        is_called(file, TOKENIZER_CONFIG) || (has_modules && is_called(file, PROMPTS_CONFIG))
    }));
    if has_modules {
        // Those behind the first that is there do not count.
        decisive.extend(model.sentence_configs.into_iter().take_while(|file| !is_there(file)));
    }
    decisive.retain(|file| !is_there(file) && !is_absent(file));
    Ok(decisive)
}

/// Fails with the names of all files that `directory` lacks.
pub(super) fn check_complete(directory: &Path) -> Result<(), ResolveError> {
    let missing: Vec<String> = wanted_in(directory)?
        .into_iter()
        .filter(|wanted| wanted.required && !directory.join(&wanted.file).is_file())
        .map(|wanted| wanted.file)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // What a model that is not computed has is not looked for, so that it lacks nothing.
    let config = directory.join(ModelFiles::in_directory(directory)?.config);
    check_settings(directory, &config, &missing).map_err(|error| ResolveError::Unsupported {
        name: directory.display().to_string(),
        reason: error.to_string(),
    })?;
    let advice = advice(&missing, |file| directory.join(file).is_file());
    Err(ResolveError::MissingFiles { directory: directory.to_owned(), missing, advice })
}

/// Refuses a model that is not computed, as far as the settings say that are not missing.
fn check_settings(directory: &Path, config: &Path, missing: &[String]) -> Result<(), Error> {
    supported::check_modules(directory)?;
    if !missing.iter().any(|file| is_setting(file)) {
        supported::check(directory)
    } else if config.is_file() {
        supported::check_architecture(config)
    } else {
        Ok(())
    }
}

/// What to do about missing files, judged by the files that are there instead.
pub(super) fn advice(missing: &[String], exists: impl Fn(&str) -> bool) -> Option<String> {
    let advice: Vec<String> = missing.iter().filter_map(|file| advice_for(file, &exists)).collect();
    (!advice.is_empty()).then(|| advice.join(" "))
}

fn advice_for(missing: &str, exists: impl Fn(&str) -> bool) -> Option<String> {
    let folder = folder_of(missing);
    let is_beside = |name: &str| exists(&beside(folder, name));
    match missing.rsplit('/').next() {
        Some(WEIGHTS) => {
            let pickles = [
                ("pytorch_model.bin", "is a Python pickle, which is not read"),
                ("pytorch_model.bin.index.json", "names Python pickles, which are not read"),
            ];
            let (name, what) = pickles.into_iter().find(|(name, _)| is_beside(name))?;
            let found = beside(folder, name);
            Some(format!(
                "There is a {found}, but that {what} here; load the model with sentence-transformers in \
                 Python and save it with save_pretrained(..., safe_serialization=True)."
            ))
        }
        Some(TOKENIZER) => {
            let sources: [&[&str]; 4] = [
                &["vocab.json", "merges.txt"],
                &["sentencepiece.bpe.model"],
                &["spiece.model"],
                &["tokenizer.model"],
            ];
            let found = sources.into_iter().find(|names| names.iter().all(|name| is_beside(name)))?;
            let found: Vec<String> = found.iter().map(|name| beside(folder, name)).collect();
            Some(format!(
                "{} cannot be read here; AutoTokenizer.from_pretrained(...).save_pretrained(...) in \
                 Python makes a tokenizer.json of it.",
                found.join(" with ")
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(modules: &[(&str, &str)]) -> ModelFiles {
        let entries = modules.iter().map(|(path, kind)| {
            serde_json::json!({"path": path, "type": format!("sentence_transformers.models.{kind}")})
        });
        let json = serde_json::Value::from_iter(entries).to_string();
        ModelFiles::of(&Module::parse_list(json.as_bytes()).unwrap())
    }

    fn required(files: &ModelFiles) -> Vec<&str> {
        files.settings.iter().filter(|wanted| wanted.required).map(|wanted| wanted.file.as_str()).collect()
    }

    #[test]
    fn a_transformer_may_have_a_directory_of_its_own() {
        let files = files(&[("0_Transformer", "Transformer")]);
        assert_eq!(required(&files), ["0_Transformer/config.json"]);
        assert_eq!(
            (&files.tokenizer[..], &files.vocabulary[..]),
            ("0_Transformer/tokenizer.json", "0_Transformer/vocab.txt")
        );
        assert_eq!(files.weights, "0_Transformer/model.safetensors");
        assert_eq!(files.weights_index, "0_Transformer/model.safetensors.index.json");
        let optional: Vec<&str> = files.settings[1..].iter().map(|wanted| wanted.file.as_str()).collect();
        assert_eq!(optional, ["config_sentence_transformers.json", "0_Transformer/tokenizer_config.json"]);
        assert_eq!(files.sentence_configs[0], "0_Transformer/sentence_bert_config.json");
        assert!(files.of_tokens.contains(&"0_Transformer/added_tokens.json".to_owned()));
        assert_eq!(files.adapter_config, "0_Transformer/adapter_config.json");
    }

    #[test]
    fn modules_have_settings_and_some_have_weights() {
        let files = files(&[
            ("", "Transformer"),
            ("1_Pooling", "Pooling"),
            ("2_Dense", "Dense"),
            ("3_LayerNorm", "LayerNorm"),
            ("4_Normalize", "Normalize"),
        ]);
        let expected =
            ["config.json", "1_Pooling/config.json", "2_Dense/config.json", "3_LayerNorm/config.json"];
        assert_eq!(required(&files), expected);
        assert!(files.settings.contains(&Wanted::optional("4_Normalize/config.json".to_owned())));
        assert_eq!(files.module_weights, ["2_Dense/model.safetensors", "3_LayerNorm/model.safetensors"]);
        assert_eq!(files.weights, "model.safetensors");
    }

    #[test]
    fn what_a_directory_lacks_depends_on_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, content: &str| {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        let required = || -> Vec<String> {
            let wanted = wanted_in(directory.path()).unwrap();
            wanted.into_iter().filter(|wanted| wanted.required).map(|wanted| wanted.file).collect()
        };
        assert_eq!(required(), ["config.json", "tokenizer.json", "model.safetensors"]);
        write("vocab.txt", "");
        write(
            "model.safetensors.index.json",
            r#"{"weight_map": {"a": "2.safetensors", "b": "1.safetensors"}}"#,
        );
        let index = "model.safetensors.index.json";
        assert_eq!(required(), ["config.json", index, "1.safetensors", "2.safetensors"]);
        write("modules.json", r#"[{"path": "0", "type": "Transformer"}, {"path": "1", "type": "x.Dense"}]"#);
        let in_folder = [
            "0/config.json",
            "1/config.json",
            "0/tokenizer.json",
            "1/model.safetensors",
            "0/model.safetensors",
        ];
        assert_eq!(required(), in_folder);
        write("0/model.safetensors.index.json", r#"{"weight_map": {"a": "a.safetensors"}}"#);
        assert_eq!(required()[4..], ["0/model.safetensors.index.json", "0/a.safetensors"]);
        write("0/model.safetensors", "");
        assert_eq!(required(), in_folder);
    }

    #[test]
    fn what_is_not_known_would_make_another_model() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, content: &str| std::fs::write(directory.path().join(file), content).unwrap();
        let unknown = |absent: &[&str]| unknown_in(directory.path(), |file| absent.contains(&file)).unwrap();
        let tokens = ["special_tokens_map.json", "added_tokens.json"];
        let all = ["modules.json", "tokenizer.json", tokens[0], tokens[1], "tokenizer_config.json"];
        assert_eq!(unknown(&[]), all);
        write("tokenizer.json", "");
        assert_eq!(unknown(&["modules.json", "tokenizer_config.json"]), tokens);
        write("tokenizer_config.json", r#"{"mask_token": "x"}"#);
        assert_eq!(unknown(&["modules.json", tokens[1]]), [tokens[0]]);
        write("tokenizer_config.json", r#"{"added_tokens_decoder": {}}"#);
        assert_eq!(unknown(&["modules.json"]), [""; 0]);
        std::fs::remove_file(directory.path().join("tokenizer_config.json")).unwrap();
        tokens.iter().for_each(|file| write(file, "{}"));
        write("modules.json", r#"[{"path": "", "type": "Transformer"}]"#);
        let [first, second, third, ..] = SENTENCE_CONFIGS;
        let absent = &["config_sentence_transformers.json", "tokenizer_config.json", first];
        assert_eq!(unknown(absent), SENTENCE_CONFIGS[1..]);
        write(third, "");
        assert_eq!(unknown(absent), [second]);
        write(first, "");
        assert_eq!(unknown(absent), [""; 0]);
        assert_eq!(unknown(&[]), absent[..2]);
        write("tokenizer_config.json", "");
        write("config_sentence_transformers.json", "");
        assert_eq!(unknown(&[]), [""; 0]);
    }

    #[test]
    fn modules_in_one_folder_have_one_file() {
        let files = files(&[
            ("0", "Transformer"),
            ("1", "Normalize"),
            ("1", "Dense"),
            ("1", "Dense"),
            ("0", "Dense"),
        ]);
        assert_eq!(required(&files), ["0/config.json", "1/config.json"]);
        assert_eq!(files.module_weights, ["1/model.safetensors"]);
    }

    #[test]
    fn advice_is_for_the_folder_of_what_is_missing() {
        let advice = |missing: &str, there: &[&str]| {
            advice(&[missing.to_owned()], |file| there.contains(&file)).unwrap_or_default()
        };
        let of_module = advice("2_Dense/model.safetensors", &["2_Dense/pytorch_model.bin"]);
        assert!(of_module.contains("There is a 2_Dense/pytorch_model.bin"), "{of_module}");
        assert!(of_module.contains("safe_serialization=True"), "{of_module}");
        assert_eq!(advice("2_Dense/model.safetensors", &["pytorch_model.bin"]), "");
        let shards = advice("model.safetensors", &["pytorch_model.bin.index.json"]);
        assert!(shards.contains("There is a pytorch_model.bin.index.json"), "{shards}");
        for (there, names) in [
            (&["vocab.json", "merges.txt"][..], "vocab.json with merges.txt"),
            (&["sentencepiece.bpe.model"], "sentencepiece.bpe.model"),
            (&["spiece.model"], "spiece.model"),
        ] {
            let text = advice("tokenizer.json", there);
            assert!(text.starts_with(names) && text.contains("makes a tokenizer.json"), "{text}");
        }
        assert_eq!(advice("tokenizer.json", &["vocab.json"]), "");
        assert_eq!(advice("config.json", &["pytorch_model.bin"]), "");
    }
}
