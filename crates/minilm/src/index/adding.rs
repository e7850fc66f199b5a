//! What a call adds, until `index.json` names it.

use std::path::Path;

use minilm_storage::{Id, TextItem, Vectors};
use sha2::{Digest, Sha256};

use super::IndexError;
use super::manifest::{Manifest, SegmentEntry, Unfinished};
use super::segment::{Segment, SegmentWriter};
use crate::resolve::hex;

/// What a call of [`IndexWriter::add`](super::IndexWriter::add) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// How many texts it added, without those that were there already from a build that was interrupted.
    pub texts: usize,
    /// How many of these had more tokens than the model takes, so that their ends cannot be found.
    pub truncated: usize,
    /// How many texts were there already, from a build that was interrupted.
    pub resumed: usize,
}

/// A call, as far as it is.
pub(super) struct Adding<'a> {
    directory: &'a Path,
    segment_texts: usize,
    pub(super) added: Added,
    pub(super) digest: TextDigest,
    /// The index as it will be, with the segments that are complete.
    pub(super) next: Manifest,
    /// The one that is not.
    segment: Option<SegmentWriter>,
}

impl<'a> Adding<'a> {
    pub(super) fn new(directory: &'a Path, segment_texts: usize, index: &Manifest) -> Adding<'a> {
        Adding {
            directory,
            segment_texts,
            added: Added::default(),
            digest: TextDigest::default(),
            next: index.clone(),
            segment: None,
        }
    }

    /// Writes texts and their vectors. Says whether a segment is complete with them.
    pub(super) fn write(&mut self, window: &[TextItem], vectors: Vectors<'_>) -> Result<bool, IndexError> {
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => SegmentWriter::create(self.directory, self.next.new_segment(), self.next.dimension)?,
        };
        let begin = self.next.rows() + segment.rows();
        let ids = window.iter().enumerate().map(|(i, item)| match &item.id {
            Some(id) => id.clone(),
            None => Id::Integer((begin + i) as i64),
        });
        segment.write(ids.zip(window.iter().map(|item| &item.text[..])), vectors)?;
        window.iter().for_each(|item| self.digest.add(item));
        self.added.texts += window.len();
        let complete = segment.rows() >= self.segment_texts;
        if complete {
            self.next.segments.push(segment.finish()?);
        } else {
            self.segment = Some(segment);
        }
        Ok(complete)
    }

    /// All texts are there.
    pub(super) fn finish(mut self) -> Result<(Added, Manifest), IndexError> {
        if let Some(rest) = self.segment.take() {
            self.next.segments.push(rest.finish()?);
            self.merge_last()?;
        }
        self.next.unfinished = None;
        Ok((self.added, self.next))
    }

    /// Puts the last segments together, up to the first that is no larger than all behind it, so that an index that grows text by
    /// text has few: each is larger than all behind it, up to a full one. A text comes into a segment of at least twice the
    /// size whenever it is written again, so that does not happen often.
    fn merge_last(&mut self) -> Result<(), IndexError> {
        let segments = &self.next.segments;
        let (mut first, mut behind) = (segments.len(), 0);
        for (i, segment) in segments.iter().enumerate().rev() {
            if segment.rows >= self.segment_texts {
                break;
            }
            if segment.rows <= behind {
                first = i;
            }
            behind += segment.rows;
        }
        if first == segments.len() {
            return Ok(());
        }
        let name = self.next.new_segment();
        let (directory, dimension) = (self.directory, self.next.dimension);
        let merged = merged(directory, name, dimension, &self.next.segments[first..])?;
        self.next.segments.truncate(first);
        self.next.segments.push(merged);
        Ok(())
    }
}

/// One segment of several.
fn merged(
    directory: &Path,
    name: String,
    dimension: usize,
    segments: &[SegmentEntry],
) -> Result<SegmentEntry, IndexError> {
    let mut writer = SegmentWriter::create(directory, name, dimension)?;
    for entry in segments {
        writer.append(&Segment::open(directory, entry, dimension)?)?;
    }
    writer.finish()
}

/// Which texts have been read.
#[derive(Default)]
pub(super) struct TextDigest {
    pub(super) texts: usize,
    hasher: Sha256,
}

impl TextDigest {
    pub(super) fn add(&mut self, item: &TextItem) {
        self.texts += 1;
        // With their lengths, so that nothing can be shifted from one to the next.
        let id = item.id.as_ref().map(Id::to_string).unwrap_or_default();
        for part in [&id, &item.text] {
            self.hasher.update((part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
    }

    pub(super) fn unfinished(&self) -> Unfinished {
        Unfinished { rows: self.texts, sha256: hex(&self.hasher.clone().finalize()) }
    }
}
