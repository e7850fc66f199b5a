//! An array of NumPy's whose number of rows is known only at its end.

use std::io::{self, Write};

use super::headed::HeadedOutput;
use super::{ElementType, EmbeddingRow, EmbeddingSchema, Encoder};
use crate::Output;
use crate::npy::{HEADER_BYTES, header};

pub(super) struct NpyEncoder {
    to: HeadedOutput,
    rows: usize,
    dimension: usize,
    descr: &'static str,
}

impl NpyEncoder {
    pub(super) fn begin(to: Output, schema: &EmbeddingSchema) -> io::Result<Box<dyn Encoder>> {
        let descr = match schema.element_type {
            ElementType::F32 => "<f4",
            ElementType::I8 => "|i1",
            ElementType::U8 => "|u1",
        };
        let to = HeadedOutput::begin(to, Some(HEADER_BYTES))?;
        Ok(Box::new(NpyEncoder { to, rows: 0, dimension: schema.dimension, descr }))
    }
}

impl Encoder for NpyEncoder {
    fn row(&mut self, row: &EmbeddingRow<'_>) -> io::Result<()> {
        self.rows += 1;
        row.embedding.write_to(&mut self.to)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn finish(self: Box<Self>) -> io::Result<Output> {
        let header = header(self.rows, self.dimension, self.descr)?;
        self.to.finish(|to| to.write_all(&header))
    }
}
