//! Pairs of sentences, with a score or without, out of a table.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

pub(super) use minilm::storage::excerpt as shown;
use minilm::storage::{StorageError, Table, listed};

use crate::arguments::TableArguments;
use crate::error::CliError;
use crate::input::{is_stdin, place_of};

const SPLIT_COLUMN: &str = "split";

/// At least one pair; with scores at least two, whose scores are not all the same.
#[derive(Debug, PartialEq)]
pub(super) struct Pairs {
    pub(super) pairs: Vec<Pair>,
    /// Finite, one a pair; none if they were not asked for.
    pub(super) scores: Vec<f64>,
    /// Whose they are; `None` if all rows were taken.
    pub(super) split: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) sentence1: String,
    pub(super) sentence2: String,
}

/// Every sentence once, and which two of them each pair has.
pub(super) struct Sentences<'a> {
    pub(super) distinct: Vec<&'a str>,
    pub(super) of_pairs: Vec<[usize; 2]>,
}

/// What to take out of the table.
pub(super) struct Selection<'a> {
    sentence1: &'a str,
    sentence2: &'a str,
    /// `None` if no scores are needed.
    score: Option<&'a str>,
    rows: Rows<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Rows<'a> {
    All,
    Split(&'a str),
    /// This split if there are splits.
    Default(&'a str),
}

/// Where in a record that is which is wanted.
struct Columns {
    sentence1: usize,
    sentence2: usize,
    score: Option<usize>,
    split: Option<usize>,
}

impl<'a> Selection<'a> {
    /// The rows of the split, else of the default one if there are splits.
    pub(super) fn of(
        table: &'a TableArguments,
        score: Option<&'a str>,
        split: Option<&'a str>,
        default_split: &'a str,
    ) -> Selection<'a> {
        let rows = match split {
            _ if table.all_splits => Rows::All,
            Some(split) => Rows::Split(split),
            None => Rows::Default(default_split),
        };
        Selection { sentence1: &table.sentence1, sentence2: &table.sentence2, score, rows }
    }
}

impl Pairs {
    /// Reads the pairs of a file, or of standard input if the path is `-`.
    pub(super) fn read(file: &Path, selection: &Selection<'_>) -> Result<Pairs, CliError> {
        let table =
            if is_stdin(file) { Table::from_reader(io::stdin(), place_of(file)) } else { Table::open(file) };
        Pairs::of_table(table?, selection)
    }

    fn of_table(mut table: Table, selection: &Selection<'_>) -> Result<Pairs, CliError> {
        let columns = Columns::of(&table, selection)?;
        let split = match selection.rows {
            Rows::Split(split) => Some(split),
            Rows::Default(split) => columns.split.map(|_| split),
            Rows::All => None,
        };

        let (mut pairs, mut scores) = (Vec::new(), Vec::new());
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        while table.next_row()? {
            let found = columns.split.map(|column| table.field(column));
            if split.is_some() && found != split {
                *others.entry(found.unwrap_or_default().to_owned()).or_default() += 1;
                continue;
            }
            pairs.push(Pair {
                sentence1: table.field(columns.sentence1).to_owned(),
                sentence2: table.field(columns.sentence2).to_owned(),
            });
            if let (Some(column), Some(name)) = (columns.score, selection.score) {
                scores.push(score(&table, column, name)?);
            }
        }
        let pairs = Pairs { pairs, scores, split: split.map(str::to_owned) };
        match pairs.check(selection.score.is_some(), &others) {
            Ok(()) => Ok(pairs),
            Err(reason) => Err(table.error(None, reason).into()),
        }
    }

    /// Whether there are enough of them, with scores for a correlation; `others` are the splits that were left out.
    fn check(&self, with_scores: bool, others: &BTreeMap<String, usize>) -> Result<(), String> {
        let found = self.pairs.len();
        let of_split = of_split(self.split.as_deref());
        let (least, pairs) = if with_scores { (2, "pairs") } else { (1, "pair") };
        if found < least {
            let mut reason = format!("expected at least {least} {pairs}{of_split}, found {found}");
            if !others.is_empty() {
                let others = listed(others.iter().map(|(split, rows)| format!("{rows} of {}", shown(split))));
                reason += &format!("; rows of other splits (--split, --all-splits): {others}");
            }
            return Err(reason);
        }
        match self.scores.first() {
            Some(first) if self.scores.iter().all(|score| score == first) => {
                Err(format!("the correlation is undefined: all {found} scores{of_split} are {first}"))
            }
            _ => Ok(()),
        }
    }

    /// The sentences in the order in which they come first.
    pub(super) fn sentences(&self) -> Sentences<'_> {
        let mut distinct = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let of_pairs = self.pairs.iter().map(|pair| {
            [&pair.sentence1[..], &pair.sentence2].map(|sentence| {
                *places.entry(sentence).or_insert_with(|| {
                    distinct.push(sentence);
                    distinct.len() - 1
                })
            })
        });
        let of_pairs = of_pairs.collect();
        Sentences { distinct, of_pairs }
    }
}

impl Columns {
    fn of(table: &Table, selection: &Selection<'_>) -> Result<Columns, CliError> {
        let column = |name, option| {
            table.column(name).map_err(|error| advised(error, &format!("choose another with {option}")))
        };
        let split = match selection.rows {
            Rows::All => None,
            Rows::Default(_) => table.find_column(SPLIT_COLUMN)?,
            Rows::Split(_) => {
                let found = table.column(SPLIT_COLUMN);
                Some(found.map_err(|error| advised(error, "--split needs it"))?)
            }
        };
        Ok(Columns {
            sentence1: column(selection.sentence1, "--sentence1")?,
            sentence2: column(selection.sentence2, "--sentence2")?,
            score: selection.score.map(|score| column(score, "--score")).transpose()?,
            split,
        })
    }
}

/// If a column is missing, what to do about it.
fn advised(error: StorageError, advice: &str) -> CliError {
    match error {
        StorageError::MissingColumn { .. } => CliError::Advised { error, advice: advice.to_owned() },
        error => error.into(),
    }
}

fn score(table: &Table, column: usize, name: &str) -> Result<f64, CliError> {
    let found = table.field(column);
    match found.trim().parse::<f64>() {
        Ok(score) if score.is_finite() => Ok(score),
        _ => {
            let reason = format!("expected a number in the column {}, found {}", shown(name), shown(found));
            Err(table.error(Some(table.line()), reason).into())
        }
    }
}

/// What rows are of: to stand behind their number.
pub(super) fn of_split(split: Option<&str>) -> String {
    split.map_or_else(String::new, |split| format!(" of the split {}", shown(split)))
}

#[cfg(test)]
mod tests;
