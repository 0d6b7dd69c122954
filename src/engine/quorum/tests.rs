//! Tests of the quorum as a whole, in a small deterministic world of several brokers.

mod accounts;
mod safety;
mod scenarios;
mod world;
