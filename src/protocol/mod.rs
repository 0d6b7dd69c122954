//! The Kafka wire protocol: API table, frames, codec, record batches, error codes, ids. No I/O.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod api;
pub mod batch;
pub mod codec;
pub mod compression;
pub mod error;
pub mod fetch;
pub mod frame;
pub mod ids;
pub mod peer;
pub mod records;
pub mod schema;
pub mod tree;
pub mod versions;
pub mod walk;
