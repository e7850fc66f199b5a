//! Arrow IPC, file and stream: its frames, read and checked here.
//!
//! The format: <https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc>. What is in a frame
//! is decoded by `arrow-ipc`, whose own readers panic or ask for any amount of memory where a length in a damaged file leads
//! out of its frame.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, Message, MessageHeader, root_as_footer, root_as_message};
use arrow_schema::{ArrowError, Schema};

use super::batches::find_columns;
use super::guarded::guarded;
use super::on_one_line;
use crate::Position;
use crate::error::Problem;

const FORMAT: &str = "Arrow IPC";

/// What a file begins with; the same is at its end.
const MAGIC: &[u8] = b"ARROW1";

/// The length of the footer, and the magic.
const TRAILER_BYTES: usize = 10;

/// What a message begins with, before its length.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A buffer that says it is longer when it is decompressed is not believed.
const MAX_DECOMPRESSED: i64 = 1 << 32;

/// The batches of an IPC file.
pub(super) struct IpcFile {
    file: File,
    size: u64,
    decoder: FileDecoder,
    batches: std::vec::IntoIter<Block>,
    position: Option<Position>,
}

/// The batches of an IPC stream.
pub(super) struct IpcStream<R> {
    source: R,
    decoder: FileDecoder,
    ended: bool,
}

/// Whether a file of that size is an IPC file and no stream.
pub(super) fn is_file(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(start == MAGIC)
}

impl IpcFile {
    pub(super) fn open(
        mut file: File,
        size: u64,
        wanted: &[&str],
        position: Option<Position>,
    ) -> Result<IpcFile, Problem> {
        let footer = read_footer(&mut file, size)?;
        let footer = root_as_footer(&footer).map_err(|e| not_ipc(format!("its footer is malformed: {e}")))?;
        let schema = footer.schema().ok_or_else(|| not_ipc("its footer has no schema".to_owned()))?;
        let (schema, decoder) = decoder(schema, footer.version())?;
        let columns = find_columns(&schema, wanted)?;
        let mut decoder = decoder.with_projection(columns);
        for block in footer.dictionaries().iter().flatten() {
            let bytes = read_block(&mut file, size, block)?;
            guarded(FORMAT, || decoder.read_dictionary(block, &bytes).map_err(malformed))?;
        }
        let batches: Vec<Block> = footer.recordBatches().iter().flatten().copied().collect();
        Ok(IpcFile { file, size, decoder, batches: batches.into_iter(), position })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, Problem> {
        for block in self.batches.by_ref() {
            let bytes = read_block(&mut self.file, self.size, &block)?;
            if let Some(position) = &self.position {
                position.count(bytes.len() as u64);
            }
            let batch =
                guarded(FORMAT, || self.decoder.read_record_batch(&block, &bytes).map_err(malformed))?;
            if let Some(batch) = batch {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

impl Iterator for IpcFile {
    type Item = Result<RecordBatch, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

fn read_footer(file: &mut File, size: u64) -> Result<Vec<u8>, Problem> {
    let trailer_start = size.checked_sub(TRAILER_BYTES as u64);
    let trailer_start = trailer_start.ok_or_else(|| not_ipc(format!("it has {size} bytes")))?;
    let mut trailer = [0; TRAILER_BYTES];
    file.seek(SeekFrom::Start(trailer_start)).map_err(Problem::read)?;
    file.read_exact(&mut trailer).map_err(Problem::read)?;
    let length = read_footer_length(trailer)
        .map_err(|_| not_ipc("it does not end with ARROW1; it may have been cut".to_owned()))?;
    let start = trailer_start.checked_sub(length as u64);
    let start = start
        .ok_or_else(|| not_ipc(format!("its footer should have {length} bytes, more than are there")))?;
    file.seek(SeekFrom::Start(start)).map_err(Problem::read)?;
    let mut footer = vec![0; length];
    file.read_exact(&mut footer).map_err(Problem::read)?;
    Ok(footer)
}

/// A message and its body.
fn read_block(file: &mut File, size: u64, block: &Block) -> Result<Buffer, Problem> {
    let outside = || {
        let (offset, metadata, body) = (block.offset(), block.metaDataLength(), block.bodyLength());
        let reason = format!(
            "a message of {metadata} and {body} bytes from byte {offset} on is not in its {size} bytes"
        );
        Problem::anywhere(format!("malformed Arrow IPC: {reason}"))
    };
    let offset = u64::try_from(block.offset()).map_err(|_| outside())?;
    let metadata = usize::try_from(block.metaDataLength()).map_err(|_| outside())?;
    let body = usize::try_from(block.bodyLength()).map_err(|_| outside())?;
    let length = metadata.checked_add(body).ok_or_else(outside)?;
    if offset.checked_add(length as u64).is_none_or(|end| end > size) {
        return Err(outside());
    }
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(offset)).map_err(Problem::read)?;
    file.read_exact(&mut bytes).map_err(Problem::read)?;
    let start = if bytes.starts_with(&CONTINUATION) { 8 } else { 4 };
    let message = bytes.get(start..metadata).ok_or_else(outside)?;
    check(&message_of(message)?, &bytes[metadata..])?;
    Ok(Buffer::from_vec(bytes))
}

impl<R: Read> IpcStream<R> {
    /// The stream, which has all of its columns.
    pub(super) fn open(mut source: R, wanted: &[&str]) -> Result<IpcStream<R>, Problem> {
        let Some((metadata, _)) = read_message(&mut source)? else {
            return Err(not_ipc("it is empty".to_owned()));
        };
        let message = message_of(&metadata[8..])?;
        let schema = message.header_as_schema();
        let schema = schema.ok_or_else(|| not_ipc("it does not begin with a schema".to_owned()))?;
        let (schema, decoder) = decoder(schema, message.version())?;
        let columns = find_columns(&schema, wanted)?;
        let decoder = decoder.with_projection(columns);
        Ok(IpcStream { source, decoder, ended: false })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, Problem> {
        while !self.ended {
            let Some((mut bytes, metadata)) = read_message(&mut self.source)? else { break };
            let message = message_of(&bytes[8..])?;
            let (header, length) = (message.header_type(), message.bodyLength());
            let body = usize::try_from(length).map_err(|_| Problem::anywhere(negative(length)))?;
            read_all(&mut self.source, body, &mut bytes)?;
            let message = message_of(&bytes[8..metadata])?;
            check(&message, &bytes[metadata..])?;
            let block = Block::new(0, metadata as i32, length);
            let bytes = Buffer::from_vec(bytes);
            let batch = guarded(FORMAT, || {
                if header == MessageHeader::DictionaryBatch {
                    self.decoder.read_dictionary(&block, &bytes).map_err(malformed)?;
                    return Ok(None);
                }
                self.decoder.read_record_batch(&block, &bytes).map_err(malformed)
            })?;
            if let Some(batch) = batch {
                return Ok(Some(batch));
            }
        }
        self.ended = true;
        Ok(None)
    }
}

impl<R: Read> Iterator for IpcStream<R> {
    type Item = Result<RecordBatch, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// The next message without its body, and its length, which includes the eight bytes before it; `None` at the end.
fn read_message(source: &mut impl Read) -> Result<Option<(Vec<u8>, usize)>, Problem> {
    let mut start = Vec::with_capacity(8);
    source.by_ref().take(4).read_to_end(&mut start).map_err(Problem::read)?;
    if start.is_empty() {
        return Ok(None);
    }
    if start.starts_with(&MAGIC[..4]) {
        let reason =
            "an Arrow IPC file is read from its end, so it must be a regular file; a stream need not";
        return Err(Problem::anywhere(reason));
    }
    // Before version 0.15 there was nothing before the length.
    if start == CONTINUATION {
        source.by_ref().take(4).read_to_end(&mut start).map_err(Problem::read)?;
    } else {
        start.splice(0..0, CONTINUATION);
    }
    let Some((_, length)) = start.split_last_chunk::<4>().filter(|_| start.len() == 8) else {
        return Err(not_ipc("it ends within the length of a message".to_owned()));
    };
    let length = i32::from_le_bytes(*length);
    if length == 0 {
        return Ok(None);
    }
    let metadata = usize::try_from(length).map_err(|_| not_ipc(negative(length.into())))?;
    read_all(source, metadata, &mut start)?;
    let end = start.len();
    Ok(Some((start, end)))
}

/// Adds so many bytes, which take memory only when they have come.
fn read_all(source: &mut impl Read, length: usize, to: &mut Vec<u8>) -> Result<(), Problem> {
    let read = source.by_ref().take(length as u64).read_to_end(to).map_err(Problem::read)?;
    if read == length {
        return Ok(());
    }
    Err(not_ipc(format!("a message should go on for {length} bytes, but {read} follow")))
}

fn message_of(metadata: &[u8]) -> Result<Message<'_>, Problem> {
    root_as_message(metadata).map_err(|e| not_ipc(format!("a message is malformed: {e}")))
}

/// Whether all buffers of a message are within its body, and of a size that may be.
fn check(message: &Message<'_>, body: &[u8]) -> Result<(), Problem> {
    let dictionary = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    let Some(batch) = message.header_as_record_batch().or(dictionary) else { return Ok(()) };
    for buffer in batch.buffers().iter().flatten() {
        let (offset, length) = (buffer.offset(), buffer.length());
        let range = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
        let bytes = range.and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?));
        let Some(bytes) = bytes else {
            return Err(Problem::anywhere(format!(
                "malformed Arrow IPC: a buffer of {length} bytes from byte {offset} on is not in a body of {}",
                body.len()
            )));
        };
        let compressed = batch.compression().and(bytes.first_chunk::<8>());
        let decompressed = compressed.map_or(0, |length| i64::from_le_bytes(*length));
        if decompressed > MAX_DECOMPRESSED {
            return Err(Problem::anywhere(format!(
                "malformed Arrow IPC: a buffer should have {decompressed} bytes when it is decompressed, expected at most \
                 {MAX_DECOMPRESSED}"
            )));
        }
    }
    Ok(())
}

fn decoder(
    schema: arrow_ipc::Schema<'_>,
    version: arrow_ipc::MetadataVersion,
) -> Result<(Arc<Schema>, FileDecoder), Problem> {
    if !schema.endianness().equals_to_target_endianness() {
        return Err(not_ipc("its numbers are in another byte order than this machine's".to_owned()));
    }
    let schema = Arc::new(try_fb_to_schema(schema).map_err(|e| not_ipc(e.to_string()))?);
    Ok((schema.clone(), FileDecoder::new(schema, version)))
}

fn negative(length: i64) -> String {
    format!("a message should have {length} bytes")
}

fn not_ipc(reason: String) -> Problem {
    Problem::anywhere(format!("not Arrow IPC: {}", on_one_line(reason)))
}

fn malformed(error: ArrowError) -> Problem {
    Problem::anywhere(format!("malformed Arrow IPC: {}", on_one_line(error)))
}
