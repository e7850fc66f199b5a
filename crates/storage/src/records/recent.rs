//! Bytes for a reader that says where it is in bytes, so that this can be said in lines.

use std::io::{self, Read};

use super::checked_bytes::CheckedBytes;
use crate::error::Problem;

/// How many bytes that are behind us may be kept, and how many are read at once.
const CHUNK: usize = 64 << 10;

/// How much of the first line is looked at before it is read.
const LONGEST_LOOK: usize = 1 << 20;

/// The bytes of a source, known to be UTF-8. It keeps the last of them to count their lines, which end with `\n`, `\r\n` or
/// `\r`.
pub(super) struct RecentBytes<R> {
    bytes: CheckedBytes<R>,
    kept: Vec<u8>,
    /// How many of the kept ones have been given away.
    given: usize,
    /// Which byte of the source the first of them is, and in which line, from 1.
    start: u64,
    line: usize,
    /// What ends the bytes.
    problem: Option<Problem>,
}

impl<R: Read> RecentBytes<R> {
    pub(super) fn new(source: R) -> RecentBytes<R> {
        let bytes = CheckedBytes::new(source);
        RecentBytes { bytes, kept: Vec::new(), given: 0, start: 0, line: 1, problem: None }
    }

    /// The first line that is not empty, or as much of it as is reasonable. It stays to be read.
    pub(super) fn first_line(&mut self) -> &[u8] {
        let mut looked = 0;
        loop {
            let begin = self.kept.iter().take_while(|byte| is_end(**byte)).count();
            let end = self.kept[looked.max(begin)..].iter().position(|byte| is_end(*byte));
            match end {
                Some(end) => return &self.kept[begin..looked.max(begin) + end],
                None if self.kept.len() >= LONGEST_LOOK || self.read_on() == 0 => return &self.kept[begin..],
                None => looked = self.kept.len().min(looked.max(begin)),
            }
        }
    }

    /// Reads some more bytes to those kept; 0 at the end, or where the problem is.
    fn read_on(&mut self) -> usize {
        if self.problem.is_some() {
            return 0;
        }
        let before = self.kept.len();
        self.kept.resize(before + CHUNK, 0);
        let read = self.bytes.take_into(&mut self.kept[before..]);
        let read = read.unwrap_or_else(|problem| {
            self.problem = Some(problem);
            0
        });
        self.kept.truncate(before + read);
        read
    }

    /// What ended the bytes, if that was no end of the source.
    pub(super) fn take_problem(&mut self) -> Option<Problem> {
        self.problem.take()
    }

    /// What is before this byte will not be asked for any more.
    pub(super) fn forget(&mut self, before: u64) {
        let mut behind = self.index_of(before).min(self.given);
        if behind < CHUNK {
            return;
        }
        // Whether it ends a line is known with the byte behind it.
        if self.kept[behind - 1] == b'\r' {
            behind -= 1;
        }
        self.line += line_ends(&self.kept, behind);
        self.kept.drain(..behind);
        self.given -= behind;
        self.start += behind as u64;
    }

    /// The line, from 1, of what follows this byte, behind empty lines.
    pub(super) fn line_from(&self, byte: u64) -> usize {
        let from = self.index_of(byte);
        let blank = self.kept[from..].iter().take_while(|byte| is_end(**byte)).count();
        self.line + line_ends(&self.kept, from + blank)
    }

    fn index_of(&self, byte: u64) -> usize {
        usize::try_from(byte.saturating_sub(self.start)).unwrap_or(usize::MAX).min(self.kept.len())
    }
}

impl<R: Read> Read for RecentBytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.kept.len() && self.read_on() == 0 && self.problem.is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read = (&self.kept[self.given..]).read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// How many lines end before the index-th byte.
fn line_ends(bytes: &[u8], index: usize) -> usize {
    let ends = (0..index).filter(|&at| match bytes[at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.count()
}
