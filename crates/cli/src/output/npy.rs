//! An array of NumPy's whose number of rows is known only at its end.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. The number of rows is in the
//! header, before all rows. In a file the header is written twice. Other outputs get the header first and once: for
//! them the rows wait in memory, and when there are many in a temporary file.

use std::io::{self, BufWriter, Seek, Write};

use minilm::Embeddings;
use npyz::{DType, WriteOptions, WriterBuilder};
use tempfile::SpooledTempFile;

use super::OutputWriter;

/// From how many bytes on rows wait in a file.
const SPOOL_IN_MEMORY: usize = 1 << 20;

/// Magic, version and length, the dictionary, and white space up to a multiple of 64 bytes. For an array of two
/// dimensions it is that for any number of rows.
const HEADER_BYTES: usize = 128;

/// The rows of a float32 array `[n, dimension]`.
pub(super) struct NpyRows {
    rows: usize,
    dimension: usize,
    /// The rows so far, if the output cannot be changed later.
    spool: Option<BufWriter<SpooledTempFile>>,
}

impl NpyRows {
    pub(super) fn begin(to: &mut OutputWriter, dimension: usize) -> io::Result<NpyRows> {
        let mut spool = None;
        if to.can_overwrite() {
            to.write_all(&header(0, dimension)?)?;
        } else {
            spool = Some(BufWriter::new(SpooledTempFile::new(SPOOL_IN_MEMORY)));
        }
        Ok(NpyRows { rows: 0, dimension, spool })
    }

    pub(super) fn write(&mut self, to: &mut OutputWriter, embeddings: &Embeddings) -> io::Result<()> {
        self.rows += embeddings.len();
        match &mut self.spool {
            Some(spool) => write_floats(spool, embeddings.as_slice()).map_err(in_spool),
            None => write_floats(to, embeddings.as_slice()),
        }
    }

    pub(super) fn finish(&mut self, to: &mut OutputWriter) -> io::Result<()> {
        let header = header(self.rows, self.dimension)?;
        let Some(spool) = self.spool.take() else { return to.overwrite_start(&header) };
        let mut spool = spool.into_inner().map_err(|e| in_spool(e.into_error()))?;
        spool.rewind().map_err(in_spool)?;
        to.write_all(&header)?;
        io::copy(&mut spool, to).map(drop)
    }
}

fn header(rows: usize, dimension: usize) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let shape = [rows as u64, dimension as u64];
    let float32 = DType::new_scalar("<f4".parse().map_err(io::Error::other)?);
    WriteOptions::new_header_only().dtype(float32).shape(&shape).writer(&mut header).write_header_only()?;
    if header.len() != HEADER_BYTES {
        let found = header.len();
        return Err(io::Error::other(format!(
            "the .npy header of {shape:?} has {found} bytes, expected {HEADER_BYTES}"
        )));
    }
    Ok(header)
}

fn write_floats(to: &mut impl Write, values: &[f32]) -> io::Result<()> {
    values.iter().try_for_each(|x| to.write_all(&x.to_le_bytes()))
}

fn in_spool(error: io::Error) -> io::Error {
    let directory = std::env::temp_dir();
    io::Error::new(error.kind(), format!("a temporary file in {}: {error}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_same_length_for_any_number_of_rows() {
        for rows in [0, 1, 999_999_999, usize::MAX >> 20] {
            for dimension in [1, 384, 1 << 20] {
                let header = header(rows, dimension).unwrap();
                assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
                let dictionary = std::str::from_utf8(&header[10..]).unwrap();
                assert!(dictionary.contains(&format!("'shape': ({rows}, {dimension}")), "{dictionary}");
                assert!(dictionary.contains("'descr': '<f4'") && dictionary.ends_with(" \n"), "{dictionary}");
            }
        }
    }
}
