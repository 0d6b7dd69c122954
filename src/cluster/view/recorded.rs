//! How far the recording of a live cluster reaches, and what is next to the moment that is viewed.
//!
//! Invariant: every moment in here can be asked for ([`super::ViewRequest::at_ms`]) and is shown exactly.
//!
//! Deliberately not here: the pictures themselves.

/// The recording, as seen from the moment that is viewed. Moments are milliseconds of cluster time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// The oldest moment that is kept.
    pub first_ms: u64,
    /// The newest one.
    pub last_ms: u64,
    /// The moment recorded before the one that is viewed.
    pub previous_ms: Option<u64>,
    /// The one after it; `None`: the present is next.
    pub next_ms: Option<u64>,
    /// The last fact before what is viewed, by its number, and the first moment that shows it.
    pub event_before: Option<(u64, u64)>,
    /// The first fact after what is viewed, and the first moment that shows it.
    pub event_after: Option<(u64, u64)>,
}
