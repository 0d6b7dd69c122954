//! The one integration-test binary: each module is an area.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod cli;
mod console;
mod kafka_clients;
mod live;
mod mutants;
mod recording;
mod sim;
mod storage;
mod support;
mod tidy;
mod wire;
