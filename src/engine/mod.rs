//! The broker as a pure state machine: the same inputs give the same outputs, to the byte.
//!
//! Invariant of the layer: nothing in here knows of tokio, redb, files, sockets, threads, wall clocks, randomness of its
//! own, the iteration order of a hash table, or floats. Time, randomness and reads come in through [`io::Ctx`]; everything
//! that is to happen goes out as [`io::Effect`].
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod active;
pub mod api;
pub mod broker;
pub mod config;
pub mod controller;
pub mod group;
pub mod io;
pub mod lifecycle;
pub mod log;
pub mod mutant;
pub mod observe;
pub mod prng;
pub mod producer_ids;
pub mod quorum;
pub mod replica;
pub mod rpc;
#[cfg(test)]
pub mod testing;
pub mod time;
pub mod txn;
