//! Which files a sentence-transformers model consists of.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::ResolveError;
use crate::folder::{
    CONFIG, MAX_MODULES_BYTES, MODULES, Module, PROMPTS_CONFIG, SENTENCE_CONFIG, TOKENIZER, TOKENIZER_CONFIG,
    WEIGHTS,
};

/// Larger than any tokenizer; whatever is read into memory as a whole is limited to this.
pub(super) const MAX_SMALL_FILE: u64 = 64 << 20;

/// A file to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) file: String,
    pub(super) required: bool,
}

/// All files besides `modules.json`, given what that says, the weights last so that whatever is wrong with
/// the others is known before the large download.
pub(super) fn wanted(modules: &[Module]) -> Vec<Wanted> {
    let at_root = |name: &str, required| Wanted { file: name.to_owned(), required };
    let transformer = Module::transformer_path(modules);
    let of_transformer = |name: &str, required| match transformer {
        "" => at_root(name, required),
        path => at_root(&format!("{path}/{name}"), required),
    };
    let mut files = vec![of_transformer(CONFIG, true)];
    for module in modules.iter().filter(|module| !module.path.is_empty()) {
        let file = format!("{}/{CONFIG}", module.path);
        if files.iter().all(|known| known.file != file) {
            // A pooling without its settings would be guessed; a normalisation has none.
            files.push(Wanted { file, required: module.kind() == "Pooling" });
        }
    }
    files.extend([
        of_transformer(SENTENCE_CONFIG, false),
        at_root(PROMPTS_CONFIG, false),
        of_transformer(TOKENIZER, true),
        of_transformer(TOKENIZER_CONFIG, false),
        of_transformer("special_tokens_map.json", false),
        of_transformer("vocab.txt", false),
        of_transformer(WEIGHTS, true),
    ]);
    files
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

/// All wanted files of a directory, `modules.json` first.
pub(super) fn wanted_in(directory: &Path) -> Result<Vec<Wanted>, ResolveError> {
    let modules = directory.join(MODULES);
    let modules = if modules.is_file() {
        read_modules(&modules, &directory.display().to_string())?
    } else {
        Vec::new()
    };
    let mut files = vec![Wanted { file: MODULES.to_owned(), required: false }];
    files.extend(wanted(&modules));
    Ok(files)
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
    let advice = advice(&missing, |file| directory.join(file).is_file());
    Err(ResolveError::MissingFiles { directory: directory.to_owned(), missing, advice })
}

/// What to do about missing files, judged by the files that are there instead.
pub(super) fn advice(missing: &[String], exists: impl Fn(&str) -> bool) -> Option<String> {
    let lacks = |file: &str| missing.iter().any(|name| name.rsplit('/').next() == Some(file));
    let weights = lacks(WEIGHTS).then(|| {
        if exists("model.safetensors.index.json") {
            Some("The weights are split into several files, which is not supported.")
        } else if exists("pytorch_model.bin") {
            Some(
                "There is a pytorch_model.bin, but that is a Python pickle, which is not read \
                 here; load the model in Python and save it with safe_serialization=True.",
            )
        } else {
            None
        }
    });
    let tokenizer = (lacks(TOKENIZER) && exists("vocab.txt")).then_some(
        "There is a vocab.txt; AutoTokenizer.from_pretrained(...).save_pretrained(...) in Python \
         makes a tokenizer.json of it.",
    );
    let lines: Vec<&str> = [weights.flatten(), tokenizer].into_iter().flatten().collect();
    (!lines.is_empty()).then(|| lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transformer_may_have_a_directory_of_its_own() {
        let text = br#"[{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]"#;
        let files = wanted(&Module::parse_list(text).unwrap());
        let required: Vec<&str> = files.iter().filter(|w| w.required).map(|w| w.file.as_str()).collect();
        let expected =
            ["config.json", "tokenizer.json", "model.safetensors"].map(|f| format!("0_Transformer/{f}"));
        assert_eq!(required, expected);
    }

    #[test]
    fn modules_name_their_settings() {
        let text = br#"[
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
        ]"#;
        let files = wanted(&Module::parse_list(text).unwrap());
        let of = |name: &str| files.iter().find(|wanted| wanted.file == name).map(|wanted| wanted.required);
        assert_eq!((of("1_Pooling/config.json"), of("2_Normalize/config.json")), (Some(true), Some(false)));
        assert_eq!(
            (of("config.json"), of("model.safetensors"), of("vocab.txt")),
            (Some(true), Some(true), Some(false))
        );
    }
}
