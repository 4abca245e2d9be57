//! The operating system: everything that touches a clock, a socket, the kernel's tables or the disk.
//!
//! Each module owns one thing, starts its own threads, and tells what happens through one [`Sink`]; heartbeats alone are read by
//! who waits for them ([`heartbeat`]). It moves bytes, addresses and probe results; the meaning is given in `cluster` and `dns`.
//!
//! Deliberately not here: decisions.

pub mod address;
pub mod bell;
pub mod clock;
pub mod confine;
mod connections;
pub mod descriptors;
pub mod dns_counters;
pub mod dns_query;
mod dns_socket;
pub mod dns_stream;
pub mod dns_udp;
pub mod dns_usage;
pub mod echo;
pub mod entropy;
pub mod ether;
pub mod guardian;
pub mod heartbeat;
pub mod hook;
pub mod lab;
pub mod listeners;
pub mod memory;
mod packet_info;
pub mod peer;
pub mod probe;
pub mod schedule;
pub mod store;
pub mod survey;
mod wake;
pub mod wire;

use std::{net::IpAddr, sync::Arc};

use model::{
    hook::{HookId, HookReport, RecoveryId},
    net::{Interface, MacAddress},
    report::{AddressOutcome, DuplicateCheck, Probed},
};

/// Something that the machine reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// The machine's Ethernet interfaces, whole; at start and after each change.
    Interfaces(Vec<Interface>),
    /// The default gateways, whole; at start and after each change.
    Gateways(Vec<IpAddr>),
    /// What the kernel made of a desired virtual address.
    Address {
        /// Which.
        address: IpAddr,
        /// What became of it.
        outcome: AddressOutcome,
    },
    /// What the wire said about an address.
    Duplicate {
        /// Which.
        address: IpAddr,
        /// What was heard.
        check: DuplicateCheck,
    },
    /// Somebody else says on the wire that it has an address which should be here.
    Rival {
        /// Which.
        address: IpAddr,
        /// From where; never from this machine itself.
        mac: MacAddress,
    },
    /// Who has an address whose holder has fallen silent.
    Holder {
        /// Which.
        address: IpAddr,
        /// Where an answer came from in time; never from this machine itself.
        answer: Option<MacAddress>,
    },
    /// A witness answered in time, or did not.
    Witness {
        /// Which.
        address: IpAddr,
        /// Whether it answered.
        reachable: bool,
    },
    /// Probes finished, in this order: those of which monitors, and how.
    Probes(Vec<Probed>),
    /// A TCP socket that listened on a watched port of this machine was closed. Another may listen there still.
    ListenerClosed {
        /// Which port.
        port: u16,
    },
    /// A hook has ended, or could not be run.
    Hook {
        /// Which run.
        id: HookId,
        /// How it ended.
        report: HookReport,
    },
    /// A monitor's recovery program has ended, or could not be run.
    Recovery {
        /// Which run.
        id: RecoveryId,
        /// How it ended.
        report: HookReport,
    },
}

/// Where reports go. May wait for room in a bounded queue, never for long.
pub type Sink = Arc<dyn Fn(Report) + Send + Sync>;
