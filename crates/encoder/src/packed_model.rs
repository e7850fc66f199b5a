//! All packed weights of a model in one region: what lies where, and how it gets there.
//!
//! Everything that is computed with lies in the region, but the word embeddings, which are read row by row from
//! the weights file. A part is a [`Section`]: either a matrix in panels with its bias (`PackedLinear`), or plain rows.

use std::convert::Infallible;
use std::sync::Arc;

use minilm_kernels::reference::LANES;
use minilm_kernels::{LayerNorm, PackedLinear, PanelMut, Precision};
use minilm_weights::{
    PackedContents, Region, RegionMut, RegionSlice, SECTION_ALIGNMENT, Section, SourceIdentity, Tensor,
    Weights, WeightsError,
};

use crate::Workers;

/// How a `PackedLinear` of the shape `[n, k]` lies: see there.
fn panels_layout(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32 panels of 16 columns, bias",
        Precision::Bf16 => "bf16 pairs in panels of 16 columns, bias",
        Precision::Int8 => "int8 fours in panels of 16 columns, bias, scales, sums, factors of inputs",
    }
}

/// Row-major.
const ROWS: &str = "f32 rows";

/// The sections of a model and the tensors they are packed from.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    planned: Vec<Planned<'a>>,
    /// Elements of the region so far.
    len: usize,
}

struct Planned<'a> {
    section: Section,
    source: Source<'a>,
    /// Sections of one batch are packed at the same time; those of another later.
    batch: usize,
}

enum Source<'a> {
    Dense(Dense<'a>),
    /// So many of the first elements of each of these tensors.
    Rows(Vec<Tensor<'a>>, usize),
}

/// `nn.Linear`s of equally many outputs, to be packed side by side.
struct Dense<'a> {
    /// Weight and bias.
    parts: Vec<(Tensor<'a>, Tensor<'a>)>,
    /// The outputs of each.
    part_n: usize,
    /// The outputs of all.
    n: usize,
    k: usize,
    precision: Precision,
    /// What the k inputs are multiplied with before they are quantised.
    factors: Option<Vec<f32>>,
}

impl<'a> Plan<'a> {
    /// Plans a matrix of these parts side by side, each a weight `[part_n][k]` and a bias `[part_n]`. Gives back the
    /// section's index.
    pub(crate) fn dense(
        &mut self,
        name: String,
        batch: usize,
        precision: Precision,
        parts: Vec<(Tensor<'a>, Tensor<'a>)>,
        [part_n, k]: [usize; 2],
    ) -> usize {
        let n = part_n.saturating_mul(parts.len());
        let len = PackedLinear::packed_len(precision, n, k).unwrap_or(usize::MAX);
        let layout = panels_layout(precision).to_owned();
        let section = Section { name, layout, shape: vec![n, k], offset: self.len, len };
        self.push(section, Source::Dense(Dense { parts, part_n, n, k, precision, factors: None }), batch)
    }

    /// Sets what the inputs of a matrix are multiplied with before they are quantised.
    pub(crate) fn set_factors(&mut self, index: usize, factors: Vec<f32>) {
        if let Source::Dense(dense) = &mut self.planned[index].source {
            dense.factors = Some(factors);
        }
    }

    /// Plans rows `[rows][width]`: each tensor's first rows, equally many of each.
    pub(crate) fn rows(
        &mut self,
        name: String,
        batch: usize,
        tensors: Vec<Tensor<'a>>,
        [rows, width]: [usize; 2],
    ) -> usize {
        let len = rows.saturating_mul(width);
        let of_each = len / tensors.len().max(1);
        let shape = vec![rows, width];
        let section = Section { name, layout: ROWS.to_owned(), shape, offset: self.len, len };
        self.push(section, Source::Rows(tensors, of_each), batch)
    }

    fn push(&mut self, section: Section, source: Source<'a>, batch: usize) -> usize {
        // A sum that overflows stays at the maximum, which no memory has: `RegionMut::new` refuses it.
        let end = self.len.saturating_add(section.len);
        self.len = end.checked_next_multiple_of(SECTION_ALIGNMENT).unwrap_or(usize::MAX);
        self.planned.push(Planned { section, source, batch });
        self.planned.len() - 1
    }

    pub(crate) fn sections(&self) -> Vec<Section> {
        self.planned.iter().map(|planned| planned.section.clone()).collect()
    }

    /// What a file with the packed weights has.
    pub(crate) fn contents(&self, weights: &'a Weights) -> PackedContents {
        let tensors = self.planned.iter().flat_map(|planned| planned.source.tensors());
        PackedContents {
            source: SourceIdentity::of(weights, tensors),
            sections: self.sections(),
            len: self.len,
        }
    }

    /// Packs everything, on all of the workers' threads, straight from the mapped file.
    ///
    /// # Errors
    ///
    /// [`WeightsError::Memory`]
    pub(crate) fn pack(&self, weights: &Weights, workers: &Workers) -> Result<Region, WeightsError> {
        let mut region = RegionMut::new(self.len)?;
        let mut rest = &mut region[..];
        for batch in self.planned.chunk_by(|a, b| a.batch == b.batch) {
            let mut tasks = Vec::new();
            for Planned { section, source, .. } in batch {
                let room = section.len.next_multiple_of(SECTION_ALIGNMENT).min(rest.len());
                let (to, behind) = std::mem::take(&mut rest).split_at_mut(room);
                rest = behind;
                source.tasks(&mut to[..section.len], &mut tasks);
            }
            let Ok(()) = workers.try_for_each(tasks, |task| {
                task.run();
                Ok::<(), Infallible>(())
            });
            // So that file and region do not count as memory both at once.
            weights.release();
        }
        region.freeze()
    }
}

impl<'a> Source<'a> {
    fn tensors(&self) -> Vec<Tensor<'a>> {
        match self {
            Source::Dense(dense) => dense.parts.iter().flat_map(|&(weight, bias)| [weight, bias]).collect(),
            Source::Rows(tensors, _) => tensors.clone(),
        }
    }

    /// Adds the tasks that fill the section.
    fn tasks<'t>(&'t self, to: &'t mut [f32], tasks: &mut Vec<Task<'t>>) {
        match self {
            Source::Dense(dense) => {
                let factors = dense.factors.as_deref();
                let panels = PackedLinear::panels_mut(dense.precision, [dense.n, dense.k], factors, to);
                tasks.extend(panels.enumerate().map(|(i, panel)| Task::Panel {
                    dense,
                    first_column: i * LANES,
                    panel,
                }));
            }
            Source::Rows(tensors, of_each) => {
                let pieces = to.chunks_exact_mut((*of_each).max(1));
                tasks.extend(tensors.iter().zip(pieces).map(|(&tensor, to)| Task::Rows { tensor, to }));
            }
        }
    }
}

enum Task<'t> {
    Panel { dense: &'t Dense<'t>, first_column: usize, panel: PanelMut<'t> },
    Rows { tensor: Tensor<'t>, to: &'t mut [f32] },
}

impl Task<'_> {
    fn run(self) {
        match self {
            Task::Panel { dense, first_column, panel } => dense.pack_panel(first_column, panel),
            Task::Rows { tensor, to } => tensor.read_f32(0, to),
        }
    }
}

impl Dense<'_> {
    fn pack_panel(&self, first_column: usize, panel: PanelMut<'_>) {
        let columns = first_column..self.n.min(first_column + LANES);
        let (mut rows, mut biases) = (vec![0.0; columns.len() * self.k], [0.0; LANES]);
        for (column, (to, bias_to)) in columns.clone().zip(rows.chunks_exact_mut(self.k).zip(&mut biases)) {
            let ((weight, bias), row) = (&self.parts[column / self.part_n], column % self.part_n);
            weight.read_f32(row * self.k, to);
            bias.read_f32(row, std::slice::from_mut(bias_to));
        }
        let rows: Vec<&[f32]> = rows.chunks_exact(self.k).collect();
        panel.pack(&rows, &biases[..columns.len()]);
    }
}

/// The packed weights, by the index of their section.
pub(crate) struct Packed {
    pub(crate) region: Arc<Region>,
    pub(crate) sections: Vec<Section>,
}

impl Packed {
    /// A section that was planned as a matrix in that precision.
    pub(crate) fn linear(&self, index: usize, precision: Precision) -> PackedLinear {
        let Section { offset, ref shape, .. } = self.sections[index];
        PackedLinear::from_region(precision, self.region.clone(), offset, shape[0], shape[1])
    }

    /// A section that was planned as rows.
    pub(crate) fn rows(&self, index: usize) -> RegionSlice {
        let Section { offset, len, .. } = self.sections[index];
        self.region.slice(offset..offset + len)
    }

    /// A section that was planned as rows of gamma and beta.
    pub(crate) fn layer_norm(&self, index: usize, eps: f32) -> LayerNorm {
        let rows = self.rows(index);
        let (gamma, beta) = rows.split_at(rows.len() / 2);
        LayerNorm { gamma: gamma.to_vec(), beta: beta.to_vec(), eps }
    }
}
