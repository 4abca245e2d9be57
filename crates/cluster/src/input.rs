//! Everything that can happen to a [`Node`](crate::Node).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use model::{
    MonitorId, ServerName,
    config::ClusterConfig,
    net::{Interface, MacAddress},
};

/// One thing that happened. Handled one at a time, in the order of arrival.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Time has passed: something in the table of deadlines is due.
    Deadline,
    /// A datagram arrived on the heartbeat socket.
    Datagram {
        /// Where from. Says nothing about who sent it: the seal does.
        from: SocketAddr,
        /// What arrived.
        bytes: Vec<u8>,
    },
    /// The machine's interfaces, whole, at start and whenever something about them changed.
    Interfaces(Vec<Interface>),
    /// The default gateways of the links, whole; witnesses where none is configured.
    Gateways(Vec<IpAddr>),
    /// What the kernel made of the desired addresses.
    Address {
        /// Which address.
        address: IpAddr,
        /// What became of it.
        outcome: AddressOutcome,
    },
    /// The answer to [`Effect::CheckDuplicate`](crate::Effect::CheckDuplicate).
    Duplicate {
        /// Which address.
        address: IpAddr,
        /// What the wire said.
        check: DuplicateCheck,
    },
    /// A witness answered or did not, to [`Effect::AskWitnesses`](crate::Effect::AskWitnesses).
    Witness {
        /// Which witness.
        address: IpAddr,
        /// Whether it answered in time.
        reachable: bool,
    },
    /// A probe finished.
    Probe {
        /// Of which monitor.
        monitor: MonitorId,
        /// How.
        result: ProbeResult,
    },
    /// A checked configuration comes into force.
    Configure(Arc<ClusterConfig>),
    /// Somebody wants something.
    Command(Command),
}

/// What became of one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AddressOutcome {
    /// The kernel has it.
    Present,
    /// The kernel no longer has it, as wished.
    Absent,
    /// The kernel refused to add or remove it.
    Failed(Arc<str>),
    /// Somebody else deleted it and it was put back at once.
    Restored,
}

/// What an address probe (RFC 5227 section 2.1.1, RFC 4861 section 7.2) heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DuplicateCheck {
    /// Silence.
    Free,
    /// Somebody answered.
    InUse(MacAddress),
}

/// How one probe ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProbeResult {
    /// As it should be.
    Success,
    /// Not so; the reason is for people.
    Failure(Arc<str>),
}

/// What the operator or the operating system asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Hold nothing until `Resume`. This server only, whichever the command line reached.
    Standby(ServerName),
    /// Hold again.
    Resume(ServerName),
    /// Planned stop: hand everything over, say goodbye, then [`Effect::Goodbye`](crate::Effect::Goodbye).
    Resign,
}
