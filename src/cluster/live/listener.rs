//! A broker's port: bound once for the life of the cluster, given back to the same broker after each of its deaths.
//!
//! Invariants: a port is bound before its broker's life begins, so that a port in use is told before anything has
//! happened; while a broker is suspended its port accepts in the kernel only, as that of a stopped process does.
//!
//! Deliberately not here: what is said on a connection (`conn.rs`).

use crate::cluster::live::conn::{Connection, Service, serve};
use crate::protocol::ids::ConnectionId;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// After running out of files: long enough for some to be closed.
const RETRY: Duration = Duration::from_millis(50);

/// Binds a port; 0 takes a free one. A port of a broker that has just died can be bound again at once.
///
/// # Errors
/// What the operating system says, `AddrInUse` above all.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts and serves until it is aborted.
pub async fn accept(listener: TcpListener, service: Arc<Service>) {
    loop {
        service.gate.passed().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Small answers must not wait for larger ones.
                drop(stream.set_nodelay(true));
                let id = ConnectionId(service.host.next_number());
                let connection = Arc::new(Connection::new(id, peer, stream, Arc::clone(&service.link)));
                tokio::spawn(serve(Arc::clone(&service), connection));
            }
            // One connection's trouble, or too many open files.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}
