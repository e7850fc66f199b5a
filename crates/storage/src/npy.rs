//! The header of NumPy's arrays.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. Magic, version and length, a Python
//! dictionary, and white space up to a multiple of 64 bytes, behind which the elements lie.
//!
//! It is written by `npyz` and read here, because `npyz` multiplies what the shape says without a check for overflow.

use std::io;

use npyz::{DType, WriteOptions, WriterBuilder};

const MAGIC: &[u8] = b"\x93NUMPY";

/// What numpy refuses to be longer.
const MAX_DICTIONARY: usize = 10_000;

/// Magic, version and length, the dictionary, and white space up to a multiple of 64 bytes. For an array of two
/// dimensions it is that for any number of rows.
pub(crate) const HEADER_BYTES: usize = 128;

/// What a file says of its array.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NpyHeader {
    /// The type of the elements, as it is written: `<f4`.
    pub(crate) descr: String,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Where the elements begin.
    pub(crate) data_start: usize,
}

/// The header of `[rows, dimension]`, always of the same length.
pub(crate) fn header(rows: usize, dimension: usize, descr: &str) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let shape = [rows as u64, dimension as u64];
    let dtype = DType::new_scalar(descr.parse().map_err(io::Error::other)?);
    WriteOptions::new_header_only().dtype(dtype).shape(&shape).writer(&mut header).write_header_only()?;
    if header.len() != HEADER_BYTES {
        let found = header.len();
        return Err(io::Error::other(format!(
            "the .npy header of {shape:?} has {found} bytes, expected {HEADER_BYTES}"
        )));
    }
    Ok(header)
}

impl NpyHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Result<NpyHeader, String> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err("not a .npy file: it does not begin with \\x93NUMPY".to_owned());
        };
        let cut = || "the file ends in its header".to_owned();
        let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        let (length, rest) = match version {
            [1, 0] => {
                let (length, rest) = rest.split_first_chunk().ok_or_else(cut)?;
                (usize::from(u16::from_le_bytes(*length)), rest)
            }
            [2 | 3, 0] => {
                let (length, rest) = rest.split_first_chunk().ok_or_else(cut)?;
                (u32::from_le_bytes(*length) as usize, rest)
            }
            [major, minor] => {
                return Err(format!(
                    "version {major}.{minor} of .npy is not known, expected 1.0, 2.0 or 3.0"
                ));
            }
        };
        if length > MAX_DICTIONARY {
            return Err(format!("the header is {length} bytes long, expected at most {MAX_DICTIONARY}"));
        }
        let dictionary = rest.get(..length).ok_or_else(cut)?;
        let data_start = bytes.len() - rest.len() + length;
        let text = std::str::from_utf8(dictionary).map_err(|_| malformed("it is not UTF-8"))?;
        Dictionary::parse(text)?.into_header(data_start)
    }

    /// How many bytes elements of that size take, if that can be.
    pub(crate) fn data_bytes(&self, size: usize) -> Option<usize> {
        self.shape.iter().try_fold(size, |bytes, &n| bytes.checked_mul(n))
    }
}

fn malformed(reason: &str) -> String {
    format!("malformed .npy header: {reason}")
}

/// What the dictionary has, as far as it has been read.
#[derive(Default)]
struct Dictionary {
    descr: Option<String>,
    fortran_order: Option<bool>,
    shape: Option<Vec<usize>>,
}

impl Dictionary {
    /// Of the literal that numpy writes: three keys in any order, strings without escapes, integers, `True` and `False`.
    fn parse(text: &str) -> Result<Dictionary, String> {
        let mut found = Dictionary::default();
        let mut rest = expect(text, '{')?;
        loop {
            rest = rest.trim_start();
            if let Some(end) = rest.strip_prefix('}') {
                return if end.trim().is_empty() { Ok(found) } else { Err(malformed("trailing characters")) };
            }
            let (key, after) = string(rest)?;
            rest = expect(after, ':')?.trim_start();
            rest = match key {
                "descr" if rest.starts_with(['\'', '"']) => {
                    let (descr, after) = string(rest)?;
                    found.descr = Some(descr.to_owned());
                    after
                }
                "descr" => return Err("it has structured elements, expected numbers of one type".to_owned()),
                "fortran_order" => {
                    let (value, after) = boolean(rest)?;
                    found.fortran_order = Some(value);
                    after
                }
                "shape" => {
                    let (shape, after) = tuple(rest)?;
                    found.shape = Some(shape);
                    after
                }
                other => return Err(malformed(&format!("unexpected key {other:?}"))),
            };
            rest = rest.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None if rest.starts_with('}') => {}
                None => return Err(malformed("expected `,` or `}`")),
            }
        }
    }

    fn into_header(self, data_start: usize) -> Result<NpyHeader, String> {
        let missing = |key: &str| malformed(&format!("it lacks {key:?}"));
        Ok(NpyHeader {
            descr: self.descr.ok_or_else(|| missing("descr"))?,
            fortran_order: self.fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: self.shape.ok_or_else(|| missing("shape"))?,
            data_start,
        })
    }
}

fn expect(text: &str, token: char) -> Result<&str, String> {
    text.trim_start().strip_prefix(token).ok_or_else(|| malformed(&format!("expected `{token}`")))
}

fn string(text: &str) -> Result<(&str, &str), String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'));
    let quote = quote.ok_or_else(|| malformed("expected a string"))?;
    text[1..].split_once(quote).ok_or_else(|| malformed("a string has no end"))
}

fn boolean(text: &str) -> Result<(bool, &str), String> {
    let values = [("True", true), ("False", false)];
    let found = values.iter().find_map(|(name, value)| text.strip_prefix(name).map(|rest| (*value, rest)));
    found.ok_or_else(|| malformed("fortran_order is neither True nor False"))
}

fn tuple(text: &str) -> Result<(Vec<usize>, &str), String> {
    let (inside, rest) =
        expect(text, '(')?.split_once(')').ok_or_else(|| malformed("the shape has no end"))?;
    let mut numbers: Vec<&str> = inside.split(',').map(str::trim).collect();
    // Behind the last comma.
    if numbers.last().is_some_and(|last| last.is_empty()) {
        numbers.pop();
    }
    let shape = numbers.iter().map(|number| {
        // As Python 2 wrote it.
        let number = number.strip_suffix('L').unwrap_or(number);
        number.parse().map_err(|_| malformed(&format!("{number:?} is no length of an axis")))
    });
    Ok((shape.collect::<Result<_, _>>()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_same_length_for_any_number_of_rows() {
        for rows in [0, 1, 999_999_999, usize::MAX >> 20] {
            for dimension in [1, 384, 1 << 20] {
                for descr in ["<f4", "|i1", "|u1"] {
                    let header = header(rows, dimension, descr).unwrap();
                    assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
                    let dictionary = std::str::from_utf8(&header[10..]).unwrap();
                    assert!(dictionary.contains(&format!("'shape': ({rows}, {dimension}")), "{dictionary}");
                    assert!(dictionary.contains(&format!("'descr': '{descr}'")), "{dictionary}");
                    assert!(dictionary.ends_with(" \n"), "{dictionary}");
                    let read = NpyHeader::parse(&header).unwrap();
                    let shape = vec![rows, dimension];
                    let (descr, fortran_order, data_start) = (descr.to_owned(), false, HEADER_BYTES);
                    assert_eq!(read, NpyHeader { descr, fortran_order, shape, data_start });
                }
            }
        }
    }

    fn parse(dictionary: &str) -> Result<NpyHeader, String> {
        let length = u16::try_from(dictionary.len()).unwrap().to_le_bytes();
        NpyHeader::parse(&[MAGIC, &[1, 0], &length, dictionary.as_bytes()].concat())
    }

    #[test]
    fn dictionaries_are_read_as_python_reads_them() {
        let plain = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n").unwrap();
        assert_eq!(plain.shape, [3, 4]);
        for same in [
            "{\"shape\":(3,4),\"descr\":\"<f4\",\"fortran_order\":False}",
            " { 'fortran_order' : False , 'shape' : ( 3L , 4L , ) , 'descr' : '<f4' } ",
        ] {
            assert_eq!(NpyHeader { data_start: plain.data_start, ..parse(same).unwrap() }, plain);
        }
        assert_eq!(parse("{'descr': '<f4', 'fortran_order': True, 'shape': ()}").unwrap().shape, [0; 0]);
        assert_eq!(parse("{'descr': '<f4', 'fortran_order': True, 'shape': (7,)}").unwrap().shape, [7]);
    }

    #[test]
    fn what_is_wrong_with_a_header_is_named() {
        for (dictionary, says) in [
            ("", "expected `{`"),
            ("{'descr': '<f4', 'fortran_order': False}", "it lacks \"shape\""),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "structured elements"),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}", "neither True nor False"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "\"-1\" is no length of an axis"),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                "no length of an axis",
            ),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3", "the shape has no end"),
            ("{'descr': '<f4", "a string has no end"),
            ("{'descr': '<f4' 'shape': (3,)}", "expected `,` or `}`"),
            ("{'descr': '<f4', 'other': 1}", "unexpected key \"other\""),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} x", "trailing characters"),
        ] {
            let reason = parse(dictionary).unwrap_err();
            assert!(reason.contains(says), "{says}: {reason}");
        }
        let valid = header(3, 4, "<f4").unwrap();
        for cut in [6, 7, 9, 11, 127] {
            assert_eq!(NpyHeader::parse(&valid[..cut]).unwrap_err(), "the file ends in its header");
        }
        assert!(NpyHeader::parse(b"PK\x03\x04").unwrap_err().contains("not a .npy file"));
        assert!(NpyHeader::parse(b"\x93NUMPY\x04\x00").unwrap_err().contains("version 4.0"));
        let long = [MAGIC, &[2, 0, 0, 0, 0, 0x7f]].concat();
        assert!(NpyHeader::parse(&long).unwrap_err().contains("expected at most 10000"));
    }
}
