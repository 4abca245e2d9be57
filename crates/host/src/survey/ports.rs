//! Who has bound which local port: procfs' tables of sockets, and whose descriptors these are.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// A socket that is bound: with UDP any, with TCP one that listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// What is spoken.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// The processes that have it, by number and name; none where this user may not see them.
    pub processes: Vec<(u32, String)>,
}

/// The state of a TCP socket that listens, and of a UDP socket without a peer.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

pub(super) fn holders() -> Vec<Holder> {
    let owners = owners();
    let tables = [("udp", Transport::Udp), ("udp6", Transport::Udp), ("tcp", Transport::Tcp), ("tcp6", Transport::Tcp)];
    let mut found = Vec::new();
    for (table, transport) in tables {
        // Of the thread: in a lab it is not the process' own network.
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|line| row(line, transport)).map(|(address, inode)| Holder {
            transport,
            address,
            processes: owners.get(&inode).cloned().unwrap_or_default(),
        }));
    }
    found
}

/// The address and the inode of a socket that is bound and has no peer.
fn row(line: &str, transport: Transport) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let wanted = if transport == Transport::Tcp { LISTENS } else { UNCONNECTED };
    if *fields.get(3)? != wanted {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(ip(address)?, port), fields.get(9)?.parse().ok()?))
}

/// Words of four bytes, each as the machine has it in memory.
fn ip(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..text.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// The processes that have each socket, by its inode.
fn owners() -> BTreeMap<u64, Vec<(u32, String)>> {
    let mut owners: BTreeMap<u64, Vec<(u32, String)>> = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Some(inode) = fs::read_link(descriptor.path()).ok().and_then(|link| socket(link.to_str()?)) else {
                continue;
            };
            let all = owners.entry(inode).or_default();
            if all.iter().all(|(known, _)| *known != pid) {
                all.push((pid, name()));
            }
        }
    }
    owners
}

fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn rows_are_read_as_procfs_writes_them() {
        if cfg!(target_endian = "little") {
            let udp = "  381: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 4242 2 0 0";
            let at = "127.0.0.53:53".parse().unwrap();

            assert_eq!(row(udp, Transport::Udp), Some((at, 4242)));
            let tcp =
                "0: 00000000000000000000000001000000:1F75 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1";
            assert_eq!(row(tcp, Transport::Tcp), Some(("[::1]:8053".parse().unwrap(), 7)));
        }
        assert_eq!(row("sl local_address rem_address st", Transport::Tcp), None);
        assert_eq!(row("", Transport::Udp), None);
        assert_eq!(socket("pipe:[7]"), None);
    }

    #[test]
    fn our_own_sockets_are_found_and_are_ours() {
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let found = holders();
        for (transport, address) in
            [(Transport::Udp, udp.local_addr().unwrap()), (Transport::Tcp, tcp.local_addr().unwrap())]
        {
            let holder = found.iter().find(|holder| (holder.transport, holder.address) == (transport, address));
            let holder = holder.expect("our socket is listed");
            assert!(holder.processes.iter().any(|(pid, _)| *pid == std::process::id()), "{holder:?}");
        }
    }
}
