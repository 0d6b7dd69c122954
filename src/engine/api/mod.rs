//! Clients' requests: one file an API (or a small family of them).

pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_topic_partitions;
pub mod list_config_resources;
pub mod metadata;
pub mod visible;
