//! Pools under the health of the moment: who is in the answers, and why.
//!
//! Evaluation goes once over the virtual hosts and servers that any pool mentions, then over the members by index: its
//! cost has nothing to do with the size of the zones.
//!
//! Invariants: an address is answered while its member is up; the addresses of a member of one pool are thinned out only
//! where its holder answers in the same pool and family through another member; a pool's A and AAAA records have one fate.
//!
//! Deliberately not here: who holds which address (`cluster`), the records' bytes ([`crate::view`]).

use std::net::IpAddr;

use model::{
    Health, PoolName, ServerName, VirtualHostName,
    api::{PoolMemberStatus, PoolStatus},
    config::{AllDown, ClusterConfig, PoolMember, UnknownPolicy},
    health::{ServerState, Verdict},
};

use crate::wire::{ExtendedError, extended};

/// The pools of a configuration, members by index.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    hosts: Vec<VirtualHostName>,
    servers: Vec<ServerName>,
    pools: Vec<Pool>,
}

#[derive(Debug)]
struct Pool {
    name: PoolName,
    members: Vec<Member>,
    max_answers: usize,
    keep_doubled: bool,
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
}

/// What a pool answers now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PoolState {
    /// These addresses, at most so many of each family at a time. None of a family is a clean NODATA.
    Answers { addresses: Vec<IpAddr>, at_most: usize },
    /// We do not know: SERVFAIL, so that resolvers ask another server.
    Servfail,
}

/// A pool's state with the reasons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Evaluated {
    pub(crate) state: PoolState,
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
    },
    Unheld,
    ServiceDown {
        by: usize,
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
    Held { by: usize, at_primary: bool },
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
        let member = |member: &PoolMember| match member {
            PoolMember::VirtualHost(name) => {
                let addresses = config.virtual_hosts.get(name)?.addresses.clone();
                Some(Member { kind: Kind::VirtualHost(hosts.binary_search(name).ok()?), addresses })
            }
            PoolMember::Server(name) => {
                let addresses = config.servers.get(name)?.addresses().collect();
                Some(Member { kind: Kind::Server(servers.binary_search(name).ok()?), addresses })
            }
        };
        let pools = config.pools.iter().map(|(name, pool)| Pool {
            name: name.clone(),
            members: pool.members.iter().filter_map(member).collect(),
            max_answers: pool.max_answers.map_or(usize::MAX, usize::from),
            keep_doubled: pool.keep_doubled,
            all_down: pool.all_down,
            unknown: pool.unknown,
        });
        let pools = pools.collect();
        Self { hosts, servers, pools }
    }

    /// The index of a pool.
    pub(crate) fn index(&self, name: &PoolName) -> Option<usize> {
        self.pools.binary_search_by(|pool| pool.name.cmp(name)).ok()
    }

    /// Every pool under `health`, in the order of their indices.
    pub(crate) fn evaluate(&self, health: &Health) -> Vec<Evaluated> {
        let hosts: Vec<_> = self.hosts.iter().map(|name| self.host_state(health, name)).collect();
        let servers: Vec<_> = self.servers.iter().map(|name| server_standing(health, name)).collect();
        self.pools.iter().map(|pool| pool.evaluate(health, &hosts, &servers)).collect()
    }

    fn host_state(&self, health: &Health, name: &VirtualHostName) -> HostState {
        let Some(host) = health.virtual_hosts.get(name) else { return HostState::Unheld };
        let by = host.active.as_ref().and_then(|holder| self.servers.binary_search(holder).ok());
        match (by, host.verdict) {
            (None, _) => HostState::Unheld,
            (Some(by), Verdict::Down) => HostState::ServiceDown { by },
            (Some(by), Verdict::Unknown | Verdict::Up) => HostState::Held { by, at_primary: host.at_primary },
        }
    }

    /// Every pool for people.
    pub(crate) fn status(&self, evaluated: &[Evaluated]) -> Vec<PoolStatus> {
        let pools = self.pools.iter().zip(evaluated);
        pools
            .map(|(pool, state)| PoolStatus { name: pool.name.to_string(), members: self.members(pool, state) })
            .collect()
    }

    fn members(&self, pool: &Pool, evaluated: &Evaluated) -> Vec<PoolMemberStatus> {
        let members = pool.members.iter().zip(&evaluated.members);
        let status = members.map(|(member, standing)| {
            let (answered, rule) = match evaluated.mode {
                Mode::Normal => (standing.is_in(), None),
                Mode::AllDown(AllDown::All) => (true, Some("everything is down, so all are answered")),
                Mode::AllDown(AllDown::Servfail | AllDown::Nodata) => (false, None),
                Mode::Unknown(UnknownPolicy::All) => (true, Some("nothing is known yet, so all are answered")),
                Mode::Unknown(UnknownPolicy::Servfail) => (false, Some("nothing is known yet")),
                Mode::Isolated => (false, Some("this server is isolated and vouches for nothing")),
            };
            let words = self.words(pool, standing);
            PoolMemberStatus {
                name: self.name(member.kind).to_owned(),
                addresses: member.addresses.clone(),
                answered,
                why: rule.map_or(words.clone(), |rule| format!("{words}; {rule}")),
            }
        });
        status.collect()
    }

    fn name(&self, kind: Kind) -> &str {
        match kind {
            Kind::VirtualHost(index) => self.hosts[index].as_str(),
            Kind::Server(index) => self.servers[index].as_str(),
        }
    }

    fn words(&self, pool: &Pool, standing: &Standing) -> String {
        let server = |index: &usize| &self.servers[*index];
        match standing {
            Standing::ServerUp => "alive".to_owned(),
            Standing::ServerStandby => "on standby".to_owned(),
            Standing::ServerDown(ServerState::Dead) => "dead".to_owned(),
            Standing::ServerDown(ServerState::Left) => "has left".to_owned(),
            Standing::ServerDown(ServerState::Unknown) => "not heard so far".to_owned(),
            Standing::ServerDown(ServerState::Alive | ServerState::Suspect) => "not known".to_owned(),
            Standing::Held { by, at_primary: true } => format!("held by {}", server(by)),
            Standing::Held { by, at_primary: false } => format!("held by backup {}", server(by)),
            Standing::Unheld => "held by nobody".to_owned(),
            Standing::ServiceDown { by } => format!("its service is down on {}", server(by)),
            Standing::Doubled { by, through } => {
                let other = self.name(pool.members[*through].kind);
                format!("on backup {}, which already answers for {other}", server(by))
            }
        }
    }
}

impl Standing {
    /// Whose primary holds it: the one server that answers for this virtual host by right.
    fn home(&self) -> Option<usize> {
        if let Self::Held { by, at_primary: true } = self { Some(*by) } else { None }
    }

    fn is_in(&self) -> bool {
        match self {
            Self::ServerUp | Self::Held { .. } => true,
            Self::ServerStandby | Self::ServerDown(_) | Self::Unheld | Self::ServiceDown { .. } => false,
            Self::Doubled { .. } => false,
        }
    }
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

impl Pool {
    fn evaluate(&self, health: &Health, hosts: &[HostState], servers: &[Standing]) -> Evaluated {
        let standing = |member: &Member| match member.kind {
            Kind::Server(index) => servers[index].clone(),
            Kind::VirtualHost(index) => match hosts[index] {
                HostState::Held { by, at_primary } => Standing::Held { by, at_primary },
                HostState::Unheld => Standing::Unheld,
                HostState::ServiceDown { by } => Standing::ServiceDown { by },
            },
        };
        let mut members: Vec<_> = self.members.iter().map(standing).collect();
        let addresses = self.living(&mut members);
        let every = || self.members.iter().flat_map(|member| member.addresses.iter().copied()).collect();
        let (mode, state) = if health.isolated {
            (Mode::Isolated, None)
        } else if !health.settled {
            (Mode::Unknown(self.unknown), (self.unknown == UnknownPolicy::All).then(every))
        } else if !addresses.is_empty() {
            (Mode::Normal, Some(addresses))
        } else {
            let state = match self.all_down {
                AllDown::All => Some(every()),
                AllDown::Servfail => None,
                AllDown::Nodata => Some(Vec::new()),
            };
            (Mode::AllDown(self.all_down), state)
        };
        let answers = |addresses| PoolState::Answers { addresses, at_most: self.max_answers };
        Evaluated { state: state.map_or(PoolState::Servfail, answers), mode, members }
    }

    /// The addresses of the members that are up, in their order, without those that their holder doubles: the members
    /// that are thinned out wholly get that standing.
    fn living(&self, members: &mut [Standing]) -> Vec<IpAddr> {
        // Who answers already in which family, and through which member: those at home first, then backups in order.
        let mut answering = Answering(Vec::new());
        for (index, (member, standing)) in self.members.iter().zip(&*members).enumerate() {
            let at_home = match member.kind {
                Kind::Server(server) => standing.is_in().then_some(server),
                Kind::VirtualHost(_) => standing.home(),
            };
            for (by, address) in at_home.into_iter().flat_map(|by| member.addresses.iter().map(move |at| (by, at))) {
                answering.first(by, address, index);
            }
        }
        let mut addresses = Vec::with_capacity(2 * self.members.len());
        for (index, member) in self.members.iter().enumerate() {
            let Standing::Held { by, at_primary: false } = members[index] else {
                addresses.extend(members[index].is_in().then_some(&member.addresses).into_iter().flatten());
                continue;
            };
            let (before, mut doubled) = (addresses.len(), None);
            for address in &member.addresses {
                let through = answering.first(by, address, index);
                if through == index || self.keep_doubled {
                    addresses.push(*address);
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
