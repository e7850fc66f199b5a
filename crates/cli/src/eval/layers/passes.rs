//! The passes over a text that its errors are taken from.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use minilm::{EncodeProgress, SentenceTransformer, TokenCount, TraceStep, TraceValues};

use super::{POOLED, STEPS};
use crate::error::CliError;
use crate::eval::statistics::{Agreement, Deviation};
use crate::model::name_of;
use crate::progress::EmbedBar;

/// The same model in two precisions.
pub(super) struct Passes<'a> {
    model: &'a SentenceTransformer,
    in_f32: &'a SentenceTransformer,
    /// The names of the steps that are compared, in the order of the pass: the layers' and then [`POOLED`].
    names: Vec<String>,
    /// Where in `names` each is.
    places: HashMap<String, usize>,
}

/// What became of one text.
pub(super) struct TextErrors {
    /// Of each layer those of [`STEPS`].
    pub(super) steps: Vec<StepErrors>,
    pub(super) pooled: Deviation,
    /// The vector, and the one in f32.
    pub(super) vectors: [Vec<f32>; 2],
    pub(super) count: TokenCount,
}

/// See [`super::Step`].
pub(super) struct StepErrors {
    pub(super) own: Deviation,
    pub(super) accumulated: Deviation,
    pub(super) loss_alone: f64,
}

/// The tensors of a pass, at the places of their names.
type Tensors = Vec<Vec<f32>>;

impl<'a> Passes<'a> {
    pub(super) fn of(model: &'a SentenceTransformer, in_f32: &'a SentenceTransformer) -> Passes<'a> {
        let layers = 0..in_f32.config().num_hidden_layers;
        let of_layer = |i| STEPS.map(|(step, _)| format!("layer.{i}.{step}"));
        let names: Vec<String> = layers.flat_map(of_layer).chain([POOLED.to_owned()]).collect();
        let places = names.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        Passes { model, in_f32, names, places }
    }

    /// The errors of each text, in order. Every thread takes the next text until none is left.
    pub(super) fn run(
        &self,
        texts: &[&str],
        progress: Option<&EmbedBar>,
    ) -> Result<Vec<TextErrors>, CliError> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            let mut results = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(text) = texts.get(i) else { return results };
                results.push((i, self.errors(text)));
                if let Some(progress) = progress {
                    progress.encoded(done.fetch_add(1, Ordering::Relaxed) + 1, Some(texts.len()));
                }
            }
        };
        let threads = self.in_f32.threads().min(texts.len());
        let mut results = thread::scope(|scope| {
            // This thread works too; if the system gives no more of them, those that there are do all.
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let others: Vec<_> = (1..threads).map_while(spawn).collect();
            let mut results: Vec<(usize, _)> = work();
            for other in others {
                results.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            results
        });
        results.sort_by_key(|&(i, _)| i);
        results.into_iter().map(|(_, errors)| errors).collect()
    }

    fn errors(&self, text: &str) -> Result<TextErrors, CliError> {
        let (expected, vector_f32, count) = self.tensors(self.in_f32, text, |_| None)?;
        let (accumulated, vector, _) = self.tensors(self.model, text, |_| None)?;
        // With f32's tensors in the place of its own, every step has the inputs that it has there.
        let (own, _, _) = self.tensors(self.model, text, |place| Some(&expected[place]))?;

        let deviation = |tensors: &Tensors, place: usize| Deviation::of(&tensors[place], &expected[place]);
        let pooled = self.names.len() - 1;
        let of_step = |place: usize| {
            // Without an error nothing is lost, and there is no need for a pass to find that out.
            let loss_alone = if own[place] == expected[place] {
                0.0
            } else {
                let patch = |step: usize| (step == place).then(|| &own[place]);
                1.0 - Agreement::of_two(&self.vector(text, patch)?, &vector_f32)
            };
            let (own, accumulated) = (deviation(&own, place), deviation(&accumulated, place));
            Ok(StepErrors { own, accumulated, loss_alone })
        };
        let steps = (0..pooled).map(of_step).collect::<Result<_, CliError>>()?;
        let pooled = deviation(&accumulated, pooled);
        Ok(TextErrors { steps, pooled, vectors: [vector, vector_f32], count })
    }

    /// A pass in which tensors are replaced by those that `patch` has for their places; the tensors as they were computed,
    /// and the vector.
    fn tensors<'p>(
        &self,
        model: &SentenceTransformer,
        text: &str,
        patch: impl Fn(usize) -> Option<&'p Vec<f32>>,
    ) -> Result<(Tensors, Vec<f32>, TokenCount), CliError> {
        let mut tensors: Vec<Option<Vec<f32>>> = vec![None; self.names.len()];
        let (vector, count) = model.trace_patched(text, &mut |step| {
            let (place, values) = self.compared(step)?;
            tensors[place] = Some(values.to_vec());
            patch(place).cloned()
        })?;
        if let Some(place) = tensors.iter().position(Option::is_none) {
            let (name, precision) = (&self.names[place], model.precision());
            let reason = format!("there is no step {name} to compare in {precision}");
            return Err(CliError::Input { place: name_of(model), reason });
        }
        Ok((tensors.into_iter().flatten().collect(), vector, count))
    }

    /// The vector of a pass in f32 in which tensors are replaced.
    fn vector<'p>(
        &self,
        text: &str,
        patch: impl Fn(usize) -> Option<&'p Vec<f32>>,
    ) -> Result<Vec<f32>, CliError> {
        let (vector, _) = self.in_f32.trace_patched(text, &mut |step| {
            let (place, _) = self.compared(step)?;
            patch(place).cloned()
        })?;
        Ok(vector)
    }

    /// The place of a step and its values, if it is one of those that are compared.
    fn compared<'s>(&self, step: &'s TraceStep<'_>) -> Option<(usize, &'s [f32])> {
        match step.values {
            TraceValues::F32(values) => Some((*self.places.get(&step.name)?, values)),
            _ => None,
        }
    }
}
