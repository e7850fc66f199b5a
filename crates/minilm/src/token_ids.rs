use minilm_tokenizer::Tokens;

use crate::encode::Bulk;
use crate::micro_batch::Row;
use crate::{Embeddings, EncodeOptions, Error, SentenceTransformer, TokenCount, TokenEmbeddings, Truncation};

/// A text as the encoder takes it: what [`SentenceTransformer::tokenize_batch`] makes of one.
///
/// Between that and [`SentenceTransformer::encode_ids`] a program knows how much work a text is. A server, for one, puts texts of
/// several requests together by their tokens, and refuses one before anything is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIds {
    ids: Vec<u32>,
    count: TokenCount,
    /// How many of the ids are a prompt's that is not pooled.
    prompt_tokens: usize,
}

impl TokenIds {
    /// Ids that were made elsewhere, special tokens included, by this model's own tokenizer: those of another one mean
    /// something else, and nothing can tell.
    pub fn new(ids: Vec<u32>) -> TokenIds {
        let count = TokenCount::new(ids.len(), ids.len());
        TokenIds { ids, count, prompt_tokens: 0 }
    }

    pub(crate) fn of_text(tokens: Tokens, prompt_tokens: usize) -> TokenIds {
        let Tokens { ids, total, .. } = tokens;
        TokenIds { count: TokenCount::new(total, ids.len()), ids, prompt_tokens }
    }

    /// The ids, special tokens included, of what the model reads of the text.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// How many tokens the text has, and how many of them the model reads: as many as there are ids.
    pub fn token_count(&self) -> TokenCount {
        self.count
    }

    fn row<'a>(&'a self, out: &'a mut [f32]) -> Row<'a> {
        Row { ids: &self.ids, out, prompt_tokens: self.prompt_tokens, begins_text: true }
    }
}

impl SentenceTransformer {
    /// The token ids of texts, as [`encode_batch`](Self::encode_batch) makes them: with a prompt before each, and cut or
    /// refused if there are too many. Of the options, those matter.
    ///
    /// [`encode_ids`](Self::encode_ids) of them gives the vectors of [`encode_batch`](Self::encode_batch), bit for bit.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`], [`Error::PromptName`] and [`Error::TooLong`] as [`encode_batch`](Self::encode_batch); and
    /// [`Error::Option`] for [`Truncation::Split`], which makes several of a text.
    pub fn tokenize_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Vec<TokenIds>, Error> {
        self.tokenize_part(texts, options, 0)
    }

    /// Texts of a call, of which `before` are done.
    pub(crate) fn tokenize_part<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
        before: usize,
    ) -> Result<Vec<TokenIds>, Error> {
        if options.truncation == Truncation::Split {
            let (expected, found) = ("Report or Error".to_owned(), "Split".to_owned());
            return Err(Error::Option { option: "truncation", expected, found });
        }
        let prompt = self.prompt(options)?;
        let tokens = self.workers.try_map(texts, |text| {
            let tokens = self.tokens(text.as_ref(), &prompt)?;
            Ok::<_, Error>(TokenIds::of_text(tokens, prompt.tokens))
        })?;
        if options.truncation == Truncation::Error {
            self.check_lengths(tokens.iter().map(|text| text.count.total), before)?;
        }
        Ok(tokens)
    }

    /// The vectors of texts whose tokens are known. The options that are about texts and tokens are not looked at: prompt
    /// and truncation.
    ///
    /// ```no_run
    /// use minilm::{EncodeOptions, SentenceTransformer};
    ///
    /// # fn main() -> Result<(), minilm::Error> {
    /// let model = SentenceTransformer::load("all-MiniLM-L6-v2")?;
    /// let options = EncodeOptions::default();
    /// let texts = model.tokenize_batch(&["A text.", "Another one."], &options)?;
    /// let tokens: usize = texts.iter().map(|text| text.ids().len()).sum();
    /// let vectors = model.encode_ids(&texts, &options)?;
    /// println!("{} vectors of {tokens} tokens", vectors.len());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Encoder`] for an id that the encoder has no embedding for; [`Error::TooLong`] for more ids than
    /// [`max_seq_length`](Self::max_seq_length), which [`tokenize_batch`](Self::tokenize_batch) does not give;
    /// [`Error::Option`].
    pub fn encode_ids<T: AsRef<TokenIds>>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Embeddings, Error> {
        let dimension = self.dimension_of(options)?;
        self.check_lengths(texts.iter().map(|text| text.as_ref().ids.len()), 0)?;
        let h = self.modules.dimension();
        let mut data = vec![0.0; texts.len() * h];
        let rows = texts.iter().zip(data.chunks_exact_mut(h)).map(|(text, out)| text.as_ref().row(out));
        let bulk = Bulk { options, before: 0, total: Some(texts.len()) };
        self.compute(rows, &bulk, |states, row| self.sentence_vector(states, row, options))?;
        self.finish(&mut data, dimension, options);
        let counts = texts.iter().map(|text| text.as_ref().count).collect();
        Ok(Embeddings::new(data, dimension, counts))
    }

    /// As [`encode_ids`](Self::encode_ids), but the vectors of all tokens too:
    /// [`encode_tokens`](Self::encode_tokens) of texts whose tokens are known.
    ///
    /// # Errors
    ///
    /// As [`encode_ids`](Self::encode_ids).
    pub fn encode_tokens_of_ids<T: AsRef<TokenIds>>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
    ) -> Result<Vec<TokenEmbeddings>, Error> {
        let total = Some(texts.len());
        self.encode_tokens_of_ids_part(texts, options, 0, total)
    }

    /// Some of `total` texts, of which `before` are done.
    pub(crate) fn encode_tokens_of_ids_part<T: AsRef<TokenIds>>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
        before: usize,
        total: Option<usize>,
    ) -> Result<Vec<TokenEmbeddings>, Error> {
        let dimension = self.dimension_of(options)?;
        let texts: Vec<&TokenIds> = texts.iter().map(AsRef::as_ref).collect();
        self.check_lengths(texts.iter().map(|text| text.ids.len()), before)?;
        let (h, whole) = (self.modules.hidden_size(), self.modules.dimension());
        // Of each text its tokens' vectors, then its own: the shorter part, which is copied when they are split.
        let mut outputs: Vec<Vec<f32>> =
            texts.iter().map(|text| vec![0.0; text.ids.len() * h + whole]).collect();
        let rows = texts.iter().zip(&mut outputs).map(|(text, out)| text.row(out));
        let bulk = Bulk { options, before, total };
        self.compute(rows, &bulk, |states, row| {
            let (tokens, sentence) = row.out.split_at_mut(states.len());
            tokens.copy_from_slice(states);
            self.sentence_vector(states, &mut Row { out: sentence, ..*row }, options);
        })?;
        let results = texts.into_iter().zip(outputs).map(|(text, mut states)| {
            let mut sentence = states.split_off(text.ids.len() * h);
            self.finish(&mut sentence, dimension, options);
            TokenEmbeddings::new(text.count, text.ids.clone(), states, sentence)
        });
        Ok(results.collect())
    }

    /// Refuses the first text that is too long; `before` texts come before the first.
    pub(crate) fn check_lengths(
        &self,
        lengths: impl Iterator<Item = usize>,
        before: usize,
    ) -> Result<(), Error> {
        let max_seq_length = self.max_seq_length();
        match lengths.enumerate().find(|&(_, tokens)| tokens > max_seq_length) {
            Some((index, tokens)) => Err(Error::TooLong { index: before + index, tokens, max_seq_length }),
            None => Ok(()),
        }
    }
}

impl AsRef<TokenIds> for TokenIds {
    fn as_ref(&self) -> &TokenIds {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::TruncationSide;

    const TEXTS: [&str; 4] =
        ["the cat sat on the mat", "", "a dog", "the cat and the dog sat on a mat and a mat"];

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
    }

    fn load(name: &str) -> SentenceTransformer {
        SentenceTransformer::load(fixture(name)).unwrap()
    }

    /// A copy of a fixture without the last of its modules, which is `Normalize`.
    fn without_normalize(name: &str) -> tempfile::TempDir {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                let to = to.join(entry.file_name());
                if entry.path().is_dir() {
                    copy(&entry.path(), &to);
                } else {
                    fs::copy(entry.path(), to).unwrap();
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture(name), folder.path());
        let path = folder.path().join("modules.json");
        let mut modules: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert!(modules.pop().unwrap()["type"].as_str().unwrap().ends_with(".Normalize"));
        fs::write(path, serde_json::to_vec(&modules).unwrap()).unwrap();
        folder
    }

    #[test]
    fn vectors_of_ids_are_those_of_their_texts() {
        for name in ["tiny-bert", "tiny-bert-dense"] {
            let model = load(name);
            for options in [
                EncodeOptions::default(),
                EncodeOptions::default().prompt("the dog: ").truncate_dim(5).normalize_embeddings(true),
            ] {
                let ids = model.tokenize_batch(&TEXTS, &options).unwrap();
                let expected = model.encode_batch(&TEXTS, &options).unwrap();
                assert_eq!(model.encode_ids(&ids, &options).unwrap(), expected, "{name}");
                let counts: Vec<TokenCount> = ids.iter().map(TokenIds::token_count).collect();
                assert_eq!(counts, expected.token_counts());

                let tokens = model.encode_tokens_of_ids(&ids, &options).unwrap();
                assert_eq!(tokens, model.encode_tokens(&TEXTS, &options).unwrap(), "{name}");
                for ((tokens, ids), vector) in tokens.iter().zip(&ids).zip(expected.rows()) {
                    assert_eq!((tokens.ids(), tokens.sentence_embedding()), (ids.ids(), vector));
                }
            }
        }
    }

    #[test]
    fn a_prompt_that_is_not_pooled_stays_so() {
        let folder = without_normalize("tiny-bert");
        let pooling = folder.path().join("1_Pooling/config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&pooling).unwrap()).unwrap();
        config["include_prompt"] = false.into();
        fs::write(pooling, config.to_string()).unwrap();
        let model = SentenceTransformer::load(folder.path()).unwrap();
        let options = EncodeOptions::default().prompt("the dog ");
        let ids = model.tokenize_batch(&TEXTS, &options).unwrap();
        let vectors = model.encode_ids(&ids, &options).unwrap();
        assert_eq!(vectors, model.encode_batch(&TEXTS, &options).unwrap());
        let pooled: Vec<TokenIds> = ids.iter().map(|text| TokenIds::new(text.ids().to_vec())).collect();
        assert_ne!(vectors.row(0), model.encode_ids(&pooled, &options).unwrap().row(0));
    }

    #[test]
    fn vectors_may_be_left_unscaled() {
        for name in ["tiny-bert", "tiny-bert-dense"] {
            let model = load(name);
            let folder = without_normalize(name);
            let expected = SentenceTransformer::load(folder.path()).unwrap();
            let options = EncodeOptions::default().unscaled(true);
            let vectors = model.encode_batch(&TEXTS, &options).unwrap();
            assert_eq!(vectors, expected.encode_batch(&TEXTS, &EncodeOptions::default()).unwrap(), "{name}");
            let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((length(vectors.row(0)) - 1.0).abs() > 1e-3, "{name}: {}", length(vectors.row(0)));

            let split = options.clone().truncation(Truncation::Split);
            let long = ["the cat sat on the mat ".repeat(200)];
            let plain = EncodeOptions::default().truncation(Truncation::Split);
            let found = model.encode_batch(&long, &split).unwrap();
            assert_eq!(found, expected.encode_batch(&long, &plain).unwrap(), "{name}");

            // Asked for at the call, they are scaled, as the model would have.
            let scaled = model.encode_batch(&TEXTS, &options.normalize_embeddings(true)).unwrap();
            assert_eq!(scaled, model.encode_batch(&TEXTS, &EncodeOptions::default()).unwrap(), "{name}");
        }
    }

    #[test]
    fn ids_from_elsewhere_are_checked() {
        let model = load("tiny-bert");
        let options = EncodeOptions::default();
        let own = model.tokenize(TEXTS[0]).unwrap().0;
        let vectors = model.encode_ids(&[TokenIds::new(own)], &options).unwrap();
        assert_eq!(vectors.row(0), model.encode(TEXTS[0]).unwrap());

        let limit = model.max_seq_length();
        let longest = vec![TokenIds::new(vec![5; limit]), TokenIds::new(vec![5; limit + 1])];
        model.encode_ids(&longest[..1], &options).unwrap();
        let error = model.encode_ids(&longest, &options).unwrap_err();
        let Error::TooLong { index: 1, tokens, max_seq_length } = error else { panic!("{error}") };
        assert_eq!((tokens, max_seq_length), (limit + 1, limit));
        let error = model.encode_tokens_of_ids(&longest, &options).unwrap_err();
        assert!(matches!(error, Error::TooLong { index: 1, .. }), "{error}");

        let vocab_size = model.config().vocab_size as u32;
        for id in [vocab_size, u32::MAX] {
            let error = model.encode_ids(&[TokenIds::new(vec![5, id])], &options).unwrap_err();
            assert!(
                matches!(error, Error::Encoder(_)) && error.to_string().contains(&id.to_string()),
                "{error}"
            );
        }
        let nothing = model.encode_ids(&[TokenIds::new(Vec::new())], &options).unwrap();
        assert!(nothing.row(0).iter().all(|&x| x == 0.0), "{:?}", nothing.row(0));
        assert_eq!(model.encode_ids::<TokenIds>(&[], &options).unwrap().len(), 0);
    }

    #[test]
    fn either_side_of_a_long_text_is_cut_as_a_call_says() {
        let model = load("tiny-bert");
        let (text, limit) =
            (["a dog ".to_owned() + &"the cat sat on the mat ".repeat(100)], model.max_seq_length());
        let mut whole = load("tiny-bert").tokenizer;
        whole.set_max_seq_length(usize::MAX).unwrap();
        let all = whole.encode(&text[0]).unwrap().ids;
        assert!(all.len() > limit);
        let of = |options: &EncodeOptions| model.tokenize_batch(&text, options).unwrap().remove(0);
        let [right, left] = [TruncationSide::Right, TruncationSide::Left]
            .map(|side| EncodeOptions::default().truncation_side(side));
        assert_eq!(of(&right).ids(), [&all[..limit - 1], &all[all.len() - 1..]].concat());
        assert_eq!(of(&left).ids(), [&all[..1], &all[all.len() - limit + 1..]].concat());
        assert_eq!(of(&EncodeOptions::default()), of(&right));
        let vectors = model.encode_batch(&text, &left).unwrap();
        assert_eq!(vectors, model.encode_ids(&[of(&left)], &left).unwrap());
        assert_ne!(vectors, model.encode_batch(&text, &right).unwrap());
    }

    #[test]
    fn long_texts_are_cut_or_refused_before_anything_is_computed() {
        let model = load("tiny-bert");
        let texts = ["a dog".to_owned(), "the cat ".repeat(400)];
        let cut = model.tokenize_batch(&texts, &EncodeOptions::default()).unwrap();
        assert_eq!(cut[1].ids().len(), model.max_seq_length());
        assert!(cut[1].token_count().truncated() && !cut[0].token_count().truncated());
        let refused = EncodeOptions::default().truncation(Truncation::Error);
        let error = model.tokenize_batch(&texts, &refused).unwrap_err();
        let Error::TooLong { index: 1, tokens, .. } = error else { panic!("{error}") };
        assert_eq!(tokens, cut[1].token_count().total);
        let error = model.tokenize_batch(&texts, &refused.truncation(Truncation::Split)).unwrap_err();
        assert!(matches!(error, Error::Option { option: "truncation", .. }), "{error}");
    }
}
