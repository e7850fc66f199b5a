//! Requests whose answers are known.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minilm::{Vectors, cos_sim};
use serde_json::{Value, json};

use crate::http::{Answer, Request, beginning};
use crate::pool::{FORMS, Form, Pool, Text};
use crate::random::Random;
use crate::server::{ANSWER_LIMIT, MAX_CONCURRENT_REQUESTS};

type Check<'a> = Box<dyn Fn(&Answer) -> Result<(), String> + Send + Sync + 'a>;

/// A valid request, and how to tell whether an answer with the status 200 is right.
pub(crate) struct Question<'a> {
    pub(crate) request: Request,
    /// How many texts the server embeds for it.
    pub(crate) texts: usize,
    check: Check<'a>,
}

/// Of how many tokens the server sends the vectors.
fn answered_tokens(pool: &Pool) -> usize {
    ANSWER_LIMIT / (pool.dimension * size_of::<f32>())
}

impl<'a> Question<'a> {
    fn new(
        request: Request,
        texts: usize,
        check: impl Fn(&Answer) -> Result<(), String> + Send + Sync + 'a,
    ) -> Self {
        Question { request, texts, check: Box::new(check) }
    }

    /// What is wrong with the answer.
    pub(crate) fn check(&self, answer: &Answer) -> Result<(), String> {
        if answer.status != 200 {
            return Err("expected 200".to_owned());
        }
        (self.check)(answer)
    }

    /// Whether the server may say that it has too much to do.
    pub(crate) fn may_be_refused(&self) -> bool {
        self.request.method == "POST"
    }

    /// One of a few texts, at any of the paths.
    pub(crate) fn any(pool: &'a Pool, random: &mut Random) -> Question<'a> {
        let n = if random.one_in(2) { 1 } else { random.within(2..12) };
        let texts = pool.choose(random, n);
        match random.below(16) {
            0..5 => Question::embed(texts, random.choose(&FORMS), random.one_in(2)),
            5..8 => Question::openai(texts, random),
            8 => {
                let mut room = answered_tokens(pool);
                let fits = |text: &&Text| {
                    let rest = room.checked_sub(text.tokens);
                    room = rest.unwrap_or(0);
                    rest.is_some()
                };
                Question::embed_all(texts.into_iter().take_while(fits).collect(), pool.dimension)
            }
            9 | 10 => Question::similarity(texts, pool.choose(random, 1)[0], pool.dimension, random),
            11 => Question::tokenize(texts),
            12 => Question::decode(texts),
            _ => Question::about_the_server(pool, random),
        }
    }

    /// One of a single path, of some texts.
    pub(crate) fn of_texts(pool: &'a Pool, random: &mut Random, n: usize) -> Question<'a> {
        Question::embed(pool.choose(random, n), Form::Normalized, false)
    }

    /// One whose answer has as many bytes as the server sends.
    pub(crate) fn long_answer(pool: &'a Pool, random: &mut Random) -> Question<'a> {
        Question::embed_all(pool.with_tokens(random, answered_tokens(pool)), pool.dimension)
    }

    fn embed(texts: Vec<&'a Text>, form: Form, alone: bool) -> Question<'a> {
        let mut body = match (alone, &texts[..]) {
            (true, [text]) => json!({"inputs": text.text}),
            _ => json!({"inputs": list(&texts)}),
        };
        match form {
            Form::Normalized => (),
            Form::Unscaled => body["normalize"] = false.into(),
            Form::Dimensions(dimensions) => body["dimensions"] = dimensions.into(),
            Form::CutLeft => body["truncation_direction"] = "Left".into(),
        }
        let path = if alone { "/" } else { "/embed" };
        Question::new(Request::post(path, body.to_string()), texts.len(), move |answer| {
            said_of_tokens(answer, &texts)?;
            let found: Vec<Vec<f32>> = read(answer)?;
            number(found.len(), texts.len())?;
            found.iter().zip(&texts).enumerate().try_for_each(|(i, (found, text))| {
                same_bits(found, text.vector(form)).map_err(|error| format!("vector {i}: {error}"))
            })
        })
    }

    fn embed_all(texts: Vec<&'a Text>, dimension: usize) -> Question<'a> {
        let body = json!({"inputs": list(&texts)}).to_string();
        Question::new(Request::post("/embed_all", body), texts.len(), move |answer| {
            said_of_tokens(answer, &texts)?;
            let found: Vec<Vec<Vec<f32>>> = read(answer)?;
            number(found.len(), texts.len())?;
            for (i, (found, text)) in found.iter().zip(&texts).enumerate() {
                let expected = text.token_vectors.chunks(dimension);
                number(found.len(), expected.len())?;
                for (k, (found, expected)) in found.iter().zip(expected).enumerate() {
                    same_bits(found, expected).map_err(|error| format!("text {i}, token {k}: {error}"))?;
                }
            }
            Ok(())
        })
    }

    fn openai(texts: Vec<&'a Text>, random: &mut Random) -> Question<'a> {
        let form =
            random.choose(&[Form::Normalized, Form::Normalized, Form::Dimensions(7), Form::Dimensions(128)]);
        let is_base64 = random.one_in(2);
        let mut body = json!({"input": list(&texts), "model": "any"});
        if let Form::Dimensions(dimensions) = form {
            body["dimensions"] = dimensions.into();
        }
        if is_base64 {
            body["encoding_format"] = "base64".into();
        }
        let path = random.choose(&["/v1/embeddings", "/embeddings"]);
        Question::new(Request::post(path, body.to_string()), texts.len(), move |answer| {
            said_of_tokens(answer, &texts)?;
            let body = answer.json()?;
            let tokens: usize = texts.iter().map(|text| text.tokens).sum();
            equal(&body["usage"], &json!({"prompt_tokens": tokens, "total_tokens": tokens}))?;
            equal(&body["object"], &json!("list"))?;
            let data = body["data"].as_array().ok_or("no data")?;
            number(data.len(), texts.len())?;
            for (i, (item, text)) in data.iter().zip(&texts).enumerate() {
                equal(&item["index"], &json!(i))?;
                equal(&item["truncated"], &if text.truncated { json!(true) } else { Value::Null })?;
                let found =
                    if is_base64 { floats_of(&item["embedding"])? } else { numbers_of(&item["embedding"])? };
                same_bits(&found, text.vector(form)).map_err(|error| format!("vector {i}: {error}"))?;
            }
            Ok(())
        })
    }

    fn similarity(
        texts: Vec<&'a Text>,
        source: &'a Text,
        dimension: usize,
        random: &mut Random,
    ) -> Question<'a> {
        let inputs = json!({"source_sentence": source.text, "sentences": list(&texts)});
        let path = random.choose(&["/similarity", "/"]);
        let request = Request::post(path, json!({"inputs": inputs}).to_string());
        Question::new(request, texts.len() + 1, move |answer| {
            let others: Vec<f32> =
                texts.iter().flat_map(|text| text.vector(Form::Normalized)).copied().collect();
            let expected = Vectors::new(source.vector(Form::Normalized), dimension)
                .and_then(|source| cos_sim(source, Vectors::new(&others, dimension)?))
                .map_err(|error| error.to_string())?;
            same_bits(&read::<Vec<f32>>(answer)?, expected.row(0))
        })
    }

    fn tokenize(texts: Vec<&'a Text>) -> Question<'a> {
        let body = json!({"inputs": list(&texts)}).to_string();
        Question::new(Request::post("/tokenize", body), 0, move |answer| {
            equal(&answer.json()?, &texts.iter().map(|text| text.tokenized.clone()).collect())
        })
    }

    fn decode(texts: Vec<&'a Text>) -> Question<'a> {
        let ids: Vec<&[u32]> = texts.iter().map(|text| &text.ids[..]).collect();
        let body = json!({"ids": ids}).to_string();
        Question::new(Request::post("/decode", body), 0, move |answer| {
            equal(&answer.json()?, &texts.iter().map(|text| text.decoded.as_str()).collect())
        })
    }

    pub(crate) fn about_the_server(pool: &'a Pool, random: &mut Random) -> Question<'a> {
        match random.below(4) {
            0 => Question::new(Request::get("/info"), 0, move |answer| {
                let body = answer.json()?;
                equal(&body["max_concurrent_requests"], &json!(MAX_CONCURRENT_REQUESTS))?;
                equal(&body["max_input_length"], &json!(pool.max_seq_length))
            }),
            1 => Question::new(Request::get("/v1/models"), 0, |answer| {
                equal(&answer.json()?["data"][0]["object"], &json!("model"))
            }),
            2 => Question::new(Request::get("/metrics"), 0, |answer| {
                let text = String::from_utf8_lossy(&answer.body);
                if text.contains("\nte_queue_size ") { Ok(()) } else { Err("no te_queue_size".to_owned()) }
            }),
            _ => Question::new(Request::get("/health"), 0, |answer| number(answer.body.len(), 0)),
        }
    }
}

fn list<'a>(texts: &[&'a Text]) -> Vec<&'a str> {
    texts.iter().map(|text| text.text.as_str()).collect()
}

fn read<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, String> {
    serde_json::from_slice(&answer.body).map_err(|error| format!("not as expected: {error}"))
}

fn numbers_of(value: &Value) -> Result<Vec<f32>, String> {
    let numbers = value.as_array().ok_or("no list")?.iter();
    numbers.map(|x| x.as_f64().map(|x| x as f32).ok_or_else(|| format!("{x} is no number"))).collect()
}

fn floats_of(value: &Value) -> Result<Vec<f32>, String> {
    let bytes = STANDARD.decode(value.as_str().ok_or("no string")?).map_err(|error| error.to_string())?;
    let (floats, rest) = bytes.as_chunks();
    number(rest.len(), 0)?;
    Ok(floats.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

/// What the headers say.
fn said_of_tokens(answer: &Answer, texts: &[&Text]) -> Result<(), String> {
    let tokens: usize = texts.iter().map(|text| text.tokens).sum();
    let found = answer.header("x-compute-tokens");
    if found != Some(&tokens.to_string()) {
        return Err(format!("x-compute-tokens is {found:?}, expected {tokens}"));
    }
    Ok(())
}

fn same_bits(found: &[f32], expected: &[f32]) -> Result<(), String> {
    number(found.len(), expected.len())?;
    let differs = |(found, expected): (&f32, &f32)| found.to_bits() != expected.to_bits();
    match found.iter().zip(expected).position(differs) {
        None => Ok(()),
        Some(i) => Err(format!("component {i} is {:?}, expected {:?}", found[i], expected[i])),
    }
}

fn number(found: usize, expected: usize) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{found} of them, expected {expected}")) }
}

fn equal(found: &Value, expected: &Value) -> Result<(), String> {
    let short = |value: &Value| beginning(value.to_string().as_bytes());
    if found == expected { Ok(()) } else { Err(format!("{}, expected {}", short(found), short(expected))) }
}
