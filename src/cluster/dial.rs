//! The only code that opens a client connection: drives any machine of `client/` over TCP. Used by the command line, the demo workload, the
//! console's forms and the ledger.
//!
//! One connection a broker, and another to a group's coordinator; the first thing said on each is ApiVersions, and every request then
//! goes out in the newest version that both sides know. A call that is not answered in time closes its connection, because a broker
//! that is cut off says nothing.

use crate::client::anybody::Anybody;
use crate::client::{Answer, Call, Machine, Target, newest_version};
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{self, Request, RequestHeader, Response};
use crate::protocol::ids::BrokerId;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiVersionsRequest;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// After this long a connection that does not come about is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest response that is read, in bytes.
const RESPONSE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Where a call goes: a broker, or one of the addresses that were given at the start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Broker(BrokerId),
    Coordinator(BrokerId),
    Bootstrap(usize),
}

/// What a connection tells the driver.
enum Told {
    Answer { call: u64, answer: Answer },
    Closed { place: Place, life: u64, reason: String },
}

/// A call on its way to a connection's task.
struct Order {
    call: u64,
    request: Request,
    expects_answer: bool,
}

struct Connection {
    life: u64,
    orders: mpsc::UnboundedSender<Order>,
    calls: VecDeque<u64>,
    task: tokio::task::JoinHandle<()>,
}

/// Drives a machine against a cluster.
pub struct Driver<M> {
    /// The machine.
    pub machine: M,
    bootstrap: Vec<String>,
    client_id: String,
    addresses: BTreeMap<BrokerId, (String, u16)>,
    connections: BTreeMap<Place, Connection>,
    deadlines: BTreeMap<u64, (Instant, Place)>,
    began: Instant,
    anybody: Anybody,
    lives: u64,
    told: mpsc::UnboundedReceiver<Told>,
    tell: mpsc::UnboundedSender<Told>,
    last_failure: Option<String>,
}

impl<M: Machine> Driver<M> {
    /// A driver that knows only where to begin: `HOST:PORT`, several with commas between.
    pub fn new(machine: M, bootstrap: &str, client_id: &str) -> Driver<M> {
        let (tell, told) = mpsc::unbounded_channel();
        Driver {
            machine,
            bootstrap: bootstrap.split(',').map(|address| address.trim().to_owned()).collect(),
            client_id: client_id.to_owned(),
            addresses: BTreeMap::new(),
            connections: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            began: Instant::now(),
            anybody: Anybody::default(),
            lives: 0,
            told,
            tell,
            last_failure: None,
        }
    }

    /// The machine's clock, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).expect("less than 584 million years")
    }

    /// Why the last connection failed, for messages to people.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Lets the machine go on and waits until something was answered, the machine's time has come, or `limit` is over. May be dropped
    /// while it waits: nothing is lost.
    pub async fn step(&mut self, limit: Duration) {
        let now_ms = self.now_ms();
        let turn = self.machine.turn(now_ms);
        for (broker, host, port) in turn.addresses {
            self.addresses.insert(broker, (host, port));
        }
        let called = !turn.calls.is_empty();
        for call in turn.calls {
            self.dispatch(call);
        }
        let mut until = Instant::now() + limit;
        if let Some(at_ms) = turn.wake_at_ms {
            until = until.min(self.began + Duration::from_millis(at_ms.max(now_ms + u64::from(!called))));
        }
        if let Some((deadline, _)) = self.deadlines.values().min_by_key(|(deadline, _)| *deadline) {
            until = until.min(*deadline);
        }
        if let Ok(Some(told)) = tokio::time::timeout_at(until, self.told.recv()).await {
            self.hear(told);
            while let Ok(told) = self.told.try_recv() {
                self.hear(told);
            }
        }
        self.expire();
    }

    fn place(&mut self, to: Target) -> Place {
        match to {
            Target::Broker(broker) => Place::Broker(broker),
            Target::Coordinator(broker) => Place::Coordinator(broker),
            Target::Any => {
                let place = self.anybody.ask(self.bootstrap.len() + self.addresses.len());
                let known = place.checked_sub(self.bootstrap.len()).and_then(|place| self.addresses.keys().nth(place));
                known.map_or(Place::Bootstrap(place), |broker| Place::Broker(*broker))
            }
        }
    }

    fn dispatch(&mut self, call: Call) {
        let place = self.place(call.to);
        if !self.connections.contains_key(&place) {
            let address = match &place {
                Place::Broker(broker) | Place::Coordinator(broker) => {
                    self.addresses.get(broker).map(|(host, port)| format!("{host}:{port}"))
                }
                Place::Bootstrap(index) => Some(self.bootstrap[*index].clone()),
            };
            let Some(address) = address else {
                return self.fail(call.id, format!("the address of {place:?} is not known"));
            };
            self.open(place.clone(), address);
        }
        let connection = self.connections.get_mut(&place).expect("just opened");
        if call.expects_answer {
            connection.calls.push_back(call.id);
            let deadline = Instant::now() + Duration::from_millis(call.timeout_ms);
            self.deadlines.insert(call.id, (deadline, place));
        }
        let order = Order { call: call.id, request: call.request, expects_answer: call.expects_answer };
        // A connection that has just died says so in its own message.
        let _ = connection.orders.send(order);
    }

    fn open(&mut self, place: Place, address: String) {
        self.lives += 1;
        let life = self.lives;
        let (orders, receiver) = mpsc::unbounded_channel();
        let (tell, client_id, at) = (self.tell.clone(), self.client_id.clone(), place.clone());
        let task = tokio::spawn(async move {
            let reason = match converse(&address, client_id, receiver, &tell).await {
                Ok(()) => format!("{address} closed the connection"),
                Err(error) => format!("{address}: {error}"),
            };
            let _ = tell.send(Told::Closed { place: at, life, reason });
        });
        self.connections.insert(place, Connection { life, orders, calls: VecDeque::new(), task });
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Answer { call, answer } => {
                if let Some((_, place)) = self.deadlines.remove(&call) {
                    if let Some(connection) = self.connections.get_mut(&place) {
                        connection.calls.retain(|waiting| *waiting != call);
                    }
                    let now_ms = self.now_ms();
                    self.machine.answer(now_ms, call, answer);
                }
            }
            Told::Closed { place, life, reason } => {
                if self.connections.get(&place).is_some_and(|connection| connection.life == life) {
                    self.close(&place, reason);
                }
            }
        }
    }

    fn close(&mut self, place: &Place, reason: String) {
        let Some(connection) = self.connections.remove(place) else { return };
        connection.task.abort();
        self.anybody.connection_ended();
        for call in connection.calls {
            self.fail(call, reason.clone());
        }
        self.last_failure = Some(reason);
    }

    fn fail(&mut self, call: u64, reason: String) {
        self.deadlines.remove(&call);
        let now_ms = self.now_ms();
        self.machine.answer(now_ms, call, Answer::Failed(reason));
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let late: Vec<Place> =
            self.deadlines.values().filter(|(deadline, _)| *deadline <= now).map(|(_, place)| place.clone()).collect();
        for place in late {
            self.close(&place, "no answer in time".to_owned());
        }
    }
}

impl<M> Drop for Driver<M> {
    fn drop(&mut self) {
        for connection in self.connections.values() {
            connection.task.abort();
        }
    }
}

/// Requests that wait for their response on a connection, in order of correlation id.
type Waiting = Arc<Mutex<BTreeMap<i32, (u64, ApiKey, i16)>>>;

async fn converse(
    address: &str,
    client_id: String,
    orders: mpsc::UnboundedReceiver<Order>,
    tell: &mpsc::UnboundedSender<Told>,
) -> io::Result<()> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let versions = negotiate(&mut reader, &mut writer, &client_id).await?;
    let waiting = Waiting::default();
    tokio::select! {
        result = write_orders(&mut writer, orders, &versions, &client_id, &waiting, tell) => result,
        result = read_answers(&mut reader, &waiting, tell) => result,
    }
}

/// Asks which versions the other side knows, in the one form that everybody answers.
async fn negotiate(
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    client_id: &str,
) -> io::Result<BTreeMap<i16, (i16, i16)>> {
    let header = header(ApiKey::ApiVersions, 0, 0, client_id);
    let request = Request::ApiVersions(ApiVersionsRequest::default());
    let frame = codec::encode_request(&header, &request).map_err(io::Error::other)?;
    writer.write_all(&frame.to_bytes()).await?;
    let frame = read_frame(reader).await?;
    let (_, response) = codec::decode_response(ApiKey::ApiVersions, 0, frame).map_err(io::Error::other)?;
    let Response::ApiVersions(response) = response else { return Err(io::Error::other("no ApiVersions")) };
    Ok(response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
}

fn header(api: ApiKey, version: i16, correlation_id: i32, client_id: &str) -> RequestHeader {
    RequestHeader { api, version, correlation_id, client_id: Some(client_id.to_owned()), client_host: None }
}

async fn write_orders(
    writer: &mut OwnedWriteHalf,
    mut orders: mpsc::UnboundedReceiver<Order>,
    versions: &BTreeMap<i16, (i16, i16)>,
    client_id: &str,
    waiting: &Waiting,
    tell: &mpsc::UnboundedSender<Told>,
) -> io::Result<()> {
    let mut correlation_id = 0;
    while let Some(order) = orders.recv().await {
        let api = order.request.api();
        let version = versions.get(&api.key()).and_then(|&(min, max)| {
            let version = max.min(newest_version(api));
            (version >= min.max(api.min_version())).then_some(version)
        });
        let encoded = match version {
            Some(version) => {
                correlation_id += 1;
                let header = header(api, version, correlation_id, client_id);
                let frame = codec::encode_request(&header, &order.request).map_err(|error| error.to_string());
                frame.map(|frame| (version, frame))
            }
            None => Err(format!("the cluster does not serve {} in a version that we know", api.name())),
        };
        match encoded {
            Ok((version, frame)) => {
                if order.expects_answer {
                    let entry = (order.call, api, version);
                    waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(correlation_id, entry);
                }
                for piece in &frame.pieces {
                    writer.write_all(piece).await?;
                }
            }
            Err(reason) => {
                let _ = tell.send(Told::Answer { call: order.call, answer: Answer::Failed(reason) });
            }
        }
    }
    Ok(())
}

async fn read_answers(
    reader: &mut OwnedReadHalf,
    waiting: &Waiting,
    tell: &mpsc::UnboundedSender<Told>,
) -> io::Result<()> {
    loop {
        let frame = read_frame(reader).await?;
        let id = codec::response_correlation_id(&frame).ok_or(io::ErrorKind::InvalidData)?;
        let entry = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some((call, api, version)) = entry else { return Err(io::Error::other("an answer to no question")) };
        let answer = match codec::decode_response(api, version, frame) {
            Ok((_, response)) => Answer::Response(Box::new(response)),
            Err(error) => Answer::Failed(error.to_string()),
        };
        if tell.send(Told::Answer { call, answer }).is_err() {
            return Ok(());
        }
    }
}

async fn read_frame(reader: &mut OwnedReadHalf) -> io::Result<Bytes> {
    let length = usize::try_from(reader.read_i32().await?).map_err(|_| io::ErrorKind::InvalidData)?;
    if length > RESPONSE_BYTES_MAX {
        return Err(io::Error::other(format!("a response of {length} bytes")));
    }
    let mut frame = BytesMut::zeroed(length);
    reader.read_exact(&mut frame).await?;
    Ok(frame.freeze())
}
