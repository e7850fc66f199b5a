//! The texts that are sent, and what the library makes of them.

use std::error::Error;
use std::path::Path;

use minilm::{EncodeOptions, SentenceTransformer, TokenizeOptions, TruncationSide};
use minilm_tests::mixed_texts::Parts;
use minilm_tests::sized_texts::text_of;
use serde_json::{Value, json};

use crate::random::Random;

/// How a vector may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Normalized,
    Unscaled,
    Dimensions(usize),
    CutLeft,
}

pub(crate) const FORMS: [Form; 5] =
    [Form::Normalized, Form::Unscaled, Form::Dimensions(7), Form::Dimensions(128), Form::CutLeft];

impl Form {
    fn options(self) -> EncodeOptions {
        let normalized = EncodeOptions::default().normalize_embeddings(true);
        match self {
            Form::Normalized => normalized,
            Form::Unscaled => EncodeOptions::default().unscaled(true),
            Form::Dimensions(dimensions) => normalized.truncate_dim(dimensions),
            Form::CutLeft => normalized.truncation_side(TruncationSide::Left),
        }
    }
}

pub(crate) struct Text {
    pub(crate) text: String,
    /// Of which its vector is made.
    pub(crate) tokens: usize,
    pub(crate) truncated: bool,
    pub(crate) ids: Vec<u32>,
    /// What `/tokenize` has for it.
    pub(crate) tokenized: Value,
    /// The text of its ids.
    pub(crate) decoded: String,
    /// One for each of [`FORMS`].
    vectors: Vec<Vec<f32>>,
    /// One behind the other.
    pub(crate) token_vectors: Vec<f32>,
}

impl Text {
    pub(crate) fn vector(&self, form: Form) -> &[f32] {
        let index = FORMS.iter().position(|&known| known == form).expect("one of the forms");
        &self.vectors[index]
    }
}

pub(crate) struct Pool {
    texts: Vec<Text>,
    pub(crate) dimension: usize,
    pub(crate) max_seq_length: usize,
}

impl Pool {
    /// Encodes a few hundred texts with the model of that name or in that folder.
    pub(crate) fn new(model: &Path, seed: u64) -> Result<Pool, Box<dyn Error>> {
        let model = SentenceTransformer::load(model)?;
        let texts = texts(&model, seed)?;
        let vectors = FORMS.map(|form| model.encode_batch(&texts, &form.options()));
        let [a, b, c, d, e] = vectors;
        let vectors = [a?, b?, c?, d?, e?];
        let token_vectors = model.encode_tokens(&texts, &EncodeOptions::default())?;
        let mut pool = Pool {
            texts: Vec::new(),
            dimension: model.embedding_dimension(),
            max_seq_length: model.max_seq_length(),
        };
        for (index, (text, token_vectors)) in texts.into_iter().zip(token_vectors).enumerate() {
            let tokenized = simple_tokens(&model, &text)?;
            let (ids, count) = model.tokenize(&text)?;
            pool.texts.push(Text {
                tokens: count.used,
                truncated: count.truncated(),
                decoded: model.decode(&ids, true)?,
                ids,
                tokenized,
                vectors: vectors.iter().map(|vectors| vectors.row(index).to_vec()).collect(),
                token_vectors: token_vectors.token_embeddings().as_slice().to_vec(),
                text,
            });
        }
        Ok(pool)
    }

    pub(crate) fn choose(&self, random: &mut Random, n: usize) -> Vec<&Text> {
        (0..n).map(|_| &self.texts[random.below(self.texts.len())]).collect()
    }

    /// A text with more tokens than the model takes.
    pub(crate) fn too_long(&self, random: &mut Random) -> &Text {
        let long: Vec<&Text> = self.texts.iter().filter(|text| text.truncated).collect();
        random.choose(&long)
    }

    /// Texts with nearly so many tokens.
    pub(crate) fn with_tokens(&self, random: &mut Random, tokens: usize) -> Vec<&Text> {
        let (mut chosen, mut all) = (Vec::new(), 0);
        loop {
            let text = &self.texts[random.below(self.texts.len())];
            all += text.tokens;
            if all > tokens {
                return chosen;
            }
            chosen.push(text);
        }
    }
}

/// Short and long ones, Unicode, and what is special to tokenizers.
fn texts(model: &SentenceTransformer, seed: u64) -> Result<Vec<String>, Box<dyn Error>> {
    let limit = model.max_seq_length();
    let mut texts: Vec<String> = [
        "",
        " ",
        "a",
        "cat",
        "\0",
        "🦀",
        "👩‍👩‍👧‍👦 👍🏽",
        "naïve café",
        "Москва",
        "東京都",
        "שלום",
        "\"quoted\\\" \n\t",
    ]
    .map(str::to_owned)
    .into();
    let random = &mut Random::new(seed, u64::MAX, 0);
    texts.extend((0..140).map(|_| text_of(random.within(3..24))));
    texts.extend((0..16).map(|_| text_of(random.within(24..limit))));
    texts.extend((1..8).map(|n| text_of(limit + n * n * n)));
    let tokenizer = std::fs::read_to_string(model.resolved().directory().join("tokenizer.json"))?;
    texts.extend(Parts::of(&tokenizer).texts(&random.bytes(3000)));
    Ok(texts)
}

/// As `/tokenize` writes them.
fn simple_tokens(model: &SentenceTransformer, text: &str) -> Result<Value, Box<dyn Error>> {
    let tokens = model.readable_tokens(text, &TokenizeOptions::default().truncation(false))?.tokens;
    let simple = tokens.into_iter().map(|token| match token.span {
        Some(span) => {
            let part = text.get(span.bytes.clone()).map_or(token.text, str::to_owned);
            json!({
                "id": token.id, "text": part, "special": false, "start": span.bytes.start, "stop": span.bytes.end
            })
        }
        None => json!({"id": token.id, "text": token.text, "special": true, "start": null, "stop": null}),
    });
    Ok(simple.collect())
}
