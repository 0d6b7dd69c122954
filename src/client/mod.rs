//! Clients as pure state machines: the same ones drive real sockets and the simulated world.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]
