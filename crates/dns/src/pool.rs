//! Pools under the health of the moment: who is in the answers, and why.
//!
//! Evaluation goes once over the virtual hosts and servers that any pool mentions, then over the members by index: its
//! cost has nothing to do with the size of the zones.
//!
//! Invariants: an address is answered while its member is up; the addresses of a member of one pool are thinned out only
//! where its holder answers in the same pool and family through another member; a pool's A and AAAA records have one fate.
//!
//! Deliberately not here: who holds which address (`cluster`), the records' bytes ([`crate::view`]).

mod words;

use std::net::IpAddr;

use model::{
    EndpointName, Health, PoolName, ServerName, VirtualHostName,
    config::{AllDown, ClusterConfig, Policy, PoolMember, UnknownPolicy},
    health::{ServerState, Verdict},
};

use crate::{
    ring::gcd,
    wire::{ExtendedError, extended},
};

/// All of a member's weight, in per cent.
const WHOLE: u8 = 100;

/// The pools of a configuration, members by index.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    hosts: Vec<VirtualHostName>,
    servers: Vec<ServerName>,
    endpoints: Vec<EndpointName>,
    pools: Vec<Pool>,
}

#[derive(Debug)]
struct Pool {
    name: PoolName,
    members: Vec<Member>,
    policy: Policy,
    max_answers: usize,
    keep_doubled: bool,
    /// Per cent.
    degraded_weight: u8,
    all_down: AllDown,
    unknown: UnknownPolicy,
}

#[derive(Debug)]
struct Member {
    kind: Kind,
    addresses: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Index into `Pools::hosts`.
    VirtualHost(usize),
    /// Index into `Pools::servers`.
    Server(usize),
    /// Index into `Pools::endpoints`.
    Endpoint(usize),
}

/// What a pool answers now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PoolState {
    /// These addresses, at most so many of each family at a time. None of a family is a clean NODATA.
    Answers { answered: Vec<Answered>, at_most: usize },
    /// We do not know: SERVFAIL, so that resolvers ask another server.
    Servfail,
}

/// An address that is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answered {
    pub(crate) address: IpAddr,
    /// Whose it is: an index into the pool's members.
    pub(crate) member: u16,
    /// Its member's share among the others.
    pub(crate) weight: u32,
}

/// A member as it is offered in records that name members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Offered {
    pub(crate) member: usize,
    /// From 1: who is to be tried first.
    pub(crate) priority: u16,
    /// The share among those of one priority.
    pub(crate) weight: u16,
}

/// A pool's state with the reasons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Evaluated {
    pub(crate) state: PoolState,
    /// Seconds that all has been calm.
    pub(crate) calm: u32,
    mode: Mode,
    members: Vec<Standing>,
}

/// Which of a pool's rules is at work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Normal,
    /// Everything is down.
    AllDown(AllDown),
    /// Nothing is known yet.
    Unknown(UnknownPolicy),
    /// We hear nobody.
    Isolated,
}

/// A member's standing.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    ServerUp,
    ServerStandby,
    ServerDown(ServerState),
    Held {
        by: usize,
        at_primary: bool,
        degraded: bool,
    },
    Unheld,
    ServiceDown {
        by: usize,
    },
    Endpoint(Verdict),
    /// Could be answered, and has weight 0 while others live; perhaps only because it is degraded.
    Spare {
        degraded: bool,
    },
    /// Could be answered, and this other member comes first.
    Behind {
        first: usize,
    },
    /// The holder answers through this other member, for every family that this one has.
    Doubled {
        by: usize,
        through: usize,
    },
}

/// What [`Health`] says of a virtual host.
#[derive(Clone, Copy)]
enum HostState {
    Held { by: usize, at_primary: bool, degraded: bool },
    Unheld,
    ServiceDown { by: usize },
}

impl Evaluated {
    /// What clients that care are told when the answers are not those of a healthy pool (RFC 8914).
    pub(crate) fn degraded(&self) -> Option<ExtendedError> {
        match self.mode {
            Mode::Normal => None,
            Mode::AllDown(_) => Some(extended::ALL_DOWN),
            Mode::Unknown(_) => Some(extended::NOT_READY),
            Mode::Isolated => Some(extended::ISOLATED),
        }
    }
}

impl Pools {
    /// All pools of a configuration, in the order of their names.
    pub(crate) fn of(config: &ClusterConfig) -> Self {
        let hosts: Vec<_> = config.virtual_hosts.keys().cloned().collect();
        let servers: Vec<_> = config.servers.keys().cloned().collect();
        let endpoints: Vec<_> = config.endpoints.keys().cloned().collect();
        let kind = |member: &PoolMember| match member {
            PoolMember::VirtualHost(name) => hosts.binary_search(name).ok().map(Kind::VirtualHost),
            PoolMember::Server(name) => servers.binary_search(name).ok().map(Kind::Server),
            PoolMember::Endpoint(name) => endpoints.binary_search(name).ok().map(Kind::Endpoint),
        };
        let member = |member| Some(Member { kind: kind(member)?, addresses: config.addresses_of(member) });
        let pools = config.pools.iter().map(|(name, pool)| Pool {
            name: name.clone(),
            members: pool.members.iter().filter_map(member).collect(),
            policy: pool.policy.clone(),
            max_answers: pool.max_answers.map_or(usize::MAX, usize::from),
            keep_doubled: pool.keep_doubled,
            degraded_weight: pool.degraded_weight,
            all_down: pool.all_down,
            unknown: pool.unknown,
        });
        let pools = pools.collect();
        Self { hosts, servers, endpoints, pools }
    }

    /// The index of a pool.
    pub(crate) fn index(&self, name: &PoolName) -> Option<usize> {
        self.pools.binary_search_by(|pool| pool.name.cmp(name)).ok()
    }

    /// The pool of that index.
    pub(crate) fn called(&self, index: usize) -> &PoolName {
        &self.pools[index].name
    }

    /// Every pool under `health`, in the order of their indices.
    pub(crate) fn evaluate(&self, health: &Health) -> Vec<Evaluated> {
        let hosts: Vec<_> = self.hosts.iter().map(|name| self.host_state(health, name)).collect();
        let servers: Vec<_> = self.servers.iter().map(|name| server_standing(health, name)).collect();
        let endpoints: Vec<_> = self.endpoints.iter().map(|name| endpoint_verdict(health, name)).collect();
        self.pools.iter().map(|pool| pool.evaluate(health, &hosts, &servers, &endpoints)).collect()
    }

    /// The members that a pool offers to clients that choose by themselves (SRV, SVCB), with their priorities; none: we
    /// do not know.
    pub(crate) fn offered(&self, index: usize, evaluated: &Evaluated) -> Option<Vec<Offered>> {
        let pool = &self.pools[index];
        let all = match evaluated.mode {
            Mode::Normal => false,
            Mode::AllDown(AllDown::All) | Mode::Unknown(UnknownPolicy::All) => true,
            Mode::AllDown(AllDown::Nodata) => return Some(Vec::new()),
            Mode::AllDown(AllDown::Servfail) | Mode::Unknown(UnknownPolicy::Servfail) | Mode::Isolated => return None,
        };
        let lives = |standing: &Standing| pool.is_in(standing) || matches!(standing, Standing::Behind { .. });
        let members = evaluated.members.iter().enumerate().filter(|(_, standing)| all || lives(standing));
        let mut members: Vec<(usize, u32)> =
            members.map(|(member, standing)| (member, if all { 0 } else { pool.share(member, standing) })).collect();
        // As in `apply_policy`.
        if members.iter().all(|(_, share)| *share == 0) {
            members.iter_mut().for_each(|(member, share)| *share = pool.weight(*member).max(1) * u32::from(WHOLE));
        }
        let weights = in_words(members.iter().map(|(_, share)| *share));
        let offer = |((place, (member, _)), weight): ((u16, (usize, u32)), u16)| match &pool.policy {
            Policy::RoundRobin | Policy::Weighted(_) => Offered { member, priority: 1, weight },
            Policy::Failover => Offered { member, priority: place, weight: 0 },
        };
        Some((1..).zip(members).zip(weights).map(offer).collect())
    }

    fn host_state(&self, health: &Health, name: &VirtualHostName) -> HostState {
        let Some(host) = health.virtual_hosts.get(name) else { return HostState::Unheld };
        let by = host.active.as_ref().and_then(|holder| self.servers.binary_search(holder).ok());
        match (by, host.verdict) {
            (None, _) => HostState::Unheld,
            (Some(by), Verdict::Down) => HostState::ServiceDown { by },
            (Some(by), Verdict::Unknown | Verdict::Degraded | Verdict::Up) => {
                HostState::Held { by, at_primary: host.at_primary, degraded: host.verdict == Verdict::Degraded }
            }
        }
    }
}

impl Standing {
    /// Whose primary holds it: the one server that answers for this virtual host by right.
    fn home(&self) -> Option<usize> {
        if let Self::Held { by, at_primary: true, .. } = self { Some(*by) } else { None }
    }

    /// Whether it works, and not as it should.
    fn is_degraded(&self) -> bool {
        matches!(self, Self::Held { degraded: true, .. } | Self::Endpoint(Verdict::Degraded))
    }

    fn is_in(&self) -> bool {
        match self {
            Self::ServerUp | Self::Held { .. } | Self::Endpoint(Verdict::Up | Verdict::Degraded) => true,
            Self::ServerStandby | Self::ServerDown(_) | Self::Unheld | Self::ServiceDown { .. } => false,
            Self::Doubled { .. } | Self::Spare { .. } | Self::Behind { .. } => false,
            Self::Endpoint(Verdict::Down | Verdict::Unknown) => false,
        }
    }
}

/// Shares in the 16 bits that a record has for a weight, the smallest numbers that say the same; the weights themselves
/// while nobody is degraded. None becomes 0, which would be almost nothing (RFC 2782).
fn in_words(shares: impl Iterator<Item = u32> + Clone) -> Vec<u16> {
    let common = shares.clone().fold(u32::from(WHOLE), gcd);
    let most = shares.clone().max().unwrap_or_default() / common;
    let over = most.div_ceil(u16::MAX.into()).max(1);
    shares.map(|share| u16::try_from((share / common / over).max(1)).expect("divided until it fits")).collect()
}

/// Through which member a server answers first, by family. A handful of entries: a list is the quickest map.
struct Answering(Vec<(usize, bool, usize)>);

impl Answering {
    /// The first member through which `server` answers in the family of `address`: `member`, if there was none so far.
    fn first(&mut self, server: usize, address: &IpAddr, member: usize) -> usize {
        let six = address.is_ipv6();
        let known = self.0.iter().find(|(by, family, _)| *by == server && *family == six);
        let first = known.map_or(member, |(.., first)| *first);
        if known.is_none() {
            self.0.push((server, six, member));
        }
        first
    }
}

fn server_standing(health: &Health, name: &ServerName) -> Standing {
    match health.servers.get(name) {
        None => Standing::ServerDown(ServerState::Unknown),
        Some(server) if !server.state.is_alive() => Standing::ServerDown(server.state),
        Some(server) if server.standby => Standing::ServerStandby,
        Some(_) => Standing::ServerUp,
    }
}

fn endpoint_verdict(health: &Health, name: &EndpointName) -> Verdict {
    health.endpoints.get(name).map_or(Verdict::Unknown, |endpoint| endpoint.verdict)
}

impl Pool {
    fn evaluate(&self, health: &Health, hosts: &[HostState], servers: &[Standing], endpoints: &[Verdict]) -> Evaluated {
        let standing = |member: &Member| match member.kind {
            Kind::Endpoint(index) => Standing::Endpoint(endpoints[index]),
            Kind::Server(index) => servers[index].clone(),
            Kind::VirtualHost(index) => match hosts[index] {
                HostState::Held { by, at_primary, degraded } => Standing::Held { by, at_primary, degraded },
                HostState::Unheld => Standing::Unheld,
                HostState::ServiceDown { by } => Standing::ServiceDown { by },
            },
        };
        let mut members: Vec<_> = self.members.iter().map(standing).collect();
        let mut living = self.living(&mut members);
        self.apply_policy(&mut living, &mut members);
        let guessed = members.contains(&Standing::Endpoint(Verdict::Unknown));
        let every =
            || (0..self.members.len()).flat_map(|index| self.addresses(index, self.weight(index).max(1))).collect();
        let (mode, state) = if health.isolated {
            (Mode::Isolated, None)
        } else if !health.settled {
            (Mode::Unknown(self.unknown), (self.unknown == UnknownPolicy::All).then(every))
        } else if !living.is_empty() {
            (Mode::Normal, Some(living))
        } else if guessed && self.unknown == UnknownPolicy::Servfail {
            (Mode::Unknown(self.unknown), None)
        } else {
            let state = match self.all_down {
                AllDown::All => Some(every()),
                AllDown::Servfail => None,
                AllDown::Nodata => Some(Vec::new()),
            };
            (Mode::AllDown(self.all_down), state)
        };
        let answers = |answered| PoolState::Answers { answered, at_most: self.max_answers };
        let calm = health.calm.get(&self.name).copied().unwrap_or(0);
        Evaluated { state: state.map_or(PoolState::Servfail, answers), calm, mode, members }
    }

    /// A member's weight as it is configured.
    fn weight(&self, index: usize) -> u32 {
        match &self.policy {
            Policy::Weighted(weights) => weights.get(index).copied().unwrap_or(1).into(),
            Policy::RoundRobin | Policy::Failover => 1,
        }
    }

    /// What counts of it now, in hundredths.
    fn share(&self, index: usize, standing: &Standing) -> u32 {
        let kept = if self.weighs_less(standing) { self.degraded_weight } else { WHOLE };
        self.weight(index) * u32::from(kept)
    }

    /// Whether a member counts less than its weight.
    fn weighs_less(&self, standing: &Standing) -> bool {
        standing.is_degraded() && self.degraded_weight < WHOLE && self.policy != Policy::Failover
    }

    /// A member's addresses.
    fn addresses(&self, index: usize, weight: u32) -> impl Iterator<Item = Answered> {
        let member = u16::try_from(index).expect("fewer than 65,536 members");
        self.members[index].addresses.iter().map(move |address| Answered { address: *address, member, weight })
    }

    /// Takes those out who are answered only in need, while there is none.
    fn apply_policy(&self, living: &mut Vec<Answered>, members: &mut [Standing]) {
        match &self.policy {
            Policy::RoundRobin | Policy::Weighted(_) if living.iter().all(|one| one.weight == 0) => {
                // There is nobody else: a weight of 0 counts as 1, and being degraded not at all.
                living.iter_mut().for_each(|one| one.weight = self.weight(usize::from(one.member)).max(1));
            }
            Policy::RoundRobin | Policy::Weighted(_) => {
                for one in living.iter().filter(|one| one.weight == 0) {
                    let member = usize::from(one.member);
                    members[member] = Standing::Spare { degraded: self.weight(member) > 0 };
                }
                living.retain(|one| one.weight > 0);
            }
            Policy::Failover => {
                let Some(first) = living.first().map(|one| one.member) else { return };
                for one in living.iter().filter(|one| one.member != first) {
                    members[usize::from(one.member)] = Standing::Behind { first: usize::from(first) };
                }
                living.retain(|one| one.member == first);
            }
        }
    }

    /// Whether a member with this standing is answered. Who is not known yet counts by the pool's policy.
    fn is_in(&self, standing: &Standing) -> bool {
        standing.is_in() || (*standing == Standing::Endpoint(Verdict::Unknown) && self.unknown == UnknownPolicy::All)
    }

    /// The addresses of the members that are up, in their order, without those that their holder doubles: the members
    /// that are thinned out wholly get that standing.
    fn living(&self, members: &mut [Standing]) -> Vec<Answered> {
        // Who answers already in which family, and through which member: those at home first, then backups in order.
        let mut answering = Answering(Vec::new());
        for (index, (member, standing)) in self.members.iter().zip(&*members).enumerate() {
            let at_home = match member.kind {
                Kind::Server(server) => self.is_in(standing).then_some(server),
                Kind::VirtualHost(_) => standing.home(),
                Kind::Endpoint(_) => None,
            };
            for (by, address) in at_home.into_iter().flat_map(|by| member.addresses.iter().map(move |at| (by, at))) {
                answering.first(by, address, index);
            }
        }
        let mut addresses = Vec::with_capacity(2 * self.members.len());
        for index in 0..self.members.len() {
            let Standing::Held { by, at_primary: false, .. } = members[index] else {
                if self.is_in(&members[index]) {
                    addresses.extend(self.addresses(index, self.share(index, &members[index])));
                }
                continue;
            };
            let (before, mut doubled) = (addresses.len(), None);
            for one in self.addresses(index, self.share(index, &members[index])) {
                let through = answering.first(by, &one.address, index);
                if through == index || self.keep_doubled {
                    addresses.push(one);
                } else {
                    doubled = Some(through);
                }
            }
            if let Some(through) = doubled.filter(|_| addresses.len() == before) {
                members[index] = Standing::Doubled { by, through };
            }
        }
        addresses
    }
}
