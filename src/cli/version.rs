//! What `--version` tells: this program, and what is embedded in it.
//!
//! Invariant: the versions are those of `Cargo.lock` (tested).
//!
//! Deliberately not here: which versions of each API are served (`protocol::api`).

/// Whose rules the engine follows.
pub const ENGINE_LEVEL: &str = "Apache Kafka 4.x";
/// The release of Kafka whose messages the codec knows.
pub const MESSAGES_OF: &str = "4.1.0";
const KAFKA_PROTOCOL: &str = "0.18.0";
const REDB: &str = "4.6.0";

/// The text of `--version`, after the program's name.
pub fn long() -> String {
    format!(
        "{}\nengine: the rules of {ENGINE_LEVEL}, {} APIs\n\
         messages: Apache Kafka {MESSAGES_OF} (kafka-protocol {KAFKA_PROTOCOL})\nstorage: redb {REDB}",
        env!("CARGO_PKG_VERSION"),
        crate::protocol::api::ApiKey::ALL.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_is_linked() {
        let lock = include_str!("../../Cargo.lock");
        for (name, version) in [("kafka-protocol", KAFKA_PROTOCOL), ("redb", REDB)] {
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{name} {version}");
        }
    }
}
