//! What `transformers` 4.57 changes in a `tokenizer.json` by the settings beside it.
//!
//! Its classes take settings from `tokenizer_config.json`, with defaults of their own where it has none or is not there, and
//! replace what the file says otherwise:
//!
//! | class | settings | what they replace |
//! |---|---|---|
//! | BERT's and those like it | `do_lower_case` (true), `strip_accents` (null), `tokenize_chinese_chars` (true) | `lowercase`, `strip_accents` and `handle_chinese_chars` of a `BertNormalizer` |
//! | MPNet's and those like it | `do_lower_case` (true), `strip_accents` (null) | the same but `handle_chinese_chars` |
//! | RoBERTa's and those like it | `add_prefix_space` (false), `trim_offsets` (true) | the same of `RobertaProcessing` or of the post-processor `ByteLevel` |
//! | all, `PreTrainedTokenizerFast` too | `add_prefix_space` (false) | the same of the pre-tokenizer `ByteLevel` |
//! | all | `truncation_side` | `direction` in `truncation` |
//! | all | `added_tokens_decoder`, `mask_token` and the other special ones, with the class's own | `added_tokens`: there are more, or others of the same text |
//!
//! Parts of a `Sequence` are never replaced, and added tokens that are found in normalized texts stay normalized as the
//! file says, since `tokenizers` 0.22, which `transformers` has then, does not normalize them again. The source is
//! `__init__` of each class (`tokenization_bert_fast.py` and so on) and of `PreTrainedTokenizerFast`
//! (`tokenization_utils_fast.py`).

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::TruncationParams;

use crate::TokenizerError;
use crate::files::read_json;
use crate::special_tokens::{AddedTo, AddedToken, Defaults, FolderTokens, TokensConfig};
use crate::tokenizer_class::TokenizerClass;
use crate::truncation::TruncationSide;

/// What replaces settings of a `tokenizer.json`; by default nothing does.
#[derive(Default)]
pub(crate) struct Overrides {
    pub(crate) normalizer: Option<NormalizerOverride>,
    /// Of the pre-tokenizer.
    pub(crate) add_prefix_space: Option<bool>,
    pub(crate) post_processor: Option<PostProcessorOverride>,
    pub(crate) truncation_side: Option<TruncationSide>,
    pub(crate) tokens: Option<FolderTokens>,
}

/// For a `BertNormalizer`.
#[derive(Clone, Copy)]
pub(crate) struct NormalizerOverride {
    pub(crate) lowercase: bool,
    pub(crate) strip_accents: Option<bool>,
    /// `None`: as the file says.
    pub(crate) chinese_chars: Option<bool>,
}

/// For `RobertaProcessing` and `ByteLevel`.
#[derive(Clone, Copy)]
pub(crate) struct PostProcessorOverride {
    pub(crate) add_prefix_space: bool,
    pub(crate) trim_offsets: bool,
}

/// Classes by what they replace.
enum Class {
    Bert,
    MPNet,
    Roberta,
    XlmRoberta,
    Camembert,
    Other,
}

/// Classes for the models of the engine, and those like them, that read no `tokenizer.json`, even if there is one.
const NOT_OF_TOKENIZER_JSON: [&str; 6] = [
    "BertGenerationTokenizer",
    "BertJapaneseTokenizer",
    "BertweetTokenizer",
    "LukeTokenizer",
    "PhobertTokenizer",
    "RoCBertTokenizer",
];

/// `tokenizer_config.json`. Values of another type matter only to the classes that take them.
#[derive(Deserialize)]
struct TokenizerConfig {
    tokenizer_class: Option<String>,
    #[serde(default = "yes")]
    do_lower_case: Value,
    #[serde(default)]
    strip_accents: Value,
    #[serde(default = "yes")]
    tokenize_chinese_chars: Value,
    #[serde(default = "no")]
    add_prefix_space: Value,
    #[serde(default = "yes")]
    trim_offsets: Value,
    truncation_side: Option<TruncationSide>,
    #[serde(flatten)]
    tokens: TokensConfig,
}

fn yes() -> Value {
    Value::Bool(true)
}

fn no() -> Value {
    Value::Bool(false)
}

impl Overrides {
    /// Of a folder.
    pub(crate) fn read(directory: &Path) -> Result<Overrides, TokenizerError> {
        let path = directory.join("tokenizer_config.json");
        let config: TokenizerConfig = match read_json(&path)? {
            Some(config) => config,
            None => crate::files::from_json(&path, b"{}")?,
        };
        let class = match TokenizerClass::find(directory, config.tokenizer_class.as_deref(), &path)? {
            TokenizerClass::Name(name, path) if NOT_OF_TOKENIZER_JSON.contains(&&*name) => {
                let reason = format!(
                    "tokenizer_class is {name:?}, which is made of other files than tokenizer.json; without it, or with \
                     \"PreTrainedTokenizerFast\", tokenizer.json would be followed"
                );
                return Err(TokenizerError::Settings { path, reason });
            }
            TokenizerClass::Name(name, _) => Class::named(&name),
            TokenizerClass::OfModelType(model_type, _) => Class::of_model_type(&model_type),
            // transformers would not load the folder.
            TokenizerClass::Unknown => return Ok(Overrides::default()),
        };
        let flag = |name: &str, value: &Value| {
            value.as_bool().ok_or_else(|| TokenizerError::Settings {
                path: path.clone(),
                reason: format!("{name} is {value}, expected true or false"),
            })
        };
        let normalizer = match class {
            Class::Bert | Class::MPNet => Some(NormalizerOverride {
                lowercase: flag("do_lower_case", &config.do_lower_case)?,
                strip_accents: match &config.strip_accents {
                    Value::Null => None,
                    value => Some(flag("strip_accents", value)?),
                },
                chinese_chars: match class {
                    Class::Bert => Some(flag("tokenize_chinese_chars", &config.tokenize_chinese_chars)?),
                    _ => None,
                },
            }),
            _ => None,
        };
        let post_processor = match class {
            Class::Roberta => Some(PostProcessorOverride {
                add_prefix_space: flag("add_prefix_space", &config.add_prefix_space)?,
                trim_offsets: flag("trim_offsets", &config.trim_offsets)?,
            }),
            _ => None,
        };
        let defaults = class.special_tokens();
        Ok(Overrides {
            normalizer,
            // Of the pre-tokenizer, transformers ignores what is neither true nor false.
            add_prefix_space: config.add_prefix_space.as_bool(),
            post_processor,
            truncation_side: config.truncation_side,
            tokens: Some(FolderTokens::read(
                directory,
                config.tokens,
                &path,
                defaults,
                AddedTo::TokenizerJson,
            )?),
        })
    }

    /// The added tokens of a `tokenizer.json` that become others than its `own`, which have their ids there, and those that it
    /// gets. `pad_token` is what it pads with.
    ///
    /// # Errors
    ///
    /// A token that would be found in two ways.
    pub(crate) fn changed_tokens(
        &self,
        own: &[(u32, AddedToken)],
        pad_token: Option<&str>,
    ) -> Result<Vec<AddedToken>, String> {
        self.tokens.as_ref().map_or(Ok(Vec::new()), |tokens| tokens.changes(own, pad_token))
    }

    /// Which side of texts is cut, with a `tokenizer.json` that has this.
    pub(crate) fn truncation_side(&self, truncation: Option<&TruncationParams>) -> TruncationSide {
        let of_file = truncation.map(|truncation| truncation.direction.into());
        self.truncation_side.or(of_file).unwrap_or_default()
    }
}

impl Class {
    fn named(name: &str) -> Class {
        match name.strip_suffix("Fast").unwrap_or(name) {
            "BertTokenizer"
            | "DistilBertTokenizer"
            | "ElectraTokenizer"
            | "MobileBertTokenizer"
            | "ConvBertTokenizer"
            | "FunnelTokenizer"
            | "LayoutLMTokenizer"
            | "LxmertTokenizer"
            | "SqueezeBertTokenizer" => Class::Bert,
            "MPNetTokenizer" | "SplinterTokenizer" | "LayoutLMv2Tokenizer" => Class::MPNet,
            "RobertaTokenizer" | "LongformerTokenizer" | "BartTokenizer" => Class::Roberta,
            "XLMRobertaTokenizer" => Class::XlmRoberta,
            "CamembertTokenizer" => Class::Camembert,
            _ => Class::Other,
        }
    }

    /// Of the models that the engine has.
    fn of_model_type(model_type: &str) -> Class {
        match model_type {
            "bert" | "distilbert" => Class::Bert,
            "mpnet" => Class::MPNet,
            "roberta" => Class::Roberta,
            "xlm-roberta" => Class::XlmRoberta,
            "camembert" => Class::Camembert,
            _ => Class::Other,
        }
    }

    fn special_tokens(&self) -> &'static Defaults {
        match self {
            Class::Bert => &Defaults::BERT,
            Class::MPNet => &Defaults::MPNET,
            Class::Roberta | Class::XlmRoberta => &Defaults::ROBERTA,
            Class::Camembert => &Defaults::CAMEMBERT,
            Class::Other => &Defaults::NONE,
        }
    }
}
