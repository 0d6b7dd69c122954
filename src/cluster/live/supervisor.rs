//! Owns the brokers of a live cluster: begins their lives, ends them in every way there is, freezes and thaws them, and
//! ticks.
//!
//! Invariants: a broker has at most one life at a time; it keeps its id, port, log directory and event numbers through
//! all of them, but for the directory that a wipe replaces; what a command changes is changed when its call returns.
//!
//! Deliberately not here: the command language (`execute.rs`), faults of links, disks and clocks (`faults.rs`),
//! pictures (`picture.rs`).

use crate::cluster::data_dir::DataDir;
use crate::cluster::live::broker_thread::{Afterlife, Birth, Home, live};
use crate::cluster::live::client_link::ClientLink;
use crate::cluster::live::clock::TICK;
use crate::cluster::live::conn::Service;
use crate::cluster::live::faults::Faults;
use crate::cluster::live::history::{Ended, HostFact};
use crate::cluster::live::host::Host;
use crate::cluster::live::listener;
use crate::cluster::live::mailbox::{Control, End, Item, Mailbox};
use crate::cluster::live::roster::{Member, Roster, RosterError};
use crate::cluster::live::status::{Phase, Status};
use crate::cluster::observation::{Observer, Setup};
use crate::cluster::options::{ClusterOptions, Durability};
use crate::cluster::store::{self, MemoryStore, StoreOptions};
use crate::cluster::view::Capabilities;
use crate::cluster::workload::Workload;
use crate::engine::config::{BrokerConfig, ClusterConfig};
use crate::engine::controller::statics::set_static;
use crate::engine::io::{LogInfo, Sequences};
use crate::engine::observe::{BrokerSnapshot, Scope};
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::frame::FrameSplitter;
use crate::protocol::ids::{BrokerId, DirectoryId};
use crate::protocol::peer::EventId;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A controlled shutdown that takes longer (nobody is left who could answer it) becomes a plain one.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of requests that one broker's connections may hold together.
const BUDGET_BYTES: usize = 64 * 1024 * 1024;
/// A broker's thread that does not answer a snapshot in this time is busy with something long.
const SNAPSHOT_PATIENCE: Duration = Duration::from_millis(200);

/// Why a cluster cannot be started, or a broker added.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named for what they hold")]
pub enum StartError {
    /// A port is taken.
    #[error("port {} of broker {broker} is in use; the next {} free ports begin at {free}", address.port(), wanted)]
    PortInUse { broker: BrokerId, address: SocketAddr, wanted: usize, free: u16 },
    /// A port cannot be bound for another reason.
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    /// A setting is not allowed.
    #[error("--set {name}: {reason}")]
    Setting { name: String, reason: String },
    /// The roster of the data folder cannot be used.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The operating system gives no thread.
    #[error("cannot start: {0}")]
    Thread(#[from] io::Error),
}

/// A broker, whether it lives or not.
pub(super) struct Slot {
    pub(super) member: Member,
    pub(super) address: SocketAddr,
    pub(super) status: Arc<Status>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) service: Option<Arc<Service>>,
    thread: Option<JoinHandle<Afterlife>>,
    /// Its store between two lives, in mode `memory`.
    memory: Option<MemoryStore>,
    seqs: Sequences,
    pub(super) skew_ms: Arc<AtomicI64>,
    /// Since when it is as it is.
    pub(super) since: Instant,
    /// What is left of its logs, while it does not live.
    pub(super) logs: Vec<LogInfo>,
}

/// The shared inside of a live cluster.
pub struct Supervisor {
    pub(super) host: Arc<Host>,
    pub(super) options: ClusterOptions,
    pub(super) config: ClusterConfig,
    pub(super) faults: Mutex<Faults>,
    pub(super) slots: Mutex<BTreeMap<BrokerId, Slot>>,
    /// Held while all brokers are asked how they are.
    pub(super) round: Mutex<()>,
    /// The cluster's own clients.
    pub(super) workload: Workload,
    roster: Mutex<Roster>,
    rng: Mutex<Prng>,
    runtime: tokio::runtime::Runtime,
    ticker: Mutex<Option<JoinHandle<()>>>,
    is_over: (Mutex<bool>, Condvar),
    is_stopped: AtomicBool,
    data: DataDir,
}

impl Supervisor {
    /// Starts all brokers of a data folder, or those the options ask for in an empty one. Returns once all have begun
    /// their lives.
    ///
    /// # Errors
    /// If a port is in use, a setting is wrong, or the folder cannot be used. Nothing runs then.
    pub fn start(options: ClusterOptions, data: DataDir) -> Result<Arc<Supervisor>, StartError> {
        let mut rng = Prng::new(std::hash::RandomState::new().build_hasher().finish());
        let keeps_files = options.durability != Durability::Memory;
        let roster = Roster::open(data.folder(), keeps_files, &options, &mut rng)?;
        let config = cluster_config(&options, &roster)?;
        // Every port is bound before anything lives.
        let wanted = roster.members().len();
        let mut listeners = Vec::new();
        for member in roster.members() {
            let address = SocketAddr::new(options.listen, member.port);
            listeners.push(listener::bind(address).map_err(|error| refused(member.id, address, wanted, error))?);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sockets")
            .enable_all()
            .build()?;
        let min_session_timeout_ms = config.group_min_session_timeout_ms;
        let observer = Observer::new(setup(&options, &config));
        let host = Arc::new(Host::new(rng.fork("links"), observer));
        host.clock.set_speed(options.speed.permille);
        let supervisor = Arc::new(Supervisor {
            host,
            config,
            faults: Mutex::default(),
            slots: Mutex::default(),
            round: Mutex::default(),
            workload: Workload::new(runtime.handle().clone(), "", min_session_timeout_ms),
            roster: Mutex::new(roster),
            rng: Mutex::new(rng),
            runtime,
            ticker: Mutex::default(),
            is_over: (Mutex::new(false), Condvar::new()),
            is_stopped: AtomicBool::new(false),
            data,
            options,
        });
        supervisor.start_ticking()?;
        let members = supervisor.roster().members().to_vec();
        for (member, listener) in members.into_iter().zip(listeners) {
            supervisor.add_slot(member, listener)?;
        }
        supervisor.tell_addresses();
        Ok(supervisor)
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, BTreeMap<BrokerId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder the cluster lives in.
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    fn start_ticking(self: &Arc<Self>) -> io::Result<()> {
        let weak = Arc::downgrade(self);
        let ticker = std::thread::Builder::new().name("ticker".to_owned()).spawn(move || {
            while let Some(supervisor) = weak.upgrade() {
                let (over, wake) = &supervisor.is_over;
                let over = over.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = wake.wait_timeout_while(over, TICK, |over| !*over).unwrap_or_else(PoisonError::into_inner);
                if *waited.0 {
                    return;
                }
                drop(waited);
                if let Some(by) = supervisor.host.clock.tick() {
                    supervisor.host.tell(HostFact::MachineStalled { by });
                }
            }
        })?;
        *self.ticker.lock().unwrap_or_else(PoisonError::into_inner) = Some(ticker);
        Ok(())
    }

    /// A broker that is new to this host, with its port bound, begins its first life here.
    fn add_slot(&self, mut member: Member, listener: std::net::TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        member.port = address.port();
        self.roster().set_port(member.id, member.port);
        let limit = self.options.memory_limit.map(|limit| limit.0 / u64::from(self.options.brokers.max(1)));
        let slot = Slot {
            address,
            status: Arc::default(),
            mailbox: Arc::default(),
            service: None,
            thread: None,
            memory: (self.options.durability == Durability::Memory).then(|| MemoryStore::new(limit)),
            seqs: Sequences::default(),
            skew_ms: Arc::default(),
            since: self.host.clock.now(),
            logs: Vec::new(),
            member,
        };
        let id = slot.member.id;
        self.host.watch().observer.add_broker(id, slot.address.port());
        let mut slots = self.slots();
        slots.insert(id, slot);
        self.begin(slots.get_mut(&id).expect("just put in"), listener)
    }

    /// Begins a life.
    fn begin(&self, slot: &mut Slot, listener: std::net::TcpListener) -> io::Result<()> {
        let id = slot.member.id;
        let cause = self.host.tell(HostFact::BrokerStarting { broker: id });
        (slot.status, slot.mailbox, slot.logs) = (Arc::default(), Arc::default(), Vec::new());
        let splitter = FrameSplitter::default();
        let link = Arc::new(ClientLink::new(Arc::clone(&self.host), id));
        let (host, mailbox) = (Arc::clone(&self.host), Arc::clone(&slot.mailbox));
        let service = Arc::new(Service::new(host, mailbox, link, BUDGET_BYTES, splitter));
        service.gate.set_shut(self.host.clock.is_paused());
        slot.service = Some(Arc::clone(&service));
        slot.since = self.host.clock.now();
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let birth = Birth {
            config: self.broker_config(&slot.member, &mut rng),
            home: match slot.memory.take() {
                Some(store) => Home::Memory(Box::new(store)),
                None => Home::Directory(self.directory_of(id)),
            },
            options: store_options(&self.options),
            host: Arc::clone(&self.host),
            mailbox: Arc::clone(&slot.mailbox),
            service: Arc::clone(&service),
            status: Arc::clone(&slot.status),
            seqs: slot.seqs.clone(),
            rng: rng.fork("broker"),
            skew_ms: Arc::clone(&slot.skew_ms),
            disk: self.faults().disk_of(id),
            cause: Some(cause),
        };
        drop(rng);
        let runtime = self.runtime.handle().clone();
        let status = Arc::clone(&slot.status);
        let host = Arc::clone(&self.host);
        let thread = std::thread::Builder::new().name(format!("broker-{id}")).spawn(move || {
            let accept_with = Arc::clone(&birth.service);
            let afterlife = live(birth, move || {
                let _inside = runtime.enter();
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let task = runtime.spawn(listener::accept(listener, Arc::clone(&accept_with)));
                        accept_with.accept_with(task.abort_handle());
                    }
                    Err(error) => panic!("cannot accept connections: {error}"),
                }
            });
            status.set_phase(Phase::Ended(afterlife.how.clone()));
            host.history.poke();
            afterlife
        })?;
        slot.thread = Some(thread);
        Ok(())
    }

    /// `HOST:PORT,…` as a client wants it.
    pub fn bootstrap_servers(&self) -> String {
        let host = self.options.advertised_host();
        let slots = self.slots();
        let addresses: Vec<String> = slots.values().map(|slot| format!("{host}:{}", slot.address.port())).collect();
        addresses.join(",")
    }

    /// Where the cluster's own clients find it, whatever clients elsewhere are told.
    pub(super) fn own_servers(&self) -> String {
        self.own_servers_from(None)
    }

    /// The same, with one broker before the others: the one to ask, if a broker that is cut off could tell what no longer holds.
    pub(super) fn own_servers_from(&self, first: Option<BrokerId>) -> String {
        let ip = if self.options.listen.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { self.options.listen };
        let mut ports: Vec<(BrokerId, u16)> =
            self.slots().iter().map(|(id, slot)| (*id, slot.address.port())).collect();
        ports.sort_by_key(|(id, _)| Some(*id) != first);
        let addresses = ports.into_iter().map(|(_, port)| SocketAddr::new(ip, port).to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    fn tell_addresses(&self) {
        let servers = self.bootstrap_servers();
        self.host.watch().observer.set_bootstrap_servers(servers);
        self.workload.set_bootstrap_servers(&self.own_servers());
    }

    fn broker_config(&self, member: &Member, rng: &mut Prng) -> BrokerConfig {
        let roster = self.roster();
        BrokerConfig {
            broker: member.id,
            directory: member.directory,
            incarnation: rng.uuid(),
            host: self.options.advertised_host(),
            port: member.port,
            rack: None,
            initial_voters: roster.voters().clone(),
            cluster: self.config.clone(),
        }
    }

    pub(super) fn directory_of(&self, id: BrokerId) -> PathBuf {
        self.data.folder().join(format!("broker-{id}"))
    }

    /// Takes what an ended life has left.
    fn bury(&self, slot: &mut Slot) {
        let Some(thread) = slot.thread.take() else { return };
        match thread.join() {
            Ok(Afterlife { memory, seqs, logs, how }) => {
                slot.memory = memory;
                slot.seqs = seqs;
                slot.logs = logs;
                slot.status.set_phase(Phase::Ended(how));
            }
            Err(_) => {
                let message = "its thread ended without a word".to_owned();
                slot.status.set_phase(Phase::Ended(Ended::Crashed { message }));
            }
        }
        slot.since = self.host.clock.now();
        self.host.history.poke();
    }

    /// Ends a broker as `kill -9` does. False if it does not live.
    pub fn kill(&self, id: BrokerId) -> bool {
        self.end(id, End::Kill, Ended::Killed)
    }

    /// Takes a broker's power. False if it does not live.
    pub fn power_loss(&self, id: BrokerId) -> bool {
        self.end(id, End::PowerLoss, Ended::PowerLost)
    }

    fn end(&self, id: BrokerId, end: End, how: Ended) -> bool {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&id).filter(|slot| is_alive(slot)) else { return false };
        let cause = self.host.tell(HostFact::BrokerEnded { broker: id, how });
        if let Some(service) = &slot.service {
            match end {
                End::Kill => service.shut(true),
                End::PowerLoss => service.fall_silent(),
                End::Close => service.shut(false),
            }
        }
        self.host.leave(id, end != End::PowerLoss, Some(cause));
        slot.mailbox.control(Control::End(end));
        self.bury(slot);
        slot.status.set_suspended(false);
        true
    }

    /// Stops a broker in order: its leaderships move first. Returns when it has ended. False if it does not live.
    pub fn stop(&self, id: BrokerId) -> bool {
        let status = {
            let slots = self.slots();
            let Some(slot) = slots.get(&id).filter(|slot| is_alive(slot)) else { return false };
            let cause = self.host.tell(HostFact::BrokerStopping { broker: id });
            slot.mailbox.push(Item::ControlledShutdown { cause: Some(cause) });
            Arc::clone(&slot.status)
        };
        if !self.wait_until(SHUTDOWN_PATIENCE, || matches!(status.phase(), Phase::Ended(_))) {
            return self.end(id, End::Close, Ended::Stopped);
        }
        if let Some(slot) = self.slots().get_mut(&id) {
            self.bury(slot);
        }
        true
    }

    /// Freezes a broker. False if it does not live or is frozen.
    pub fn suspend(&self, id: BrokerId) -> bool {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&id).filter(|slot| is_alive(slot) && !slot.status.is_suspended()) else {
            return false;
        };
        slot.status.set_suspended(true);
        slot.since = self.host.clock.now();
        if let Some(service) = &slot.service {
            service.gate.set_shut(true);
        }
        slot.mailbox.set_frozen(true);
        self.host.tell(HostFact::Suspended { broker: id });
        true
    }

    /// Lets a frozen broker go on. False if it is not frozen.
    pub fn resume(&self, id: BrokerId) -> bool {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&id).filter(|slot| is_alive(slot) && slot.status.is_suspended()) else {
            return false;
        };
        self.host.tell(HostFact::Resumed { broker: id });
        slot.status.set_suspended(false);
        slot.since = self.host.clock.now();
        if let Some(service) = &slot.service {
            service.gate.set_shut(self.host.clock.is_paused());
        }
        slot.mailbox.set_frozen(false);
        true
    }

    /// Begins a new life of a broker that does not live. False if it lives.
    ///
    /// # Errors
    /// If its port was taken meanwhile.
    pub fn revive(&self, id: BrokerId) -> Result<bool, StartError> {
        let mut slots = self.slots();
        let wanted = slots.len();
        let Some(slot) = slots.get_mut(&id).filter(|slot| !is_alive(slot)) else { return Ok(false) };
        self.bury(slot);
        if let Some(service) = slot.service.take() {
            // What was connected to a machine without power learns of it when the machine is back.
            service.shut(true);
            service.gate.set_shut(false);
        }
        let address = slot.address;
        let listener = self.bind_again(address).map_err(|error| refused(id, address, wanted, error))?;
        self.begin(slot, listener)?;
        Ok(true)
    }

    /// The socket of the former life is closed by another thread: that may take a moment.
    fn bind_again(&self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
        let mut outcome = listener::bind(address);
        for _ in 0..100 {
            match &outcome {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    std::thread::sleep(Duration::from_millis(2));
                    outcome = listener::bind(address);
                }
                _ => break,
            }
        }
        outcome
    }

    /// Replaces a dead broker's disk by an empty one, with a new directory id.
    ///
    /// # Errors
    /// If it lives, or the files cannot be removed.
    pub fn wipe(&self, id: BrokerId) -> io::Result<()> {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&id).filter(|slot| !is_alive(slot)) else {
            return Err(io::Error::other(format!("broker {id} lives")));
        };
        self.bury(slot);
        if let Some(memory) = &mut slot.memory {
            *memory = MemoryStore::new(memory.limit_bytes());
        } else {
            store::wipe(&self.directory_of(id))?;
        }
        let directory = DirectoryId(self.rng.lock().unwrap_or_else(PoisonError::into_inner).uuid());
        slot.member.directory = directory;
        slot.logs = Vec::new();
        self.roster().set_directory(id, directory).map_err(io::Error::other)?;
        self.host.tell(HostFact::Wiped { broker: id });
        Ok(())
    }

    /// Adds a broker with the next id and starts it.
    ///
    /// # Errors
    /// If there are as many as there can be, or no port is free.
    pub fn add(&self) -> Result<BrokerId, StartError> {
        let last = self.slots().values().map(|slot| (slot.member.id, slot.address.port())).max();
        let (last_id, last_port) = last.unwrap_or((BrokerId(0), self.options.first_port));
        let id = BrokerId(last_id.0 + 1);
        if self.slots().len() >= usize::from(ClusterOptions::MAX_BROKERS) {
            let reason = format!("there are {} brokers, the most there can be", ClusterOptions::MAX_BROKERS);
            return Err(StartError::Thread(io::Error::other(reason)));
        }
        let wanted = if self.options.first_port == 0 { 0 } else { last_port.saturating_add(1) };
        let listener = listener::bind(SocketAddr::new(self.options.listen, wanted))
            .or_else(|_| listener::bind(SocketAddr::new(self.options.listen, 0)))?;
        let directory = DirectoryId(self.rng.lock().unwrap_or_else(PoisonError::into_inner).uuid());
        let member = Member { id, port: listener.local_addr()?.port(), directory };
        self.roster().add(member.clone())?;
        self.add_slot(member, listener)?;
        self.tell_addresses();
        Ok(id)
    }

    /// Forgets a broker that does not live, files and all. False if it lives or is not known.
    ///
    /// # Errors
    /// If the files cannot be removed.
    pub fn forget(&self, id: BrokerId) -> Result<bool, StartError> {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&id).filter(|slot| !is_alive(slot)) else { return Ok(false) };
        self.bury(slot);
        if let Some(service) = slot.service.take() {
            service.shut(true);
        }
        slots.remove(&id);
        store::wipe(&self.directory_of(id))?;
        drop(slots);
        self.roster().remove(id)?;
        self.host.watch().observer.remove_broker(id);
        self.tell_addresses();
        self.host.history.poke();
        Ok(true)
    }

    /// Stops time, or lets it go on. False if it was so already.
    pub fn set_paused(&self, is_paused: bool) -> bool {
        if !self.host.clock.set_paused(is_paused) {
            return false;
        }
        for slot in self.slots().values() {
            let silent = matches!(slot.status.phase(), Phase::Ended(_)) || slot.status.is_suspended();
            if let Some(service) = slot.service.as_ref().filter(|_| !silent) {
                service.gate.set_shut(is_paused);
            }
        }
        self.host.tell(HostFact::Paused { is_paused });
        self.tell_pace();
        self.poke_all();
        true
    }

    /// Time goes on, stands still or has another speed: whoever waits for a moment looks at the clock anew.
    fn poke_all(&self) {
        self.host.poke_all();
        for service in self.slots().values().filter_map(|slot| slot.service.as_ref()) {
            service.poke();
        }
    }

    /// The cluster's own loads keep to its time.
    fn tell_pace(&self) {
        let clock = &self.host.clock;
        self.workload.set_pace(if clock.is_paused() { 0 } else { clock.speed_permille() });
    }

    /// Sets the speed of time, in thousandths.
    pub fn set_speed(&self, permille: u32) {
        self.host.clock.set_speed(permille);
        self.host.tell(HostFact::Speed { permille });
        self.tell_pace();
        self.poke_all();
    }

    /// What every broker that lives says of itself, asked all at once; those that are busy for long are left out.
    pub(super) fn snapshots(&self, scopes: &BTreeMap<BrokerId, Scope>) -> Vec<BrokerSnapshot> {
        let asked: Vec<Receiver<BrokerSnapshot>> = self
            .slots()
            .iter()
            .filter(|(_, slot)| slot.status.phase() == Phase::Running)
            .filter_map(|(id, slot)| {
                let (reply, answer) = channel();
                let scope = scopes.get(id).cloned().unwrap_or_default();
                slot.mailbox.control(Control::Snapshot { scope, reply }).then_some(answer)
            })
            .collect();
        let until = std::time::Instant::now() + SNAPSHOT_PATIENCE;
        let told = asked.into_iter().filter_map(|answer| {
            let left = until.saturating_duration_since(std::time::Instant::now());
            answer.recv_timeout(left).ok()
        });
        told.collect()
    }

    /// Waits until something is true, looking again whenever anything has happened. Says whether it came true in time.
    pub fn wait_until(&self, limit: Duration, is_true: impl Fn() -> bool) -> bool {
        let until = std::time::Instant::now() + limit;
        let mut seen = self.host.history.changes();
        loop {
            if is_true() {
                return true;
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            // Not everything that is waited for is told when it happens.
            seen = self.host.history.wait(seen, left.min(Duration::from_millis(20)));
        }
    }

    /// Stops everything: every broker flushed and marked as clean. Does nothing the second time.
    pub fn shut_down(&self) {
        if self.is_stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        self.workload.shut_down();
        // Time may stand still: the ends wait for nothing. All at once, and then each is waited for.
        for slot in self.slots().values() {
            slot.mailbox.control(Control::End(End::Close));
        }
        for slot in self.slots().values_mut() {
            self.bury(slot);
            if let Some(service) = slot.service.take() {
                service.shut(false);
            }
        }
        *self.is_over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.is_over.1.notify_all();
        let ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The ticker itself may be the last to hold this.
        if let Some(ticker) = ticker.filter(|ticker| ticker.thread().id() != std::thread::current().id()) {
            drop(ticker.join());
        }
    }

    /// Tells that a fault or intervention began.
    pub(super) fn tell(&self, fact: HostFact) -> EventId {
        self.host.tell(fact)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.shut_down();
    }
}

pub(super) fn is_alive(slot: &Slot) -> bool {
    slot.thread.is_some() && !matches!(slot.status.phase(), Phase::Ended(_))
}

fn cluster_config(options: &ClusterOptions, roster: &Roster) -> Result<ClusterConfig, StartError> {
    let mut config = ClusterConfig::preset(options.timing, roster.cluster_id(), roster.members().len());
    for setting in &options.settings {
        set_static(&mut config, &setting.key, &setting.value)
            .map_err(|error| StartError::Setting { name: setting.key.clone(), reason: error.to_string() })?;
    }
    Ok(config)
}

fn setup(options: &ClusterOptions, config: &ClusterConfig) -> Setup {
    let can =
        Capabilities { pause: true, slow: true, step: false, rewind: false, recall: true, faults: true, demo: true };
    let quit_loses =
        (options.durability == Durability::Memory).then(|| "The records of this run are in memory only.".to_owned());
    Setup {
        name: "local".to_owned(),
        bootstrap_servers: String::new(),
        can,
        quit_loses,
        utc_offset_s: 0,
        cluster: config.clone(),
        brokers: Vec::new(),
    }
}

fn store_options(options: &ClusterOptions) -> StoreOptions {
    let durability = match options.durability {
        Durability::Process => store::Durability::Process,
        Durability::Sync => store::Durability::Sync,
        Durability::Memory => store::Durability::Memory,
    };
    StoreOptions { durability, ..StoreOptions::default() }
}

fn refused(broker: BrokerId, address: SocketAddr, wanted: usize, error: io::Error) -> StartError {
    if error.kind() != io::ErrorKind::AddrInUse {
        return StartError::Listen { address, error };
    }
    let count = u16::try_from(wanted).unwrap_or(1);
    let is_free = |first: &u16| {
        let range = *first..first.saturating_add(count);
        range.into_iter().all(|port| listener::bind(SocketAddr::new(address.ip(), port)).is_ok())
    };
    // In steps of ten: easy to remember and to type.
    let free = (address.port() / 10 + 1..6_500).map(|tens| tens * 10 + 2).find(is_free).unwrap_or(0);
    StartError::PortInUse { broker, address, wanted, free }
}
