//! What a model is recognised by: by those who keep vectors and want to know later which model they are of.

use std::path::{Path, PathBuf};

use minilm_tokenizer::{Tokenizer, TruncationSide};
use sha2::{Digest, Sha256};

use crate::folder::{ADDED_TOKENS, CONFIG, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG, tokenizer_file};
use crate::resolve::{file_sha256, hex};
use crate::{Error, SentenceTransformer};

impl SentenceTransformer {
    /// The SHA-256, in hexadecimal, of what decides the model's vectors in f32: the contents of its weights (of shards:
    /// the index, and all in the order of their names), `config.json` and `tokenizer.json` (or what is there in its
    /// place: `vocab.txt` and the settings that go with it; settings too that change a `tokenizer.json`), which side of a
    /// long text is cut, whether texts are lower-cased first, how tokens are pooled, the modules behind that with their weights, whether vectors are scaled, and the limit of tokens. Two
    /// models with the same one give a text the same vector, wherever their files lie and whatever they are called.
    /// Prompts, and the precision, are a matter of the call and of [`LoadOptions`](crate::LoadOptions), and no part of
    /// it.
    ///
    /// Where the weights lie in a Hugging Face cache, which names them by their hash, that is taken; elsewhere they are read to
    /// the end, once, which takes some tens of milliseconds. Files count as they are then.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`] if one of the files can no longer be read.
    pub fn fingerprint(&self) -> Result<&str, Error> {
        if let Some(fingerprint) = self.fingerprint.get() {
            return Ok(fingerprint);
        }
        let fingerprint = self.compute_fingerprint()?;
        Ok(self.fingerprint.get_or_init(|| fingerprint))
    }

    fn compute_fingerprint(&self) -> Result<String, Error> {
        let weights = self.encoder.weights();
        let directory = weights.path().parent().unwrap_or(Path::new(""));
        let mut paths: Vec<PathBuf> = weights.paths().map(Path::to_owned).collect();
        paths.extend([directory.join(CONFIG), tokenizer_file(directory)]);
        let overridden = is_tokenizer_overridden(directory)?;
        let has_tokens_of_settings = self.tokenizer.has_tokens_of_settings();
        let settings: &[&str] = match directory.join(TOKENIZER).is_file() {
            true if has_tokens_of_settings => &[TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS],
            true if overridden => &[TOKENIZER_CONFIG],
            true => &[],
            false => &[TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS],
        };
        paths.extend(settings.iter().map(|file| directory.join(file)).filter(|path| path.is_file()));
        let mut hasher = Sha256::new();
        for path in paths {
            hasher.update(format!("{}\n", sha256_of(&path)?));
        }
        if overridden {
            // Also where the settings are defaults, and there is no file.
            hasher.update("tokenizer overridden\n");
        }
        if has_tokens_of_settings {
            hasher.update("tokens of settings\n");
        }
        if self.tokenizer.truncation_side() == TruncationSide::Left {
            hasher.update("truncation_side left\n");
        }
        let pooling = &self.modules.pooling;
        let modes: Vec<&str> = pooling.modes.iter().map(|mode| mode.name()).collect();
        let prompt = if pooling.include_prompt { "with" } else { "without" };
        hasher.update(format!("pooling {} {prompt} prompt\n", modes.join("+")));
        // Of a chain that is nothing but a normalisation, or nothing, what follows says enough.
        let chain: Vec<_> = self.modules.after_pooling().collect();
        if chain.len() > usize::from(self.normalizes()) {
            for (description, weights) in chain {
                hasher.update(description);
                if let Some(weights) = weights {
                    hasher.update(format!(" {}", sha256_of(weights)?));
                }
                hasher.update("\n");
            }
        }
        let normalize = self.normalizes();
        hasher.update(format!("normalize {normalize}\nmax_seq_length {}\n", self.max_seq_length()));
        if self.do_lower_case {
            hasher.update("do_lower_case true\n");
        }
        Ok(hex(&hasher.finalize()))
    }
}

fn sha256_of(path: &Path) -> Result<String, Error> {
    file_sha256(path).map_err(|error| {
        let reason = format!("cannot read the file: {error}");
        Error::Settings { path: path.to_owned(), reason }
    })
}

/// Whether settings beside a `tokenizer.json` replace its own, as texts show it that have everything which these are about: case,
/// accents, Chinese characters, a first word without a space before it.
fn is_tokenizer_overridden(directory: &Path) -> Result<bool, Error> {
    let file = directory.join(TOKENIZER);
    if !file.is_file() {
        return Ok(false);
    }
    let [by_folder, by_file] =
        [Tokenizer::from_folder(directory, usize::MAX)?, Tokenizer::from_file(file, usize::MAX)?];
    for text in ["the Word", "\u{c9}t\u{e9}", "the\u{6211}\u{4eec}the"] {
        if by_folder.encode(text)? != by_file.encode(text)? {
            return Ok(true);
        }
    }
    Ok(false)
}
