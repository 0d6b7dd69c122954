//! A member of a classic group, and what a client says when it wants to be one.

use crate::engine::io::RequestToken;
use crate::engine::time::Instant;
use bytes::Bytes;
use std::sync::Arc;

/// A request that waits for its group: which, and in which version it is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// The request.
    pub token: RequestToken,
    /// Its version.
    pub version: i16,
}

/// JoinGroup, as the group takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Who waits for the answer.
    pub asker: Asker,
    /// The member's id; empty if it has none yet.
    pub member: Arc<str>,
    /// The id that it gets if it has none yet.
    pub new_member: Arc<str>,
    /// Its `group.instance.id`, if it is a static member (KIP-345).
    pub instance: Option<Arc<str>>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Where its client is.
    pub client_host: Arc<str>,
    /// How long it may be silent.
    pub session_timeout_ms: u64,
    /// How long it may take to join again.
    pub rebalance_timeout_ms: u64,
    /// What kind of member it is.
    pub protocol_type: Arc<str>,
    /// The protocols it speaks, the one it likes best first, and what it tells of itself under each.
    pub protocols: Vec<(Arc<str>, Bytes)>,
    /// Why it joins, in its client's words (KIP-800).
    pub reason: Option<Arc<str>>,
}

/// One member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: Arc<str>,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<Arc<str>>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Where its client is.
    pub client_host: Arc<str>,
    /// How long it may take to join again.
    pub rebalance_timeout_ms: u64,
    /// How long it may be silent.
    pub session_timeout_ms: u64,
    /// The protocols it speaks, the one it likes best first.
    pub protocols: Vec<(Arc<str>, Bytes)>,
    /// What it was given.
    pub assignment: Bytes,
    /// It has not been told its first generation yet: nobody hears of it if its client goes away.
    pub is_new: bool,
    /// Its JoinGroup that waits.
    pub joining: Option<Asker>,
    /// Its SyncGroup that waits.
    pub syncing: Option<Asker>,
    /// When it is out unless it shows itself.
    pub expires_at: Option<Instant>,
}

impl Member {
    /// A member that joins for the first time.
    pub fn new(id: Arc<str>, join: &Join) -> Member {
        Member {
            id,
            instance: join.instance.clone(),
            client_id: Arc::clone(&join.client_id),
            client_host: Arc::clone(&join.client_host),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            is_new: true,
            joining: Some(join.asker),
            syncing: None,
            expires_at: None,
        }
    }

    /// What it tells of itself under a protocol; nothing if it does not speak it.
    pub fn subscription(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| **name == *protocol).map(|(_, told)| told.clone()).unwrap_or_default()
    }

    /// Whether it speaks a protocol.
    pub fn speaks(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| **name == *protocol)
    }

    /// Whether one of its requests waits, so that it need not show itself meanwhile.
    pub fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }
}
