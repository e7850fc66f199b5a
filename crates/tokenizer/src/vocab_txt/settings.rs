//! What the files beside `vocab.txt` say of a tokenizer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::AddedToken;
use crate::TokenizerError;
use crate::files::{from_json, read_json};
use crate::tokenizer_class::TokenizerClass;

/// The most added tokens that a file may have. Tokenizers have a few, some a thousand.
const MAX_ADDED_TOKENS: usize = 1 << 16;

/// The tokenizers of `transformers` whose vocabulary is read here; others use files of this name in another way.
#[derive(Clone, Copy)]
enum Class {
    /// `DistilBertTokenizer` is the same.
    Bert,
    MPNet,
}

/// In the order in which `transformers` adds them.
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What is said, by default or by the files.
pub(super) struct Settings {
    pub(super) lowercase: bool,
    pub(super) strip_accents: Option<bool>,
    pub(super) chinese_chars: bool,
    pub(super) unk_token: String,
    pub(super) cls_token: String,
    pub(super) sep_token: String,
    pub(super) added_tokens: Vec<AddedToken>,
}

/// `tokenizer_config.json`, as far as it is about tokens; others of its keys are special tokens.
#[derive(Deserialize)]
struct TokenizerConfig {
    tokenizer_class: Option<String>,
    #[serde(default = "yes")]
    do_lower_case: bool,
    strip_accents: Option<bool>,
    #[serde(default = "yes")]
    tokenize_chinese_chars: bool,
    do_basic_tokenize: Option<bool>,
    split_special_tokens: Option<bool>,
    extra_special_tokens: Option<Value>,
    /// By their ids, written as strings.
    added_tokens_decoder: Option<BTreeMap<String, Written>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// A token as files write it: with everything else than its text, or without.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Object {
        #[serde(rename = "__type")]
        kind: Option<String>,
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        normalized: Option<bool>,
        #[serde(default)]
        special: bool,
    },
}

impl Written {
    /// A token that is special in this file if it says so, or if `special` is true.
    fn into_added(self, special: bool) -> AddedToken {
        match self {
            Written::Text(content) => AddedToken::plain(content, !special),
            Written::Object { content, single_word, lstrip, rstrip, normalized, special: said, .. } => {
                let normalized = normalized.unwrap_or(!(special || said));
                AddedToken { content, single_word, lstrip, rstrip, normalized }
            }
        }
    }
}

impl AddedToken {
    fn plain(content: String, normalized: bool) -> AddedToken {
        AddedToken { content, single_word: false, lstrip: false, rstrip: false, normalized }
    }
}

impl Settings {
    /// Of a folder.
    pub(super) fn read(directory: &Path) -> Result<Settings, TokenizerError> {
        let path = directory.join("tokenizer_config.json");
        let config: TokenizerConfig = match read_json(&path)? {
            Some(config) => config,
            None => from_json(&path, b"{}")?,
        };
        let refused = |reason: String| Err(TokenizerError::Settings { path: path.clone(), reason });
        let class = Class::of(directory, config.tokenizer_class.as_deref(), &path)?;
        if config.do_basic_tokenize == Some(false) {
            return refused("do_basic_tokenize is false: only BERT's basic tokenizer is known".to_owned());
        }
        if config.split_special_tokens == Some(true) {
            return refused(
                "split_special_tokens is true: special tokens in a text are always found".to_owned(),
            );
        }
        if let Some(extra) = &config.extra_special_tokens
            && !extra.as_object().is_some_and(Map::is_empty)
        {
            return refused(format!(
                "extra_special_tokens is {extra}: only those with names of their own are known"
            ));
        }

        let mut special_tokens = SpecialTokens::of(class);
        special_tokens.take_from(config.others, false, &path)?;
        let added_tokens = match config.added_tokens_decoder {
            // What the list says of a special token counts.
            Some(list) => {
                let mut added = by_id(list, &path)?;
                let known: HashSet<&str> = added.iter().map(|token| &*token.content).collect();
                let new = special_tokens.all().filter(|token| !known.contains(&*token.added.content));
                let new: Vec<_> = new.map(|token| token.added.clone()).collect();
                added.extend(new);
                added
            }
            // As it was written before 2023.
            None => {
                let path = directory.join("special_tokens_map.json");
                special_tokens.take_from(read_json(&path)?.unwrap_or_default(), true, &path)?;
                special_tokens.added_to(added_tokens_json(directory, &special_tokens)?)
            }
        };
        let content = |name: &str| special_tokens.content(name, &path);
        let (unk_token, cls_token, sep_token) =
            (content("unk_token")?, content("cls_token")?, content("sep_token")?);
        Ok(Settings {
            lowercase: config.do_lower_case,
            strip_accents: config.strip_accents,
            chinese_chars: config.tokenize_chinese_chars,
            unk_token,
            cls_token,
            sep_token,
            added_tokens,
        })
    }
}

impl Class {
    /// BERT if nothing is said.
    fn of(directory: &Path, class: Option<&str>, path: &Path) -> Result<Class, TokenizerError> {
        match TokenizerClass::find(directory, class, path)? {
            TokenizerClass::Name(class, path) => Class::named(&class, &path),
            TokenizerClass::OfModelType(model_type, path) => match &*model_type {
                "bert" | "distilbert" => Ok(Class::Bert),
                "mpnet" => Ok(Class::MPNet),
                other => Err(TokenizerError::Settings {
                    path,
                    reason: format!(
                        "model_type is {other:?}, whose tokenizer needs a tokenizer.json: from vocab.txt alone only those \
                         of bert, distilbert and mpnet are known"
                    ),
                }),
            },
            TokenizerClass::Unknown => Ok(Class::Bert),
        }
    }

    fn named(name: &str, path: &Path) -> Result<Class, TokenizerError> {
        match name.strip_suffix("Fast").unwrap_or(name) {
            "BertTokenizer" | "DistilBertTokenizer" => Ok(Class::Bert),
            "MPNetTokenizer" => Ok(Class::MPNet),
            _ => Err(TokenizerError::Settings {
                path: path.to_owned(),
                reason: format!(
                    "tokenizer_class is {name:?}, which needs a tokenizer.json: from vocab.txt alone only BertTokenizer, \
                     DistilBertTokenizer and MPNetTokenizer are known"
                ),
            }),
        }
    }
}

/// A token that has a name, or is among the additional ones.
struct SpecialToken {
    added: AddedToken,
    /// Whether it was written with all that is to be known of it.
    is_object: bool,
    /// Whether a file has it.
    is_written: bool,
}

struct SpecialTokens {
    class: Class,
    /// Of each of [`SPECIAL_TOKENS`]; `None` if there is none.
    named: [Option<SpecialToken>; 7],
    additional: Vec<SpecialToken>,
}

impl SpecialTokens {
    /// Those that there are if nothing is said.
    fn of(class: Class) -> SpecialTokens {
        let texts = match class {
            Class::Bert => ["", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"],
            Class::MPNet => ["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"],
        };
        let mut named = [const { None }; 7];
        for ((token, name), text) in named.iter_mut().zip(SPECIAL_TOKENS).zip(texts) {
            *token = (!text.is_empty()).then(|| SpecialToken {
                is_written: false,
                ..class.special(name, Written::Text(text.to_owned()), false)
            });
        }
        SpecialTokens { class, named, additional: Vec::new() }
    }

    /// Takes those that a file has: `special_tokens_map.json` (`map`), or the settings, where an object says what it is.
    fn take_from(
        &mut self,
        mut file: Map<String, Value>,
        map: bool,
        path: &Path,
    ) -> Result<(), TokenizerError> {
        let written = |name: &str, value: Value| {
            let token = serde_json::from_value::<Option<Written>>(value);
            let invalid = match &token {
                Ok(Some(Written::Object { kind, .. })) => !map && kind.as_deref() != Some("AddedToken"),
                Ok(_) => false,
                Err(_) => true,
            };
            match token {
                Ok(token) if !invalid => Ok(token),
                _ => Err(TokenizerError::Settings {
                    path: path.to_owned(),
                    reason: format!("{name} is neither a string nor an AddedToken"),
                }),
            }
        };
        for (token, name) in self.named.iter_mut().zip(SPECIAL_TOKENS) {
            if let Some(value) = file.remove(name) {
                *token = written(name, value)?.map(|token| self.class.special(name, token, map));
            }
        }
        const ADDITIONAL: &str = "additional_special_tokens";
        let list = match file.remove(ADDITIONAL) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => {
                let reason = format!("{ADDITIONAL} is not a list");
                return Err(TokenizerError::Settings { path: path.to_owned(), reason });
            }
        };
        check_count(list.len(), ADDITIONAL, path)?;
        for value in list {
            if let Some(token) = written(ADDITIONAL, value)? {
                self.additional.push(self.class.special(ADDITIONAL, token, map));
            }
        }
        Ok(())
    }

    /// Each once, the first of its text.
    fn all(&self) -> impl Iterator<Item = &SpecialToken> {
        let mut seen: HashSet<&str> = HashSet::new();
        self.named
            .iter()
            .flatten()
            .chain(&self.additional)
            .filter(move |token| seen.insert(&token.added.content))
    }

    fn content(&self, name: &str, path: &Path) -> Result<String, TokenizerError> {
        let token = self.named.iter().zip(SPECIAL_TOKENS).find(|(_, other)| *other == name);
        match token {
            Some((Some(token), _)) => Ok(token.added.content.clone()),
            _ => Err(TokenizerError::Settings { path: path.to_owned(), reason: format!("{name} is null") }),
        }
    }

    /// These tokens and those that are not among them. Of what is in both, an object replaces what was said.
    fn added_to(&self, mut tokens: Vec<AddedToken>) -> Vec<AddedToken> {
        let places: HashMap<String, usize> =
            tokens.iter().enumerate().map(|(at, token)| (token.content.clone(), at)).collect();
        for token in self.all() {
            match places.get(&token.added.content) {
                None => tokens.push(token.added.clone()),
                Some(&at) if token.is_object => tokens[at] = token.added.clone(),
                Some(_) => {}
            }
        }
        tokens
    }
}

impl Class {
    /// MPNet's tokenizer makes objects of strings, and its mask takes the white space before it.
    fn special(self, name: &str, token: Written, map: bool) -> SpecialToken {
        let mpnet = matches!(self, Class::MPNet);
        match token {
            Written::Text(content) => {
                let lstrip = mpnet && name == "mask_token";
                SpecialToken {
                    added: AddedToken { lstrip, ..AddedToken::plain(content, false) },
                    is_object: mpnet,
                    is_written: true,
                }
            }
            token => SpecialToken { added: token.into_added(map), is_object: true, is_written: true },
        }
    }
}

fn check_count(tokens: usize, name: &str, path: &Path) -> Result<(), TokenizerError> {
    if tokens <= MAX_ADDED_TOKENS {
        return Ok(());
    }
    let reason = format!("{name} has {tokens} tokens, expected at most {MAX_ADDED_TOKENS}");
    Err(TokenizerError::Settings { path: path.to_owned(), reason })
}

/// In the order of their ids.
fn by_id(list: BTreeMap<String, Written>, path: &Path) -> Result<Vec<AddedToken>, TokenizerError> {
    check_count(list.len(), "added_tokens_decoder", path)?;
    let mut tokens = Vec::with_capacity(list.len());
    for (id, token) in list {
        match (id.parse::<u32>(), token) {
            (Ok(id), token @ Written::Object { .. }) => tokens.push((id, token.into_added(false))),
            _ => {
                let reason =
                    format!("added_tokens_decoder has {id:?}, expected a number and a token's object");
                return Err(TokenizerError::Settings { path: path.to_owned(), reason });
            }
        }
    }
    tokens.sort_by_key(|&(id, _)| id);
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
}

/// Those of `added_tokens.json`, in the order of their ids: normalized, if no file has them as special ones.
fn added_tokens_json(directory: &Path, special: &SpecialTokens) -> Result<Vec<AddedToken>, TokenizerError> {
    let path = directory.join("added_tokens.json");
    let ids: BTreeMap<String, u32> = read_json(&path)?.unwrap_or_default();
    check_count(ids.len(), "the file", &path)?;
    let mut tokens: Vec<(u32, String)> = ids.into_iter().map(|(content, id)| (id, content)).collect();
    tokens.sort();
    // transformers does not ask here what a tokenizer has by default.
    let written = special.named.iter().flatten().chain(&special.additional).filter(|token| token.is_written);
    let written: HashSet<&str> = written.map(|token| &*token.added.content).collect();
    Ok(tokens
        .into_iter()
        .map(|(_, content)| AddedToken::plain(content.clone(), !written.contains(&*content)))
        .collect())
}
