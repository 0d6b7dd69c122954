//! The simulated host: the brokers' own state machines in a seeded world with a virtual clock, network and disk. The same seed gives the
//! same run, to the byte; every rule is checked after every happening.

pub mod check;
pub mod clientele;
pub mod clock;
pub mod dial;
pub mod disk;
pub mod disk_faults;
pub mod execute;
pub mod guest;
pub mod link_faults;
pub mod mutants;
pub mod nemesis;
pub mod network;
pub mod plan;
pub mod plan_file;
mod plot;
pub mod port;
mod reader;
pub mod run;
pub mod shapes;
pub mod shrink;
pub mod stage;
pub mod tail;
pub mod timeline;
pub mod trace;
pub mod watch;
pub mod workload;
pub mod world;
