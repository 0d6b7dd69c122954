//! A broker's link to its clients: when what they say arrives, and when what they are told may go.
//!
//! A client's connection is TCP. A fault takes nothing out of it: what is cut or held stays where it is and goes on when
//! the fault has ended; what is lost is sent again, and so it is late; a client that does not wait so long gives up by
//! its own timeout. Faults are asked of the host's links, where those between brokers are too.
//!
//! Invariants: without faults nothing is asked of the host; frames of one connection keep their order.
//!
//! Deliberately not here: the setting up of a connection (the kernel does it, so it succeeds over a cut link too), and
//! its end: that of a broker's process resets its connections whatever the link.

use crate::cluster::link::{CLIENTS, LinkFaults};
use crate::cluster::live::conn::Gate;
use crate::cluster::live::host::Host;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
pub struct ClientLink {
    host: Arc<Host>,
    broker: BrokerId,
    is_faulty: AtomicBool,
    is_outbound_stopped: AtomicBool,
    inbound: Gate,
}

impl ClientLink {
    /// The link of a broker's new life, with the faults that act.
    pub fn new(host: Arc<Host>, broker: BrokerId) -> ClientLink {
        let link = ClientLink {
            host,
            broker,
            is_faulty: AtomicBool::new(false),
            is_outbound_stopped: AtomicBool::new(false),
            inbound: Gate::default(),
        };
        link.look_again();
        link
    }

    /// The faults may have changed.
    pub fn look_again(&self) {
        let (inbound, outbound) =
            self.host.with_links(|links| (links.faults((CLIENTS, self.broker)), links.faults((self.broker, CLIENTS))));
        let healthy = LinkFaults::default();
        self.is_faulty.store(inbound != healthy || outbound != healthy, Ordering::SeqCst);
        self.is_outbound_stopped.store(outbound.is_stopped(), Ordering::SeqCst);
        self.inbound.set_shut(inbound.is_stopped());
    }

    /// Whether anything may be wrong at all.
    pub fn is_faulty(&self) -> bool {
        self.is_faulty.load(Ordering::SeqCst)
    }

    /// Waits until bytes of clients arrive.
    pub async fn may_read(&self) {
        self.inbound.passed().await;
    }

    /// Whether bytes to clients leave.
    pub fn may_write(&self) -> bool {
        !self.is_outbound_stopped.load(Ordering::SeqCst)
    }

    /// When a client's frame of so many bytes arrives that sets out now.
    pub fn arrival(&self, bytes: usize) -> Instant {
        self.host.client_arrival((CLIENTS, self.broker), bytes)
    }

    /// When a frame of so many bytes is at its client that sets out now.
    pub fn departure(&self, bytes: usize) -> Instant {
        self.host.client_arrival((self.broker, CLIENTS), bytes)
    }

    /// Cluster time now.
    pub fn now(&self) -> Instant {
        self.host.clock.now()
    }

    /// The real moment of a moment of cluster time; `None` while time stands still.
    pub fn real_deadline(&self, at: Instant) -> Option<std::time::Instant> {
        self.host.clock.real_deadline(at)
    }
}
