//! How virtual addresses look from outside: peers try what a server holds, through the wire.
//!
//! A server's own probes, against its own address, say whether its service works. They cannot say whether clients reach it
//! through the virtual address: a filter, a switch or a stale neighbour may be in the way. So up to three of the others on a
//! virtual host's list try each of its addresses on whoever holds it, by its most important monitor of a port, and say what they find.
//!
//! What follows is the holder's to decide, and told by it, so that nobody has to agree about it: where some do not reach it
//! the path is down, which is told. Where most of those who know do not, two at least, for a while, and somebody else is as
//! healthy, the holder counts as unable for a time that doubles each time (`election::patience::HoldDown`), and the address
//! moves. It moves once: while one server of the list is held down so, no other gives up for the same reason, for a path
//! that is broken to two of them is broken elsewhere. With one peer only there is no majority: that is told and moves nothing.
//! Who reaches no other holder either has a fault of its own, and no vote.
//!
//! Deliberately not here: running probes (`host::probe`).

use std::{collections::BTreeMap, net::IpAddr};

use model::{
    MonitorId, ServerName, VirtualHostName,
    config::{ClusterConfig, Handling, Monitor, Severity, VirtualHost},
    health::{Judgement, Verdict},
};

use crate::observers::rank;

/// So many try each virtual host.
const OBSERVERS: usize = 3;

/// Who holds what, where a peer does.
pub(crate) type Holders = BTreeMap<VirtualHostName, ServerName>;

/// What `me` has to try of what others hold.
pub(crate) fn targets(
    me: &ServerName,
    config: &ClusterConfig,
    holders: &Holders,
    lives: impl Fn(&ServerName) -> bool,
) -> Vec<(MonitorId, IpAddr, Monitor)> {
    let mut all = Vec::new();
    for (name, holder) in holders.iter().filter(|(_, holder)| *holder != me) {
        let Some(spec) = config.virtual_hosts.get(name) else { continue };
        if observers(name, spec, holder, &lives).contains(&me) {
            all.extend(probes(name, spec, holder));
        }
    }
    all
}

/// What is tried: one monitor at each address.
pub(crate) fn probes(
    name: &VirtualHostName,
    spec: &VirtualHost,
    holder: &ServerName,
) -> Vec<(MonitorId, IpAddr, Monitor)> {
    // What has no port looks at the machine, not at the way to it.
    let counts = |monitor: &&Monitor| monitor.handling.severity != Severity::Record && monitor.port.is_some();
    let Some(monitor) = spec.monitors.iter().filter(counts).min_by_key(|monitor| monitor.priority) else {
        return Vec::new();
    };
    let probe = |address: &IpAddr| {
        let id = MonitorId::of_held(name, *address, holder, &monitor.name);
        (id, *address, Monitor { handling: Handling::default(), ..monitor.clone() })
    };
    spec.addresses.iter().map(probe).collect()
}

/// Who tries, ranked by rendezvous hashing, as for endpoints.
fn observers<'c>(
    name: &VirtualHostName,
    spec: &'c VirtualHost,
    holder: &ServerName,
    lives: impl Fn(&ServerName) -> bool,
) -> Vec<&'c ServerName> {
    let may = |server: &&ServerName| *server != holder && lives(server);
    let mut observers: Vec<&ServerName> = spec.servers.iter().filter(may).collect();
    observers.sort_by_cached_key(|server| rank(&["outside", name.as_str(), server.as_str()]));
    observers.truncate(OBSERVERS);
    observers
}

/// Who reaches a virtual host, and who does not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outlook {
    pub(crate) seen_by: Vec<ServerName>,
    pub(crate) unseen_by: Vec<ServerName>,
}

impl Outlook {
    /// Of what this server holds, from what the living peers say. `keys`: of its probes.
    pub(crate) fn of<'s>(
        keys: &[u64],
        me: &ServerName,
        config: &ClusterConfig,
        holders: &Holders,
        peers: impl Iterator<Item = (&'s ServerName, &'s BTreeMap<u64, Judgement>)>,
    ) -> Self {
        let mut outlook = Self::default();
        for (peer, said) in peers {
            match reach(keys.iter().copied(), said) {
                Some(true) => outlook.seen_by.push(peer.clone()),
                Some(false) if !is_cut_off(peer, me, config, holders, said) => outlook.unseen_by.push(peer.clone()),
                Some(false) | None => {}
            }
        }
        outlook
    }

    /// Whether most of those who know do not reach it.
    pub(crate) fn is_dark(&self) -> bool {
        self.unseen_by.len() >= 2 && self.unseen_by.len() > self.seen_by.len()
    }
}

/// By what the probes of a virtual host on its holder are spoken of.
pub(crate) fn keys<'v>(
    name: &'v VirtualHostName,
    spec: &'v VirtualHost,
    holder: &'v ServerName,
) -> impl Iterator<Item = u64> {
    probes(name, spec, holder).into_iter().map(|(id, ..)| id.key())
}

/// Whether somebody reaches a virtual host at any of its addresses, as it says; none where it does not know.
fn reach(keys: impl Iterator<Item = u64>, said: &BTreeMap<u64, Judgement>) -> Option<bool> {
    match keys.filter_map(|key| said.get(&key)).map(|judgement| judgement.found).max()? {
        Verdict::Down => Some(false),
        Verdict::Unknown => None,
        Verdict::Degraded | Verdict::Up => Some(true),
    }
}

/// Whether somebody tries what others than `holder` hold, and reaches none of it: then the fault is its own.
fn is_cut_off(
    peer: &ServerName,
    holder: &ServerName,
    config: &ClusterConfig,
    holders: &Holders,
    said: &BTreeMap<u64, Judgement>,
) -> bool {
    let others = holders.iter().filter(|(_, other)| *other != holder && *other != peer);
    let reached = |(name, other): (&VirtualHostName, &ServerName)| {
        reach(keys(name, config.virtual_hosts.get(name)?, other), said)
    };
    let mut known = others.filter_map(reached).peekable();
    known.peek().is_some() && known.all(|reached| !reached)
}
