//! Where bytes come from: a file or another reader, plain or gzip, counted.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::Position;

/// What a gzip file begins with. No UTF-8 begins so.
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The file, and its size if it is a regular one.
pub(crate) fn open_file(path: &Path) -> io::Result<(File, Option<u64>)> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    // On Unix a directory can be opened, and only reading it would fail.
    if found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    Ok((file, found.is_file().then_some(found.len())))
}

/// Counts the bytes read.
pub(crate) struct Counted<R> {
    source: R,
    position: Position,
}

impl<R> Counted<R> {
    pub(crate) fn new(source: R, position: Position) -> Counted<R> {
        Counted { source, position }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.position.count(n as u64);
        Ok(n)
    }
}

/// What a gzip file contains; any other as it is. Which it is is found out when it is first read, so that nothing waits
/// for an input before.
pub(crate) struct Decompressed<R>(State<R>);

enum State<R> {
    Unread(Option<R>),
    Plain(WithStart<R>),
    Gzip(Box<MultiGzDecoder<WithStart<R>>>),
}

/// An error of what is in a file, and not of reading it.
#[derive(Debug, thiserror::Error)]
#[error("cannot decompress it as gzip: {0}")]
pub(crate) struct NotGzip(io::Error);

/// A reader with its first bytes before it again.
type WithStart<R> = io::Chain<Cursor<Vec<u8>>, R>;

impl<R: Read> Decompressed<R> {
    pub(crate) fn new(source: R) -> Decompressed<R> {
        Decompressed(State::Unread(Some(source)))
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            State::Unread(source) => {
                let Some(mut source) = source.take() else { return Ok(0) };
                let mut start = Vec::with_capacity(GZIP.len());
                source.by_ref().take(GZIP.len() as u64).read_to_end(&mut start)?;
                let gzip = start == GZIP;
                let source = Cursor::new(start).chain(source);
                self.0 = match gzip {
                    true => State::Gzip(Box::new(MultiGzDecoder::new(source))),
                    false => State::Plain(source),
                };
                self.read(buffer)
            }
            State::Plain(source) => source.read(buffer),
            State::Gzip(decoder) => {
                decoder.read(buffer).map_err(|error| io::Error::new(error.kind(), NotGzip(error)))
            }
        }
    }
}
