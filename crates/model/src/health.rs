//! What one server believes about the whole cluster: the one verdict that drives addresses and DNS alike.
//!
//! `cluster` writes it, `dns` reads it; they know each other only through this module.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    Instant,
    config::ClusterConfig,
    id::{EndpointName, PoolName, ServerName, VirtualHostName},
};

/// The thresholded result of probes, the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Enough probes in a row failed.
    Down,
    /// No probe has finished yet: neither up nor down.
    #[default]
    Unknown,
    /// It works, and not as it should: enough probes in a row said so, or worse.
    Degraded,
    /// Enough probes in a row succeeded.
    Up,
}

impl Verdict {
    /// The word in status, metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Up => "up",
        }
    }
}

/// What is in force instead of what a monitor's probes find.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// It has failed too often of late: down until it has been steady for long enough.
    Damped,
    /// It has failed once: down until an operator resets it.
    Latched,
    /// The configuration says so: down.
    Disabled,
    /// An operator says so: up.
    ForcedUp,
    /// An operator says so: down.
    ForcedDown,
}

impl Hold {
    /// Every one, for metrics.
    pub const ALL: [Self; 5] = [Self::Damped, Self::Latched, Self::Disabled, Self::ForcedUp, Self::ForcedDown];

    /// The word in status, metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Damped => "damped",
            Self::Latched => "latched",
            Self::Disabled => "disabled",
            Self::ForcedUp => "forced-up",
            Self::ForcedDown => "forced-down",
        }
    }
}

/// What of a monitor's holds outlives the daemon: what only an operator ends, and an operator's own word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LastingHold {
    /// It has failed once, and nobody has reset it.
    pub latched: bool,
    /// An operator's word.
    pub forced: Option<Forced>,
}

/// An operator's word about a monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forced {
    /// Up, or down.
    pub up: bool,
    /// Until when it counts; none: until it is taken back.
    pub until: Option<Instant>,
}

/// What one server says of one of its monitors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Judgement {
    /// What its probes find.
    pub found: Verdict,
    /// What is in force instead.
    pub hold: Option<Hold>,
}

impl Judgement {
    /// What counts.
    pub const fn verdict(self) -> Verdict {
        match self.hold {
            None => self.found,
            Some(Hold::Damped | Hold::Latched | Hold::Disabled | Hold::ForcedDown) => Verdict::Down,
            Some(Hold::ForcedUp) => Verdict::Up,
        }
    }
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

impl Health {
    /// Everything works, and has done so for long: what answers look like on a good day.
    pub fn all_well(config: &ClusterConfig, serial: u32) -> Self {
        let alive = ServerHealth { state: ServerState::Alive, standby: false };
        let up = EndpointHealth { verdict: Verdict::Up };
        let at_home = |(name, host): (&VirtualHostName, &crate::config::VirtualHost)| {
            let active = host.servers.first().cloned();
            (name.clone(), VirtualHostHealth { active, at_primary: true, verdict: Verdict::Up })
        };
        Self {
            revision: 1,
            settled: true,
            isolated: false,
            serial,
            servers: config.servers.keys().map(|name| (name.clone(), alive)).collect(),
            virtual_hosts: config.virtual_hosts.iter().map(at_home).collect(),
            endpoints: config.endpoints.keys().map(|name| (name.clone(), up)).collect(),
            calm: config.pools.iter().map(|(name, pool)| (name.clone(), pool.ttl.max)).collect(),
        }
    }

    /// The same with `name` down: a server (its virtual hosts move to their next living one), a virtual host's service, or
    /// an endpoint. False where there is nothing of that name.
    pub fn take_down(&mut self, config: &ClusterConfig, name: &str) -> bool {
        let mut found = false;
        if let Some(server) = self.servers.get_mut(&ServerName::new(name)) {
            server.state = ServerState::Dead;
            found = true;
        }
        if let Some(endpoint) = self.endpoints.get_mut(&EndpointName::new(name)) {
            endpoint.verdict = Verdict::Down;
            found = true;
        }
        if let Some(host) = self.virtual_hosts.get_mut(&VirtualHostName::new(name)) {
            host.verdict = Verdict::Down;
            found = true;
        }
        for (name, host) in &mut self.virtual_hosts {
            let list = config.virtual_hosts.get(name).map(|spec| spec.servers.as_slice()).unwrap_or_default();
            let lives = |server: &&ServerName| self.servers.get(*server).is_some_and(|one| one.state.is_alive());
            host.active = list.iter().find(lives).cloned();
            host.at_primary = host.active.is_some() && host.active.as_ref() == list.first();
        }
        self.calm.clear();
        found
    }
}
