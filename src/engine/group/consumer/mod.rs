//! Consumer groups (KIP-848): the coordinator assigns, members take small steps.
//!
//! Three numbers carry it. The *group epoch* rises when members, subscriptions or topics change; the *target epoch* says
//! which group epoch the targets were computed for; a *member's epoch* says which target epoch it has reached. A member
//! goes from its assignment to its target by itself, whenever it shows itself: it gives back, reaches the epoch, gets
//! what is free.
//!
//! - [`record`], [`image`]: what is durable, and the only way it changes.
//! - [`draft`], [`heartbeat`], [`reconcile`], [`assignor`]: decisions; they come to records.
//! - [`classic`], [`migration`], [`embedded`]: members of the classic protocol, and groups that change protocol.
//! - [`group`], [`turn`]: timers, and how the coordinator gives a group its turn.
//!
//! Invariant: no partition has two members with valid epochs that may both use it, at any point of the log.
//!
//! Not here: share groups, Streams groups, assignors on the client.

pub mod assignor;
pub mod classic;
pub mod draft;
pub mod embedded;
pub mod group;
pub mod heartbeat;
pub mod image;
pub mod migration;
pub mod reconcile;
pub mod record;
pub mod regex;
pub mod turn;
