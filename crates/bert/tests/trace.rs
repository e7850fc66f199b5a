//! The traced pass of the tiny model in `fixtures/`: the bits of the forward pass, and nothing but what its
//! steps say of themselves.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use minilm_bert::{Arena, BertConfig, BertEncoder, BertError, Tap, TraceStep, TraceValues, Workers};
use minilm_kernels::{Isa, reference};
use minilm_weights::WeightsFile;

fn tiny_bert(isa: Isa) -> BertEncoder {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
    let config = BertConfig::from_file(folder.join("config.json")).unwrap();
    let weights = WeightsFile::open(folder.join("model.safetensors")).unwrap();
    BertEncoder::load(config, weights, isa, &Workers::new(1).unwrap()).unwrap()
}

/// Sequences around the lanes, one token and none.
fn sequences() -> Vec<Vec<u32>> {
    [0, 1, 2, 15, 16, 17, 33, 48].map(|s| (0..s).map(|t| (t * 37 + 5) % 301).collect()).to_vec()
}

/// The weights file as somebody who ports the model reads it: every tensor as f32.
struct Weights<'a>(&'a WeightsFile);

impl Weights<'_> {
    fn vector(&self, name: &str, len: usize) -> Vec<f32> {
        self.0.tensor(name, &[len]).unwrap().to_f32()
    }

    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Vec<f32> {
        self.0.tensor(name, &[rows, columns]).unwrap().to_f32()
    }
}

/// What a step says it is, computed from nothing but its own words: its inputs, the weights it names, and the
/// function of the specification.
fn recompute(
    step: &TraceStep<'_>,
    ids: &[u32],
    before: &HashMap<String, Vec<f32>>,
    encoder: &BertEncoder,
) -> Vec<f32> {
    let (config, weights) = (encoder.config(), Weights(encoder.weights()));
    let (h, s, heads, head_size) =
        (config.hidden_size, ids.len(), config.num_attention_heads, config.head_size());
    let input = |i: usize| &before[&step.inputs[i]][..];
    match step.reference {
        None => {
            assert_eq!((&step.name[..], &step.inputs[0][..]), ("embeddings.word", "input_ids"));
            let words = weights.matrix(&step.weights[0], config.vocab_size, h);
            ids.iter().flat_map(|&id| words[id as usize * h..][..h].to_vec()).collect()
        }
        Some("embedding_sum") => {
            let types = weights.matrix(&step.weights[0], config.type_vocab_size, h);
            let positions = weights.matrix(&step.weights[1], config.max_position_embeddings, h);
            let rows = input(0).chunks(h).zip(positions.chunks(h));
            rows.flat_map(|(word, position)| reference::embedding_sum(word, &types[..h], position)).collect()
        }
        Some("linear") => {
            let (n, parts) = (step.shape[1], step.weights.len() / 2);
            let Some(k) = input(0).len().checked_div(s) else { return Vec::new() };
            let (mut weight, mut bias) = (Vec::new(), Vec::new());
            for part in step.weights.chunks(2) {
                weight.extend(weights.matrix(&part[0], n / parts, k));
                bias.extend(weights.vector(&part[1], n / parts));
            }
            reference::linear(input(0), &weight, &bias, s, n, k)
        }
        Some("attention_scores") => reference::attention_scores(input(0), s, heads, head_size),
        Some("softmax") => {
            let mut x = input(0).to_vec();
            x.chunks_mut(s.max(1)).for_each(reference::softmax);
            x
        }
        Some("attention_context") => reference::attention_context(input(0), input(1), s, heads, head_size),
        Some("residual_sum") => reference::residual_sum(input(0), input(1)),
        Some("layer_norm") => {
            let [gamma, beta] = [0, 1].map(|i| weights.vector(&step.weights[i], h));
            let mut x = input(0).to_vec();
            for row in x.chunks_mut(h) {
                reference::layer_norm(row, &gamma, &beta, config.layer_norm_eps);
            }
            x
        }
        Some("gelu") => input(0).iter().map(|&x| reference::gelu(x)).collect(),
        Some(other) => panic!("{} is specified by {other}", step.name),
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_step_is_what_it_says_of_itself() {
    for isa in Isa::available() {
        let encoder = tiny_bert(isa);
        for ids in sequences() {
            let mut before: HashMap<String, Vec<f32>> = HashMap::new();
            let mut used = HashSet::new();
            let mut count = 0;
            let states = encoder.trace(&ids, &mut |step| {
                count += 1;
                assert!(!step.description.is_empty() && !step.description.contains('\n'), "{step:?}");
                used.extend(step.weights.iter().cloned());
                match step.values {
                    TraceValues::Ids(found) => {
                        assert_eq!(
                            (&step.name[..], found, &step.shape[..]),
                            ("input_ids", &ids[..], &[ids.len()][..])
                        );
                    }
                    TraceValues::F32(found) => {
                        assert_eq!(found.len(), step.shape.iter().product::<usize>(), "{}", step.name);
                        let expected = recompute(step, &ids, &before, &encoder);
                        assert!(
                            bits(found) == bits(&expected),
                            "{} of {} tokens on {isa}",
                            step.name,
                            ids.len()
                        );
                        assert!(
                            before.insert(step.name.clone(), found.to_vec()).is_none(),
                            "{} twice",
                            step.name
                        );
                    }
                    _ => panic!("{} is of another type", step.name),
                }
            });
            assert_eq!(bits(&states.unwrap()), bits(&before["layer.1.output.layer_norm"]));
            assert_eq!(count, 4 + 2 * 12);
            let all: HashSet<String> = encoder.weights().names().map(str::to_owned).collect();
            // BertModel's own pooler, which sentence-transformers does not use, and 0, 1, 2 …, which are no weights.
            let unused = ["embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"];
            let mut found: Vec<_> = all.difference(&used).collect();
            found.sort();
            assert_eq!(found, unused);
            assert!(used.is_subset(&all));
        }
    }
}

#[test]
fn the_traced_pass_has_the_bits_of_the_forward_pass() {
    for isa in Isa::available() {
        let encoder = tiny_bert(isa);
        for ids in sequences() {
            let mut arena = Arena::default();
            arena.tokens.push(&ids);
            let mut taps = HashMap::new();
            let keep = &mut |tap: Tap, state: &[f32]| {
                let name = match tap {
                    Tap::Embeddings => "embeddings.layer_norm".to_owned(),
                    Tap::Layer(i) => format!("layer.{i}.output.layer_norm"),
                    other => panic!("{other:?} is not known"),
                };
                taps.insert(name, state.to_vec());
            };
            encoder.forward_observed(&mut arena, keep).unwrap();
            assert_eq!(taps.len(), 3);
            let states = encoder.trace(&ids, &mut |step| {
                if let (Some(expected), TraceValues::F32(found)) = (taps.remove(&step.name), step.values) {
                    assert!(bits(found) == bits(&expected), "{} of {} tokens on {isa}", step.name, ids.len());
                }
            });
            assert!(taps.is_empty(), "not in the trace: {:?}", taps.keys());
            assert_eq!(bits(&states.unwrap()), bits(arena.hidden()));
        }
    }
}

#[test]
fn nothing_is_shown_of_a_sequence_that_is_refused() {
    let encoder = tiny_bert(Isa::best());
    let never = &mut |step: &TraceStep<'_>| panic!("{} is shown", step.name);
    let error = encoder.trace(&[9; 49], never).unwrap_err();
    assert!(matches!(error, BertError::TooLong { tokens: 49, max_position_embeddings: 48 }), "{error}");
    let error = encoder.trace(&[9, 301], never).unwrap_err();
    assert!(matches!(error, BertError::UnknownToken { id: 301, vocab_size: 301 }), "{error}");
}
