//! The transformer encoders of the BERT family: from token ids to one vector a token.
//!
//! - [`EncoderConfig`] is the part of `config.json` that the arithmetic depends on, checked; [`Architecture`] is which network
//!   of the family it is.
//! - [`Encoder`] holds the weights, packed once, and runs the forward pass over [`PackedTokens`]: the
//!   sequences of a micro-batch one behind the other, without padding, so that no masked position exists
//!   and a text's bits cannot depend on its neighbours.
//! - [`Arena`] is the scratch memory of one forward pass, reused from one to the next.
//! - [`Workers`] are the threads: a pool for bulk work, each thread with an arena, and a team that shares a single
//!   text, led through [`Lead`].
//! - [`Encoder::profile`] tells where the time of a pass goes.
//! - [`Encoder::trace`] runs the same pass in single steps and shows the tensor of each.
//!
//! A network computes what its model in transformers 4.57 computes in evaluation mode; the files of `architecture/` name
//! papers and sources.

mod architecture;
mod arena;
mod calibration;
mod config;
mod encoder;
mod error;
mod forward;
mod load;
mod packed_model;
mod packed_tokens;
mod profile;
mod team;
mod tensors;
mod trace;
mod word_embeddings;
mod workers;

pub use architecture::Architecture;
pub use arena::Arena;
pub use config::{EncoderConfig, HiddenAct};
pub use encoder::{Encoder, Tap};
pub use error::EncoderError;
pub use load::{EncoderOptions, PackedCacheStatus};
pub use packed_tokens::PackedTokens;
pub use profile::{Operation, Profile};
pub use team::Lead;
pub use trace::{TraceStep, TraceValues};
pub use workers::Workers;
