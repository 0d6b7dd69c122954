//! The hosts of the engine: live, simulated; storage, links, faults, the command language and the `Cluster` handle.

pub mod link;
pub mod live;
pub mod reading;
pub mod sim;
pub mod store;
pub mod view;
pub mod wire;

pub mod admin;
pub mod command;
pub mod control_socket;
pub mod data_dir;
pub mod demo;
pub mod dial;
pub mod ledger;
pub mod observation;
pub mod options;
pub mod query;
pub mod workload;
