//! Whether a model is one that this engine computes, as far as its settings say: asked when it is downloaded, before
//! its weights are fetched.

use std::path::Path;

use minilm_encoder::EncoderConfig;

use crate::Error;
use crate::folder::{CONFIG, MODULES};
use crate::model_settings::ModelSettings;
use crate::modules::{Pipeline, TextSettings};

/// Reads `modules.json` in a folder, where the files that it names need not be yet.
///
/// # Errors
///
/// Those that loading the model would end with, whatever its other files are.
pub(crate) fn check_modules(directory: &Path) -> Result<(), Error> {
    match Pipeline::read(directory) {
        Err(Error::Settings { path, reason }) if path == directory.join(MODULES) => {
            Err(Error::Settings { path, reason })
        }
        // What else there is to say is of other files.
        _ => Ok(()),
    }
}

/// Reads the settings in a folder, which needs no other files, as loading a model does.
///
/// # Errors
///
/// Those that loading the model would end with, whatever its tokenizer and weights are.
pub(crate) fn check(directory: &Path) -> Result<(), Error> {
    let Pipeline { transformer, .. } = Pipeline::read(directory)?;
    ModelSettings::read(directory)?;
    EncoderConfig::from_file(transformer.join(CONFIG))?;
    // How many positions there are limits texts, and makes no settings right or wrong.
    TextSettings::read(&transformer, usize::MAX)?;
    Ok(())
}
