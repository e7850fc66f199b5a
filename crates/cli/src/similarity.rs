//! `minilm similarity`: how similar texts are.

use std::io::{self, IsTerminal, Write};

use minilm::SimilarityFunction;
use serde::Serialize;
use terminal_size::{Width, terminal_size};

use crate::arguments::SimilarityArguments;
use crate::error::CliError;
use crate::label::{before_numbers, columns_of, shortened};
use crate::model::name_of;
use crate::output::Output;
use crate::plot::{HeatMap, Scale, ansi, heat_map, shown};
use crate::texts::{encode, read_texts};

/// More similarities would be gigabytes.
const MOST_SIMILARITIES: usize = 1 << 28;

/// What `similarity --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    /// Of the rows, and without `columns` of the columns, too.
    texts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<&'a [String]>,
    /// A row a text.
    matrix: Vec<&'a [f32]>,
}

/// Similarities of rows with columns, `[rows][columns]`.
struct Matrix<'a> {
    rows: &'a [String],
    /// `None` if the rows are compared with each other.
    columns: Option<&'a [String]>,
    similarities: &'a [f32],
    scale: Scale,
}

pub(crate) fn run(arguments: &SimilarityArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let mut texts = arguments.texts.clone();
    let rows = texts.len();
    if let Some(path) = &arguments.input {
        texts.extend(read_texts(path, &arguments.reading)?);
    }
    // Texts of one kind alone are compared with each other.
    let between = arguments.input.is_some() && rows > 0;
    let (rows, first_column) = if between { (rows, rows) } else { (texts.len(), 0) };
    check_size(rows, texts.len() - first_column)?;
    let plot = arguments.plot.as_deref().map(Output::plot).transpose()?;

    let model = arguments.encode.load()?;
    let vectors = encode(&model, &texts, &arguments.encode)?;
    let all = vectors.vectors();
    let columns = all.range(first_column, texts.len());
    let compared = arguments.function.similarity(all.range(0, rows), columns).map_err(minilm::Error::from)?;
    // The distance of equal vectors is 0 and not −0.
    let similarities: Vec<f32> = compared.as_slice().iter().map(|similarity| similarity + 0.0).collect();
    if let Some(place) = similarities.iter().position(|similarity| !similarity.is_finite()) {
        let columns = texts.len() - first_column;
        let [row, column] =
            [place / columns, first_column + place % columns].map(|i| shortened(&texts[i], 40));
        let reason =
            format!("its vectors of \"{row}\" and \"{column}\" have no similarity: they are not finite");
        return Err(CliError::Input { place: name_of(&model), reason });
    }
    let scale = match arguments.function {
        SimilarityFunction::Cosine => Scale::of_cosines(&similarities),
        _ => Scale::of_all(&similarities),
    };
    let matrix = Matrix {
        rows: &texts[..rows],
        columns: between.then_some(&texts[first_column..]),
        similarities: &similarities,
        scale,
    };
    if let Some(plot) = plot {
        let picture = matrix.draw(arguments.function, &name_of(&model));
        plot.write(|to| to.write_all(picture.as_bytes()))?;
    }
    let report = Report {
        texts: matrix.rows,
        columns: matrix.columns,
        matrix: similarities.chunks_exact(matrix.columns().len()).collect(),
    };
    Output::stdout().report(arguments.json, &report, |_, to| matrix.print(to))
}

/// That there is room for the similarities.
fn check_size(rows: usize, columns: usize) -> Result<(), CliError> {
    if rows.checked_mul(columns).is_none_or(|count| count > MOST_SIMILARITIES) {
        return Err(CliError::Options(format!(
            "{rows} by {columns} texts have more than {MOST_SIMILARITIES} similarities, the most there can be"
        )));
    }
    Ok(())
}

impl Matrix<'_> {
    fn columns(&self) -> &[String] {
        self.columns.unwrap_or(self.rows)
    }

    fn draw(&self, function: SimilarityFunction, model: &str) -> String {
        let (name, of) = match function {
            SimilarityFunction::Cosine => ("cosine", "cosine similarity"),
            SimilarityFunction::DotProduct => ("dot product", "dot product"),
            SimilarityFunction::Euclidean => ("−distance", "Euclidean distance, below 0"),
            SimilarityFunction::Manhattan => ("−distance", "Manhattan distance, below 0"),
            other => (other.name(), other.name()),
        };
        let rows = self.rows.len();
        let title = match self.columns {
            None => format!("Similarity of {rows} texts"),
            Some(columns) => format!("Similarity of {rows} texts to {}", columns.len()),
        };
        heat_map(&HeatMap {
            title,
            subtitle: format!("{of}, {model}"),
            function: name,
            rows: self.rows,
            columns: self.columns(),
            matrix: self.similarities,
            scale: self.scale,
        })
    }

    /// Columns go by their number. On a terminal numbers have colours, and what is wider than the terminal is cut
    /// into columns that fit, one part below the other.
    fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        let terminal = io::stdout().is_terminal();
        let width = terminal.then(terminal_size).flatten().map(|(Width(width), _)| width.into());
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self.print_as(to, width, terminal && !no_color)
    }

    fn print_as(&self, to: &mut dyn Write, width: Option<usize>, colours: bool) -> io::Result<()> {
        const LABEL: usize = 40;
        let count = self.columns().len();
        let most = self.rows.len().max(count);
        let number = most.to_string().len();
        let labels: Vec<String> = self.rows.iter().map(|text| shortened(text, LABEL)).collect();
        let label = labels.iter().map(|label| columns_of(label)).max().unwrap_or(0);
        let numbers: Vec<String> = self.similarities.iter().map(|&similarity| shown(similarity)).collect();
        let cell = numbers.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(number);
        let beside = number + 2 + label;
        let per_part = match width {
            Some(width) => (width.saturating_sub(beside) / (cell + 2)).max(1),
            None => count,
        };
        if let Some(columns) = self.columns {
            for (i, text) in columns.iter().enumerate() {
                writeln!(to, "{:>number$}  {}", i + 1, shortened(text, 2 * LABEL))?;
            }
            writeln!(to)?;
        }
        for start in (0..count).step_by(per_part) {
            let end = count.min(start + per_part);
            if start > 0 {
                writeln!(to)?;
            }
            write!(to, "{:beside$}", "")?;
            (start..end).try_for_each(|column| write!(to, "  {:>cell$}", column + 1))?;
            writeln!(to)?;
            for (row, text) in labels.iter().enumerate() {
                let padding = label - columns_of(text);
                // Rows that are other texts than the columns have no number that could be taken for one of these.
                let place = if self.columns.is_some() { String::new() } else { (row + 1).to_string() };
                write!(to, "{place:>number$}  {}{:padding$}", before_numbers(text), "")?;
                for column in start..end {
                    let at = row * count + column;
                    let text = format!("{:>cell$}", numbers[at]);
                    if colours {
                        let share = self.scale.share(self.similarities[at].into());
                        write!(to, " {}", ansi(&format!(" {text}"), share))?;
                    } else {
                        write!(to, "  {text}")?;
                    }
                }
                writeln!(to)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(matrix: &Matrix<'_>, width: Option<usize>, colours: bool) -> String {
        let mut out = Vec::new();
        matrix.print_as(&mut out, width, colours).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_matrix_is_aligned_whatever_its_texts_are() {
        let texts =
            ["short", "日本語", "a text that is much too long to stand beside a matrix"].map(str::to_owned);
        let similarities = [1.0, 0.25, -0.05, 0.25, 1.0, 0.5, -0.05, 0.5, 1.0];
        let scale = Scale::of_cosines(&similarities);
        let matrix = Matrix { rows: &texts, columns: None, similarities: &similarities, scale };
        let label = "a text that is much too long to stand…";
        let expected = format!(
            "{:41}      1      2      3\n\
             1  {:38}   1.00   0.25  −0.05\n\
             2  日本語{:32}   0.25   1.00   0.50\n\
             3  {label}  −0.05   0.50   1.00\n",
            "", "short", ""
        );
        assert_eq!(printed(&matrix, None, false), expected);
        let parts = printed(&matrix, Some(60), false);
        assert_eq!(parts.lines().count(), 9, "{parts}");
        assert!(parts.lines().all(|line| columns_of(line) <= 60), "{parts}");
        let coloured = printed(&matrix, None, true);
        assert_eq!(coloured.matches("\x1b[48;5;17m").count(), 3, "{coloured:?}");
    }

    #[test]
    fn columns_of_their_own_are_listed() {
        let (rows, columns) = (["query".to_owned()], ["one".to_owned(), "two".to_owned()]);
        let similarities = [0.5, 12.25];
        let scale = Scale::of_all(&similarities);
        let matrix = Matrix { rows: &rows, columns: Some(&columns), similarities: &similarities, scale };
        let expected = "1  one\n2  two\n\n             1     2\n   query  0.50  12.2\n";
        assert_eq!(printed(&matrix, None, false), expected);
    }
}
