//! What one server believes about the whole cluster: the one verdict that drives addresses and DNS alike.
//!
//! `cluster` writes it, `dns` reads it; they know each other only through this module.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::id::{EndpointName, PoolName, ServerName, VirtualHostName};

/// The thresholded result of probes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Enough probes in a row failed.
    Down,
    /// No probe has finished yet: neither up nor down.
    #[default]
    Unknown,
    /// Enough probes in a row succeeded.
    Up,
}

/// What is known of a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerState {
    /// Not heard since this daemon started.
    Unknown,
    /// Heard within the detection time, and it knows our current run.
    Alive,
    /// Overdue by more than one heartbeat, not yet dead.
    Suspect,
    /// Not heard for the detection time.
    Dead,
    /// It said goodbye.
    Left,
}

impl ServerState {
    /// Whether the member counts for placement.
    pub const fn is_alive(self) -> bool {
        match self {
            Self::Alive | Self::Suspect => true,
            Self::Unknown | Self::Dead | Self::Left => false,
        }
    }
}

/// A member's health.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerHealth {
    /// Dead or alive.
    pub state: ServerState,
    /// An operator, or its own shutdown, asks that it holds nothing.
    pub standby: bool,
}

/// A virtual host's health.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VirtualHostHealth {
    /// The living server that holds its addresses.
    pub active: Option<ServerName>,
    /// Whether the holder is the first of the virtual host's list.
    pub at_primary: bool,
    /// The combined verdict of the holder's monitors; `Up` where there are none; `Unknown` while nobody holds it.
    pub verdict: Verdict,
}

/// An endpoint's health: what the majority of those who probe it find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndpointHealth {
    /// The worst of its monitors' verdicts; `Up` where there are none.
    pub verdict: Verdict,
}

/// The cluster as one server sees it at one instant. Immutable; published whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// Grows with each change on this server.
    pub revision: u64,
    /// False until the start-up listening is over and every own monitor has a verdict: answers would be guesses.
    pub settled: bool,
    /// We hear nobody and the partition policy is not satisfied: we vouch for nothing.
    pub isolated: bool,
    /// The zone serial that the cluster agrees on: never goes backwards.
    pub serial: u32,
    /// Every configured server.
    pub servers: BTreeMap<ServerName, ServerHealth>,
    /// Every configured virtual host.
    pub virtual_hosts: BTreeMap<VirtualHostName, VirtualHostHealth>,
    /// Every configured endpoint.
    pub endpoints: BTreeMap<EndpointName, EndpointHealth>,
    /// For how many seconds all has been calm about each pool of elastic TTL, as all living servers agree: 0, 1, 2, 4, 8
    /// and so on, so that it seldom changes. Calm ends when a member is suspected, sits on a backup, is unknown or on
    /// standby, and begins anew when anything about a member has changed.
    pub calm: BTreeMap<PoolName, u32>,
}
