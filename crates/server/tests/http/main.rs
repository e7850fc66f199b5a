//! Requests as clients send them, and answers as they read them.

mod access;
mod connections;
mod embeddings;
mod errors;
mod info;
mod limits;
mod openai;
mod openapi;
mod pages;
mod server;
mod tokens;
