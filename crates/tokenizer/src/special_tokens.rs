//! Special tokens and other added ones, as the files beside `tokenizer.json` or `vocab.txt` write them:
//! `tokenizer_config.json`, and where that has no `added_tokens_decoder`, as those of before 2023 have none,
//! `special_tokens_map.json` and `added_tokens.json`.
//!
//! The source is `_from_pretrained` in `tokenization_utils_base.py` of `transformers` 4.57, and each class's `__init__`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::TokenizerError;
use crate::files::read_json;

/// The most added tokens that a file may have. Tokenizers have a few, some a thousand.
const MAX_ADDED_TOKENS: usize = 1 << 16;

/// In the order in which `transformers` adds them.
const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
const PAD: usize = 4;
const MASK: usize = 6;
const ADDITIONAL: &str = "additional_special_tokens";

/// A token that is found in the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddedToken {
    pub(crate) content: String,
    pub(crate) single_word: bool,
    pub(crate) lstrip: bool,
    pub(crate) rstrip: bool,
    pub(crate) normalized: bool,
    pub(crate) special: bool,
}

impl AddedToken {
    /// What becomes of a string.
    fn plain(content: String, special: bool) -> AddedToken {
        AddedToken {
            content,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: !special,
            special,
        }
    }
}

/// The special tokens of a class of tokenizers where files do not say otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Defaults {
    /// As [`NAMES`]; empty for none.
    named: [&'static str; 7],
    additional: &'static [&'static str],
    /// Whether the class makes objects of strings, which replace what a `tokenizer.json` says of them.
    are_objects: bool,
    /// Whether it makes an object of a mask that is a string, which takes the white space before it.
    mask_takes_space: bool,
}

impl Defaults {
    pub(crate) const NONE: Defaults =
        Defaults { named: [""; 7], additional: &[], are_objects: false, mask_takes_space: false };
    pub(crate) const BERT: Defaults =
        Defaults { named: ["", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"], ..Defaults::NONE };
    pub(crate) const MPNET: Defaults = Defaults {
        named: ["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"],
        are_objects: true,
        mask_takes_space: true,
        ..Defaults::NONE
    };
    /// And XLM-RoBERTa.
    pub(crate) const ROBERTA: Defaults = Defaults {
        named: ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"],
        mask_takes_space: true,
        ..Defaults::NONE
    };
    pub(crate) const CAMEMBERT: Defaults =
        Defaults { additional: &["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"], ..Defaults::ROBERTA };

    /// What the class makes of a string.
    fn token(&self, place: usize, content: &str, is_written: bool) -> SpecialToken {
        let lstrip = self.mask_takes_space && place == MASK;
        let SpecialToken { added, .. } = SpecialToken::plain(content, is_written);
        let is_object = self.are_objects || lstrip;
        SpecialToken { added: AddedToken { lstrip, ..added }, is_object, is_written, is_unread: false }
    }
}

/// What the tokens are added to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddedTo {
    TokenizerJson,
    /// By way of `transformers`' slow tokenizer, with which a special token is normalized where its object does not say.
    Vocabulary,
}

/// Where special tokens are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    /// `tokenizer_config.json`, where an object says of what class it is.
    Settings(AddedTo),
    /// `special_tokens_map.json`
    Map,
}

/// `tokenizer_config.json`, as far as it is about tokens; others of its keys are special tokens.
#[derive(Deserialize)]
pub(crate) struct TokensConfig {
    split_special_tokens: Option<bool>,
    extra_special_tokens: Option<Value>,
    /// By their ids, written as strings.
    added_tokens_decoder: Option<BTreeMap<String, Written>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// A token as files write it: with everything else than its text, or without.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Object {
        #[serde(rename = "__type")]
        class: Option<String>,
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
    /// A token that is special if it says so, or if `special` is true.
    fn into_added(self, special: bool) -> AddedToken {
        match self {
            Written::Text(content) => AddedToken::plain(content, special),
            Written::Object { content, single_word, lstrip, rstrip, normalized, special: said, .. } => {
                let special = special || said;
                let normalized = normalized.unwrap_or(!special);
                AddedToken { content, single_word, lstrip, rstrip, normalized, special }
            }
        }
    }

    fn content(&self) -> &str {
        match self {
            Written::Text(content) | Written::Object { content, .. } => content,
        }
    }
}

/// A token that has a name, or is among the additional ones.
struct SpecialToken {
    added: AddedToken,
    /// Whether it was written, or its class makes it, with all that is to be known of it.
    is_object: bool,
    /// Whether a file has it.
    is_written: bool,
    /// Whether `tokenizer_config.json` has it as an object, which `transformers` has not made a token of when it asks whether
    /// those of `added_tokens.json` are special.
    is_unread: bool,
}

impl SpecialToken {
    fn plain(content: &str, is_written: bool) -> SpecialToken {
        let added = AddedToken::plain(content.to_owned(), true);
        SpecialToken { added, is_object: false, is_written, is_unread: false }
    }
}

/// What the files of a folder say about added tokens.
pub(crate) struct FolderTokens {
    named: [Option<SpecialToken>; 7],
    additional: Vec<SpecialToken>,
    /// Whether files or the class say what pads texts, or that nothing does.
    is_pad_said: bool,
    others: Others,
}

/// The tokens that have no name, in the order of their ids.
enum Others {
    /// `added_tokens_decoder`, with which what it says of a special token counts.
    Decoder(Vec<AddedToken>),
    /// `added_tokens.json`, with its ids.
    Json(Vec<(u32, AddedToken)>),
}

impl FolderTokens {
    /// Of a folder whose `tokenizer_config.json` (`path`) was read.
    pub(crate) fn read(
        directory: &Path,
        config: TokensConfig,
        path: &Path,
        defaults: &Defaults,
        to: AddedTo,
    ) -> Result<FolderTokens, TokenizerError> {
        let refused = |reason: String| Err(TokenizerError::Settings { path: path.to_owned(), reason });
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
        let mut tokens = FolderTokens::of_class(defaults);
        tokens.take_from(config.others, File::Settings(to), path, defaults)?;
        if let Some(list) = config.added_tokens_decoder {
            tokens.others = Others::Decoder(by_id(list, &tokens, to, path)?);
        } else {
            let path = directory.join("special_tokens_map.json");
            tokens.take_from(read_json(&path)?.unwrap_or_default(), File::Map, &path, defaults)?;
            tokens.others = Others::Json(added_tokens_json(directory, &tokens)?);
        }
        Ok(tokens)
    }

    fn of_class(defaults: &Defaults) -> FolderTokens {
        let mut named = [const { None }; 7];
        for (place, (token, text)) in named.iter_mut().zip(defaults.named).enumerate() {
            *token = (!text.is_empty()).then(|| defaults.token(place, text, false));
        }
        let plain = |text: &&str| SpecialToken::plain(text, false);
        FolderTokens {
            is_pad_said: named[PAD].is_some(),
            named,
            additional: defaults.additional.iter().map(plain).collect(),
            others: Others::Json(Vec::new()),
        }
    }

    /// Takes those that a file has.
    fn take_from(
        &mut self,
        mut file: Map<String, Value>,
        kind: File,
        path: &Path,
        defaults: &Defaults,
    ) -> Result<(), TokenizerError> {
        let written = |name: &str, value: Value| {
            let token = serde_json::from_value::<Option<Written>>(value);
            let invalid = match &token {
                Ok(Some(Written::Object { class, .. })) => {
                    kind != File::Map && class.as_deref() != Some("AddedToken")
                }
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
        let are_special = kind != File::Settings(AddedTo::Vocabulary);
        let object = |token: Written| SpecialToken {
            added: token.into_added(are_special),
            is_object: true,
            is_written: true,
            is_unread: kind != File::Map,
        };
        for (place, (token, name)) in self.named.iter_mut().zip(NAMES).enumerate() {
            if let Some(value) = file.remove(name) {
                *token = written(name, value)?.map(|token| match token {
                    Written::Text(content) => defaults.token(place, &content, true),
                    token => object(token),
                });
                self.is_pad_said |= place == PAD;
            }
        }
        let list = match file.remove(ADDITIONAL) {
            None => return Ok(()),
            Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => {
                let reason = format!("{ADDITIONAL} is not a list");
                return Err(TokenizerError::Settings { path: path.to_owned(), reason });
            }
        };
        check_count(list.len(), ADDITIONAL, path)?;
        // What the map has comes behind what the settings have.
        self.additional.retain(|token| token.is_written);
        for value in list {
            if let Some(token) = written(ADDITIONAL, value)? {
                self.additional.push(match token {
                    Written::Text(content) => SpecialToken::plain(&content, true),
                    token => object(token),
                });
            }
        }
        Ok(())
    }

    /// Those that have a name and the additional ones, each once, the first of its text.
    fn special(&self) -> impl Iterator<Item = &SpecialToken> {
        let mut seen: HashSet<&str> = HashSet::new();
        self.named
            .iter()
            .flatten()
            .chain(&self.additional)
            .filter(move |token| seen.insert(&token.added.content))
    }

    /// The token of a name, which has to have one.
    pub(crate) fn content(&self, name: &str, path: &Path) -> Result<String, TokenizerError> {
        let token = self.named.iter().zip(NAMES).find(|(_, other)| *other == name);
        match token {
            Some((Some(token), _)) => Ok(token.added.content.clone()),
            _ => Err(TokenizerError::Settings { path: path.to_owned(), reason: format!("{name} is null") }),
        }
    }

    /// All, in the order in which a tokenizer of a vocabulary alone gets them.
    pub(crate) fn of_vocabulary(&self) -> Vec<AddedToken> {
        let (mut tokens, is_decoder) = match &self.others {
            Others::Decoder(list) => (list.clone(), true),
            Others::Json(list) => (list.iter().map(|(_, token)| token.clone()).collect(), false),
        };
        let places: HashMap<String, usize> =
            tokens.iter().enumerate().map(|(at, token)| (token.content.clone(), at)).collect();
        for token in self.special() {
            match places.get(&token.added.content) {
                None => tokens.push(token.added.clone()),
                Some(&at) if token.is_object && !is_decoder => tokens[at] = token.added.clone(),
                Some(_) => {}
            }
        }
        // Whatever objects say.
        let special: HashSet<&str> = self.special().map(|token| &*token.added.content).collect();
        for token in &mut tokens {
            token.special |= special.contains(&*token.content);
        }
        tokens
    }

    /// What `transformers` adds to a tokenizer that has tokens of its `own`, in that order; some of it is as it was, or is there
    /// twice.
    fn added_to(&self, own: &[(u32, AddedToken)], pad_token: Option<&str>) -> Vec<AddedToken> {
        let mut added: Vec<AddedToken> = match &self.others {
            Others::Decoder(list) => list.clone(),
            // One of the file has the place of another with its id.
            Others::Json(list) => {
                let taken: HashSet<u32> = own.iter().map(|&(id, _)| id).collect();
                let free = list.iter().filter(|(id, _)| !taken.contains(id));
                free.map(|(_, token)| token.clone()).collect()
            }
        };
        let of_file: HashSet<&str> = own.iter().map(|(_, token)| &*token.content).collect();
        let mut known: HashSet<String> = added.iter().map(|token| token.content.clone()).collect();
        known.extend(of_file.iter().map(|&text| text.to_owned()));
        // Where what is to be known of a token is looked up if a file has its name.
        let looked_up: HashSet<&str> = match &self.others {
            Others::Decoder(list) => list.iter().map(|token| &*token.content).collect(),
            Others::Json(_) => of_file,
        };
        let padding = pad_token.filter(|_| !self.is_pad_said).map(|text| SpecialToken::plain(text, false));
        let (before, behind) = self.named.split_at(PAD);
        let named = before.iter().flatten().chain(&padding).chain(behind.iter().flatten());
        let all = named.map(|token| (token, token.is_written));
        let all = all.chain(self.additional.iter().map(|token| (token, false)));
        let mut seen: HashSet<&str> = HashSet::new();
        for (SpecialToken { added: token, is_object, .. }, has_name) in all {
            let is_there = match is_object {
                true => has_name && looked_up.contains(&*token.content),
                false => known.contains(&token.content),
            };
            if seen.insert(&token.content) && !is_there {
                added.push(token.clone());
            }
        }
        added
    }

    /// The tokens that a tokenizer with tokens of its `own` gets, and those that become others than they were, each once: they
    /// are found in texts as `tokenizers` 0.22, which `transformers` has, finds them after `add_tokens`. `own` have the ids of
    /// their file, and `pad_token` is what it pads with.
    ///
    /// # Errors
    ///
    /// If one would be found in two ways, as it is written and in the normalized text.
    pub(crate) fn changes(
        &self,
        own: &[(u32, AddedToken)],
        pad_token: Option<&str>,
    ) -> Result<Vec<AddedToken>, String> {
        let mut tokens: Vec<(AddedToken, bool)> =
            own.iter().map(|(_, token)| (token.clone(), false)).collect();
        let mut versions: HashSet<AddedToken> = own.iter().map(|(_, token)| token.clone()).collect();
        let mut places: HashMap<String, usize> =
            own.iter().enumerate().map(|(at, (_, token))| (token.content.clone(), at)).collect();
        for token in self.added_to(own, pad_token) {
            // What was so at any time is passed over.
            if token.content.is_empty() || !versions.insert(token.clone()) {
                continue;
            }
            let Some(&at) = places.get(&token.content) else {
                places.insert(token.content.clone(), tokens.len());
                tokens.push((token, true));
                continue;
            };
            let (before, is_changed) = &mut tokens[at];
            if !before.special && before.normalized != token.normalized {
                return Err(format!(
                    "the added token {:?} has normalized {}, and in the settings beside the file {}: transformers finds it \
                     both as it is written and in normalized texts; make both the same",
                    token.content, before.normalized, token.normalized
                ));
            }
            // A special token stays normalized, or not, as it was first.
            let special = before.special || token.special;
            let after = AddedToken { normalized: before.normalized, special, ..token };
            *is_changed |= after != AddedToken { special, ..before.clone() };
            *before = after;
        }
        Ok(tokens.into_iter().filter_map(|(token, is_changed)| is_changed.then_some(token)).collect())
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
fn by_id(
    list: BTreeMap<String, Written>,
    tokens: &FolderTokens,
    to: AddedTo,
    path: &Path,
) -> Result<Vec<AddedToken>, TokenizerError> {
    check_count(list.len(), "added_tokens_decoder", path)?;
    let special: HashSet<&str> = tokens.special().map(|token| &*token.added.content).collect();
    let mut added = Vec::with_capacity(list.len());
    for (id, token) in list {
        match (id.parse::<u32>(), token) {
            (Ok(id), token @ Written::Object { .. }) => {
                let special = to == AddedTo::TokenizerJson && special.contains(token.content());
                added.push((id, token.into_added(special)));
            }
            _ => {
                let reason =
                    format!("added_tokens_decoder has {id:?}, expected a number and a token's object");
                return Err(TokenizerError::Settings { path: path.to_owned(), reason });
            }
        }
    }
    added.sort_by_key(|&(id, _)| id);
    Ok(added.into_iter().map(|(_, token)| token).collect())
}

/// Those of `added_tokens.json`, in the order of their ids: normalized, if no file has them as special ones.
fn added_tokens_json(
    directory: &Path,
    tokens: &FolderTokens,
) -> Result<Vec<(u32, AddedToken)>, TokenizerError> {
    let path = directory.join("added_tokens.json");
    let ids: BTreeMap<String, u32> = read_json(&path)?.unwrap_or_default();
    check_count(ids.len(), "the file", &path)?;
    let mut added: Vec<(u32, String)> = ids.into_iter().map(|(content, id)| (id, content)).collect();
    added.sort();
    // transformers does not ask here what a tokenizer has by default.
    let read = tokens.named.iter().flatten().chain(&tokens.additional);
    let read = read.filter(|token| token.is_written && !token.is_unread);
    let read: HashSet<&str> = read.map(|token| &*token.added.content).collect();
    let special: HashSet<&str> = tokens.special().map(|token| &*token.added.content).collect();
    Ok(added
        .into_iter()
        .map(|(id, content)| {
            let (normalized, special) = (!read.contains(&*content), special.contains(&*content));
            (id, AddedToken { normalized, ..AddedToken::plain(content, special) })
        })
        .collect())
}
