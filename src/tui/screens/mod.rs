//! The screens, one file each: what is on them and how it is drawn.

pub mod cluster;
pub mod empty;
pub mod faults;
pub mod groups;
pub mod messages;
pub mod partition;
pub mod quorum;
pub mod start;
pub mod topics;
pub mod wire;
