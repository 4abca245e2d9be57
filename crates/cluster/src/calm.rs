//! For how long all has been calm about each pool: what its elastic TTL follows.
//!
//! A pool is restless while a member is suspected, sits on a backup, is on standby or unknown; calm begins anew whenever
//! anything about a member changes. What counts is not the exact time but its step: 0, 1, 2, 4, 8 seconds and so on, up to
//! the pool's longest TTL, so that it changes seldom. Every server says its own steps in its heartbeats, and all believe
//! the lowest of the living: a server that has just started knows of no calm, and the answers of all are short-lived until
//! it does.
//!
//! Deliberately not here: TTLs (`dns` keeps the step within the pool's limits).

use std::{collections::BTreeMap, time::Duration};

use model::{
    Health, Instant, PoolName, ServerName,
    config::{ClusterConfig, Pool, PoolMember},
    health::{ServerState, Verdict},
};

/// What is watched of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Member {
    Server(ServerState, bool),
    VirtualHost(Option<ServerName>, bool, Verdict),
    Endpoint(Verdict),
}

impl Member {
    fn of(member: &PoolMember, health: &Health) -> Self {
        match member {
            PoolMember::Server(name) => {
                let server = health.servers.get(name);
                Self::Server(
                    server.map_or(ServerState::Unknown, |server| server.state),
                    server.is_some_and(|server| server.standby),
                )
            }
            PoolMember::VirtualHost(name) => match health.virtual_hosts.get(name) {
                Some(host) => Self::VirtualHost(host.active.clone(), host.at_primary, host.verdict),
                None => Self::VirtualHost(None, false, Verdict::Unknown),
            },
            PoolMember::Endpoint(name) => {
                Self::Endpoint(health.endpoints.get(name).map_or(Verdict::Unknown, |endpoint| endpoint.verdict))
            }
        }
    }

    /// Whether something is about to happen, or has not ended yet. Who is simply down is not: nothing is better for a
    /// cache that forgets sooner.
    fn is_restless(&self, health: &Health) -> bool {
        match self {
            Self::Server(ServerState::Suspect | ServerState::Unknown, _) => true,
            Self::Server(ServerState::Alive, standby) => *standby,
            Self::Server(ServerState::Dead | ServerState::Left, _) => false,
            Self::VirtualHost(active, at_primary, verdict) => {
                let holder = active.as_ref().and_then(|holder| health.servers.get(holder));
                let planned = holder.is_some_and(|holder| holder.standby || holder.state == ServerState::Suspect);
                !at_primary || planned || *verdict == Verdict::Unknown
            }
            Self::Endpoint(verdict) => *verdict == Verdict::Unknown,
        }
    }
}

/// One pool.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Watch {
    members: Vec<Member>,
    /// None: restless.
    since: Option<Instant>,
    /// The pool's longest TTL: longer calm makes no difference.
    longest: u32,
    /// The step reached when it was last looked at.
    step: u32,
}

impl Watch {
    fn new(now: Instant, members: Vec<Member>, since: Option<Instant>, longest: u32) -> Self {
        let seconds = since.map_or(0, |since| now.since(since).as_secs());
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        // The power of two below; at the pool's longest TTL it is enough.
        let step = if seconds >= longest { longest } else { seconds.checked_ilog2().map_or(0, |power| 1 << power) };
        Self { members, since, longest, step }
    }

    /// When the step grows.
    fn next(&self) -> Option<Instant> {
        let after = self.step.saturating_mul(2).max(1).min(self.longest);
        self.since.filter(|_| self.step < self.longest).map(|since| since + Duration::from_secs(after.into()))
    }
}

/// All pools whose TTL is elastic.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Calm(BTreeMap<PoolName, Watch>);

impl Calm {
    /// Looks at what is published now.
    pub(crate) fn observe(&mut self, now: Instant, config: &ClusterConfig, health: &Health) {
        let elastic = |pool: &&Pool| pool.ttl.is_elastic();
        let pools = config.pools.iter().filter(|(_, pool)| elastic(pool));
        self.0.retain(|name, _| config.pools.get(name).as_ref().is_some_and(elastic));
        for (name, pool) in pools {
            let members: Vec<_> = pool.members.iter().map(|member| Member::of(member, health)).collect();
            let restless = !health.settled || health.isolated || members.iter().any(|one| one.is_restless(health));
            let before = self.0.get(name).filter(|before| before.members == members);
            let since = if restless { None } else { before.and_then(|before| before.since).or(Some(now)) };
            self.0.insert(name.clone(), Watch::new(now, members, since, pool.ttl.max));
        }
    }

    /// This server's own steps.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&PoolName, u32)> {
        self.0.iter().map(|(name, watch)| (name, watch.step))
    }

    /// When the next step is reached.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(Watch::next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calm_grows_by_doubling_up_to_the_longest_ttl() {
        let start = Instant::BOOT + Duration::from_secs(100);
        let at = |now| Watch::new(now, Vec::new(), Some(start), 10);
        let mut watch = at(start);
        let mut steps = vec![watch.step];
        while let Some(next) = watch.next() {
            watch = at(next);
            steps.push(watch.step);
        }
        assert_eq!(steps, [0, 1, 2, 4, 8, 10]);
        let restless = Watch::new(start, Vec::new(), None, 10);
        assert_eq!((restless.step, restless.next()), (0, None));
    }
}
