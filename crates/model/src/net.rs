//! Link-layer words: MAC addresses, prefixes, interfaces as the kernel reports them, and the paths that heartbeats take.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use serde::{Serialize, Serializer};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An address with the length of its subnet's prefix, such as `10.77.0.11/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    /// The host's address, not masked.
    pub address: IpAddr,
    /// Bits of the subnet: 0–32 for IPv4, 0–128 for IPv6.
    pub length: u8,
}

impl Prefix {
    /// Whether `address` lies in this subnet.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length.min(32))).unwrap_or(0);
                net.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length.min(128))).unwrap_or(0);
                net.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let (address, length) = (address.parse().map_err(drop)?, length.parse().map_err(drop)?);
        let longest = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        (length <= longest).then_some(Self { address, length }).ok_or(())
    }
}

/// The kernel's number of an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceIndex(pub u32);

/// An Ethernet interface of this machine, as the kernel last reported it. Loopback is not among them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// The kernel's number.
    pub index: InterfaceIndex,
    /// Its name, such as `eth0`.
    pub name: Arc<str>,
    /// Its Ethernet address.
    pub mac: MacAddress,
    /// Administratively up and with carrier.
    pub up: bool,
    /// The machine's own addresses on it: those that Standin did not put there.
    pub own: Vec<Prefix>,
}

/// How a witness is asked whether this server can reach it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WitnessWay {
    /// It is on the link of this interface: by ARP or neighbour discovery, which no packet filter of IP cuts.
    OnLink(InterfaceIndex),
    /// It is beyond a router: by ICMP echo.
    Routed {
        /// This server's own address to ask from; none where it has none of the witness's family: the kernel chooses.
        from: Option<IpAddr>,
    },
}

/// A way that heartbeats take from one server straight to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// UDP to the peer's heartbeat address.
    Udp,
    /// An Ethernet broadcast on a link that both are on.
    Ethernet,
}

impl Path {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Ethernet];

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Udp => Self::Ethernet,
            Self::Ethernet => Self::Udp,
        }
    }

    /// The word in status, metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Ethernet => "ethernet",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Ethernet => "Ethernet",
        })
    }
}

/// Where a datagram came from, as the kernel tells it. Says nothing about who made it: the seal does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// The heartbeat socket.
    Udp(SocketAddr),
    /// A frame.
    Ethernet {
        /// The interface that it arrived on.
        interface: InterfaceIndex,
        /// Its source.
        mac: MacAddress,
    },
}

impl Origin {
    /// Which path that is.
    pub const fn path(self) -> Path {
        match self {
            Self::Udp(_) => Path::Udp,
            Self::Ethernet { .. } => Path::Ethernet,
        }
    }
}

impl From<SocketAddr> for Origin {
    fn from(address: SocketAddr) -> Self {
        Self::Udp(address)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => address.fmt(f),
            Self::Ethernet { interface, mac } => write!(f, "{mac} on interface {}", interface.0),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_contains_its_subnet_and_nothing_else() {
        let net: Prefix = "10.77.0.11/24".parse().expect("valid prefix");
        assert!(net.contains("10.77.0.101".parse().expect("address")));
        assert!(!net.contains("10.77.1.1".parse().expect("address")));
        assert!(!net.contains("fd00::1".parse().expect("address")));
        let all: Prefix = "0.0.0.0/0".parse().expect("valid prefix");
        assert!(all.contains("192.0.2.1".parse().expect("address")));
        let six: Prefix = "fd00:77::11/64".parse().expect("valid prefix");
        assert!(six.contains("fd00:77::101".parse().expect("address")));
        assert!("10.0.0.1/33".parse::<Prefix>().is_err());
    }
}
