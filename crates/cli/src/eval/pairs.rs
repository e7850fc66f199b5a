//! Pairs of sentences, with a score or without, out of a table.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use flate2::read::MultiGzDecoder;

use crate::arguments::TableArguments;
use crate::error::CliError;
use crate::input::{BYTE_ORDER_MARK, Problem, Source};

/// What a gzip file begins with.
const GZIP: &[u8] = &[0x1f, 0x8b];

const SPLIT_COLUMN: &str = "split";

/// How many names a message lists, and how many characters of each.
const LISTED: usize = 20;
const SHOWN: usize = 60;

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

/// A table as text, with the reader of its records.
struct Table<'a> {
    text: &'a str,
    separator: Separator,
    reader: Reader<&'a [u8]>,
    header: StringRecord,
}

#[derive(Clone, Copy)]
enum Separator {
    Tab,
    Comma,
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
    /// Reads the whole file: the table is small beside the vectors that will be computed of it.
    pub(super) fn read(file: &Path, selection: &Selection<'_>) -> Result<Pairs, CliError> {
        let Source { mut read, place, .. } = Source::open(file)?;
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes)
            .map_err(|e| Problem::read(&e))
            .and_then(|_| Pairs::parse(bytes, selection))
            .map_err(|problem| problem.within(&place))
    }

    /// Out of the content of a file.
    fn parse(bytes: Vec<u8>, selection: &Selection<'_>) -> Result<Pairs, Problem> {
        let bytes = if bytes.starts_with(GZIP) { decompress(&bytes)? } else { bytes };
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        let mut table = Table::open(utf8(bytes)?)?;
        let columns = table.columns(selection)?;
        let split = match selection.rows {
            Rows::Split(split) => Some(split),
            Rows::Default(split) => columns.split.map(|_| split),
            Rows::All => None,
        };

        let (mut pairs, mut scores) = (Vec::new(), Vec::new());
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        let mut record = StringRecord::new();
        while table.next(&mut record)? {
            let found = columns.split.map(|column| &record[column]);
            if split.is_some() && found != split {
                *others.entry(found.unwrap_or_default().to_owned()).or_default() += 1;
                continue;
            }
            pairs.push(Pair {
                sentence1: record[columns.sentence1].to_owned(),
                sentence2: record[columns.sentence2].to_owned(),
            });
            if let Some(column) = columns.score {
                scores.push(table.score(&record, column)?);
            }
        }
        let pairs = Pairs { pairs, scores, split: split.map(str::to_owned) };
        pairs.check(selection.score.is_some(), &others)?;
        Ok(pairs)
    }

    /// Whether there are enough of them, with scores for a correlation; `others` are the splits that were left out.
    fn check(&self, with_scores: bool, others: &BTreeMap<String, usize>) -> Result<(), Problem> {
        let found = self.pairs.len();
        let of_split = of_split(self.split.as_deref());
        let (least, pairs) = if with_scores { (2, "pairs") } else { (1, "pair") };
        if found < least {
            let mut reason = format!("expected at least {least} {pairs}{of_split}, found {found}");
            if !others.is_empty() {
                let others = listed(others.iter().map(|(split, rows)| format!("{rows} of {}", shown(split))));
                reason += &format!("; rows of other splits (--split, --all-splits): {others}");
            }
            return Err(Problem::anywhere(reason));
        }
        match self.scores.first() {
            Some(first) if self.scores.iter().all(|score| score == first) => {
                let reason =
                    format!("the correlation is undefined: all {found} scores{of_split} are {first}");
                Err(Problem::anywhere(reason))
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

impl<'a> Table<'a> {
    fn open(text: &'a str) -> Result<Table<'a>, Problem> {
        let first_line = text.split(['\r', '\n']).find(|line| !line.is_empty()).unwrap_or_default();
        let separator = if first_line.contains('\t') { Separator::Tab } else { Separator::Comma };
        let mut builder = ReaderBuilder::new();
        match separator {
            // Quotes are characters like others there: the STS benchmark has single ones inside of its sentences.
            Separator::Tab => builder.delimiter(b'\t').quoting(false),
            Separator::Comma => builder.delimiter(b','),
        };
        let mut reader = builder.from_reader(text.as_bytes());
        let header = match reader.headers() {
            Ok(header) if header.is_empty() => {
                return Err(Problem::anywhere("expected a table with a header, found nothing"));
            }
            Ok(header) => header.clone(),
            Err(error) => return Err(Problem::anywhere(error.to_string())),
        };
        Ok(Table { text, separator, reader, header })
    }

    fn columns(&self, selection: &Selection<'_>) -> Result<Columns, Problem> {
        let column = |name, option| match self.column(name)? {
            Some(column) => Ok(column),
            None => Err(self.missing(name, &format!("choose another with {option}"))),
        };
        let split = match selection.rows {
            Rows::All => None,
            Rows::Default(_) => self.column(SPLIT_COLUMN)?,
            Rows::Split(_) => match self.column(SPLIT_COLUMN)? {
                None => return Err(self.missing(SPLIT_COLUMN, "--split needs it")),
                found => found,
            },
        };
        Ok(Columns {
            sentence1: column(selection.sentence1, "--sentence1")?,
            sentence2: column(selection.sentence2, "--sentence2")?,
            score: selection.score.map(|score| column(score, "--score")).transpose()?,
            split,
        })
    }

    /// Where the column of that name is, if there is one.
    fn column(&self, name: &str) -> Result<Option<usize>, Problem> {
        let mut found = self.header.iter().enumerate().filter(|(_, column)| *column == name);
        match (found.next(), found.count()) {
            (_, 1..) => Err(Problem::anywhere(format!("the header has several columns {}", shown(name)))),
            (found, _) => Ok(found.map(|(index, _)| index)),
        }
    }

    fn missing(&self, name: &str, advice: &str) -> Problem {
        let found = listed(self.header.iter().map(shown));
        Problem::anywhere(format!("there is no column {} ({advice}); found {found}", shown(name)))
    }

    /// The next record, with as many fields as the header; false if there is none.
    fn next(&mut self, record: &mut StringRecord) -> Result<bool, Problem> {
        self.reader.read_record(record).map_err(|error| match error.kind() {
            ErrorKind::UnequalLengths { pos: Some(position), expected_len, len } => {
                let separator = self.separator.name();
                let reason = format!(
                    "expected {expected_len} fields between {separator}, as in the header, found {len}"
                );
                Problem::at(self.line(position.byte()), reason)
            }
            _ => Problem::anywhere(error.to_string()),
        })
    }

    fn score(&self, record: &StringRecord, column: usize) -> Result<f64, Problem> {
        let (name, found) = (&self.header[column], &record[column]);
        match found.trim().parse::<f64>() {
            Ok(score) if score.is_finite() => Ok(score),
            _ => {
                let reason =
                    format!("expected a number in the column {}, found {}", shown(name), shown(found));
                let begin = record.position().map_or(0, |position| position.byte());
                Err(Problem::at(self.line(begin), reason))
            }
        }
    }

    /// The line, from 1, of the record that is read from this byte on. The reader's own count would be the line
    /// before if lines end with `\r\n` or blank ones come first, for it leaves them to the next record.
    fn line(&self, byte: u64) -> usize {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        let bytes = self.text.as_bytes();
        let blank = bytes[byte..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line_of(bytes, byte + blank)
    }
}

impl Separator {
    fn name(self) -> &'static str {
        match self {
            Separator::Tab => "tabs",
            Separator::Comma => "commas",
        }
    }
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut decompressed = Vec::new();
    match MultiGzDecoder::new(bytes).read_to_end(&mut decompressed) {
        Ok(_) => Ok(decompressed),
        Err(error) => Err(Problem::anywhere(format!("cannot decompress it as gzip: {error}"))),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let begin = valid.iter().rposition(|byte| matches!(byte, b'\r' | b'\n')).map_or(0, |end| end + 1);
        Problem::invalid_utf8(line_of(bytes, valid.len()), valid.len() - begin + 1)
    })
}

/// The line of a byte, from 1. Lines end with `\n`, `\r\n` or `\r`, as the reader's records.
fn line_of(bytes: &[u8], byte: usize) -> usize {
    let ends = (0..byte).filter(|&at| match bytes[at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    1 + ends.count()
}

/// In quotes, cut where a message would become unreadable.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

fn listed(mut names: impl Iterator<Item = String>) -> String {
    let mut list = names.by_ref().take(LISTED).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => list += &format!(" and {more} more"),
    }
    list
}

/// What rows are of: to stand behind their number.
pub(super) fn of_split(split: Option<&str>) -> String {
    split.map_or_else(String::new, |split| format!(" of the split {}", shown(split)))
}

#[cfg(test)]
mod tests;
