//! What the whole-engine tests share. The tests are in `tests/tests/`, most of them in one program, `engine/`.

pub mod golden;
pub mod golden_bits;
pub mod hub_client;
pub mod hub_server;
pub mod mixed_texts;
pub mod model_folder;
pub mod sized_texts;
