//! Every other tokenizer, by the `tokenizers` crate; and the reference for those that the crate is not needed for.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{
    AddedToken, Decoder, Encoding, Model, NormalizerWrapper, PostProcessor, PostProcessorWrapper,
    PreTokenizerWrapper, Token, TokenizerBuilder, TruncationDirection,
};

use crate::decode::VocabularyToken;
use crate::overrides::{NormalizerOverride, Overrides, PostProcessorOverride};
use crate::wordpiece::piece_length;
use crate::{Properties, TokenOffsets, TokenizerError, TruncationSide, special_tokens, template, unigram};

/// A tokenizer of the `tokenizers` crate.
#[derive(Clone)]
pub(crate) struct CrateTokenizer {
    inner: tokenizers::Tokenizer,
    special_tokens: usize,
    properties: Properties,
}

impl CrateTokenizer {
    /// Or why the file (`tokenizer.json`) is invalid.
    pub(crate) fn from_json(json: &[u8], overrides: &Overrides) -> Result<CrateTokenizer, String> {
        let read = || {
            if let Some(unigram) = unigram::read(json) {
                return Ok(unigram);
            }
            // First, as it also finds broken JSON, at which the crate panics where the decoder is.
            template::check(json)?;
            tokenizers::Tokenizer::from_bytes(json).map_err(|e| e.to_string())
        };
        // The crate also panics at a normalizer of type Precompiled with a broken map.
        let inner = catch_unwind(AssertUnwindSafe(read))
            .map_err(|_| "the tokenizers crate panics while it reads it".to_owned())??;
        let vocab_size = inner.get_vocab_size(true);
        let changes = changed_tokens(&inner, overrides)?;
        let has_tokens_of_settings = !changes.is_empty();
        let truncation_side = overrides.truncation_side(inner.get_truncation());
        let changed = |mut inner: tokenizers::Tokenizer| {
            // First, as they are normalized as the file says.
            inner.add_tokens(changes)?;
            let mut inner = overridden(inner, overrides)?;
            inner.with_padding(None).with_truncation(None)?;
            Ok(inner)
        };
        let inner = changed(inner).map_err(|e: tokenizers::Error| e.to_string())?;
        let special_tokens = inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        let properties = Properties { vocab_size, has_tokens_of_settings, truncation_side };
        Ok(CrateTokenizer { inner, special_tokens, properties })
    }

    /// Lower-cases every text first, unless the tokenizer does so already, as sentence-transformers' `Transformer` module does it.
    pub(crate) fn lowercased(self) -> Result<CrateTokenizer, TokenizerError> {
        let chain = match self.inner.get_normalizer() {
            Some(normalizer) if has_lowercase(normalizer) => return Ok(self),
            Some(NormalizerWrapper::Sequence(sequence)) => sequence.as_ref().to_vec(),
            Some(normalizer) => vec![normalizer.clone()],
            None => Vec::new(),
        };
        let chain = std::iter::once(NormalizerWrapper::from(Lowercase)).chain(chain).collect();
        let inner =
            with_normalizer(self.inner, Sequence::new(chain).into()).map_err(TokenizerError::encode)?;
        Ok(CrateTokenizer { inner, ..self })
    }

    /// How many special tokens are put around every text.
    pub(crate) fn special_tokens(&self) -> usize {
        self.special_tokens
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
    ) -> Result<usize, TokenizerError> {
        ids.clear();
        let mut encoding = self.inner.encode_fast(text, false).map_err(TokenizerError::encode)?;
        let total = encoding.len() + self.special_tokens;
        if total > max_seq_length {
            encoding.truncate(max_seq_length - self.special_tokens, 0, side.into());
            // What was cut off, in pieces; each would be post-processed too.
            drop(encoding.take_overflowing());
        }
        let encoding = self.inner.post_process(encoding, None, true).map_err(TokenizerError::encode)?;
        debug_assert_eq!(encoding.len(), total.min(max_seq_length));
        ids.extend_from_slice(encoding.get_ids());
        Ok(total)
    }

    /// The whole text in sequences of `max_seq_length` ids at most: as few as possible, of the same length but for the last.
    pub(crate) fn encode_pieces(
        &self,
        text: &str,
        max_seq_length: usize,
    ) -> Result<Vec<Vec<u32>>, TokenizerError> {
        let mut encoding = self.inner.encode_fast(text, false).map_err(TokenizerError::encode)?;
        let length = piece_length(encoding.len(), max_seq_length - self.special_tokens);
        encoding.truncate(length, 0, TruncationDirection::Right);
        let rest = encoding.take_overflowing();
        let ids = |piece| {
            let piece = self.inner.post_process(piece, None, true).map_err(TokenizerError::encode)?;
            Ok(piece.get_ids().to_vec())
        };
        std::iter::once(encoding).chain(rest).map(ids).collect()
    }

    /// Whether the last of a text's ids is a special token's.
    pub(crate) fn ends_with_special_token(&self, text: &str) -> Result<bool, TokenizerError> {
        let encoding = self.inner.encode_fast(text, true).map_err(TokenizerError::encode)?;
        Ok(encoding.get_special_tokens_mask().last() == Some(&1))
    }

    /// The ids before and after every text.
    pub(crate) fn around(&self) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
        let text = Encoding::from_tokens(vec![Token::new(0, "x".to_owned(), (0, 1))], 0);
        let encoding = self.inner.post_process(text, None, true).map_err(TokenizerError::encode)?;
        let (ids, mask) = (encoding.get_ids(), encoding.get_special_tokens_mask());
        // `template` sees to it that there is a text.
        let at = mask.iter().position(|&special| special == 0).unwrap_or(ids.len());
        Ok((ids[..at].to_vec(), ids.get(at + 1..).unwrap_or_default().to_vec()))
    }

    /// The token of an id.
    pub(crate) fn token(&self, id: u32) -> Option<VocabularyToken<'_>> {
        let added = self.inner.get_added_vocabulary();
        // Not by `id_to_token`: since 0.23 that gives the normalized text of an added token that is found in normalized texts, which
        // is then not known for a special one any more.
        let text = match added.get_added_tokens_decoder().get(&id) {
            Some(token) => Cow::Borrowed(&*token.content),
            None => self.inner.get_model().id_to_token(id)?.into(),
        };
        let is_special = added.is_special_token(&text);
        Some(VocabularyToken { text, is_special })
    }

    /// One text of tokens.
    pub(crate) fn join(&self, tokens: Vec<Cow<'_, str>>) -> Result<String, TokenizerError> {
        let Some(decoder) = self.inner.get_decoder() else { return Ok(tokens.join(" ")) };
        // The decoder `BPEDecoder` counts from the last one down.
        if tokens.is_empty() {
            return Ok(String::new());
        }
        let tokens = tokens.into_iter().map(Cow::into_owned).collect();
        // The decoder `Strip` panics at tokens that are shorter than what it strips.
        let decoded = catch_unwind(AssertUnwindSafe(|| decoder.decode(tokens).map_err(|e| e.to_string())))
            .unwrap_or_else(|_| Err("the tokenizers crate panics at it".to_owned()));
        decoded.map_err(|reason| TokenizerError::Decode { reason })
    }

    /// Appends all tokens of a text and where they come from, without special tokens.
    pub(crate) fn offsets_into(
        &self,
        text: &str,
        tokens: &mut Vec<TokenOffsets>,
    ) -> Result<(), TokenizerError> {
        // In characters: some post-processors trim offsets by as many as a token has of white space, and would, if they were in
        // bytes, end within a character.
        let encoding = self.inner.encode_char_offsets(text, false).map_err(TokenizerError::encode)?;
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let byte = |character: usize| starts.get(character).copied().unwrap_or(text.len());
        let (ids, offsets, words) = (encoding.get_ids(), encoding.get_offsets(), encoding.get_word_ids());
        let mut last = None;
        tokens.extend(ids.iter().zip(offsets).zip(words).map(|((&id, &(start, end)), &word)| {
            let begins_word = word.is_none() || std::mem::replace(&mut last, word) != word;
            TokenOffsets { id, start: byte(start), end: byte(end), begins_word }
        }));
        Ok(())
    }
}

/// `_has_lowercase` there. It does not look into a `BertNormalizer`: one that lower-cases gets a `Lowercase` before it, which
/// makes no difference to it (a test below asks for all characters).
fn has_lowercase(normalizer: &NormalizerWrapper) -> bool {
    let lowercases = |normalizer: &NormalizerWrapper| matches!(normalizer, NormalizerWrapper::Lowercase(_));
    match normalizer {
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().any(lowercases),
        normalizer => lowercases(normalizer),
    }
}

/// The added tokens that settings beside the file change, or add to it.
fn changed_tokens(inner: &tokenizers::Tokenizer, overrides: &Overrides) -> Result<Vec<AddedToken>, String> {
    let mut own: Vec<_> = inner
        .get_added_vocabulary()
        .get_added_tokens_decoder()
        .iter()
        .map(|(&id, token)| {
            let AddedToken { content, single_word, lstrip, rstrip, normalized, special } = token.clone();
            (id, special_tokens::AddedToken { content, single_word, lstrip, rstrip, normalized, special })
        })
        .collect();
    own.sort_by_key(|&(id, _)| id);
    let pad_token = inner.get_padding().map(|padding| &*padding.pad_token);
    let changes = overrides.changed_tokens(&own, pad_token)?;
    let to_crate = |token: special_tokens::AddedToken| {
        AddedToken::from(token.content, token.special)
            .single_word(token.single_word)
            .lstrip(token.lstrip)
            .rstrip(token.rstrip)
            .normalized(token.normalized)
    };
    Ok(changes.into_iter().map(to_crate).collect())
}

fn overridden(
    mut inner: tokenizers::Tokenizer,
    overrides: &Overrides,
) -> tokenizers::Result<tokenizers::Tokenizer> {
    if let (Some(PreTokenizerWrapper::ByteLevel(byte_level)), Some(add_prefix_space)) =
        (inner.get_pre_tokenizer(), overrides.add_prefix_space)
    {
        let mut byte_level = *byte_level;
        byte_level.add_prefix_space = add_prefix_space;
        inner.with_pre_tokenizer(Some(byte_level));
    }
    if let Some(PostProcessorOverride { add_prefix_space, trim_offsets }) = overrides.post_processor {
        match inner.get_post_processor().cloned() {
            Some(PostProcessorWrapper::Roberta(roberta)) => {
                let processor = roberta.trim_offsets(trim_offsets).add_prefix_space(add_prefix_space);
                inner.with_post_processor(Some(processor));
            }
            Some(PostProcessorWrapper::ByteLevel(byte_level)) => {
                let processor = byte_level.trim_offsets(trim_offsets).add_prefix_space(add_prefix_space);
                inner.with_post_processor(Some(processor));
            }
            _ => {}
        }
    }
    match (inner.get_normalizer(), overrides.normalizer) {
        (
            Some(NormalizerWrapper::BertNormalizer(bert)),
            Some(NormalizerOverride { lowercase, strip_accents, chinese_chars }),
        ) => {
            let mut bert = *bert;
            (bert.lowercase, bert.strip_accents) = (lowercase, strip_accents);
            bert.handle_chinese_chars = chinese_chars.unwrap_or(bert.handle_chinese_chars);
            with_normalizer(inner, bert.into())
        }
        _ => Ok(inner),
    }
}

/// The same tokenizer with another normalizer. Added tokens stay normalized by the old one, as in Python with `tokenizers` 0.22;
/// 0.23 normalizes them again.
fn with_normalizer(
    mut inner: tokenizers::Tokenizer,
    normalizer: NormalizerWrapper,
) -> tokenizers::Result<tokenizers::Tokenizer> {
    if !inner.get_added_vocabulary().get_added_tokens_decoder().values().any(|token| token.normalized) {
        inner.with_normalizer(Some(normalizer))?;
        return Ok(inner);
    }
    let tokenizer = TokenizerBuilder::new()
        .with_model(inner.get_model().clone())
        .with_normalizer(Some(normalizer))
        .with_pre_tokenizer(inner.get_pre_tokenizer().cloned())
        .with_post_processor(inner.get_post_processor().cloned())
        .with_decoder(inner.get_decoder().cloned())
        .with_added_vocabulary(inner.get_added_vocabulary().clone())
        .build()?;
    Ok(tokenizer.into())
}

#[cfg(test)]
mod tests {
    use tokenizers::normalizers::BertNormalizer;
    use tokenizers::{NormalizedString, Normalizer};

    use super::*;

    #[test]
    fn lower_casing_twice_is_lower_casing_once() {
        let all: Vec<char> = ('\0'..=char::MAX).collect();
        for (clean, chinese, accents) in
            [(true, true, None), (true, false, Some(false)), (false, true, Some(true))]
        {
            let once = NormalizerWrapper::from(BertNormalizer::new(clean, chinese, accents, true));
            let twice = Sequence::new(vec![Lowercase.into(), once.clone()]);
            for characters in all.chunks(4096) {
                let text: String = characters.iter().flat_map(|&c| [c, 'x']).collect();
                let [mut a, mut b] = [(); 2].map(|()| NormalizedString::from(&*text));
                once.normalize(&mut a).unwrap();
                twice.normalize(&mut b).unwrap();
                assert_eq!(a.get(), b.get(), "from {:?} on", characters[0]);
            }
        }
    }
}
