//! Bytes behind a header that is known only when all of them are.

use std::io::{self, BufWriter, Seek, Write};

use tempfile::SpooledTempFile;

use crate::Output;

/// From how many bytes on they wait in a file.
const IN_MEMORY: usize = 1 << 20;

/// An output that begins with a header and goes on with bytes that are written before it.
///
/// In a file, room for a header of known length is left, and it is written in the end. Else the bytes wait: in memory, and when
/// there are many in a temporary file.
pub(super) struct HeadedOutput {
    to: Output,
    bytes: Bytes,
}

enum Bytes {
    InPlace { header_bytes: usize },
    Waiting(Spool),
}

/// Bytes that wait.
pub(super) struct Spool(BufWriter<SpooledTempFile>);

impl HeadedOutput {
    /// `header_bytes` if that is known.
    pub(super) fn begin(mut to: Output, header_bytes: Option<usize>) -> io::Result<HeadedOutput> {
        let bytes = match header_bytes {
            Some(header_bytes) if to.can_overwrite() => {
                to.write_all(&vec![0; header_bytes])?;
                Bytes::InPlace { header_bytes }
            }
            _ => Bytes::Waiting(Spool::new()),
        };
        Ok(HeadedOutput { to, bytes })
    }

    /// Writes the header, and what comes behind it if that has waited.
    pub(super) fn finish(
        mut self,
        header: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Output> {
        match self.bytes {
            Bytes::InPlace { header_bytes } => {
                let mut bytes = Vec::with_capacity(header_bytes);
                header(&mut bytes)?;
                if bytes.len() != header_bytes {
                    let found = bytes.len();
                    return Err(io::Error::other(format!(
                        "the header has {found} bytes, expected {header_bytes}"
                    )));
                }
                self.to.overwrite_start(&bytes)?;
            }
            Bytes::Waiting(spool) => {
                header(&mut self.to)?;
                spool.copy_to(&mut self.to)?;
            }
        }
        Ok(self.to)
    }
}

impl Write for HeadedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::InPlace { .. } => self.to.write(bytes),
            Bytes::Waiting(spool) => spool.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.bytes {
            Bytes::InPlace { .. } => self.to.flush(),
            Bytes::Waiting(spool) => spool.flush(),
        }
    }
}

impl Spool {
    pub(super) fn new() -> Spool {
        Spool(BufWriter::new(SpooledTempFile::new(IN_MEMORY)))
    }

    /// All of them.
    pub(super) fn copy_to(self, to: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let mut spool = self.0.into_inner().map_err(|e| in_spool(e.into_error()))?;
        spool.rewind().map_err(in_spool)?;
        io::copy(&mut spool, to).map(drop)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(in_spool)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(in_spool)
    }
}

fn in_spool(error: io::Error) -> io::Error {
    let directory = std::env::temp_dir();
    io::Error::new(error.kind(), format!("a temporary file in {}: {error}", directory.display()))
}
