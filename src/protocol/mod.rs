//! The Kafka wire protocol: API table, frames, codec, record batches, error codes, ids. No I/O.
//!
//! A frame's way in: [`frame`] cuts the stream, [`codec`] reads the header and asks [`api`] whether key and version are
//! served, [`walk`] checks the body against its [`schema`], and only then does `kafka-protocol` decode it. The way out
//! is [`codec`] alone, with [`fetch`] for the one response that carries records by reference. [`batch`] reads and
//! stamps what is stored; [`records`] and [`compression`] look inside, off the hot path. [`peer`] is what brokers of
//! one process say to each other, which needs no bytes. [`tree`] shows a frame to people.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod api;
pub mod batch;
pub mod codec;
pub mod compression;
pub mod consumer_protocol;
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
