//! What the operating system reports, and what it is asked to probe: the words that `cluster` and `host` share.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{MonitorId, config::ProbeKind, net::MacAddress};

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
    /// Its lease in the kernel ran out before it was renewed. The kernel no longer has it, and does not get it back before
    /// it is wished for anew.
    Lost,
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
    /// It works, and not as it should: slow, or a certificate that is about to expire. The reason is for people.
    Degraded(Arc<str>),
    /// It does not work; the reason is for people.
    Failure(Arc<str>),
    /// This machine has no route to it, so that nothing was tried and nothing is known. Told of endpoints only: what a server
    /// cannot reach on itself does not work.
    NoRoute,
}

/// A probe that has ended: of which monitor, how, and how long it took; none where a service reports by itself.
pub type Probed = (MonitorId, ProbeResult, Option<Duration>);

/// One probe that should be running.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeOrder {
    /// Whom to try.
    pub target: IpAddr,
    /// At which port, where the type has one.
    pub port: Option<u16>,
    /// What to do there.
    pub kind: ProbeKind,
    /// Start-to-start time between two probes: shorter while the verdict is in doubt.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
}
