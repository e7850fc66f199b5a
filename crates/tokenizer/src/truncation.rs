//! Which part of a long text is cut off.

use serde::Deserialize;
use tokenizers::TruncationDirection;

/// The side of a text that is cut off if it has more tokens than the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TruncationSide {
    /// Its end.
    #[default]
    Right,
    /// Its beginning.
    Left,
}

impl From<TruncationDirection> for TruncationSide {
    fn from(direction: TruncationDirection) -> TruncationSide {
        match direction {
            TruncationDirection::Right => TruncationSide::Right,
            TruncationDirection::Left => TruncationSide::Left,
        }
    }
}

impl From<TruncationSide> for TruncationDirection {
    fn from(side: TruncationSide) -> TruncationDirection {
        match side {
            TruncationSide::Right => TruncationDirection::Right,
            TruncationSide::Left => TruncationDirection::Left,
        }
    }
}
