//! The HTTP server of `minilm`: the APIs of text-embeddings-inference and of OpenAI, for the clients that there are.
//!
//! ```no_run
//! use minilm_server::{Server, ServerOptions};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let model = minilm::SentenceTransformer::load("all-MiniLM-L6-v2")?;
//! let server = Server::new(model, ServerOptions::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await?;
//! # Ok(()) }
//! ```
//!
//! ```text
//! tokio's threads                                  one thread, with the model's
//! http/       JSON, errors, headers
//! service.rs  tokenise, check ──▶ queue/  turns, batches ──▶ SentenceTransformer::encode_ids
//! ```

#![deny(missing_debug_implementations)]

mod connections;
mod http;
mod metrics;
mod options;
mod page;
mod queue;
mod server;
mod service;

pub use connections::Listener;
pub use options::ServerOptions;
pub use server::{Server, ServerError};
