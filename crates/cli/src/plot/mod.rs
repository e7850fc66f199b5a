//! Pictures, as SVG: texts as points, similarities as a heat map.
//!
//! They are written element by element. What makes them worth looking at is not drawn by a library for charts: a text that
//! shows when the pointer is over a point, colours for a light and a dark background, labels in any script.

mod colours;
mod heat_map;
mod placement;
mod scatter;
mod svg;

pub(crate) use colours::ansi;
pub(crate) use heat_map::{HeatMap, Scale, heat_map, shown};
pub(crate) use scatter::{Scatter, scatter};
