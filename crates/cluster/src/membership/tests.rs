use std::net::{IpAddr, Ipv4Addr};

use model::{
    config::{DnsSettings, PartitionPolicy, Server, SharedCause},
    event::Event,
    net::{InterfaceIndex, MacAddress},
};

use super::*;
use crate::{
    statement::{Account, Stance},
    wire::Key,
};

mod liveness;
mod paths;
mod refusal;
mod relay;
mod told;

const INTERVAL: Duration = Duration::from_millis(50);

fn name(text: &str) -> ServerName {
    ServerName::new(text)
}

fn keys() -> Keys {
    Keys::new(Key::from_bytes(&[1; 32]).unwrap())
}

fn boot(number: u8) -> BootId {
    BootId([number; 16])
}

fn from() -> Origin {
    Origin::Udp(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 7946))
}

fn frame_on(interface: u32) -> Origin {
    Origin::Ethernet { interface: InterfaceIndex(interface), mac: MacAddress([2, 0, 0, 0, 0, 9]) }
}

fn config(names: &[&str]) -> Arc<ClusterConfig> {
    let server = |index: usize| {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(index).unwrap()));
        Server { address, also: Vec::new(), heartbeat: SocketAddr::new(address, 7946) }
    };
    Arc::new(ClusterConfig {
        name: "test".into(),
        digest: 1,
        heartbeat: HeartbeatSettings::default(),
        partition: PartitionPolicy::Availability,
        shared_cause: SharedCause::default(),
        servers: names.iter().enumerate().map(|(index, text)| (name(text), server(index))).collect(),
        virtual_hosts: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        pools: BTreeMap::new(),
        zones: BTreeMap::new(),
        dns: DnsSettings::default(),
        channels: BTreeMap::new(),
    })
}

/// Says something of so many virtual hosts.
fn about(hosts: u64) -> Statement {
    let stances = (0..hosts).map(|key| (key << 40, Stance::default())).collect();
    Statement { account: Arc::new(Account { stances, ..Account::default() }), ..Statement::default() }
}

/// Servers on a link that loses what `cut` says, in time that stands still unless told to pass.
struct Link {
    now: Instant,
    nodes: BTreeMap<ServerName, Membership>,
    /// From whom to whom nothing comes through.
    cut: Vec<(ServerName, ServerName)>,
    /// Over which path alone.
    lost: Vec<(ServerName, ServerName, Path)>,
    says: BTreeMap<ServerName, Statement>,
    /// What each server's guardian would say.
    farewells: BTreeMap<ServerName, Vec<Vec<u8>>>,
    events: Vec<(ServerName, Event)>,
    /// Everything that was delivered: from, to, bytes.
    wire: Vec<(ServerName, ServerName, Vec<u8>)>,
}

impl Link {
    fn new(names: &[&str]) -> Self {
        let mut link = Self {
            now: Instant::from_nanos(1_000_000_000),
            nodes: BTreeMap::new(),
            cut: Vec::new(),
            lost: Vec::new(),
            says: BTreeMap::new(),
            farewells: BTreeMap::new(),
            events: Vec::new(),
            wire: Vec::new(),
        };
        for (index, text) in names.iter().enumerate() {
            link.start(text, names, u8::try_from(index).unwrap());
        }
        link
    }

    /// A server (re)starts with a boot id of its own.
    fn start(&mut self, text: &str, names: &[&str], run: u8) {
        let node = Membership::new(name(text), boot(run), keys(), config(names), self.now);
        self.nodes.insert(name(text), node);
    }

    /// As [`Self::new`], and everybody broadcasts on one link.
    fn with_ethernet(names: &[&str]) -> Self {
        let mut link = Self::new(names);
        link.nodes.values_mut().for_each(|node| node.set_broadcasts(true));
        link
    }

    /// From now on everybody's datagrams are lost on one path.
    fn lose(&mut self, path: Path) {
        let names: Vec<_> = self.nodes.keys().cloned().collect();
        for one in &names {
            self.lost.extend(names.iter().map(|other| (one.clone(), other.clone(), path)));
        }
    }

    fn node(&mut self, text: &str) -> &mut Membership {
        self.nodes.get_mut(&name(text)).unwrap()
    }

    fn state(&self, of: &str, at: &str) -> ServerState {
        self.nodes[&name(at)].state(&name(of))
    }

    fn cut(&mut self, from: &str, to: &str) {
        self.cut.push((name(from), name(to)));
    }

    /// Delivers what the effects send, and what that causes, in order.
    fn carry(&mut self, from: &ServerName, mut effects: Effects) {
        let mut queue: Vec<(ServerName, Effect)> = effects.drain().map(|effect| (from.clone(), effect)).collect();
        while !queue.is_empty() {
            let (from, effect) = queue.remove(0);
            match effect {
                Effect::Record(event) => self.events.push((from, event)),
                Effect::Send { to, datagram } => {
                    queue.extend(self.travel(&from, to, self::from(), &datagram));
                }
                Effect::Broadcast(datagram) => {
                    let others: Vec<_> = self.nodes.keys().filter(|name| **name != from).cloned().collect();
                    for to in others {
                        queue.extend(self.travel(&from, to, frame_on(2), &datagram));
                    }
                }
                Effect::Farewell(datagrams) => {
                    self.farewells.insert(from, datagrams);
                }
                other => panic!("membership never does {other:?}"),
            }
        }
    }

    /// A datagram on its way, and what it causes.
    fn travel(
        &mut self,
        from: &ServerName,
        to: ServerName,
        origin: Origin,
        datagram: &[u8],
    ) -> Vec<(ServerName, Effect)> {
        let lost = self.lost.contains(&(from.clone(), to.clone(), origin.path()));
        if lost || self.cut.contains(&(from.clone(), to.clone())) || !self.nodes.contains_key(&to) {
            return Vec::new();
        }
        self.wire.push((from.clone(), to.clone(), datagram.to_vec()));
        let effects = self.deliver_from(origin, &to, datagram);
        effects.into_iter().map(|effect| (to.clone(), effect)).collect()
    }

    /// One datagram arrives; the server prompts if it is asked to.
    fn deliver(&mut self, to: &ServerName, datagram: &[u8]) -> Vec<Effect> {
        self.deliver_from(from(), to, datagram)
    }

    fn deliver_from(&mut self, origin: Origin, to: &ServerName, datagram: &[u8]) -> Vec<Effect> {
        let mut effects = Effects::new();
        let says = self.says.get(to).cloned().unwrap_or_default();
        let node = self.nodes.get_mut(to).unwrap();
        node.receive(self.now, origin, datagram, &mut effects);
        node.send_prompts(self.now, &says, &mut effects);
        effects.drain().collect()
    }

    /// A server tells all its peers.
    fn beat(&mut self, text: &str) {
        let mut effects = Effects::new();
        let says = self.says.get(&name(text)).cloned().unwrap_or_default();
        let now = self.now;
        self.node(text).send(now, &says, &mut effects);
        self.carry(&name(text), effects);
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        let (now, names): (_, Vec<_>) = (self.now, self.nodes.keys().cloned().collect());
        for text in names {
            let mut effects = Effects::new();
            self.nodes.get_mut(&text).unwrap().expire(now, &mut effects);
            self.carry(&text, effects);
        }
    }

    /// So many intervals, everybody beating once in each.
    fn run(&mut self, intervals: usize) {
        let names: Vec<_> = self.nodes.keys().cloned().collect();
        for _ in 0..intervals {
            for text in &names {
                self.beat(text.as_str());
            }
            self.pass(INTERVAL);
        }
    }

    /// Everything that happened since the last call, at one server.
    fn events_at(&mut self, at: &str) -> Vec<Event> {
        let (here, rest) = std::mem::take(&mut self.events).into_iter().partition(|(text, _)| *text == name(at));
        self.events = rest;
        here.into_iter().map(|(_, event)| event).collect()
    }

    /// Plays a recorded datagram once more.
    fn replay(&mut self, to: &str, datagram: &[u8]) -> (Option<ServerName>, Vec<Effect>) {
        self.replay_from(from(), to, datagram)
    }

    fn replay_from(&mut self, origin: Origin, to: &str, datagram: &[u8]) -> (Option<ServerName>, Vec<Effect>) {
        let mut effects = Effects::new();
        let now = self.now;
        let changed = self.node(to).receive(now, origin, datagram, &mut effects);
        (changed, effects.drain().collect())
    }

    fn refused(&self, at: &str, reason: Refusal) -> u64 {
        self.nodes[&name(at)].counters().refused.get(&reason).copied().unwrap_or(0)
    }

    /// All that one server believes of its peers; counters are not part of it.
    fn beliefs(&self, at: &str) -> String {
        let membership = &self.nodes[&name(at)];
        format!("{:#?} {:?}", membership.peers, membership.echoes(self.now))
    }
}
