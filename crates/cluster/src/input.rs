//! Everything that can happen to a [`Node`](crate::Node).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::Keys;
use model::{
    MonitorId, ServerName,
    config::ClusterConfig,
    hook::{HookId, HookReport, RecoveryId},
    net::{Interface, MacAddress, Origin},
    report::{AddressOutcome, DuplicateCheck, ProbeResult},
};

/// One thing that happened. Handled one at a time, in the order of arrival.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Time has passed: something in the table of deadlines is due.
    Deadline,
    /// A datagram arrived, over one of the paths.
    Datagram {
        /// Where from, and so over which path. Says nothing about who sent it: the seal does.
        from: Origin,
        /// What arrived.
        bytes: Vec<u8>,
    },
    /// A machine said that nobody listens at this heartbeat address (ICMP port unreachable). A hint; anybody can say so.
    Refused {
        /// The address that we had sent to.
        to: SocketAddr,
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
    /// Somebody else says on the wire that it has an address which should be here. Comes unasked.
    Rival {
        /// Which address.
        address: IpAddr,
        /// From which Ethernet address.
        mac: MacAddress,
    },
    /// Who answers for an address whose holder has fallen silent, to [`Effect::AskHolder`](crate::Effect::AskHolder).
    Holder {
        /// Which address.
        address: IpAddr,
        /// From which Ethernet address somebody has answered in time.
        answer: Option<MacAddress>,
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
        /// How long it took, for people; none where a service reports by itself.
        took: Option<Duration>,
    },
    /// A socket that listened on this TCP port of this machine was closed. A hint, which a probe has to confirm.
    ListenerClosed {
        /// Which port.
        port: u16,
    },
    /// A hook has ended or could not be run, after [`Effect::RunHook`](crate::Effect::RunHook).
    HookDone {
        /// Which run.
        id: HookId,
        /// How it ended.
        report: HookReport,
    },
    /// A recovery program has ended or could not be run, after [`Effect::RunRecovery`](crate::Effect::RunRecovery).
    RecoveryDone {
        /// Which run.
        id: RecoveryId,
        /// How it ended.
        report: HookReport,
    },
    /// A checked configuration comes into force.
    Configure(Arc<ClusterConfig>),
    /// Heartbeat keys come into force: what seals from now on, and what is accepted beside.
    Keys(Keys),
    /// Somebody wants something.
    Command(Command),
}

/// What the operator or the operating system asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Hold nothing until `Resume`. This server only, whichever the command line reached.
    Standby(ServerName),
    /// Hold again.
    Resume(ServerName),
    /// Whatever its probes find, on this server a monitor counts as up or down.
    Force {
        /// Its virtual host or endpoint, a slash, and its own name.
        monitor: Arc<str>,
        /// Up or down.
        up: bool,
        /// For so long; none: until it is reset.
        lasts: Option<Duration>,
    },
    /// A monitor is no longer forced, latched or damped on this server.
    Reset {
        /// Its virtual host or endpoint, a slash, and its own name.
        monitor: Arc<str>,
    },
    /// Planned stop: hand everything over, say goodbye, then [`Effect::Goodbye`](crate::Effect::Goodbye).
    Resign,
}
