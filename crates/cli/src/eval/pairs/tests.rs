use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const GZIP: &[u8] = &[0x1f, 0x8b];

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const NAMES: Selection<'static> =
    Selection { sentence1: "sentence1", sentence2: "sentence2", score: Some("score"), rows: DEFAULT };

const DEFAULT: Rows<'static> = Rows::Default("test");

fn parse(bytes: impl AsRef<[u8]>, rows: Rows<'_>) -> Result<Pairs, CliError> {
    select_from(bytes, &Selection { rows, ..NAMES })
}

fn select_from(bytes: impl AsRef<[u8]>, selection: &Selection<'_>) -> Result<Pairs, CliError> {
    let table = Table::from_reader(io::Cursor::new(bytes.as_ref().to_vec()), "table")?;
    Pairs::of_table(table, selection)
}

/// The line that a message names, and what it says.
fn line_and_reason(error: &CliError) -> (Option<usize>, String) {
    let message = error.to_string();
    let rest = message.strip_prefix("table:").expect("every message names the table");
    match rest.strip_prefix(' ') {
        Some(reason) => (None, reason.to_owned()),
        None => {
            let (line, reason) = rest.split_once(": ").expect("a line and a reason");
            (Some(line.parse().expect("a number")), reason.to_owned())
        }
    }
}

/// Of a table that has no splits.
#[track_caller]
fn pairs(bytes: impl AsRef<[u8]>) -> Vec<(String, String, f64)> {
    let Pairs { pairs, scores, split } = parse(bytes, DEFAULT).unwrap();
    assert_eq!((split, scores.len()), (None, pairs.len()));
    pairs.into_iter().zip(scores).map(|(pair, score)| (pair.sentence1, pair.sentence2, score)).collect()
}

fn owned(pairs: &[(&str, &str, f64)]) -> Vec<(String, String, f64)> {
    pairs.iter().map(|&(a, b, score)| (a.to_owned(), b.to_owned(), score)).collect()
}

#[track_caller]
fn refuses(bytes: impl AsRef<[u8]>, rows: Rows<'_>, line: Option<usize>, says: &[&str]) {
    let (found, reason) = line_and_reason(&parse(bytes, rows).unwrap_err());
    assert_eq!(found, line, "{reason}");
    for part in says {
        assert!(reason.contains(part), "it should say {part:?}: {reason}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const TABLE: &str = "id\tsplit\tscore\tsentence2\tsentence1\n\
    0\ttrain\t1\tb0\ta0\n\
    1\ttest\t2.5\tb1\ta1\n\
    2\ttest\t0\tb2\ta2\n\
    3\ttrain\t4\tb3\ta3\n";

#[test]
fn tabs_have_no_quoting() {
    let expected = owned(&[("a \"b", "c\" d", 1.0), ("\"whole\"", "it's, \"\"", 2e-1), ("", " x ", -3.0)]);
    for end in ["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"] {
        let lines =
            ["sentence1\tsentence2\tscore", "a \"b\tc\" d\t1", "\"whole\"\tit's, \"\"\t 2e-1 ", "\t x \t-3"];
        assert_eq!(pairs(lines.join(end)), expected, "{end:?}");
        assert_eq!(pairs(lines.join(end) + end), expected, "{end:?} behind the last");
    }
}

#[test]
fn commas_have_quoting() {
    let csv = "score,sentence1,sentence2\r\n1,\"a, \"\"b\"\"\",c\td\r\n2,\"two\r\nlines\",é\r\n";
    let expected = owned(&[("a, \"b\"", "c\td", 1.0), ("two\r\nlines", "é", 2.0)]);
    assert_eq!(pairs(csv), expected);
    assert_eq!(pairs([BYTE_ORDER_MARK, csv.as_bytes()].concat()), expected);
}

#[test]
fn gzip_is_known_by_its_content() {
    let plain = "sentence1\tsentence2\tscore\na\tb\t1\nc\td\t2\n";
    let expected = owned(&[("a", "b", 1.0), ("c", "d", 2.0)]);
    assert_eq!(pairs(gzip(plain.as_bytes())), expected);
    // Of several members, as `cat a.gz b.gz` makes it.
    let (first, second) = plain.as_bytes().split_at(30);
    let members = [gzip(first), gzip(second)].concat();
    assert_eq!(pairs(&members), expected);

    refuses(&members[..members.len() - 12], DEFAULT, None, &["cannot decompress it as gzip"]);
    let mut damaged = members.clone();
    damaged[20] ^= 0x55;
    refuses(damaged, DEFAULT, None, &["cannot decompress it as gzip"]);
    refuses(GZIP, DEFAULT, None, &["cannot decompress it as gzip"]);
}

#[test]
fn columns_are_found_by_their_names() {
    let selection =
        Selection { sentence1: "left", sentence2: "right side", score: Some("split"), rows: Rows::All };
    let found = select_from("split,x,right side,left\n1,2,b,a\n2,2,d,c\n", &selection).unwrap();
    let pair = |sentence1: &str, sentence2: &str| Pair {
        sentence1: sentence1.to_owned(),
        sentence2: sentence2.to_owned(),
    };
    let pairs = vec![pair("a", "b"), pair("c", "d")];
    assert_eq!(found, Pairs { pairs, scores: vec![1.0, 2.0], split: None });
}

#[test]
fn the_split_is_the_default_unless_another_is_asked_for() {
    let found = |rows| {
        let Pairs { pairs, split, .. } = parse(TABLE, rows).unwrap();
        (split, pairs.into_iter().map(|pair| pair.sentence1).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(found(DEFAULT), (Some("test".to_owned()), "a1 a2".to_owned()));
    assert_eq!(found(Rows::Split("test")), found(DEFAULT));
    assert_eq!(found(Rows::Split("train")), found(Rows::Default("train")));
    assert_eq!(found(Rows::Split("train")), (Some("train".to_owned()), "a0 a3".to_owned()));
    assert_eq!(found(Rows::All), (None, "a0 a1 a2 a3".to_owned()));
}

#[test]
fn scores_of_other_splits_may_be_missing() {
    let table = "sentence1,sentence2,score,split\na,b,,train\na,b,1,test\nc,d,2,test\n";
    assert_eq!(parse(table, DEFAULT).unwrap().pairs.len(), 2);
    refuses(table, Rows::All, Some(2), &["expected a number in the column \"score\", found \"\""]);
}

#[test]
fn a_missing_column_is_named_and_those_found_too() {
    for (table, says) in [
        (
            "sentence1\tscore\n",
            &["no column \"sentence2\"", "--sentence2", "found \"sentence1\", \"score\""][..],
        ),
        ("a,b\n1,2\n", &["no column \"sentence1\"", "--sentence1", "found \"a\", \"b\""]),
        ("sentence1,sentence2,Score\n", &["no column \"score\"", "--score", "\"Score\""]),
        ("", &["expected a table with a header, found nothing"]),
        ("\n\r\n", &["expected a table with a header, found nothing"]),
        ("sentence1,sentence2,score,score\n", &["several columns \"score\""]),
    ] {
        refuses(table, DEFAULT, None, says);
    }
    let table = "sentence1,sentence2,score\na,b,1\nc,d,2\n";
    refuses(table, Rows::Split("test"), None, &["no column \"split\"", "(--split needs it)", "\"score\""]);

    // A text that is no table does not fill the screen.
    let prose = format!("{}\n", "many words, ".repeat(10_000));
    let message = parse(prose, DEFAULT).unwrap_err().to_string();
    assert!(message.contains(" and 9981 more") && message.len() < 1_000, "{message}");
    let message = parse("é".repeat(10_000), DEFAULT).unwrap_err().to_string();
    assert!(message.contains("é\"… (choose") && message.len() < 300, "{message}");
}

#[test]
fn lines_are_those_of_the_file() {
    for end in ["\n", "\r\n", "\r"] {
        for (rows, line, says) in [
            (["a,b,1", "c,d,none", "e,f,2"], 3, "expected a number in the column \"score\", found \"none\""),
            (["a,b,1", "c,d,2", "e,f,0x1p3"], 4, "found \"0x1p3\""),
            (["a,b,1", "", "e,f,nan"], 4, "found \"nan\""),
            (["\"a\n\n\",b,1", "c,d,2", "e,f,inf"], 6, "found \"inf\""),
            (["a,b,1e999", "c,d,2", "e,f,3"], 2, "found \"1e999\""),
            (["a,b,1", "c,d", "e,f,3"], 3, "expected 3 fields between commas, as in the header, found 2"),
            (["a,b,1", "c,d,2", "e,f,2,5"], 4, "expected 3 fields between commas, as in the header, found 4"),
            (["a,b,1", "\"never closed,d,2", "e,f,2"], 3, "found 1"),
        ] {
            let table = format!("sentence1,sentence2,score{end}{}{end}", rows.join(end));
            refuses(table, DEFAULT, Some(line), &[says]);
        }
        let tabs = format!("sentence1\tsentence2\tscore{end}a\tb\t1{end}{end}c\td{end}");
        refuses(tabs, DEFAULT, Some(4), &["expected 3 fields between tabs, as in the header, found 2"]);
        let mut invalid = format!("sentence1\tsentence2\tscore{end}a\tb\t1{end}").into_bytes();
        invalid.extend(b"c\tno\xff\t2");
        refuses(invalid, DEFAULT, Some(3), &["invalid UTF-8 at byte 5 of the line"]);
    }
    refuses(b"\xef\xbb\xbf\xff", DEFAULT, Some(1), &["invalid UTF-8 at byte 1 of the line"]);
}

#[test]
fn a_correlation_needs_two_pairs_and_two_scores() {
    let header = "sentence1,sentence2,score\n";
    for (rows, says) in [
        ("", "expected at least 2 pairs, found 0"),
        ("a,b,1\n", "expected at least 2 pairs, found 1"),
        ("a,b,1\nc,d,1.0\ne,f,1e0\n", "the correlation is undefined: all 3 scores are 1"),
        ("a,b,0\nc,d,-0\n", "the correlation is undefined: all 2 scores are 0"),
    ] {
        refuses(format!("{header}{rows}"), DEFAULT, None, &[says]);
    }
    let says = [
        "expected at least 2 pairs of the split \"dev\", found 0",
        "--split",
        "--all-splits",
        "rows of other splits",
        "2 of \"test\", 2 of \"train\"",
    ];
    refuses(TABLE, Rows::Split("dev"), None, &says);
    let constant = TABLE.replace("\t0\tb2", "\t2.5\tb2");
    refuses(constant, DEFAULT, None, &["all 2 scores of the split \"test\" are 2.5"]);
}

#[test]
fn without_scores_one_pair_will_do() {
    let parse = |table: &str, rows| select_from(table, &Selection { score: None, rows, ..NAMES });
    let found = parse("sentence1,sentence2\na,b\n", DEFAULT).unwrap();
    assert_eq!((found.pairs.len(), &found.scores[..]), (1, &[][..]));
    // What else the table has does not matter.
    assert_eq!(parse("sentence1,sentence2,score\na,b,none\n", DEFAULT).unwrap().pairs.len(), 1);
    for (table, rows, says) in [
        ("sentence1,sentence2\n", DEFAULT, "expected at least 1 pair, found 0"),
        (
            TABLE,
            Rows::Default("dev"),
            "expected at least 1 pair of the split \"dev\", found 0; rows of other splits",
        ),
        ("sentence1,score\na,1\n", DEFAULT, "no column \"sentence2\""),
    ] {
        let message = parse(table, rows).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn sentences_are_distinct_and_in_order() {
    let pairs = parse("sentence1,sentence2,score\nb,a,1\na,c,2\nb,b,3\n", DEFAULT).unwrap();
    let Sentences { distinct, of_pairs } = pairs.sentences();
    assert_eq!(distinct, ["b", "a", "c"]);
    assert_eq!(of_pairs, [[0, 1], [1, 2], [0, 0]]);
}

/// Pieces of tables, right and wrong.
const PIECES: &[&[u8]] = &[
    b",",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\"",
    b"1",
    b"2,",
    b"-0.5",
    b"nan",
    b"a",
    b"test",
    b"score",
    b"split",
    b"\xc3\xa9",
    b"\xff",
    GZIP,
    BYTE_ORDER_MARK,
    b"a,b,1\n",
    b"i,j,inf\n",
    b"c\td\t2\n",
    b"\"x\"\"y,\n\",z,3\n",
    b"e,f,0,test\n",
    b"g,h,7,test\r\n",
];

const HEADERS: &[&[u8]] = &[
    b"",
    b"sentence1,sentence2,score\n",
    b"sentence1\tsentence2\tscore\r\n",
    b"sentence1,sentence2,score,split\n",
];

/// How many lines there are, with the one behind the last end.
fn lines(table: &[u8]) -> usize {
    let pairs = table.windows(2).filter(|pair| pair == b"\r\n").count();
    1 + table.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() - pairs
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_pairs_or_an_error(
        header in select(HEADERS),
        pieces in vec(select(PIECES), 0..12),
        rows in select(&[Rows::All, DEFAULT, Rows::Split("test")][..]),
        compressed in proptest::bool::weighted(0.1),
    ) {
        let table = [header, &pieces.concat()].concat();
        let bytes = if compressed { gzip(&table) } else { table.clone() };
        match parse(bytes, rows) {
            Ok(Pairs { pairs, scores, .. }) => {
                prop_assert!(pairs.len() >= 2 && pairs.len() == scores.len());
                prop_assert!(scores.iter().all(|score| score.is_finite()));
                prop_assert!(scores.iter().any(|score| *score != scores[0]));
            }
            Err(error) => {
                let (line, reason) = line_and_reason(&error);
                prop_assert!(line.is_none_or(|line| (1..=lines(&table)).contains(&line)), "{error}");
                prop_assert!(!reason.is_empty());
            }
        }
    }
}
