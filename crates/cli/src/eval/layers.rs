//! `minilm eval layers`: where a precision loses accuracy, layer by layer and step by step.

mod passes;

use std::io::{self, Write};

use minilm::Precision;
use serde::Serialize;

use super::pairs::{Pairs, Selection, of_split, shown};
use super::statistics::{Agreement, Deviation};
use crate::arguments::LayersArguments;
use crate::error::CliError;
use crate::model::{load, load_in, name_of, warn_of_truncated_texts};
use crate::output::Output;
use crate::progress::EmbedBar;
use passes::{Passes, TextErrors};

/// Not the one that `eval sts` judges by: who improves a precision by these figures should not have seen that.
const DEFAULT_SPLIT: &str = "dev";

/// The steps of a layer that are compared, in the order of the pass: their names in a trace behind the layer's, and in the
/// table. What lies between them, sums and the scores of attention, is f32 in all precisions or not to be seen in some.
const STEPS: [(&str, &str); 8] = [
    ("attention.qkv", "query, key, value"),
    ("attention.context", "attention"),
    ("attention.dense", "attention output"),
    ("attention.layer_norm", "LayerNorm"),
    ("intermediate.dense", "intermediate"),
    ("intermediate.activation", "activation"),
    ("output.dense", "output"),
    ("output.layer_norm", "LayerNorm"),
];

/// What becomes of the last layer's states.
const POOLED: &str = "pooled";

/// What `eval layers --json` prints.
#[derive(Serialize)]
struct Report {
    model: String,
    isa: &'static str,
    precision: &'static str,
    /// `None` if all rows were taken.
    split: Option<String>,
    texts: usize,
    /// Of all texts, special tokens included, after truncation.
    tokens: usize,
    /// Of each layer those of [`STEPS`].
    steps: Vec<Step>,
    /// The relative error of the vectors before they are scaled to unit length.
    pooled: f64,
    /// Of each vector with its vector in f32.
    cosine: Agreement,
    /// 1 − the mean cosine.
    loss: f64,
}

/// A step's errors against f32. Relative ones are norms of differences over the norm in f32, of all tokens of all texts: infinite,
/// in JSON `null`, where f32 has zeros alone and the other has not.
#[derive(Debug, PartialEq, Serialize)]
struct Step {
    /// From 0.
    layer: usize,
    /// As `minilm trace` calls it.
    step: &'static str,
    /// Relative, of the step alone: computed from what goes into it in f32.
    own: f64,
    /// Relative, in the pass that has all errors.
    accumulated: f64,
    /// 1 − cosine of the vector, in the mean, with the step's own error and all other steps in f32.
    loss_alone: f64,
}

pub(super) fn run(arguments: &LayersArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let selection = Selection::of(&arguments.table, None, arguments.split.as_deref(), DEFAULT_SPLIT);
    let pairs = Pairs::read(&arguments.table.data, &selection)?;
    let texts = spread(&pairs.sentences().distinct, arguments.texts.get());

    let model = load(&arguments.model, arguments.threads)?;
    let in_f32 = (model.precision() != Precision::F32)
        .then(|| load_in(Precision::F32, &arguments.model, arguments.threads))
        .transpose()?;
    let passes = Passes::of(&model, in_f32.as_ref().unwrap_or(&model));
    let bar = if arguments.model.source.quiet { None } else { EmbedBar::of_texts(texts.len()) };
    let errors = passes.run(&texts, bar.as_ref());
    if let Some(bar) = &bar {
        bar.finish();
    }
    let errors = errors?;
    let cut = errors.iter().filter(|errors| errors.count.truncated()).count();
    warn_of_truncated_texts(&model, cut, texts.len());

    let name = name_of(&model);
    let not_finite = |errors: &TextErrors| errors.vectors.iter().flatten().any(|x| !x.is_finite());
    if let Some(text) = errors.iter().position(not_finite) {
        let reason = format!("its vectors of {} cannot be compared: they are not finite", shown(texts[text]));
        return Err(CliError::Input { place: name, reason });
    }
    let [vectors, vectors_f32] = [0, 1].map(|i| errors.iter().map(move |errors| &errors.vectors[i][..]));
    let cosine = Agreement::of(vectors, vectors_f32);
    let report = Report {
        model: name,
        isa: model.isa().name(),
        precision: model.precision().name(),
        split: pairs.split.clone(),
        texts: texts.len(),
        tokens: errors.iter().map(|errors| errors.count.used).sum(),
        steps: steps(&errors),
        pooled: errors.iter().map(|errors| errors.pooled).sum::<Deviation>().relative(),
        cosine,
        loss: 1.0 - cosine.mean,
    };
    Output::stdout().report(arguments.json, &report, Report::print)
}

/// So many of the sentences, or all, in even distances: a table often has one kind of them behind the other.
fn spread<'a>(sentences: &[&'a str], count: usize) -> Vec<&'a str> {
    let count = count.min(sentences.len());
    (0..count).map(|i| sentences[i * sentences.len() / count]).collect()
}

/// Those of all texts together.
fn steps(errors: &[TextErrors]) -> Vec<Step> {
    let count = errors.first().map_or(0, |errors| errors.steps.len());
    let of_step = |i: usize| {
        let of_texts = errors.iter().map(move |errors| &errors.steps[i]);
        Step {
            layer: i / STEPS.len(),
            step: STEPS[i % STEPS.len()].0,
            own: of_texts.clone().map(|step| step.own).sum::<Deviation>().relative(),
            accumulated: of_texts.clone().map(|step| step.accumulated).sum::<Deviation>().relative(),
            loss_alone: of_texts.map(|step| step.loss_alone).sum::<f64>() / errors.len() as f64,
        }
    };
    (0..count).map(of_step).collect()
}

impl Report {
    fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        let rows = of_split(self.split.as_deref());
        let Agreement { mean, p1, min } = self.cosine;
        let mut line = |name: &str, value: String| writeln!(to, "{name:<16} {value}");
        line("model", self.model.clone())?;
        line("instruction set", self.isa.to_owned())?;
        line("precision", self.precision.to_owned())?;
        line("texts", format!("{}{rows}, {} tokens", self.texts, self.tokens))?;
        line("cosine to f32", format!("mean {mean:.7}, p1 {p1:.7}, min {min:.7}"))?;

        writeln!(to)?;
        let mut row = |layer: &str, name: &str, own: &str, accumulated: &str, loss: &str| {
            writeln!(to, "{layer:<7} {name:<18} {own:>11} {accumulated:>12} {loss:>11}")
        };
        row("layer", "step", "own error", "accumulated", "loss alone")?;
        for (step, (_, name)) in self.steps.iter().zip(STEPS.iter().cycle()) {
            let Step { layer, own, accumulated, loss_alone, .. } = step;
            row(&layer.to_string(), name, &percent(*own), &percent(*accumulated), &loss(*loss_alone))?;
        }
        let of_all_layers = |place: usize| -> f64 {
            self.steps.iter().skip(place).step_by(STEPS.len()).map(|step| step.loss_alone).sum()
        };
        let losses = STEPS.iter().enumerate().map(|(place, (_, name))| (*name, of_all_layers(place)));
        for (name, of_all) in losses.filter(|(_, of_all)| *of_all != 0.0) {
            row("all", name, "", "", &loss(of_all))?;
        }
        let sum: f64 = self.steps.iter().map(|step| step.loss_alone).sum();
        row("all", "sum", "", "", &loss(sum))?;
        row("", "vector", "", &percent(self.pooled), &loss(self.loss))
    }
}

fn percent(relative: f64) -> String {
    if relative == 0.0 { "0".to_owned() } else { format!("{:.4} %", 100.0 * relative) }
}

fn loss(loss: f64) -> String {
    if loss == 0.0 { "0".to_owned() } else { format!("{loss:.2e}") }
}

#[cfg(test)]
mod tests;
