//! One client's connection: bytes into requests, responses into bytes, in the order of the requests.
//!
//! A task reads; a response goes out on the broker's own thread if it is small and the socket takes it, else a second
//! task writes it.
//!
//! Invariants: responses leave in the order in which their requests came; a connection holds at most [`MAX_REQUESTS`]
//! unanswered requests and asks nothing while answers are not taken, and all of a broker's connections together at most
//! the bytes of its [`Budget`]: beyond, nothing is read. Whatever arrives costs its own connection at most, and is told
//! with peer and reason.
//!
//! Deliberately not here: what a request means.

use crate::cluster::live::client_link::ClientLink;
use crate::cluster::live::history::HostFact;
use crate::cluster::live::host::Host;
use crate::cluster::live::mailbox::{Item, Mailbox};
use crate::engine::io::RequestToken;
use crate::engine::time::Instant;
use crate::protocol::codec::{EncodeError, EncodedFrame, RequestHeader, Response, decode_request, encode_response};
use crate::protocol::frame::{FrameSplitter, LENGTH_SIZE};
use crate::protocol::ids::ConnectionId;
use crate::protocol::versions::answer_to_unserved;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// Unanswered requests of one connection.
const MAX_REQUESTS: usize = 256;
/// A connection with more bytes of answers that its client does not take asks nothing more.
const MAX_UNSENT_BYTES: usize = 8 * 1024 * 1024;
/// Responses up to this size are written by the thread that made them.
const DIRECT_BYTES: usize = 64 * 1024;
/// A frame that claims more than this has to be within the budget before more of it is read.
const CLAIM_BYTES: usize = 1024 * 1024;
/// What Linux takes in one vectored write.
const MAX_PIECES: usize = 1024;
/// The budget counts in units of so many bytes.
const UNIT: usize = 1024;

/// Bytes of requests that a broker's connections may hold together.
#[derive(Debug, Clone)]
pub struct Budget {
    units: Arc<Semaphore>,
    total: u32,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Budget {
        let total = u32::try_from((bytes / UNIT).max(1)).unwrap_or(u32::MAX >> 3);
        Budget { units: Arc::new(Semaphore::new(total as usize)), total }
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        // A frame larger than everything takes everything.
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.total);
        Arc::clone(&self.units).acquire_many_owned(units).await.ok()
    }
}

/// What a connection belongs to.
pub struct Service {
    /// The host.
    pub host: Arc<Host>,
    /// The broker's mailbox.
    pub mailbox: Arc<Mailbox>,
    /// Its connections' budget.
    pub budget: Budget,
    /// Whether it reads at all.
    pub gate: Gate,
    /// What lies between it and its clients.
    pub link: Arc<ClientLink>,
    /// The longest frame it takes.
    pub splitter: FrameSplitter,
    connections: Mutex<HashMap<ConnectionId, Arc<Connection>>>,
    accepting: Mutex<Option<AbortHandle>>,
}

impl Service {
    /// What a broker's clients get to, as long as it lives.
    pub fn new(
        host: Arc<Host>,
        mailbox: Arc<Mailbox>,
        link: Arc<ClientLink>,
        budget_bytes: usize,
        splitter: FrameSplitter,
    ) -> Service {
        Service {
            host,
            mailbox,
            link,
            budget: Budget::new(budget_bytes),
            gate: Gate::default(),
            splitter,
            connections: Mutex::default(),
            accepting: Mutex::default(),
        }
    }

    /// The connections, to look at or change.
    pub fn connections(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults of the link to the clients may have changed.
    pub fn look_at_link(&self) {
        self.link.look_again();
        self.poke();
    }

    /// What waits for its moment looks at the clock anew.
    pub fn poke(&self) {
        for connection in self.connections().values() {
            connection.to_write.notify_one();
        }
    }

    /// What accepts, to be ended with the rest.
    pub fn accept_with(&self, task: AbortHandle) {
        *self.accepting.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Closes the port and every connection: with resets, as the end of a process does it, or in the usual way.
    pub fn shut(&self, with_resets: bool) {
        if let Some(task) = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        let connections: Vec<_> = self.connections().values().cloned().collect();
        for connection in connections {
            connection.close(with_resets);
        }
    }

    /// Says nothing any more and hears nothing, as a machine without power; what was connected does not notice.
    pub fn fall_silent(&self) {
        self.gate.set_shut(true);
    }
}

/// Holds reading back while a broker or its time stands still.
#[derive(Debug, Default)]
pub struct Gate {
    is_shut: AtomicBool,
    opened: Notify,
}

impl Gate {
    /// Opens or shuts it.
    pub fn set_shut(&self, is_shut: bool) {
        self.is_shut.store(is_shut, Ordering::SeqCst);
        if !is_shut {
            self.opened.notify_waiters();
        }
    }

    /// Waits until it is open.
    pub async fn passed(&self) {
        loop {
            let opened = self.opened.notified();
            if !self.is_shut.load(Ordering::SeqCst) {
                return;
            }
            opened.await;
        }
    }
}

enum Reply {
    Awaited,
    Ready(Option<EncodedFrame>),
}

struct Slot {
    token: RequestToken,
    header: Option<RequestHeader>,
    reply: Reply,
    _bytes: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct State {
    slots: VecDeque<Slot>,
    /// Pieces on their way out; the first may have gone in part.
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// Responses that a faulty link still keeps, in order, with the moments at which they have passed it.
    late: VecDeque<(Instant, EncodedFrame)>,
    /// When the last request that a faulty link has delayed arrives.
    late_until: Instant,
    /// The answer that could not be encoded, which ended the connection.
    unsayable: Option<EncodeError>,
}

impl State {
    fn set_out(&mut self, frame: EncodedFrame) {
        self.out_bytes += frame.size();
        self.out.extend(frame.pieces);
    }

    /// What has passed the link may be written.
    fn let_out_the_late(&mut self, now: Instant) {
        while self.late.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, frame)) = self.late.pop_front() {
                self.set_out(frame);
            }
        }
    }
}

/// A client's connection.
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    peer: SocketAddr,
    stream: TcpStream,
    link: Arc<ClientLink>,
    state: Mutex<State>,
    /// There is something to write that the thread that made it could not.
    to_write: Notify,
    /// A response has gone: there is room for another request.
    answered: Notify,
    is_closed: AtomicBool,
    closed: Notify,
}

impl Connection {
    /// A connection that was accepted.
    pub fn new(id: ConnectionId, peer: SocketAddr, stream: TcpStream, link: Arc<ClientLink>) -> Connection {
        Connection {
            id,
            peer,
            stream,
            link,
            state: Mutex::default(),
            to_write: Notify::new(),
            answered: Notify::new(),
            is_closed: AtomicBool::new(false),
            closed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header of a request that waits for its answer.
    pub fn header_of(&self, token: RequestToken) -> Option<RequestHeader> {
        let state = self.lock();
        let at = state.slots.binary_search_by_key(&token, |slot| slot.token).ok()?;
        state.slots[at].header.clone()
    }

    /// Answers a request; `None`: it has no response. What a response's version cannot say closes the connection.
    pub fn answer(&self, token: RequestToken, response: Option<&Response>) {
        let mut state = self.lock();
        let Ok(at) = state.slots.binary_search_by_key(&token, |slot| slot.token) else { return };
        let slot = &mut state.slots[at];
        let header = slot.header.take();
        match response.zip(header).map(|(response, header)| encode_response(&header, response)).transpose() {
            Ok(frame) => slot.reply = Reply::Ready(frame),
            Err(error) => {
                state.unsayable = Some(error);
                drop(state);
                return self.close(false);
            }
        }
        if at == 0 {
            self.send_ready(state);
        }
    }

    /// Sends everything at the front that is answered.
    fn send_ready(&self, mut state: MutexGuard<'_, State>) {
        let was_idle = state.out.is_empty();
        while matches!(state.slots.front(), Some(Slot { reply: Reply::Ready(_), .. })) {
            if let Some(Slot { reply: Reply::Ready(Some(frame)), .. }) = state.slots.pop_front() {
                if self.link.is_faulty() || !state.late.is_empty() {
                    let before = state.late.back().map_or(Instant::ZERO, |(at, _)| *at);
                    let at = self.link.departure(frame.size()).max(before);
                    state.late.push_back((at, frame));
                } else {
                    state.set_out(frame);
                }
            }
        }
        if was_idle && !state.out.is_empty() && state.out_bytes <= DIRECT_BYTES && self.link.may_write() {
            // An error shows again to the task that writes, which closes the connection.
            drop(self.write_some(&mut state));
        }
        let is_left = !state.out.is_empty() || !state.late.is_empty();
        drop(state);
        if is_left {
            self.to_write.notify_one();
        }
        self.answered.notify_one();
    }

    /// Writes what the socket takes. True when nothing is left.
    fn write_some(&self, state: &mut State) -> io::Result<bool> {
        while !state.out.is_empty() {
            let slices: Vec<IoSlice> = state.out.iter().take(MAX_PIECES).map(|piece| IoSlice::new(piece)).collect();
            let mut written = match self.stream.try_write_vectored(&slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            state.out_bytes -= written;
            while let Some(piece) = state.out.front_mut() {
                if written < piece.len() {
                    piece.advance(written);
                    break;
                }
                written -= piece.len();
                state.out.pop_front();
            }
        }
        Ok(true)
    }

    /// Ends the connection: with a reset, as the end of a process does it, or in the usual way.
    pub fn close(&self, with_reset: bool) {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let socket = socket2::SockRef::from(&self.stream);
        // Errors are of a socket that is gone already.
        if with_reset {
            drop(socket.set_linger(Some(Duration::ZERO)));
        } else {
            drop(socket.shutdown(std::net::Shutdown::Both));
        }
        self.closed.notify_waiters();
        self.closed.notify_one();
        self.to_write.notify_one();
        self.answered.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Whether it has to be rid of answers before it asks more: a client that does not read would fill the memory.
    fn is_full(&self) -> bool {
        let state = self.lock();
        state.slots.len() + state.late.len() >= MAX_REQUESTS || state.out_bytes >= MAX_UNSENT_BYTES
    }

    /// When a request arrives that sets out now; `None`: at once.
    fn arrival(&self, bytes: usize) -> Option<Instant> {
        let mut state = self.lock();
        if state.late_until == Instant::ZERO && !self.link.is_faulty() {
            return None;
        }
        let at = self.link.arrival(bytes).max(state.late_until);
        let is_late = at > self.link.now();
        state.late_until = if is_late { at } else { Instant::ZERO };
        is_late.then_some(at)
    }
}

/// Serves a connection until it ends.
pub async fn serve(service: Arc<Service>, connection: Arc<Connection>) {
    service.connections().insert(connection.id, Arc::clone(&connection));
    let writing = write(&connection);
    let reading = read(&service, &connection);
    let outcome = tokio::select! {
        outcome = reading => outcome,
        outcome = writing => outcome.map_err(Trouble::from),
        () = connection.closed.notified() => Ok(()),
    };
    service.connections().remove(&connection.id);
    let unsayable = connection.lock().unsayable.take().map(|error| error.to_string());
    let reason = match outcome {
        Err(Trouble::Hostile(reason)) => Some(reason),
        _ => unsayable,
    };
    if let Some(reason) = reason {
        service.host.tell(HostFact::ClientRefused { peer: connection.peer, reason });
    }
    connection.close(false);
    let late_until = connection.lock().late_until;
    let closed = Item::ConnectionClosed(connection.id);
    if late_until > connection.link.now() {
        service.mailbox.push_at(late_until, closed);
    } else {
        service.mailbox.push_all(&mut vec![closed], &service.host.clock);
    }
}

/// Why a connection ends before its client wants it to.
enum Trouble {
    /// The network's usual ways: nobody needs to hear of them.
    Io,
    /// What came makes no sense.
    Hostile(String),
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Trouble {
        Trouble::Io
    }
}

async fn write(connection: &Connection) -> io::Result<()> {
    let link = &connection.link;
    loop {
        connection.to_write.notified().await;
        if connection.is_closed() {
            return Ok(());
        }
        while link.may_write() {
            let (is_done, next) = {
                let mut state = connection.lock();
                state.let_out_the_late(link.now());
                (connection.write_some(&mut state)?, state.late.front().map(|(at, _)| *at))
            };
            connection.answered.notify_one();
            if !is_done {
                connection.stream.writable().await?;
                continue;
            }
            // While time stands still there is no such moment: who lets it go on says so.
            let Some(moment) = next.and_then(|at| link.real_deadline(at)) else { break };
            tokio::select! {
                () = tokio::time::sleep_until(moment.into()) => {}
                () = connection.to_write.notified() => {}
            }
            if connection.is_closed() {
                return Ok(());
            }
        }
    }
}

async fn read(service: &Service, connection: &Arc<Connection>) -> Result<(), Trouble> {
    let mut buffer = BytesMut::new();
    let mut items = Vec::new();
    let mut claimed = None;
    loop {
        while let Some(frame) =
            service.splitter.next(&mut buffer).map_err(|error| Trouble::Hostile(error.to_string()))?
        {
            let bytes = match claimed.take() {
                Some(bytes) => Some(bytes),
                None => {
                    // Whoever waits for room has to be able to make some.
                    if service.budget.units.available_permits() * UNIT < frame.len() {
                        service.mailbox.push_all(&mut items, &service.host.clock);
                    }
                    service.budget.take(frame.len()).await
                }
            };
            while connection.is_full() {
                service.mailbox.push_all(&mut items, &service.host.clock);
                connection.answered.notified().await;
                if connection.is_closed() {
                    return Ok(());
                }
            }
            take_frame(service, connection, frame, bytes, &mut items)?;
        }
        service.mailbox.push_all(&mut items, &service.host.clock);
        let length = buffer.first_chunk::<LENGTH_SIZE>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        if claimed.is_none() && length > CLAIM_BYTES {
            claimed = service.budget.take(length).await;
        }
        buffer.reserve(service.splitter.room(&buffer).map_err(|error| Trouble::Hostile(error.to_string()))?);
        loop {
            service.gate.passed().await;
            connection.link.may_read().await;
            connection.stream.readable().await?;
            service.gate.passed().await;
            connection.link.may_read().await;
            match connection.stream.try_read_buf(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn take_frame(
    service: &Service,
    connection: &Arc<Connection>,
    frame: Bytes,
    bytes: Option<OwnedSemaphorePermit>,
    items: &mut Vec<Item>,
) -> Result<(), Trouble> {
    let token = service.host.next_token();
    let arrival = connection.arrival(frame.len());
    match decode_request(frame) {
        Ok((header, request)) => {
            let header = RequestHeader { client_host: Some(connection.peer.ip()), ..header };
            let slot = Slot { token, header: Some(header.clone()), reply: Reply::Awaited, _bytes: bytes };
            connection.lock().slots.push_back(slot);
            let item = Item::Request { connection: Arc::clone(connection), token, header, request };
            match arrival {
                None => items.push(item),
                Some(at) => {
                    // What came before it arrives before it.
                    service.mailbox.push_all(items, &service.host.clock);
                    service.mailbox.push_at(at, item);
                }
            }
        }
        Err(error) => {
            let answer = answer_to_unserved(&error).ok_or_else(|| Trouble::Hostile(error.to_string()))?;
            let mut state = connection.lock();
            let reply = Reply::Ready(Some(answer));
            state.slots.push_back(Slot { token, header: None, reply, _bytes: bytes });
            connection.send_ready(state);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observation::{Observer, Setup};
    use crate::cluster::view::Capabilities;
    use crate::engine::config::{ClusterConfig, Timing};
    use crate::engine::prng::Prng;
    use crate::protocol::api::ApiKey;
    use crate::protocol::ids::BrokerId;
    use kafka_protocol::messages::ElectLeadersResponse;
    use std::io::Read;
    use std::net::TcpListener;

    fn healthy_link() -> Arc<ClientLink> {
        let setup = Setup {
            name: "local".to_owned(),
            bootstrap_servers: String::new(),
            can: Capabilities::default(),
            quit_loses: None,
            utc_offset_s: 0,
            cluster: ClusterConfig::preset(Timing::Lab, "a cluster", 1),
            brokers: Vec::new(),
        };
        let host = Host::new(Prng::new(1), Observer::new(setup));
        Arc::new(ClientLink::new(Arc::new(host), BrokerId(1)))
    }

    #[tokio::test]
    async fn an_answer_that_its_version_cannot_say_ends_the_connection_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let ours = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (mut client, peer) = listener.accept().expect("accepted");
        let connection = Connection::new(ConnectionId(1), peer, ours, healthy_link());
        let token = RequestToken(1);
        let header = RequestHeader {
            api: ApiKey::ElectLeaders,
            version: 0,
            correlation_id: 7,
            client_id: None,
            client_host: None,
        };
        let slot = Slot { token, header: Some(header), reply: Reply::Awaited, _bytes: None };
        connection.lock().slots.push_back(slot);
        let response = Response::ElectLeaders(ElectLeadersResponse::default().with_error_code(7));
        connection.answer(token, Some(&response));
        assert!(connection.is_closed());
        assert_eq!(connection.lock().unsayable.as_ref().map(|error| error.version), Some(0));
        let mut said = Vec::new();
        client.read_to_end(&mut said).expect("closed in the usual way");
        assert!(said.is_empty());
    }
}
