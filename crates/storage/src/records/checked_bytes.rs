//! A file byte by byte, known to be UTF-8, with the place in it.

use std::io::{self, Read};

use super::BYTE_ORDER_MARK;
use crate::error::Problem;

const CHUNK: usize = 64 << 10;

/// The bytes of a source up to the first that is not UTF-8, without a byte order mark before them.
///
/// Lines may be of any length: it holds a chunk, never a line.
pub(super) struct CheckedBytes<R> {
    source: R,
    chunk: Vec<u8>,
    /// The next byte in the chunk.
    next: usize,
    /// The chunk is UTF-8 up to here. Behind it may be the first bytes of a character.
    valid: usize,
    /// What comes behind the valid bytes, if they are the last.
    end: Option<End>,
    /// Whether anything has been read.
    begun: bool,
    line: usize,
    column: usize,
    /// The byte before the next.
    last: u8,
}

#[derive(Clone, Copy)]
enum End {
    OfFile,
    InvalidUtf8,
}

impl<R: Read> CheckedBytes<R> {
    pub(super) fn new(source: R) -> CheckedBytes<R> {
        CheckedBytes {
            source,
            chunk: Vec::new(),
            next: 0,
            valid: 0,
            end: None,
            begun: false,
            line: 1,
            column: 0,
            last: 0,
        }
    }

    /// The line of the next byte, from 1. Lines end with `\n`, `\r\n` or `\r`.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// How many bytes of its line are before the next byte.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// The next byte, which stays the next; `None` at the end.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, Problem> {
        self.peek_chunk().map(|chunk| chunk.first().copied())
    }

    /// Some of the next bytes, which stay the next; none at the end.
    fn peek_chunk(&mut self) -> Result<&[u8], Problem> {
        while self.next == self.valid {
            match self.end {
                None => self.fill().map_err(Problem::read)?,
                Some(End::OfFile) => break,
                Some(End::InvalidUtf8) => {
                    return Err(Problem::invalid_utf8(self.line, self.column + 1));
                }
            }
        }
        Ok(&self.chunk[self.next..self.valid])
    }

    /// The next byte, which is then behind us; `None` at the end.
    pub(super) fn take(&mut self) -> Result<Option<u8>, Problem> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.next += 1;
            self.count(byte);
        }
        Ok(byte)
    }

    /// Copies some of the next bytes, which are then behind us; 0 at the end.
    pub(super) fn take_into(&mut self, buffer: &mut [u8]) -> Result<usize, Problem> {
        let chunk = self.peek_chunk()?;
        let taken = chunk.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&chunk[..taken]);
        self.next += taken;
        buffer[..taken].iter().for_each(|&byte| self.count(byte));
        Ok(taken)
    }

    fn count(&mut self, byte: u8) {
        self.column += 1;
        match (self.last, byte) {
            // The line was over with the byte before.
            (b'\r', b'\n') => self.column = 0,
            (_, b'\n' | b'\r') => (self.line, self.column) = (self.line + 1, 0),
            _ => {}
        }
        self.last = byte;
    }

    /// Reads on, when all valid bytes are behind us.
    fn fill(&mut self) -> io::Result<()> {
        self.chunk.drain(..self.valid);
        (self.next, self.valid) = (0, 0);
        let read = self.source.by_ref().take(CHUNK as u64).read_to_end(&mut self.chunk)?;
        match std::str::from_utf8(&self.chunk) {
            Ok(_) => {
                self.valid = self.chunk.len();
                self.end = (read == 0).then_some(End::OfFile);
            }
            Err(e) => {
                self.valid = e.valid_up_to();
                let incomplete = e.error_len().is_none() && read > 0;
                self.end = (!incomplete).then_some(End::InvalidUtf8);
            }
        }
        if !std::mem::replace(&mut self.begun, true) && self.chunk.starts_with(BYTE_ORDER_MARK) {
            self.next = BYTE_ORDER_MARK.len();
        }
        Ok(())
    }
}
