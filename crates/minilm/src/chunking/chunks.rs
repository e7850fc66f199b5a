//! The chunks of a document: from atoms and boundaries, by what fits.

use std::collections::VecDeque;
use std::fmt;

use minilm_tokenizer::{TokenOffsets, TokenizerError};

use super::atoms::{Atom, Atoms, char_floor, character_floor};
use super::boundaries::{Boundaries, Level};
use super::{BYTES_PER_TOKEN, Chunk, ChunkBy, ChunkError, Chunker};
use crate::Error;

/// The chunks of a document, in order: what [`Chunker::chunks`] gives.
pub struct Chunks<'c, 'a> {
    chunker: &'c Chunker<'c>,
    document: &'a str,
    atoms: Atoms<'c, 'a>,
    boundaries: Boundaries<'a>,
    /// Those that the next chunk may begin with, for the sake of overlap, and those behind them, as far as needed.
    window: VecDeque<Atom>,
    /// The first in the window that is in no chunk yet.
    next: usize,
    /// What the last chunk is under.
    headings: Vec<&'a str>,
    ended: bool,
    ids: Vec<u32>,
    tokens: Vec<TokenOffsets>,
}

/// What may be in a chunk.
#[derive(Clone, Copy)]
struct Limits {
    tokens: usize,
    atoms: usize,
    overlap: usize,
}

/// Where a chunk may end: at ends of units of one level, of which at least one fits.
#[derive(Clone, Copy)]
struct Reach {
    level: Level,
    first: usize,
    last: usize,
}

impl Reach {
    /// Another end, behind all others. Of two levels the higher one counts.
    fn may_end(&mut self, end: usize, level: Level) {
        if level > self.level || end == self.first {
            *self = Reach { level, first: end, last: end };
        } else if level == self.level {
            self.last = end;
        }
    }
}

impl<'c, 'a> Chunks<'c, 'a> {
    pub(super) fn new(chunker: &'c Chunker<'c>, document: &'a str) -> Chunks<'c, 'a> {
        let start = if document.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Chunks {
            chunker,
            document,
            atoms: Atoms::new(chunker.tokenizer, document, start, chunker.reading),
            boundaries: Boundaries::new(document, start, chunker.markdown, chunker.reading),
            window: VecDeque::new(),
            next: 0,
            headings: Vec::new(),
            ended: false,
            ids: Vec::new(),
            tokens: Vec::new(),
        }
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk<'a>>, Error> {
        if self.atom(self.next)?.is_none() {
            return Ok(None);
        }
        self.make_next_fit()?;
        let (max_tokens, overlap) = (self.chunker.max_tokens, self.chunker.overlap);
        let mut limits = Limits { tokens: self.chunker.room(), atoms: usize::MAX, overlap };
        loop {
            let (first, end) = self.choose(limits)?;
            let (start, stop) = (self.window[first].start, self.window[end - 1].end);
            let estimate = self.tokens_of(first, end);
            let tokens = self.count(start, stop, estimate)?;
            // One alone has been made to fit.
            if tokens <= max_tokens || end - first == 1 {
                let (start, tokens) = match self.window[first].torn {
                    true => (start, tokens),
                    false => self.with_indentation(start, stop, estimate, tokens)?,
                };
                if let Some(headings) = self.boundaries.headings_up_to(self.window[first].start) {
                    self.headings = headings;
                }
                self.take(first, end);
                let (text, headings) = (&self.document[start..stop], self.headings.clone());
                return Ok(Some(Chunk { start, end: stop, text, tokens, headings }));
            }
            // The parts do not add up to the whole: the same with less.
            limits.overlap = 0;
            if first == self.next {
                limits.tokens = estimate.saturating_sub(tokens - max_tokens);
                limits.atoms = end - first - 1;
            }
        }
    }

    /// An atom of the window, which is filled up to it.
    fn atom(&mut self, index: usize) -> Result<Option<Atom>, TokenizerError> {
        while self.window.len() <= index {
            let Some(mut atom) = self.atoms.next()? else { return Ok(None) };
            atom.level = self.boundaries.up_to(atom.start).map_or(atom.level, |level| level.max(atom.level));
            self.window.push_back(atom);
        }
        Ok(Some(self.window[index]))
    }

    fn tokens_of(&self, first: usize, end: usize) -> usize {
        self.window.range(first..end).map(|atom| atom.tokens).sum()
    }

    /// What the model counts in a part of the document, of which the atoms have so many.
    fn count(&mut self, start: usize, end: usize, of_atoms: usize) -> Result<usize, TokenizerError> {
        let tokenizer = self.chunker.tokenizer;
        match tokenizer.words_add_up() {
            true => Ok(tokenizer.special_tokens() + of_atoms),
            false => tokenizer.encode_into(&self.document[start..end], &mut self.ids),
        }
    }

    /// The first atom and the end of the next chunk.
    fn choose(&mut self, limits: Limits) -> Result<(usize, usize), TokenizerError> {
        let alone = self.reach(self.next, limits)?;
        let first = self.first_with_overlap(alone.first, limits);
        if first == self.next {
            return Ok((first, alone.last));
        }
        // One unit of the same level fits, and there is none of a higher one.
        Ok((first, self.reach(first, limits)?.last))
    }

    /// How far a chunk reaches that begins with some atom and has at least the next one that is in no chunk.
    fn reach(&mut self, first: usize, limits: Limits) -> Result<Reach, TokenizerError> {
        let top = self.chunker.by.level();
        let (start, next) = (self.window[first].start, self.next);
        let mut tokens = self.tokens_of(first, next);
        let mut reach = Reach { level: Level::FRAGMENT, first: next + 1, last: next + 1 };
        for end in next.. {
            let atom = self.atom(end)?;
            if end > next {
                let level = atom.filter(|atom| !atom.begins_anew()).map(|atom| atom.level.min(top));
                reach.may_end(end, level.unwrap_or(top));
            }
            let Some(atom) = atom.filter(|atom| end == next || !atom.begins_anew()) else { break };
            tokens = tokens.saturating_add(atom.tokens);
            let fits = tokens <= limits.tokens
                && atom.end - start <= self.chunker.max_bytes()
                && end - next < limits.atoms;
            if end > next && !fits {
                break;
            }
        }
        Ok(reach)
    }

    /// Where the next chunk begins so that what ends at `end` still fits: where a sentence does, else where a word does.
    fn first_with_overlap(&self, end: usize, limits: Limits) -> usize {
        let room = limits.tokens.saturating_sub(self.tokens_of(self.next, end));
        let (allowed, stop) = (limits.overlap.min(room), self.window[end - 1].end);
        let furthest =
            self.window[self.next].start.saturating_sub(BYTES_PER_TOKEN.saturating_mul(limits.overlap));
        let (mut sentence, mut word, mut tokens) = (None, None, 0_usize);
        for index in (0..self.next).rev() {
            let atom = self.window[index];
            tokens = tokens.saturating_add(atom.tokens);
            let fits =
                tokens <= allowed && atom.start >= furthest && stop - atom.start <= self.chunker.max_bytes();
            if !fits || self.window[index + 1].begins_anew() {
                break;
            }
            if atom.level >= Level::WORD {
                word = Some(index);
            }
            if atom.level >= Level::SENTENCE && self.chunker.by != ChunkBy::Tokens {
                sentence = Some(index);
            }
        }
        sentence.or(word).unwrap_or(self.next)
    }

    /// Everything up to `end` is in a chunk now, whose first atom no other has as its first.
    fn take(&mut self, first: usize, end: usize) {
        let done = if self.chunker.overlap > 0 { first + 1 } else { end };
        self.window.drain(..done);
        self.next = end - done;
    }

    /// The start and the tokens of a chunk of Markdown that begins where the line does, if its first word is the line's: the
    /// indentation of code and lists means something. Unless it is too much then.
    fn with_indentation(
        &mut self,
        start: usize,
        end: usize,
        of_atoms: usize,
        tokens: usize,
    ) -> Result<(usize, usize), TokenizerError> {
        const WIDEST: usize = 80;
        let before = &self.document.as_bytes()[..start];
        let indent = before.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).take(WIDEST).count();
        let begins_line = before[..start - indent].last().is_none_or(|&byte| byte == b'\n');
        if self.chunker.markdown && begins_line && indent > 0 {
            let with_it = self.count(start - indent, end, of_atoms)?;
            if with_it <= self.chunker.max_tokens {
                return Ok((start - indent, with_it));
            }
        }
        Ok((start, tokens))
    }

    /// Cuts the next atom, if it is longer than a chunk by itself.
    fn make_next_fit(&mut self) -> Result<(), Error> {
        let atom = self.window[self.next];
        let fits = atom.tokens <= self.chunker.room() && atom.end - atom.start <= self.chunker.max_bytes();
        if fits && self.count(atom.start, atom.end, atom.tokens)? <= self.chunker.max_tokens {
            return Ok(());
        }
        let (cut, tokens) = self.longest_start(atom)?;
        self.window[self.next] = Atom { end: cut, tokens, ..atom };
        if cut < atom.end {
            // Measured when its turn comes.
            let rest = Atom { start: cut, tokens: usize::MAX, level: Level::FRAGMENT, torn: true, ..atom };
            self.window.insert(self.next + 1, rest);
        }
        Ok(())
    }

    /// Where to cut an atom so that its beginning fits, between two characters; and how many tokens that has.
    fn longest_start(&mut self, atom: Atom) -> Result<(usize, usize), Error> {
        let (document, room, max_bytes) = (self.document, self.chunker.room(), self.chunker.max_bytes());
        let Atom { start, end, .. } = atom;
        let first = start + document[start..].chars().next().map_or(0, char::len_utf8);
        // Twice as much each time, so that no more is read than some times what fits.
        let mut width = max_bytes / 8;
        let mut cut = loop {
            let stop = char_floor(document, start.saturating_add(width)).min(end);
            if let Some(over) = self.first_token_over(start, stop, room)? {
                break over;
            }
            if stop == end || width == max_bytes {
                break stop;
            }
            width = (width * 2).min(max_bytes);
        };
        loop {
            if cut < end {
                cut = character_floor(document, start, cut).max(first);
            }
            self.chunker.tokenizer.offsets_into(&document[start..cut], &mut self.tokens)?;
            let of_atom = self.tokens.len();
            let tokens = self.count(start, cut, of_atom)?;
            if tokens <= self.chunker.max_tokens {
                return Ok((cut, of_atom));
            }
            if cut == first {
                let (character, offset) = (document[start..].chars().next().unwrap_or_default(), start);
                let max_tokens = self.chunker.max_tokens;
                return Err(ChunkError::Character { character, offset, tokens, max_tokens }.into());
            }
            let over = self.first_token_over(start, cut, room)?;
            cut = over.unwrap_or(cut).min(char_floor(document, cut - 1));
        }
    }

    /// Where the first token begins that is too many in a part of the document.
    fn first_token_over(
        &mut self,
        start: usize,
        end: usize,
        room: usize,
    ) -> Result<Option<usize>, TokenizerError> {
        self.chunker.tokenizer.offsets_into(&self.document[start..end], &mut self.tokens)?;
        Ok(self.tokens.get(room).map(|token| start + token.start))
    }
}

#[cfg(test)]
impl Chunks<'_, '_> {
    /// How many bytes are held beside the document and the structure of Markdown.
    pub(super) fn held(&self) -> usize {
        let own = self.window.capacity() * size_of::<Atom>()
            + self.tokens.capacity() * size_of::<TokenOffsets>()
            + self.ids.capacity() * size_of::<u32>();
        own + self.atoms.held() + self.boundaries.held()
    }
}

impl<'a> Iterator for Chunks<'_, 'a> {
    type Item = Result<Chunk<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_chunk().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl std::iter::FusedIterator for Chunks<'_, '_> {}

impl fmt::Debug for Chunks<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.window.get(self.next).map_or(self.atoms.at(), |atom| atom.start);
        f.debug_struct("Chunks").field("chunker", self.chunker).field("at", &at).finish_non_exhaustive()
    }
}

impl Atom {
    /// Whether no chunk has this and the one before.
    fn begins_anew(&self) -> bool {
        self.torn || self.level == Level::SECTION
    }
}

impl ChunkBy {
    /// Of the largest units.
    fn level(self) -> Level {
        match self {
            ChunkBy::Paragraphs => Level::BLOCK,
            ChunkBy::Sentences => Level::SENTENCE,
            ChunkBy::Tokens => Level::WORD,
        }
    }
}
