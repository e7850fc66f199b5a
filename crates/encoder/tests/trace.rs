//! The traced pass of the tiny models in `fixtures/`: the bits of the forward pass, and nothing but what its
//! steps say of themselves.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use minilm_encoder::{
    Arena, Encoder, EncoderConfig, EncoderError, EncoderOptions, Tap, TraceStep, TraceValues, Workers,
};
use minilm_kernels::{Isa, PositionBias, Precision, reference};
use minilm_weights::Weights;

fn tiny_bert(isa: Isa, precision: Precision) -> Encoder {
    load(isa, precision, vec![(0..48).collect(), (200..210).collect()])
}

/// A model of every architecture.
const MODELS: [&str; 6] =
    ["tiny-bert", "tiny-bert-odd", "tiny-mpnet", "tiny-roberta", "tiny-xlm-roberta", "tiny-distilbert"];

/// One of these, calibrated with two sequences.
fn tiny(model: &str, isa: Isa, precision: Precision) -> Encoder {
    load_model(model, isa, precision, vec![(0..40).collect(), (200..210).collect()])
}

fn load(isa: Isa, precision: Precision, calibration: Vec<Vec<u32>>) -> Encoder {
    load_model("tiny-bert", isa, precision, calibration)
}

fn load_model(model: &str, isa: Isa, precision: Precision, calibration: Vec<Vec<u32>>) -> Encoder {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(model);
    let config = EncoderConfig::from_file(folder.join("config.json")).unwrap();
    let weights = Weights::open_in(&folder).unwrap();
    let workers = Workers::new(1).unwrap();
    let options = EncoderOptions::new(isa, &workers).precision(precision).calibration(calibration);
    Encoder::load(config, weights, &options).unwrap()
}

/// Sequences around the lanes, one token and none.
fn sequences() -> Vec<Vec<u32>> {
    [0, 1, 2, 15, 16, 17, 33, 48].map(|s| (0..s).map(|t| (t * 37 + 5) % 301).collect()).to_vec()
}

/// These, and of a model that may be longer one that is, with padding tokens wherever they may stand.
fn sequences_of(encoder: &Encoder) -> Vec<Vec<u32>> {
    let config = encoder.config();
    let mut sequences = sequences();
    sequences.retain(|ids| ids.len() <= config.max_positions());
    let longest: Vec<u32> = (0..config.max_positions().min(200) as u32).map(|t| (t * 41 + 7) % 301).collect();
    sequences.push(longest);
    if let Some(padding) = config.position_padding_id {
        let p = padding;
        sequences.extend([vec![p], vec![p, p, 7, p, 8, 9, p, p, 10], vec![6, p], vec![5, 6, 7, p, 8, 9]]);
    }
    sequences
}

/// The weights file as somebody who ports the model reads it: every tensor as f32.
struct TensorsAsRead<'a>(&'a Weights);

impl TensorsAsRead<'_> {
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
    encoder: &Encoder,
) -> Vec<f32> {
    let (config, weights) = (encoder.config(), TensorsAsRead(encoder.weights()));
    let (h, s, heads, head_size) =
        (config.hidden_size, ids.len(), config.num_attention_heads, config.head_size());
    let input = |i: usize| &before[&step.inputs[i]][..];
    let bias = || {
        let bias = step.inputs.get(1).filter(|_| s > 0)?;
        assert_eq!(bias, "position_bias");
        Some(PositionBias::new(&before[bias], heads, s))
    };
    match step.reference {
        Some("relative_position_bucket") => {
            let biases = weights.matrix(&step.weights[0], config.relative_attention_num_buckets, heads);
            let distances = (0..(2 * s).saturating_sub(1)).map(|i| i.cast_signed() - (s.cast_signed() - 1));
            let of_head = |head| distances.clone().map(move |d| (d, head));
            (0..heads).flat_map(of_head).map(|(d, head)| biases[bucket(d) * heads + head]).collect()
        }
        None => {
            assert_eq!((&step.name[..], &step.inputs[0][..]), ("embeddings.word", "input_ids"));
            let words = weights.matrix(&step.weights[0], config.vocab_size, h);
            ids.iter().flat_map(|&id| words[id as usize * h..][..h].to_vec()).collect()
        }
        Some("embedding_sum") => {
            let (positions, types) = step.weights.split_last().expect("positions are added");
            let types = match types {
                [types] => weights.matrix(types, config.type_vocab_size, h),
                none => {
                    assert!(none.is_empty() && config.type_vocab_size == 0);
                    vec![0.0; h]
                }
            };
            let positions = weights.matrix(positions, config.max_position_embeddings, h);
            let rows = input(0).chunks(h).zip(position_ids(ids, config.position_padding_id));
            rows.flat_map(|(word, id)| reference::embedding_sum(word, &types[..h], &positions[id * h..][..h]))
                .collect()
        }
        Some(product @ ("linear" | "linear_bf16" | "linear_int8")) => {
            let (n, parts) = (step.shape[1], step.weights.len() / 2);
            let Some(k) = input(0).len().checked_div(s) else { return Vec::new() };
            let (mut weight, mut bias) = (Vec::new(), Vec::new());
            for part in step.weights.chunks(2) {
                weight.extend(weights.matrix(&part[0], n / parts, k));
                bias.extend(weights.vector(&part[1], n / parts));
            }
            match product {
                "linear" => reference::linear(input(0), &weight, &bias, s, n, k),
                "linear_bf16" => reference::linear_bf16(input(0), &weight, &bias, s, n, k),
                _ => {
                    let factors = step.inputs.get(1).map_or(vec![1.0; k], |name| before[name].clone());
                    reference::linear_int8(input(0), &weight, &bias, &factors)
                }
            }
        }
        Some("attention_bf16") => reference::attention_bf16(input(0), s, heads, head_size, bias()),
        Some("attention_scores") => reference::attention_scores(input(0), s, heads, head_size, bias()),
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
        Some("gelu_tanh") => input(0).iter().map(|&x| reference::gelu_tanh(x)).collect(),
        Some("silu") => input(0).iter().map(|&x| reference::silu(x)).collect(),
        Some("relu") => input(0).iter().map(|&x| reference::relu(x)).collect(),
        Some("gelu_polynomial") => input(0).iter().map(|&x| reference::gelu_polynomial(x)).collect(),
        Some(other) => panic!("{} is specified by {other}", step.name),
    }
}

/// As transformers' `create_position_ids_from_input_ids`; 0, 1, 2 … without a padding token.
fn position_ids(ids: &[u32], padding: Option<u32>) -> Vec<usize> {
    let Some(padding) = padding else { return (0..ids.len()).collect() };
    let mut counted = padding as usize;
    let id = |&id: &u32| {
        counted += usize::from(id != padding);
        if id == padding { padding as usize } else { counted }
    };
    ids.iter().map(id).collect()
}

/// As transformers' `MPNetEncoder.relative_position_bucket` in floating point, by the key's distance from the query.
fn bucket(distance: isize) -> usize {
    let n = distance.unsigned_abs();
    let large = || 8 + ((n as f64 / 8.0).ln() / 16.0_f64.ln() * 8.0 + 1e-9) as usize;
    (if distance > 0 { 16 } else { 0 }) + if n < 8 { n } else { large().min(15) }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// How many steps a model's layers have together.
fn steps_of_layers(layers: usize, precision: Precision) -> usize {
    match precision {
        Precision::F32 => layers * 12,
        // Attention is one, but in the last layer, which has that in f32.
        Precision::Bf16 => (layers - 1) * 10 + 12,
        // It is one, and two products of a layer have factors.
        Precision::Int8 => layers * (10 + 2),
    }
}

/// Checks every step of a trace against [`recompute`]; gives back the names of the weights that were used.
fn check_steps(encoder: &Encoder, ids: &[u32]) -> HashSet<String> {
    let of = format!("{} tokens in {} on {}", ids.len(), encoder.precision(), encoder.isa());
    let mut before: HashMap<String, Vec<f32>> = HashMap::new();
    let mut used = HashSet::new();
    let mut count = 0;
    let states = encoder.trace(ids, &mut |step| {
        count += 1;
        assert!(!step.description.is_empty() && !step.description.contains('\n'), "{step:?}");
        used.extend(step.weights.iter().cloned());
        let found = match step.values {
            TraceValues::Ids(found) => {
                let expected = ("input_ids", ids, &[ids.len()][..]);
                assert_eq!((&step.name[..], found, &step.shape[..]), expected);
                return;
            }
            TraceValues::F32(found) => found,
            _ => panic!("{} is of another type", step.name),
        };
        assert_eq!(found.len(), step.shape.iter().product::<usize>(), "{}", step.name);
        if step.name.ends_with(".factors") {
            assert!(step.inputs.is_empty() && step.reference.is_none(), "{step:?}");
            assert!(found.iter().all(|&x| x > 0.0) && found.iter().any(|&x| x != 1.0), "{step:?}");
        } else {
            let expected = recompute(step, ids, &before, encoder);
            assert!(bits(found) == bits(&expected), "{} of {of}", step.name);
        }
        assert!(before.insert(step.name.clone(), found.to_vec()).is_none(), "{} twice", step.name);
    });
    let (config, layers) = (encoder.config(), encoder.config().num_hidden_layers);
    assert_eq!(bits(&states.unwrap()), bits(&before[&last_step(encoder)]), "{of}");
    let biases = usize::from(config.relative_attention_num_buckets > 0);
    assert_eq!(count, 4 + biases + steps_of_layers(layers, encoder.precision()), "{of}");
    used
}

fn last_step(encoder: &Encoder) -> String {
    format!("layer.{}.output.layer_norm", encoder.config().num_hidden_layers - 1)
}

#[test]
fn every_step_is_what_it_says_of_itself() {
    for model in MODELS {
        for precision in Precision::ALL {
            for isa in Isa::available() {
                let encoder = tiny(model, isa, precision);
                for ids in sequences_of(&encoder) {
                    let used = check_steps(&encoder, &ids);
                    let all: HashSet<String> = encoder.weights().names().map(str::to_owned).collect();
                    assert!(used.is_subset(&all), "{model}");
                    // A model's own pooler and its head, which sentence-transformers does not use, and 0, 1, 2 …, which are
                    // no weights.
                    for name in all.difference(&used) {
                        let known = [
                            "position_ids",
                            "pooler.",
                            "lm_head.",
                            "vocab_transform.",
                            "vocab_layer_norm.",
                            "vocab_projector.",
                            "cls.",
                        ];
                        assert!(
                            known.iter().any(|known| name.contains(known)),
                            "{name} of {model} is not used"
                        );
                    }
                }
            }
        }
    }
}

/// Without calibration there are no factors to show, and all are 1.
#[test]
fn int8_without_calibration_is_what_it_says_too() {
    let encoder = load(Isa::best(), Precision::Int8, Vec::new());
    let ids: Vec<u32> = (5..25).collect();
    let mut before = HashMap::new();
    encoder
        .trace(&ids, &mut |step| {
            let TraceValues::F32(found) = step.values else { return };
            assert!(step.inputs.len() == 1 || step.reference == Some("residual_sum"), "{step:?}");
            assert!(bits(found) == bits(&recompute(step, &ids, &before, &encoder)), "{}", step.name);
            before.insert(step.name.clone(), found.to_vec());
        })
        .unwrap();
    assert_eq!(before.len(), 3 + 2 * 10);
}

/// The states at each tap of the forward pass, and after it.
fn forward(encoder: &Encoder, ids: &[u32]) -> (HashMap<String, Vec<f32>>, Vec<f32>) {
    let mut arena = Arena::default();
    arena.tokens.push(ids);
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
    (taps, arena.hidden().to_vec())
}

#[test]
fn the_traced_pass_has_the_bits_of_the_forward_pass() {
    for model in MODELS {
        for precision in Precision::ALL {
            for isa in Isa::available() {
                let encoder = tiny(model, isa, precision);
                for ids in sequences_of(&encoder) {
                    check_taps(&encoder, &ids);
                }
            }
        }
    }
}

fn check_taps(encoder: &Encoder, ids: &[u32]) {
    let of = format!("{} tokens in {} on {}", ids.len(), encoder.precision(), encoder.isa());
    let (mut taps, hidden) = forward(encoder, ids);
    assert_eq!(taps.len(), 1 + encoder.config().num_hidden_layers);
    let states = encoder.trace(ids, &mut |step| {
        if let (Some(expected), TraceValues::F32(found)) = (taps.remove(&step.name), step.values) {
            assert!(bits(found) == bits(&expected), "{} of {of}", step.name);
        }
    });
    assert!(taps.is_empty(), "not in the trace: {:?}", taps.keys());
    assert_eq!(bits(&states.unwrap()), bits(&hidden), "{of}");
}

#[test]
fn nothing_is_shown_of_a_sequence_that_is_refused() {
    let encoder = tiny_bert(Isa::best(), Precision::F32);
    let never = &mut |step: &TraceStep<'_>| panic!("{} is shown", step.name);
    let error = encoder.trace(&[9; 49], never).unwrap_err();
    assert!(matches!(error, EncoderError::TooLong { tokens: 49, max_positions: 48 }), "{error}");
    let error = encoder.trace(&[9, 301], never).unwrap_err();
    assert!(matches!(error, EncoderError::UnknownToken { id: 301, vocab_size: 301 }), "{error}");
}

/// The tensors of a trace by their names.
fn tensors(encoder: &Encoder, ids: &[u32]) -> HashMap<String, Vec<f32>> {
    let mut tensors = HashMap::new();
    encoder
        .trace(ids, &mut |step| {
            if let TraceValues::F32(values) = step.values {
                tensors.insert(step.name.clone(), values.to_vec());
            }
        })
        .unwrap();
    tensors
}

#[test]
fn what_precisions_have_in_common_has_the_same_names_and_sizes() {
    let ids: Vec<u32> = (5..25).collect();
    let in_f32 = tensors(&tiny_bert(Isa::best(), Precision::F32), &ids);
    for precision in [Precision::Bf16, Precision::Int8] {
        let narrow = tensors(&tiny_bert(Isa::best(), precision), &ids);
        for (name, values) in &narrow {
            let expected = in_f32.get(name).map(Vec::len);
            assert!(expected == Some(values.len()) || name.ends_with(".factors"), "{name} in {precision}");
        }
        for name in in_f32.keys().filter(|name| !narrow.contains_key(*name)) {
            let inside_attention = ["attention.scores", "attention.probabilities"];
            assert!(inside_attention.iter().any(|end| name.ends_with(end)), "{name} in {precision}");
        }
    }
}

/// With the tensors of another pass in the place of its own, a step is what it says of itself, computed from those.
#[test]
fn steps_are_computed_from_what_they_are_patched_with() {
    for precision in Precision::ALL {
        let encoder = tiny_bert(Isa::best(), precision);
        for ids in sequences() {
            // Nowhere near the pass of the ids themselves.
            let others: Vec<u32> = ids.iter().map(|id| (id * 7 + 11) % 301).collect();
            let patches = tensors(&tiny_bert(Isa::best(), Precision::F32), &others);
            let mut before: HashMap<String, Vec<f32>> = HashMap::new();
            let states = encoder.trace_patched(&ids, &mut |step| {
                let TraceValues::F32(found) = step.values else { return None };
                let is_factors = step.name.ends_with(".factors");
                if !is_factors {
                    let expected = recompute(step, &ids, &before, &encoder);
                    assert!(bits(found) == bits(&expected), "{} in {precision}", step.name);
                }
                let patch = if is_factors { None } else { patches.get(&step.name).cloned() };
                before.insert(step.name.clone(), patch.clone().unwrap_or_else(|| found.to_vec()));
                patch
            });
            assert_eq!(bits(&states.unwrap()), bits(&patches["layer.1.output.layer_norm"]), "{precision}");
        }
    }
}

/// One tensor alone: nothing changes before it, and after it the pass is that of another.
#[test]
fn a_patch_leads_into_another_pass() {
    let encoder = tiny_bert(Isa::best(), Precision::F32);
    let [ids, others] = [5, 105].map(|first| (first..first + 20).collect::<Vec<u32>>());
    let [own, other] = [&ids, &others].map(|ids| tensors(&encoder, ids));
    let name = "layer.0.output.layer_norm";
    let mut patched = false;
    let states = encoder.trace_patched(&ids, &mut |step| {
        let TraceValues::F32(found) = step.values else { return None };
        let expected = if patched { &other } else { &own };
        assert!(bits(found) == bits(&expected[&step.name]), "{}", step.name);
        patched |= step.name == name;
        (step.name == name).then(|| other[name].clone())
    });
    assert_eq!(bits(&states.unwrap()), bits(&other["layer.1.output.layer_norm"]));
}

/// Patches every step of that name with so many zeros.
fn patch_with_zeros(name: &str, len: usize) {
    let encoder = tiny_bert(Isa::best(), Precision::Int8);
    let zeros = &mut |step: &TraceStep<'_>| (step.name == name).then(|| vec![0.0; len]);
    encoder.trace_patched(&[5, 6, 7], zeros).unwrap();
}

#[test]
#[should_panic(expected = "layer.1.attention.context has 120 elements, and 119 cannot replace them")]
fn a_patch_has_as_many_elements_as_the_step() {
    patch_with_zeros("layer.1.attention.context", 119);
}

#[test]
#[should_panic(expected = "input_ids is not computed and cannot be replaced")]
fn ids_cannot_be_patched() {
    patch_with_zeros("input_ids", 3);
}

#[test]
#[should_panic(expected = "layer.0.attention.qkv.factors is not computed and cannot be replaced")]
fn factors_cannot_be_patched() {
    patch_with_zeros("layer.0.attention.qkv.factors", 40);
}
