//! kafkarium: a real multi-broker, Kafka-compatible cluster in one process, shown living in the terminal.
//!
//! The layers, from the bottom up; arrows of dependency point down only (`tests/it/tidy.rs` reads the imports):
//! `protocol` and `engine` and `client` are the pure core (no I/O, no clocks, no threads), `cluster` hosts it
//! (live on sockets and redb, or simulated in a seeded world), `tui` draws it, `cli` starts it.
// Banned in the pure core, whose modules deny them; everyone else may use clocks, threads and hash tables.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod cli;
pub mod client;
pub mod cluster;
pub mod engine;
pub mod protocol;
pub mod tui;
