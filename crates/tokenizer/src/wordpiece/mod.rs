//! BERT's and MPNet's tokenizer by itself: what `tokenizers` computes for a `tokenizer.json` with `BertNormalizer`,
//! `BertPreTokenizer`, a WordPiece model and one `[CLS]`-and-`[SEP]`-like post-processor, only faster.
//!
//! | module | what it does |
//! |---|---|
//! | `file` | reads `tokenizer.json`, or declines |
//! | `added_tokens` | finds `[MASK]` and the like in the text |
//! | `normalizer` | normalizes the text |
//! | `words` | splits it into words |
//! | `classes` | knows the characters for it |
//! | `origins` | knows where in the text a word's characters are, for those who ask |
//! | `vocabulary` | finds the longest token that a word begins with |
//! | `pieces` | takes a word apart into such tokens |
//! | `decoder` | makes a text of ids |
//!
//! Reference: Devlin et al., BERT (2018), `tokenization.py`; Wu et al., "Google's Neural Machine Translation System"
//! (2016), section 4.1. The specification is the code of `tokenizers`, errors included.

mod added_tokens;
mod classes;
mod decoder;
mod file;
mod normalizer;
mod origins;
mod pieces;
mod trim;
mod vocabulary;
mod words;

use std::borrow::Cow;

use added_tokens::{AddedToken, AddedTokens};
use decoder::{Decoder, Decoding};
use file::{Around, File, Object};
use normalizer::{NormalizedText, Rules};
use origins::Origins;
use pieces::{LocatedPieces, Pieces};
use trim::Trim;
use vocabulary::{TokenList, Vocabulary};
use words::{MAX_WORD_CHARS, Sink, Words};

use crate::decode::VocabularyToken;
use crate::overrides::Overrides;
use crate::vocab_txt::VocabTxt;
use crate::{Properties, TokenOffsets, TruncationSide, special_tokens};

/// More added tokens are left to `tokenizers`, which has an automaton for them.
const MAX_ADDED_TOKENS: usize = 64;

/// A tokenizer that finds words by itself.
#[derive(Clone)]
pub(crate) struct WordPiece {
    /// Those that are found in the text, and those that are found once it is normalized.
    added_tokens: AddedTokens,
    normalized_tokens: AddedTokens,
    rules: Rules,
    /// What normalizes if texts are lower-cased first; `None` if they need not be.
    lowercased: Option<Box<Rules>>,
    vocabulary: Vocabulary,
    properties: Properties,
    unknown: u32,
    max_word_chars: usize,
    /// The ids before and after every text.
    before: Vec<u32>,
    after: Vec<u32>,
    trim: Option<Trim>,
    decoding: Decoding,
}

/// What a tokenizer is made of.
struct Parts {
    /// With the ids of the file. What has none comes from settings beside it.
    added_tokens: Vec<(Option<u32>, special_tokens::AddedToken)>,
    has_tokens_of_settings: bool,
    rules: Rules,
    /// What added tokens are normalized by: the rules of the file.
    token_rules: Rules,
    around: Around,
    decoder: Option<Decoder>,
    tokens: TokenList,
    unk_token: String,
    continuing_subword_prefix: String,
    max_word_chars: usize,
    truncation_side: TruncationSide,
}

impl WordPiece {
    /// `None` if the file (`tokenizer.json`) is invalid or anything else than what is computed here.
    pub(crate) fn from_json(json: &[u8], overrides: &Overrides) -> Option<WordPiece> {
        let file = File::parse(json)?;
        let File { normalizer, post_processor, decoder, model: Object(model), truncation, padding, .. } =
            file;
        let own: Vec<_> = file.added_tokens.into_iter().map(|Object(token)| token.with_id()).collect();
        if own.len() > MAX_ADDED_TOKENS {
            return None;
        }
        let pad_token = padding.as_ref().map(|padding| &*padding.pad_token);
        // Of what is wrong with these, the other backend says it.
        let changes = overrides.changed_tokens(&own, pad_token).ok()?;
        if changes.len() > MAX_ADDED_TOKENS {
            return None;
        }
        let has_tokens_of_settings = !changes.is_empty();
        let token_rules = Rules::new(&normalizer.0);
        let around = match post_processor {
            Some(Object(processor)) => processor.around_a_text(overrides.post_processor)?,
            None => Around::default(),
        };
        WordPiece::new(Parts {
            added_tokens: changed(own, changes),
            has_tokens_of_settings,
            rules: Rules::new(&normalizer.0.overridden(overrides.normalizer)),
            token_rules,
            around,
            decoder: decoder.map(|Object(file::Decoder { prefix, cleanup, .. })| Decoder {
                prefix: prefix.into(),
                cleanup,
            }),
            tokens: model.vocab,
            unk_token: model.unk_token,
            continuing_subword_prefix: model.continuing_subword_prefix,
            max_word_chars: model.max_input_chars_per_word,
            truncation_side: overrides.truncation_side(truncation.as_ref()),
        })
    }

    /// `None` if this is anything else than what is computed here.
    pub(crate) fn from_vocab_txt(vocabulary: &VocabTxt) -> Option<WordPiece> {
        let mut tokens = TokenList::default();
        for (token, id) in vocabulary.tokens() {
            tokens.push(token)?;
            tokens.set_last_id(id);
        }
        let rules = Rules::new(&file::Normalizer::of(vocabulary));
        let added = vocabulary.added_tokens.iter().map(|(token, id)| (Some(*id), token.clone()));
        WordPiece::new(Parts {
            added_tokens: added.collect(),
            has_tokens_of_settings: false,
            token_rules: rules.clone(),
            rules,
            around: Around {
                before: vec![vocabulary.cls_token.1],
                after: vec![vocabulary.sep_token.1],
                trim: None,
            },
            decoder: Some(Decoder::bert()),
            tokens,
            unk_token: vocabulary.unk_token.clone(),
            continuing_subword_prefix: "##".to_owned(),
            max_word_chars: 100,
            truncation_side: vocabulary.truncation_side,
        })
    }

    fn new(parts: Parts) -> Option<WordPiece> {
        let Parts { added_tokens, rules, around: Around { before, after, trim }, tokens, .. } = parts;
        if !(1..=MAX_WORD_CHARS).contains(&parts.max_word_chars) {
            return None;
        }
        if trim.is_some() && tokens.iter().any(trim::may_be_trimmed) {
            return None;
        }
        let vocabulary = Vocabulary::new(tokens, &parts.continuing_subword_prefix, MAX_WORD_CHARS * 4)?;
        let unknown = vocabulary.id(&parts.unk_token)?;
        let KnownTokens { tokens: known, new } = known_tokens(added_tokens, &vocabulary)?;
        let (to_normalize, verbatim): (Vec<_>, Vec<_>) =
            known.iter().partition(|(_, token)| token.normalized);
        let added_tokens = found_in_texts(&verbatim)?;
        let normalized_tokens = found_in_texts(&to_normalize)?.normalized(&parts.token_rules)?;
        let lowercased = (!rules.lowercase()).then(|| rules.clone().lowercase_first().into());
        let trimmed = |tokens: &AddedTokens| trim.is_some() && tokens.texts().any(trim::may_be_trimmed);
        if trimmed(&added_tokens) || trimmed(&normalized_tokens) {
            return None;
        }
        Some(WordPiece {
            added_tokens,
            normalized_tokens,
            rules,
            lowercased,
            properties: Properties {
                vocab_size: vocabulary.len() + new,
                has_tokens_of_settings: parts.has_tokens_of_settings,
                truncation_side: parts.truncation_side,
            },
            vocabulary,
            unknown,
            max_word_chars: parts.max_word_chars,
            before,
            after,
            trim,
            decoding: Decoding::new(parts.decoder, known),
        })
    }

    /// Lower-cases every text first, which changes nothing if the tokenizer does so later. Added tokens stay as they are.
    pub(crate) fn lowercased(mut self) -> WordPiece {
        if let Some(lowercased) = self.lowercased.take() {
            self.rules = *lowercased;
        }
        self
    }

    /// The ids before and after every text.
    pub(crate) fn around(&self) -> (Vec<u32>, Vec<u32>) {
        (self.before.clone(), self.after.clone())
    }

    /// The token of an id.
    pub(crate) fn token(&self, id: u32) -> Option<VocabularyToken<'_>> {
        self.decoding.token(id, &self.vocabulary)
    }

    /// One text of tokens.
    pub(crate) fn join(&self, tokens: &[Cow<'_, str>]) -> String {
        self.decoding.join(tokens)
    }

    /// How many special tokens are put around every text.
    pub(crate) fn special_tokens(&self) -> usize {
        self.before.len() + self.after.len()
    }

    pub(crate) fn properties(&self) -> Properties {
        self.properties
    }

    /// Replaces `ids` by those of a text, `max_seq_length` at most, of more without those on that side; returns how many there
    /// are without a limit. Special tokens are counted, and leave room for one more at least.
    pub(crate) fn encode_into(
        &self,
        text: &str,
        max_seq_length: usize,
        side: TruncationSide,
        ids: &mut Vec<u32>,
    ) -> usize {
        ids.clear();
        ids.extend_from_slice(&self.before);
        let room = max_seq_length - self.after.len();
        // Which are the last ones is known at the end.
        let cuts_beginning = side == TruncationSide::Left;
        let kept = if cuts_beginning { usize::MAX } else { room };
        let pieces =
            Pieces { vocabulary: &self.vocabulary, unknown: self.unknown, ids, room: kept, total: 0 };
        let mut words = Words::new(&self.rules, self.max_word_chars, pieces);
        self.read(text, &mut words, |pieces, added| pieces.push(added.id));
        let total = words.sink().total;
        if cuts_beginning && ids.len() > room {
            let before = self.before.len();
            ids.drain(before..before + ids.len() - room);
        }
        ids.extend_from_slice(&self.after);
        self.special_tokens() + total
    }

    /// The whole text in sequences of `max_seq_length` ids at most: as few as possible, of the same length but for the last.
    pub(crate) fn encode_pieces(&self, text: &str, max_seq_length: usize) -> Vec<Vec<u32>> {
        let mut ids = Vec::new();
        self.encode_into(text, usize::MAX, TruncationSide::Right, &mut ids);
        let content = &ids[self.before.len()..ids.len() - self.after.len()];
        let length = piece_length(content.len(), max_seq_length - self.special_tokens());
        let around = |piece: &[u32]| [&self.before, piece, &self.after].concat();
        if content.is_empty() { vec![around(&[])] } else { content.chunks(length).map(around).collect() }
    }

    /// Whether what is put around a text ends with a token.
    pub(crate) fn ends_with_special_token(&self) -> bool {
        !self.after.is_empty()
    }

    /// Puts all tokens of a text and where they come from into an empty list, without special tokens.
    pub(crate) fn offsets_into(&self, text: &str, tokens: &mut Vec<TokenOffsets>) {
        let pieces = LocatedPieces { vocabulary: &self.vocabulary, unknown: self.unknown, tokens };
        let mut words = Words::new(&self.rules, self.max_word_chars, pieces);
        self.read(text, &mut words, |pieces, Added { id, bytes, white_space }| {
            let first = pieces.tokens.is_empty();
            let (start, end) = match self.trim {
                Some(trim) => trim.apply(text, bytes, white_space, first),
                None => bytes,
            };
            pieces.tokens.push(TokenOffsets { id, start, end, begins_word: true });
        });
    }

    /// Whether no added token has white space in it, at which texts are cut.
    pub(crate) fn added_tokens_have_no_white_space(&self) -> bool {
        [&self.added_tokens, &self.normalized_tokens].into_iter().all(AddedTokens::have_no_white_space)
    }

    #[inline]
    fn read<S: Sink>(&self, text: &str, words: &mut Words<'_, S>, added: impl Fn(&mut S, Added)) {
        let mut from = 0;
        while let Some(found) = self.added_tokens.find(text, from) {
            self.read_part(&text[from..found.start], from, words, &added);
            let (bytes, white_space) = ((found.start, found.end), found.white_space);
            added(words.sink(), Added { id: found.id, bytes, white_space });
            from = found.end;
        }
        self.read_part(&text[from..], from, words, &added);
    }

    /// What is between two added tokens, and begins at `offset`.
    #[inline]
    fn read_part<S: Sink>(
        &self,
        text: &str,
        offset: usize,
        words: &mut Words<'_, S>,
        added: &impl Fn(&mut S, Added),
    ) {
        if self.normalized_tokens.may_be_in(text) {
            self.read_normalized(text, offset, words, added);
        } else {
            words.read(text, offset);
        }
    }

    /// The same, if there may be tokens in the normalized text.
    #[cold]
    fn read_normalized<S: Sink>(
        &self,
        text: &str,
        offset: usize,
        words: &mut Words<'_, S>,
        added: &impl Fn(&mut S, Added),
    ) {
        let normalized = NormalizedText::<S::Origins>::new(&self.rules, text, offset);
        let mut from = 0;
        while let Some(found) = self.normalized_tokens.find(&normalized.text, from) {
            words.read_normalized(&normalized, from, found.start);
            let [first, last] = [found.start, found.end - 1].map(|at| normalized.origins[at]);
            let bytes = (S::Origins::bytes_of(first).0, S::Origins::bytes_of(last).1);
            added(words.sink(), Added { id: found.id, bytes, white_space: found.white_space });
            from = found.end;
        }
        words.read_normalized(&normalized, from, normalized.text.len());
    }
}

/// An added token of a text.
struct Added {
    id: u32,
    /// Where it begins and ends, if that is asked for, with the white space that belongs to it.
    bytes: (usize, usize),
    /// How many characters of white space these are, before and behind.
    white_space: [usize; 2],
}

/// How long pieces of `tokens` tokens are that are as few as possible, with room for `room` each, which is not 0.
pub(crate) fn piece_length(tokens: usize, room: usize) -> usize {
    tokens.div_ceil(tokens.div_ceil(room).max(1)).max(1)
}

/// Added tokens with the ids of their file, and those of settings, some of which are among them.
fn changed(
    own: Vec<(u32, special_tokens::AddedToken)>,
    changes: Vec<special_tokens::AddedToken>,
) -> Vec<(Option<u32>, special_tokens::AddedToken)> {
    let mut tokens: Vec<_> = own.into_iter().map(|(id, token)| (Some(id), token)).collect();
    for change in changes {
        match tokens.iter_mut().find(|(_, token)| token.content == change.content) {
            Some((_, token)) => *token = change,
            None => tokens.push((None, change)),
        }
    }
    tokens
}

/// Added tokens with their ids.
struct KnownTokens {
    tokens: Vec<(u32, special_tokens::AddedToken)>,
    /// How many of the file's the vocabulary has not.
    new: usize,
}

/// `None` if one is not found as it is written, or gets another id than the file says, or if two have the same.
fn known_tokens(
    tokens: Vec<(Option<u32>, special_tokens::AddedToken)>,
    vocabulary: &Vocabulary,
) -> Option<KnownTokens> {
    if tokens.len() > MAX_ADDED_TOKENS {
        return None;
    }
    // What the vocabulary has not gets the ids behind it, whatever the file says; what comes from settings, the ids behind
    // these.
    let (mut new, mut next) = (0, u32::try_from(vocabulary.len()).ok()?);
    let mut behind_own = 0;
    let mut added = Vec::with_capacity(tokens.len());
    for (said, token) in tokens {
        let id = match vocabulary.id(&token.content) {
            Some(id) => id,
            None => {
                let id = if said.is_some() { next } else { next.max(behind_own) };
                new += usize::from(said.is_some());
                next = id.checked_add(1)?;
                id
            }
        };
        match said {
            Some(said) if said == id => behind_own = behind_own.max(id.checked_add(1)?),
            Some(_) => return None,
            None => {}
        }
        if token.single_word {
            return None;
        }
        added.push((id, token));
    }
    let mut ids: Vec<u32> = added.iter().map(|&(id, _)| id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return None;
    }
    Some(KnownTokens { tokens: added, new })
}

fn found_in_texts(tokens: &[&(u32, special_tokens::AddedToken)]) -> Option<AddedTokens> {
    let added = |&&(id, ref token): &&(u32, special_tokens::AddedToken)| AddedToken {
        text: (&*token.content).into(),
        id,
        takes_before: token.lstrip,
        takes_behind: token.rstrip,
    };
    AddedTokens::new(tokens.iter().map(added).collect())
}
