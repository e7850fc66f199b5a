//! `minilm eval sts`: how well similarities of sentences agree with people's scores.

use std::io::{self, Write};

use minilm::{Embeddings, EncodeOptions, Precision};
use serde::Serialize;

use super::pairs::{Pairs, Selection, Sentences, of_split, shown};
use super::statistics::{Agreement, cosine, pearson, spearman};
use crate::arguments::StsArguments;
use crate::error::CliError;
use crate::model::{load_in, name_of, warn_of_truncated_texts};
use crate::output::Output;
use crate::progress::{Extent, with_bar};

const DEFAULT_SPLIT: &str = "test";

/// What `eval sts --json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    correlations: Correlations,
    /// Of each distinct sentence's vector with its vector in f32; of f32 itself all are 1.
    cosine: Agreement,
    /// What the same sentences have in f32.
    f32: Correlations,
    precision: &'static str,
    isa: &'static str,
    model: String,
    /// `None` if all rows were taken.
    split: Option<String>,
    pairs: usize,
    /// Distinct ones.
    sentences: usize,
}

/// Of the pairs' cosine similarities with their scores.
#[derive(Clone, Copy, Serialize)]
struct Correlations {
    spearman: f64,
    pearson: f64,
}

/// Vectors in some precision.
struct Encoded {
    vectors: Embeddings,
    /// The model's name, or its directory.
    model: String,
    isa: &'static str,
}

pub(super) fn run(arguments: &StsArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let score = Some(&arguments.score[..]);
    let selection = Selection::of(&arguments.table, score, arguments.split.as_deref(), DEFAULT_SPLIT);
    let pairs = Pairs::read(&arguments.table.data, &selection)?;
    let sentences = pairs.sentences();
    let precision = arguments.model.precision;

    let encoded = encode(arguments, precision, &sentences.distinct)?;
    let encoded_f32 = (precision != Precision::F32)
        .then(|| encode(arguments, Precision::F32, &sentences.distinct))
        .transpose()?;
    let reference = encoded_f32.as_ref().unwrap_or(&encoded);
    let report = Report {
        correlations: Correlations::of(&pairs, &sentences, &encoded)?,
        cosine: Agreement::of(encoded.vectors.rows(), reference.vectors.rows()),
        f32: Correlations::of(&pairs, &sentences, reference)?,
        precision: precision.name(),
        isa: encoded.isa,
        model: encoded.model.clone(),
        split: pairs.split.clone(),
        pairs: pairs.pairs.len(),
        sentences: sentences.distinct.len(),
    };
    Output::stdout().report(arguments.json, &report, Report::print)
}

/// The sentences' vectors. The model is gone afterwards, so that there is never more than one.
fn encode(arguments: &StsArguments, precision: Precision, sentences: &[&str]) -> Result<Encoded, CliError> {
    let model = load_in(precision, &arguments.model, arguments.threads)?;
    let (quiet, extent) = (arguments.model.source.quiet, Extent::Texts(sentences.len()));
    let vectors =
        with_bar(quiet, extent, EncodeOptions::default(), |options| model.encode_batch(sentences, options))?;
    if precision == arguments.model.precision {
        let cut = vectors.token_counts().iter().filter(|count| count.truncated()).count();
        warn_of_truncated_texts(&model, cut, sentences.len());
    }
    Ok(Encoded { vectors, model: name_of(&model), isa: model.isa().name() })
}

impl Correlations {
    fn of(pairs: &Pairs, sentences: &Sentences<'_>, encoded: &Encoded) -> Result<Correlations, CliError> {
        let Encoded { vectors, model, .. } = encoded;
        let refused = |reason| CliError::Input { place: model.clone(), reason };
        let similarities: Vec<f64> =
            sentences.of_pairs.iter().map(|&[a, b]| cosine(vectors.row(a), vectors.row(b))).collect();
        if let Some(pair) = similarities.iter().position(|similarity| !similarity.is_finite()) {
            let [a, b] = sentences.of_pairs[pair].map(|place| shown(sentences.distinct[place]));
            return Err(refused(format!(
                "its vectors of {a} and {b} have no similarity: they are not finite"
            )));
        }
        match (spearman(&similarities, &pairs.scores), pearson(&similarities, &pairs.scores)) {
            (Some(spearman), Some(pearson)) => Ok(Correlations { spearman, pearson }),
            _ => {
                let (all, similarity) = (similarities.len(), similarities[0]);
                let reason = format!("the correlation is undefined: all {all} similarities are {similarity}");
                Err(refused(reason))
            }
        }
    }
}

impl Report {
    fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        let is_f32 = self.precision == Precision::F32.name();
        let correlation = |value: f64, of_f32: f64| {
            if is_f32 { format!("{value:.5}") } else { format!("{value:.5} (f32: {of_f32:.5})") }
        };
        let rows = of_split(self.split.as_deref());
        let mut line = |name: &str, value: String| writeln!(to, "{name:<16} {value}");
        line("model", self.model.clone())?;
        line("instruction set", self.isa.to_owned())?;
        line("precision", self.precision.to_owned())?;
        line("pairs", format!("{}{rows}, {} distinct sentences", self.pairs, self.sentences))?;
        line("Spearman", correlation(self.correlations.spearman, self.f32.spearman))?;
        line("Pearson", correlation(self.correlations.pearson, self.f32.pearson))?;
        if is_f32 {
            return Ok(());
        }
        let Agreement { mean, p1, min } = self.cosine;
        line("cosine to f32", format!("mean {mean:.7}, p1 {p1:.7}, min {min:.7}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_precision_is_shown_beside_f32() {
        let report = Report {
            correlations: Correlations { spearman: 0.820_046, pearson: 0.827_1 },
            cosine: Agreement { mean: 0.998_765_43, p1: 0.995, min: 0.99 },
            f32: Correlations { spearman: 0.820_324, pearson: 0.827_406 },
            precision: "int8",
            isa: "avx2",
            model: "some/model".to_owned(),
            split: None,
            pairs: 1379,
            sentences: 2552,
        };
        let mut text = Vec::new();
        report.print(&mut text).unwrap();
        let expected = "\
            model            some/model\n\
            instruction set  avx2\n\
            precision        int8\n\
            pairs            1379, 2552 distinct sentences\n\
            Spearman         0.82005 (f32: 0.82032)\n\
            Pearson          0.82710 (f32: 0.82741)\n\
            cosine to f32    mean 0.9987654, p1 0.9950000, min 0.9900000\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
