//! What settings beside a `tokenizer.json` make of it, against what sentence-transformers makes of the same folder, and what
//! is refused.

mod folder;
mod overrides;
mod special_tokens;
