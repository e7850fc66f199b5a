//! Records one after the other: lines, JSON values, rows of a table.

mod checked_bytes;
pub(crate) mod json;
mod json_array;
mod lines;
mod recent;
mod table;

use std::io::Read;

use serde_json::Value;

use crate::error::{At, Problem};
use json_array::JsonArray;
use lines::JsonLines;
pub(crate) use lines::TextLines;
pub(crate) use table::Separator;
pub use table::Table;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A JSON value, and where it is.
pub(crate) struct Record {
    pub(crate) value: Value,
    pub(crate) at: At,
}

/// The values of JSON lines or of a JSON array.
pub(crate) type JsonRecords = Box<dyn Iterator<Item = Result<Record, Problem>> + Send>;

pub(crate) fn json_lines(source: impl Read + Send + 'static) -> JsonRecords {
    Box::new(JsonLines::new(source))
}

pub(crate) fn json_array(source: impl Read + Send + 'static) -> JsonRecords {
    Box::new(JsonArray::new(source))
}
