//! The forward pass to look at: states, single steps, times. For those who port the model or work on its accuracy.

use minilm_encoder::{Profile, Tap, TraceStep, TraceValues};

use crate::{Error, SentenceTransformer, TokenCount};

impl SentenceTransformer {
    /// Where the time of a text's forward pass goes, on one thread.
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`].
    pub fn profile(&self, text: &str) -> Result<Profile, Error> {
        let prompt = self.default_prompt()?;
        let tokens = self.tokens(text, &prompt)?;
        Ok(self.workers.with_arena(|arena| {
            arena.tokens.clear();
            arena.tokens.push(&tokens.ids);
            self.encoder.profile(arena)
        })?)
    }

    /// The states `[tokens][hidden_size]` of one text after the embeddings and after each layer.
    ///
    /// For those who port the model and want to compare step by step.
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`].
    pub fn hidden_states(&self, text: &str) -> Result<Vec<(Tap, Vec<f32>)>, Error> {
        let prompt = self.default_prompt()?;
        let tokens = self.tokens(text, &prompt)?;
        let mut states = Vec::new();
        self.workers.with_arena(|arena| {
            arena.tokens.clear();
            arena.tokens.push(&tokens.ids);
            self.encoder.forward_observed(arena, &mut |tap, state| states.push((tap, state.to_vec())))
        })?;
        Ok(states)
    }

    /// Every tensor between the text and its vector, shown to `observe` in the order of their computation, each
    /// with the steps, the weights and the specification it comes from; then the vector, the last of them, and
    /// how many tokens the text had.
    ///
    /// For those who port the model and want to compare step by step, bit by bit. Much slower than
    /// [`encode`](Self::encode), and the vector has the same bits.
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`], before anything is shown.
    pub fn trace(
        &self,
        text: &str,
        observe: &mut dyn FnMut(&TraceStep<'_>),
    ) -> Result<(Vec<f32>, TokenCount), Error> {
        self.trace_patched(text, &mut |step| {
            observe(step);
            None
        })
    }

    /// As [`trace`](Self::trace), but what `patch` gives back takes the place of the tensor it was shown, in all steps that
    /// are computed from that (activation patching).
    ///
    /// For those who work on accuracy: with the tensors of another model's pass, a step is computed from the inputs that it
    /// has there, so that its own error is seen; with one tensor alone, what that error does to the vector.
    ///
    /// # Errors
    ///
    /// As [`SentenceTransformer::encode`], before anything is shown.
    ///
    /// # Panics
    ///
    /// If `patch` gives back another number of elements than the tensor has, or anything for a step that is not computed: the
    /// ids and the factors of int8.
    pub fn trace_patched(
        &self,
        text: &str,
        patch: &mut dyn FnMut(&TraceStep<'_>) -> Option<Vec<f32>>,
    ) -> Result<(Vec<f32>, TokenCount), Error> {
        let prompt = self.default_prompt()?;
        let tokens = self.tokens(text, &prompt)?;
        let mut last = String::new();
        let states = self.encoder.trace_patched(&tokens.ids, &mut |step| {
            last.clone_from(&step.name);
            patch(step)
        })?;

        let isa = self.encoder.isa();
        let mut vector = self.modules.vector_in_steps(isa, &states, prompt.tokens, &mut |module, vector| {
            let shape = [vector.len()];
            let step = TraceStep::new(&module.name[..], &shape, TraceValues::F32(&vector));
            let mut step = step.description(&module.description[..]).inputs(&[&last]);
            step.reference = module.reference;
            let patch = patch(&step);
            last.clone_from(&module.name);
            patched(&module.name, patch, vector)
        });
        if self.embedding_dimension() < vector.len() {
            vector.truncate(self.embedding_dimension());
            let shape = [vector.len()];
            let step = TraceStep::new("truncated", &shape, TraceValues::F32(&vector));
            let patch = patch(&step.description("its first components").inputs(&[&last]));
            vector = patched("truncated", patch, vector);
        }
        Ok((vector, TokenCount::new(tokens.total, tokens.ids.len())))
    }
}

/// What the pass goes on with: the patch of a step, if there is one.
fn patched(step: &str, patch: Option<Vec<f32>>, values: Vec<f32>) -> Vec<f32> {
    let Some(patch) = patch else { return values };
    let (found, expected) = (patch.len(), values.len());
    assert_eq!(found, expected, "trace: {step} has {expected} elements, and {found} cannot replace them");
    patch
}
