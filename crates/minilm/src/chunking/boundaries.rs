//! Where a document's parts begin: sections, blocks, sentences, lines.

use std::collections::VecDeque;
use std::iter::Peekable;

use unicode_segmentation::UnicodeSegmentation;

use super::Reading;
use super::atoms::char_floor;
use super::markdown::MarkdownBlocks;

/// How large a part begins at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(u8);

impl Level {
    /// A part of what stands between two spaces.
    pub(super) const FRAGMENT: Level = Level(0);
    pub(super) const WORD: Level = Level(1);
    /// A line of code.
    pub(super) const ROW: Level = Level(2);
    /// A line in a paragraph, or behind a blank one in code; what follows a heading.
    pub(super) const LINE: Level = Level(3);
    pub(super) const SENTENCE: Level = Level(4);
    /// A block that is in no other.
    pub(super) const BLOCK: Level = Level(8);
    /// What no chunk reaches across.
    pub(super) const SECTION: Level = Level(9);

    /// A block in so many others, which is larger than a sentence in any case.
    pub(super) fn block(depth: usize) -> Level {
        Level(Level::BLOCK.0 - depth.min(3) as u8)
    }
}

/// A part of a document, from where it starts to where the next one does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) start: usize,
    pub(super) level: Level,
    pub(super) kind: Kind,
    /// The headings that it and what follows it are under, if it begins a section.
    pub(super) headings: Option<Vec<&'a str>>,
}

/// What a block is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sentences, over any lines.
    Prose,
    /// Lines: code, for instance.
    Verbatim,
    /// One part.
    Heading,
}

/// Boundaries of a document, in order, a block at a time, or of a long one a piece.
pub(super) struct Boundaries<'a> {
    document: &'a str,
    reading: Reading,
    blocks: Peekable<Blocks<'a>>,
    /// Up to where boundaries have been found.
    found_to: usize,
    found: VecDeque<(usize, Level)>,
    /// Where sections begin, with their headings.
    sections: VecDeque<(usize, Vec<&'a str>)>,
    /// From where on boundaries of the last block are still to be found, and where it ends.
    rest: Option<(usize, usize, Kind)>,
    /// A paragraph in one line.
    line: Vec<u8>,
}

enum Blocks<'a> {
    Plain(Paragraphs<'a>),
    Markdown(Box<MarkdownBlocks<'a>>),
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        match self {
            Blocks::Plain(paragraphs) => paragraphs.next(),
            Blocks::Markdown(blocks) => blocks.next(),
        }
    }
}

/// Of plain text: what blank lines are between.
struct Paragraphs<'a> {
    document: &'a str,
    at: usize,
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let mut start = None;
        while self.at < self.document.len() {
            let line = self.document[self.at..].split_inclusive('\n').next().unwrap_or_default();
            match (start, line.trim_start().is_empty()) {
                (None, false) => start = Some(self.at),
                (Some(_), true) => break,
                _ => {}
            }
            self.at += line.len();
        }
        Some(Block { start: start?, level: Level::BLOCK, kind: Kind::Prose, headings: None })
    }
}

/// Of so many characters, none of them a letter or a digit, no sentence goes on behind the last. For each of them the
/// segmentation looks at all that follow, up to a letter (rule SB8 of UAX 29).
const LONGEST_BETWEEN_LETTERS: usize = 32;

#[cfg(test)]
impl Boundaries<'_> {
    /// How many bytes are held beside the document and the structure of Markdown.
    pub(super) fn held(&self) -> usize {
        self.found.capacity() * size_of::<(usize, Level)>() + self.line.capacity()
    }
}

impl<'a> Boundaries<'a> {
    /// From some place of the document on.
    pub(super) fn new(document: &'a str, at: usize, markdown: bool, reading: Reading) -> Boundaries<'a> {
        let blocks = match markdown {
            true => Blocks::Markdown(Box::new(MarkdownBlocks::new(document, at))),
            false => Blocks::Plain(Paragraphs { document, at }),
        };
        let blocks = blocks.peekable();
        let (found, sections) = (VecDeque::new(), VecDeque::new());
        Boundaries { document, reading, blocks, found_to: at, found, sections, rest: None, line: Vec::new() }
    }

    /// The highest level that begins at `at` or between it and where this was asked before; places come in order.
    pub(super) fn up_to(&mut self, at: usize) -> Option<Level> {
        while self.found_to <= at && self.find_more() {}
        let mut highest = None;
        while let Some(&(start, level)) = self.found.front()
            && start <= at
        {
            highest = highest.max(Some(level));
            self.found.pop_front();
        }
        highest
    }

    /// The headings of the last section that begins up to here, if any does behind the place that this was asked for before.
    pub(super) fn headings_up_to(&mut self, at: usize) -> Option<Vec<&'a str>> {
        let mut headings = None;
        while self.sections.front().is_some_and(|&(start, _)| start <= at) {
            headings = self.sections.pop_front().map(|(_, headings)| headings);
        }
        headings
    }

    /// False if there is no further block.
    fn find_more(&mut self) -> bool {
        let (start, end, kind) = match self.rest.take() {
            Some(rest) => rest,
            None => {
                let Some(block) = self.blocks.next() else { return false };
                let end = self.blocks.peek().map_or(self.document.len(), |next| next.start);
                self.found.push_back((block.start, block.level));
                self.sections.extend(block.headings.map(|headings| (block.start, headings)));
                (block.start, end, block.kind)
            }
        };
        self.found_to = match kind {
            Kind::Prose => self.prose(start, end),
            Kind::Verbatim => self.verbatim(start, end),
            Kind::Heading => end,
        };
        self.rest = (self.found_to < end).then_some((self.found_to, end, kind));
        true
    }

    /// Finds the lines of a piece. Returns where the next piece begins, or `end`.
    fn verbatim(&mut self, start: usize, end: usize) -> usize {
        let (mut behind_blank, mut last) = (false, start);
        for (at, line) in lines(self.document, start, end) {
            // That line is looked at again, for the sake of the one behind it.
            if last - start >= self.reading.longest {
                return last;
            }
            last = at;
            let blank = line.trim_start().is_empty();
            if at > start && !blank {
                self.found.push_back((at, if behind_blank { Level::LINE } else { Level::ROW }));
            }
            behind_blank = blank;
        }
        end
    }

    /// Finds the sentences and lines of a piece. Returns where the next piece begins, or `end`.
    fn prose(&mut self, start: usize, end: usize) -> usize {
        let document = self.document;
        let stop = char_floor(document, start.saturating_add(self.reading.longest)).min(end);
        let text = document[start..stop].trim_end();
        let mut lines = lines(document, start, start + text.len()).skip(1).map(|(at, _)| at).peekable();
        let joined;
        let text = if lines.peek().is_none() {
            text
        } else {
            self.line.clear();
            self.line
                .extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
            // It is UTF-8 as before.
            joined = String::from_utf8_lossy(&self.line);
            &joined
        };
        for (offset, part) in parts(text) {
            for (sentence, _) in part.split_sentence_bound_indices() {
                let at = start + offset + sentence;
                while let Some(line) = lines.next_if(|&line| line <= at) {
                    self.found.push_back((line, Level::LINE));
                }
                if at > start {
                    self.found.push_back((at, Level::SENTENCE));
                }
            }
        }
        self.found.extend(lines.map(|line| (line, Level::LINE)));
        if stop == end {
            return end;
        }
        // The next piece begins with the last sentence that is certainly one in the whole block, too; else with the last line.
        let certain = stop - self.reading.margin;
        let last_of =
            |level, most| self.found.iter().rposition(|&(at, of)| start < at && at <= most && of == level);
        let last = last_of(Level::SENTENCE, certain).or_else(|| last_of(Level::LINE, stop));
        let Some(last) = last else { return stop };
        self.found.truncate(last + 1);
        self.found[last].0
    }
}

/// Lines and where they begin, from one place to another.
fn lines(document: &str, start: usize, end: usize) -> impl Iterator<Item = (usize, &str)> {
    document[start..end].split_inclusive('\n').scan(start, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    })
}

/// A text in parts that end behind [`LONGEST_BETWEEN_LETTERS`].
fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let mut between = 0;
        let end = rest.char_indices().find_map(|(at, c)| {
            between = if c.is_alphanumeric() { 0 } else { between + 1 };
            (between == LONGEST_BETWEEN_LETTERS).then(|| at + c.len_utf8())
        });
        let part = &rest[..end.unwrap_or(rest.len())];
        start += part.len();
        Some((start - part.len(), part))
    })
}
