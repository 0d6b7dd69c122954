//! A port that is taken: who has it, and which ports are free instead.
//!
//! Invariants: nothing is said of a holder but what the operating system shows this user; finding nobody is no error.
//!
//! Deliberately not here: what the user then chooses.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::Path;

/// The next range of `count` free ports after `first`: first and last. Free now; somebody may take one a moment later.
pub fn free_range(listen: IpAddr, first: u16, count: u8) -> Option<(u16, u16)> {
    let count = u16::from(count.max(1));
    // By tens, so that 9092 becomes 9102: easy to tell apart and to remember.
    let mut begin = first;
    for _ in 0..200 {
        begin = begin.checked_add(count.max(10))?;
        let end = begin.checked_add(count - 1)?;
        if (begin..=end).all(|port| TcpListener::bind((listen, port)).is_ok()) {
            return Some((begin, end));
        }
    }
    None
}

/// Who listens on a port, as far as this user may see: `java (process 4121)`.
pub fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let path = process.path();
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = fs::read_dir(path.join("fd")) else { continue };
        if files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link == Path::new(&wanted))) {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

/// The inode of the socket that listens on a port, from a table of Linux's.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    /// TCP_LISTEN
    const LISTENING: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTENING;
        if is_it { fields.get(9)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_free_range_is_found_beside_what_is_taken() {
        let taken = TcpListener::bind((LOCALHOST, 0)).expect("bound");
        let port = taken.local_addr().expect("an address").port();
        let (first, last) = free_range(LOCALHOST, port, 3).expect("some are free");
        assert!(last - first == 2 && first > port);
        assert_eq!(free_range(LOCALHOST, 65_530, 3), None, "ports end");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_holder_of_a_port_is_named() {
        let taken = TcpListener::bind((LOCALHOST, 0)).expect("bound");
        let told = holder(taken.local_addr().expect("an address").port()).expect("this process can see itself");
        assert!(told.ends_with(&format!("(process {})", std::process::id())), "{told}");
    }

    #[test]
    fn only_who_listens_counts() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:2384 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
                     1: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1";
        assert_eq!(listening_inode(table, 9092), Some(12));
        assert_eq!(listening_inode(table, 9093), None);
    }
}
