//! The whole engine, a module a subject. They are one program, because linking each takes longer than running most; what needs a
//! process of its own, or runs by itself on other machines, is beside it: `allocations`, `bits`, `resolve`.

mod chunking;
mod clustering;
mod encode_options;
mod fixtures;
mod golden;
mod index;
mod malformed;
mod packed_cache;
mod retrieval;
mod settings;
mod similarity;
mod stream;
mod threads;
mod tokenizer;
mod trace;
