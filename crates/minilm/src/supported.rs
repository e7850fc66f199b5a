//! Whether a model is one that this engine computes, as far as its small files say: asked when it is downloaded, before
//! its weights are fetched, and of a folder that lacks files.

use std::path::Path;

use minilm_encoder::EncoderConfig;
use minilm_tokenizer::Tokenizer;

use crate::Error;
use crate::folder::{ADAPTER_CONFIG, CONFIG, MODULES, tokenizer_file};
use crate::modules::{Pipeline, TextSettings};

/// Reads `modules.json` in a folder, and looks whether the transformer is an adapter, where no other files need be yet.
///
/// # Errors
///
/// Those that loading the model would end with, whatever its other files are.
pub(crate) fn check_modules(directory: &Path) -> Result<(), Error> {
    match Pipeline::read(directory) {
        Err(Error::Settings { path, reason })
            if path == directory.join(MODULES) || path.ends_with(ADAPTER_CONFIG) =>
        {
            Err(Error::Settings { path, reason })
        }
        // What else there is to say is of other files.
        _ => Ok(()),
    }
}

/// Reads a transformer's config, which needs no other files.
///
/// # Errors
///
/// Those that loading the model would end with, whatever its other files are.
pub(crate) fn check_architecture(config: &Path) -> Result<(), Error> {
    EncoderConfig::from_file(config)?;
    Ok(())
}

/// Reads the settings in a folder, which needs no other files, as loading a model does.
///
/// # Errors
///
/// Those that loading the model would end with, whatever its tokenizer and weights are.
pub(crate) fn check(directory: &Path) -> Result<(), Error> {
    let pipeline = Pipeline::read(directory)?;
    pipeline.model_settings(directory)?;
    let config = EncoderConfig::from_file(pipeline.transformer.join(CONFIG))?;
    pipeline.text_settings(config.max_positions())?;
    Ok(())
}

/// Makes the tokenizer of a folder that has all settings, as loading a model does. A large one takes half a second.
///
/// # Errors
///
/// Those that loading the model would end with, whatever its weights are.
pub(crate) fn check_tokenizer(directory: &Path) -> Result<(), Error> {
    let pipeline = Pipeline::read(directory)?;
    let config = EncoderConfig::from_file(pipeline.transformer.join(CONFIG))?;
    read_tokenizer(&pipeline, &config)?;
    Ok(())
}

/// The transformer's tokenizer, as the model's settings want it, and these.
///
/// # Errors
///
/// If a file is invalid or there is none, or it has more tokens than the config.
pub(crate) fn read_tokenizer(
    pipeline: &Pipeline,
    config: &EncoderConfig,
) -> Result<(Tokenizer, TextSettings), Error> {
    let transformer = &pipeline.transformer;
    let settings = pipeline.text_settings(config.max_positions())?;
    let mut tokenizer = Tokenizer::from_folder(transformer, settings.max_seq_length)?;
    if settings.do_lower_case {
        tokenizer = tokenizer.lowercased()?;
    }
    if tokenizer.vocab_size() > config.vocab_size {
        let (tokens, rows) = (tokenizer.vocab_size(), config.vocab_size);
        let reason = format!("it has {tokens} tokens, but config.json's vocab_size is {rows}");
        return Err(Error::Settings { path: tokenizer_file(transformer), reason });
    }
    Ok((tokenizer, settings))
}
