//! The kernel's network settings and interfaces.

use std::{
    collections::BTreeMap,
    fs, mem,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
};

use model::net::Prefix;
use pnet::datalink;

/// Settings of the network as a whole that somebody judges.
const GLOBAL: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv4/ip_unprivileged_port_start"];
/// The same of each interface, and of `all`.
const V4: [&str; 5] = ["rp_filter", "arp_ignore", "arp_announce", "promote_secondaries", "drop_gratuitous_arp"];
const V6: [&str; 3] = ["disable_ipv6", "accept_dad", "drop_unsolicited_na"];

/// Settings by their path below `/proc/sys`, such as `net/ipv4/conf/eth0/rp_filter`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings(pub BTreeMap<String, i64>);

impl Settings {
    pub(super) fn read(links: &[Link]) -> Self {
        let mut paths: Vec<String> = GLOBAL.map(str::to_owned).to_vec();
        for of in links.iter().map(|link| link.name.as_str()).chain(["all"]) {
            paths.extend(V4.map(|name| format!("net/ipv4/conf/{of}/{name}")));
            paths.extend(V6.map(|name| format!("net/ipv6/conf/{of}/{name}")));
        }
        let read = |path: String| {
            let value = fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()?;
            Some((path, value))
        };
        Self(paths.into_iter().filter_map(read).collect())
    }

    /// One of them; none where the kernel has none.
    pub fn get(&self, path: &str) -> Option<i64> {
        self.0.get(path).copied()
    }
}

/// An interface that is up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The kernel's number.
    pub index: u32,
    /// The longest packet.
    pub mtu: u32,
    /// Its addresses, without those of the link alone.
    pub addresses: Vec<Prefix>,
}

pub(super) fn links() -> Vec<Link> {
    let prefix = |network: &pnet::ipnetwork::IpNetwork| Prefix { address: network.ip(), length: network.prefix() };
    let on_link = |address: &IpAddr| matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
    let link = |found: datalink::NetworkInterface| Link {
        mtu: mtu(&found.name),
        index: found.index,
        addresses: found.ips.iter().map(prefix).filter(|prefix| !on_link(&prefix.address)).collect(),
        name: found.name,
    };
    datalink::interfaces().into_iter().filter(|found| found.is_up() && !found.is_loopback()).map(link).collect()
}

/// The kernel's word, or what Ethernet has.
fn mtu(name: &str) -> u32 {
    const ETHERNET: u32 = 1500;
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        // SAFETY: all zeros is a valid `ifreq`.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        let room = request.ifr_name.len() - 1;
        for (to, from) in request.ifr_name.iter_mut().take(room).zip(name.bytes()) {
            *to = from.cast_signed() as libc::c_char;
        }
        // SAFETY: the request is an `ifreq` with a name that ends in NUL, and outlives the call, which fills it.
        let failed = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) };
        if failed != 0 {
            return None;
        }
        // SAFETY: the kernel has filled this member of the union.
        Some(unsafe { request.ifr_ifru.ifru_mtu })
    };
    ask().and_then(|mtu| u32::try_from(mtu).ok()).unwrap_or(ETHERNET)
}
