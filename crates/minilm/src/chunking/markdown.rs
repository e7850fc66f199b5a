//! The blocks of Markdown, by `pulldown-cmark`.

use std::collections::VecDeque;
use std::ops::Range;

use pulldown_cmark::{Event, OffsetIter, Options, Parser, Tag, TagEnd};

use super::boundaries::{Block, Kind, Level};

/// The blocks of a document, those in lists and quotations too.
pub(super) struct MarkdownBlocks<'a> {
    document: &'a str,
    events: OffsetIter<'a>,
    /// Where the part begins that is parsed.
    offset: usize,
    /// Found, but the last may change yet, and as long as that is a section's heading, the section.
    ready: VecDeque<Block<'a>>,
    ended: bool,
    /// In how many others the next block is.
    depth: usize,
    /// The headings that the next block is under, with their levels.
    path: Vec<(usize, &'a str)>,
    /// Whether nothing has come since the last block began, but the beginning of others that it consists of.
    fresh: bool,
    /// Whether the next block stays with the one before.
    stays: bool,
    /// Whether nothing has come yet in the section that the last heading is of.
    bare: bool,
}

impl<'a> MarkdownBlocks<'a> {
    /// From some place of the document on.
    pub(super) fn new(document: &'a str, at: usize) -> MarkdownBlocks<'a> {
        let front_matter = front_matter(&document[at..]);
        let offset = at + front_matter.unwrap_or(0);
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_HEADING_ATTRIBUTES;
        let mut blocks = MarkdownBlocks {
            document,
            events: Parser::new_ext(&document[offset..], options).into_offset_iter(),
            offset,
            ready: VecDeque::new(),
            ended: false,
            depth: 0,
            path: Vec::new(),
            fresh: false,
            stays: false,
            bare: false,
        };
        // What has no event of its own, as definitions of links, goes with the block before.
        let kind = if front_matter.is_some() { Kind::Verbatim } else { Kind::Prose };
        blocks.ready.push_back(Block { start: at, level: Level::BLOCK, kind, headings: None });
        blocks
    }

    /// The next event, and where it is in the document.
    fn event(&mut self) -> Option<(Event<'a>, Range<usize>)> {
        let (event, range) = self.events.next()?;
        Some((event, range.start + self.offset..range.end + self.offset))
    }

    fn read_event(&mut self) {
        let Some((event, range)) = self.event() else {
            self.ended = true;
            return;
        };
        match event {
            Event::Start(Tag::Heading { level, .. }) => self.heading(level as usize, &range),
            Event::Start(tag) => match tag {
                Tag::BlockQuote(_)
                | Tag::List(_)
                | Tag::Item
                | Tag::FootnoteDefinition(_)
                | Tag::Table(_) => {
                    self.begin(range.start, Kind::Prose);
                    self.fresh = true;
                    self.depth += 1;
                }
                Tag::Paragraph => self.begin(range.start, Kind::Prose),
                Tag::CodeBlock(_) | Tag::HtmlBlock | Tag::TableHead | Tag::TableRow => {
                    self.begin(range.start, Kind::Verbatim);
                }
                // Within a line: the text of an item, perhaps.
                _ => self.fresh = false,
            },
            Event::End(end) => match end {
                TagEnd::BlockQuote(_)
                | TagEnd::List(_)
                | TagEnd::Item
                | TagEnd::FootnoteDefinition
                | TagEnd::Table => {
                    (self.fresh, self.stays) = (false, false);
                    self.depth = self.depth.saturating_sub(1);
                }
                TagEnd::TableHead => self.stays = true,
                _ => self.fresh = false,
            },
            Event::Rule => self.begin(range.start, Kind::Prose),
            _ => self.fresh = false,
        }
    }

    /// A block begins, unless it is the first in one that has just begun.
    fn begin(&mut self, start: usize, kind: Kind) {
        let level = if std::mem::take(&mut self.stays) { Level::LINE } else { Level::block(self.depth) };
        match self.ready.back_mut() {
            Some(last) if self.fresh || start <= last.start => last.kind = kind,
            _ => self.ready.push_back(Block { start, level, kind, headings: None }),
        }
        (self.fresh, self.bare) = (false, false);
    }

    /// Reads a heading. It begins a section, if it is in no other block and not alone under the one before.
    fn heading(&mut self, level: usize, range: &Range<usize>) {
        let (mut text, mut open) = (range.end..range.start, 1);
        while let Some((event, inner)) = self.event() {
            match event {
                Event::Start(_) => open += 1,
                Event::End(_) => open -= 1,
                _ => {}
            }
            if open == 0 {
                break;
            }
            text = text.start.min(inner.start)..text.end.max(inner.end);
        }
        if self.depth > 0 {
            self.begin(range.start, Kind::Heading);
            self.stays = true;
            return;
        }
        let text = self.document.get(text).unwrap_or_default().trim();
        let alone = self.bare && self.path.last().is_some_and(|&(last, _)| last < level);
        self.path.retain(|&(other, _)| other < level);
        self.path.push((level, text));
        let headings = self.path.iter().map(|&(_, text)| text).collect();
        let section = self.ready.iter_mut().rev().find(|block| block.headings.is_some());
        let (level, headings) = match section.filter(|_| alone) {
            Some(section) => {
                section.headings = Some(headings);
                (Level::LINE, None)
            }
            None => (Level::SECTION, Some(headings)),
        };
        self.ready.push_back(Block { start: range.start, level, kind: Kind::Heading, headings });
        (self.fresh, self.stays, self.bare) = (false, true, true);
    }
}

impl<'a> Iterator for MarkdownBlocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        loop {
            if self.ended || (self.ready.len() > 1 && !self.bare) {
                return self.ready.pop_front();
            }
            self.read_event();
        }
    }
}

/// Where the document goes on behind a block of YAML or TOML at its beginning, if there is one.
fn front_matter(text: &str) -> Option<usize> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next()?;
    let (fence, other) = match first.trim_end() {
        "---" => ("---", "..."),
        "+++" => ("+++", "+++"),
        _ => return None,
    };
    let mut end = first.len();
    for (number, line) in lines.enumerate() {
        end += line.len();
        match line.trim_end() {
            // A rule, and no front matter.
            "" if number == 0 => return None,
            line if line == fence || line == other => return Some(end),
            _ => {}
        }
    }
    None
}
