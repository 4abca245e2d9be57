//! What a seed is: a cluster, a network's manners, and how rough life is.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use model::{
    EndpointName, PoolName, ServerName, VirtualHostName, ZoneName,
    config::{
        AllDown, ClusterConfig, Damping, DnsSettings, Endpoint, Failback, Handling, HeartbeatSettings, Hook, Monitor,
        PartitionPolicy, Policy, Pool, PoolMember, Recovery, Server, Severity, SharedCause, Ttl, UnknownPolicy,
        VirtualHost, ZoneSettings,
        probe::{ProbeKind, TcpProbe},
    },
    hook::HookMoment,
};

use crate::{network::Manners, random::Random};

/// The zone that every simulated server serves.
pub(crate) const ZONE: &str = "lb.example.test";
/// Its template: one name each for the pools of virtual hosts, of servers and of endpoints.
pub(crate) const TEMPLATE: &str = "\
@ 60 SOA ns.lb.example.test. hostmaster.example.test. 0 60 30 3600 5
@ 60 NS ns
ns 60 A 10.77.0.1
www POOL www
all POOL all
far POOL far
";
/// The router that serves as witness.
pub(crate) const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 254));

/// A witness behind that router.
pub(crate) const BEYOND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// How rough life is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// Servers and wires work; operators work, and services die.
    Orderly,
    /// Whatever can happen.
    Rough,
}

/// Everything that is fixed for one seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) style: Style,
    pub(crate) config: Arc<ClusterConfig>,
    /// How many machines of a hundred have heartbeats by Ethernet.
    pub(crate) ethernet: u32,
    /// Whether the links have a router.
    pub(crate) gateway: bool,
    pub(crate) manners: Manners,
    /// A deadline or a packet is handled so late at most.
    pub(crate) latency: Duration,
    /// The kernel needs so long at most.
    pub(crate) kernel: Duration,
    /// How often trouble comes round.
    pub(crate) rounds: usize,
    /// How long it lasts each time.
    pub(crate) trouble: Duration,
    /// So many troubles of a hundred are hangs of daemons, their guardians, or both.
    pub(crate) hangs: u32,
    /// So many of a hundred are shared causes.
    pub(crate) shared: u32,
}

impl Plan {
    /// A part of the seeds has hooks, of every kind.
    pub(crate) fn give_hooks(&mut self, random: &mut Random) {
        if !random.percent(30) {
            return;
        }
        let config = Arc::make_mut(&mut self.config);
        for host in config.virtual_hosts.values_mut() {
            for (position, moment) in HookMoment::ALL.into_iter().enumerate() {
                if random.percent(60) {
                    let timeout = random.span(Duration::from_millis(10), Duration::from_millis(500));
                    let (program, arguments) = ("/hook".into(), Vec::new());
                    host.hooks.insert(moment, Hook { position, program, arguments, user: None, timeout });
                }
            }
        }
    }

    /// In a part of the seeds the witness that is configured is beyond the router.
    pub(crate) fn move_witness(&mut self, random: &mut Random) {
        let config = Arc::make_mut(&mut self.config);
        if let PartitionPolicy::Gateway { witness } = &mut config.partition
            && !witness.is_empty()
            && random.percent(50)
        {
            *witness = vec![BEYOND];
        }
    }

    /// A part of the seeds has hangs.
    pub(crate) fn give_hangs(&mut self, random: &mut Random) {
        if random.percent(40) {
            self.hangs = *random.pick(&[5, 15, 40]);
        }
    }

    pub(crate) fn give_shared_causes(&mut self, random: &mut Random) {
        if random.percent(25) {
            self.shared = *random.pick(&[5, 20, 50]);
        }
    }

    /// A part of the seeds has recovery programs, which mend nothing.
    pub(crate) fn give_recoveries(&mut self, random: &mut Random) {
        if !random.percent(25) {
            return;
        }
        let config = Arc::make_mut(&mut self.config);
        for monitor in config.virtual_hosts.values_mut().flat_map(|host| &mut host.monitors) {
            let timeout = random.span(Duration::from_millis(10), Duration::from_millis(300));
            let (program, arguments) = ("/mend".into(), Vec::new());
            let hook = Hook { position: 0, program, arguments, user: None, timeout };
            let attempts = if random.percent(50) { 1 } else { 2 };
            let window = monitor.recheck * monitor.rise + random.span(Duration::ZERO, Duration::from_millis(300));
            let pause = random.span(Duration::from_secs(1), Duration::from_secs(10));
            if random.percent(70) {
                monitor.handling.recovery = Some(Recovery { hook, attempts, window, pause });
            }
        }
    }

    pub(crate) fn draw(random: &mut Random) -> Self {
        let style = if random.percent(25) { Style::Orderly } else { Style::Rough };
        let servers = match random.below(100) {
            0..4 => 1,
            4..35 => 2,
            35..75 => 3,
            75..95 => random.between(4, 5),
            _ => random.between(6, 10),
        };
        // Large clusters beat slowly: they are here for their number, not for their speed.
        let intervals: &[u64] = if servers > 5 { &[100, 200] } else { &[20, 50, 50, 50, 100, 200] };
        let interval = Duration::from_millis(*random.pick(intervals));
        let misses = *random.pick(&[2, 3, 3, 3, 4, 5]);
        let heartbeat = HeartbeatSettings { interval, misses };
        let gateway = random.percent(85);
        let ethernet = *random.pick(&[0, 50, 100, 100]);
        let config = Arc::new(cluster(random, servers, heartbeat));
        let rough = style == Style::Rough;
        let manners = if rough { Manners::draw(random, interval) } else { Manners::GOOD };
        let longest = if rough && random.percent(30) { interval / 4 } else { Duration::from_millis(1) };
        let slow_kernel = rough && random.percent(30);
        Self {
            style,
            config,
            ethernet,
            gateway,
            manners,
            latency: longest,
            kernel: Duration::from_millis(if slow_kernel { 60 } else { 3 }),
            rounds: random.between(1, 2),
            trouble: interval
                * u32::try_from(if servers > 5 { random.between(20, 40) } else { random.between(40, 100) })
                    .expect("small"),
            hangs: 0,
            shared: 0,
        }
    }
}

fn cluster(random: &mut Random, servers: usize, heartbeat: HeartbeatSettings) -> ClusterConfig {
    let names: Vec<ServerName> = (1..=servers).map(|number| ServerName::new(&format!("s{number}"))).collect();
    let hosts = random.between(1, 4);
    let mut virtual_hosts = BTreeMap::new();
    for number in 1..=hosts {
        let name = VirtualHostName::new(&format!("v{number}"));
        virtual_hosts.insert(name, virtual_host(random, number, &names));
    }
    let partition = match random.below(100) {
        0..35 => PartitionPolicy::Gateway { witness: Vec::new() },
        35..60 => PartitionPolicy::Gateway { witness: vec![GATEWAY] },
        60..80 => PartitionPolicy::Availability,
        _ => PartitionPolicy::Majority,
    };
    let all_down = if random.percent(50) { AllDown::Nodata } else { AllDown::Servfail };
    let pool = |members: Vec<PoolMember>, keep_doubled| Pool {
        members,
        policy: Policy::RoundRobin,
        ttl: Ttl::fixed(5),
        max_answers: None,
        keep_doubled,
        degraded_weight: 100,
        all_down,
        unknown: UnknownPolicy::Servfail,
    };
    let endpoints = endpoints(random, &names);
    let far = Pool {
        policy: match random.below(3) {
            0 => Policy::RoundRobin,
            1 => Policy::Weighted((1..).take(endpoints.len()).collect()),
            _ => Policy::Failover,
        },
        ttl: Ttl { min: 1, max: 8 },
        ..pool(endpoints.keys().cloned().map(PoolMember::Endpoint).collect(), true)
    };
    let www = virtual_hosts.keys().cloned().map(PoolMember::VirtualHost).collect();
    let all = names.iter().cloned().map(PoolMember::Server).collect();
    ClusterConfig {
        name: "simulated".into(),
        digest: 1,
        heartbeat,
        partition,
        shared_cause: SharedCause::default(),
        servers: names.iter().zip(1..).map(|(name, number)| (name.clone(), server(number))).collect(),
        virtual_hosts,
        endpoints,
        pools: BTreeMap::from([
            (PoolName::new("www"), pool(www, random.percent(50))),
            (PoolName::new("all"), pool(all, true)),
            (PoolName::new("far"), far),
        ]),
        zones: BTreeMap::from([(
            ZoneName::new(ZONE),
            ZoneSettings { template: "lb.zone".into(), variables: BTreeMap::new() },
        )]),
        dns: DnsSettings::default(),
        channels: BTreeMap::new(),
    }
}

/// The address of a server by its number from 1.
pub(crate) fn own_address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10 + number))
}

fn server(number: u8) -> Server {
    let address = own_address(number);
    Server { address, also: Vec::new(), heartbeat: SocketAddr::new(address, 7946) }
}

fn virtual_host(random: &mut Random, number: usize, names: &[ServerName]) -> VirtualHost {
    let last = u8::try_from(100 + number).expect("small");
    let four = IpAddr::V4(Ipv4Addr::new(10, 77, 0, last));
    let six = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, u16::from(last)));
    let addresses = match random.below(4) {
        0 => vec![four, six],
        1 => vec![six],
        _ => vec![four],
    };
    let mut servers = names.to_vec();
    if random.percent(50) {
        servers.rotate_left((number - 1) % names.len());
    } else {
        random.shuffle(&mut servers);
    }
    if random.percent(30) {
        servers.truncate(random.between(1, names.len()));
    }
    let always_active = random.percent(75);
    let monitors = (0..random.below(3)).map(|index| Monitor {
        // What may be placed nowhere is not kept down by anything but its service: else nobody could say where it belongs.
        handling: if always_active { handling(random) } else { Handling::default() },
        ..monitor(random, 80 + u16::try_from(index).expect("small"))
    });
    VirtualHost {
        addresses,
        servers,
        monitors: monitors.collect(),
        groups: BTreeMap::new(),
        failback: if random.percent(75) { Failback::Auto } else { Failback::Sticky },
        failback_delay: random.span(Duration::ZERO, Duration::from_millis(800)),
        always_active,
        hooks: BTreeMap::new(),
    }
}

/// Hosts that run no daemon, tried by all servers or by some.
fn endpoints(random: &mut Random, names: &[ServerName]) -> BTreeMap<EndpointName, Endpoint> {
    let endpoint = |number: u8| {
        let address = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 200 + number));
        let mut probed_by = names.to_vec();
        if random.percent(30) {
            random.shuffle(&mut probed_by);
            probed_by.truncate(random.between(1, names.len()));
        }
        let monitors = vec![monitor(random, 80)];
        (EndpointName::new(&format!("e{number}")), Endpoint { addresses: vec![address], probed_by, monitors })
    };
    (1..=3).map(endpoint).collect()
}

fn monitor(random: &mut Random, port: u16) -> Monitor {
    let interval = random.span(Duration::from_millis(100), Duration::from_millis(500));
    Monitor {
        name: format!("tcp-{port}").into(),
        kind: ProbeKind::Tcp(TcpProbe::default()),
        port: Some(port),
        interval,
        recheck: Duration::from_millis(50),
        timeout: Duration::from_millis(200),
        rise: u32::try_from(random.between(1, 3)).expect("small"),
        fall: u32::try_from(random.between(1, 3)).expect("small"),
        priority: u8::try_from(random.below(2)).expect("small"),
        note: None,
        handling: Handling::default(),
    }
}

/// What follows: mostly a move; some are on record only, latch, or are damped quickly.
fn handling(random: &mut Random) -> Handling {
    let severity = match random.below(10) {
        0 => Severity::Record,
        1 => Severity::Latch,
        _ => Severity::Failover,
    };
    let half_life = random.span(Duration::from_secs(1), Duration::from_secs(3));
    let damping = random.percent(50).then_some(Damping { half_life, suppress: 2, reuse: 1 });
    Handling { severity, damping, ..Handling::default() }
}

/// Another configuration of the same cluster: what an operator may change while everything runs.
pub(crate) fn changed(random: &mut Random, base: &ClusterConfig, digest: u64) -> ClusterConfig {
    let mut config = ClusterConfig { digest, ..base.clone() };
    let names: Vec<_> = config.virtual_hosts.keys().cloned().collect();
    let name = random.pick(&names).clone();
    let host = config.virtual_hosts.get_mut(&name).expect("one of its own");
    match random.below(5) {
        0 => {} // a comment was edited
        1 => host.servers.rotate_left(1),
        2 => {
            host.failback = match host.failback {
                Failback::Auto => Failback::Sticky,
                Failback::Sticky => Failback::Auto,
            };
        }
        3 => {
            host.monitors.pop();
        }
        _ if names.len() > 1 => {
            config.virtual_hosts.remove(&name);
            let member = PoolMember::VirtualHost(name);
            config.pools.values_mut().for_each(|pool| pool.members.retain(|other| *other != member));
        }
        _ => {}
    }
    config
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn plans_are_valid_and_of_all_kinds() {
        let mut sizes = BTreeSet::new();
        let mut styles = [0; 2];
        for seed in 0..1_000 {
            let mut random = Random::new(seed);
            let plan = Plan::draw(&mut random);
            sizes.insert(plan.config.servers.len());
            styles[usize::from(plan.style == Style::Rough)] += 1;
            let after = changed(&mut random, &plan.config, 2);
            for config in [&*plan.config, &after] {
                assert_eq!(config.digest == 2, std::ptr::eq(config, &after));
                assert!(!config.virtual_hosts.is_empty());
                let addresses: Vec<_> = config.virtual_hosts.values().flat_map(|host| &host.addresses).collect();
                assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len(), "each address once");
                for host in config.virtual_hosts.values() {
                    assert!(host.servers.iter().all(|server| config.servers.contains_key(server)));
                    assert_eq!(host.servers.iter().collect::<BTreeSet<_>>().len(), host.servers.len());
                    assert!(!host.servers.is_empty());
                }
                for member in config.pools.values().flat_map(|pool| &pool.members) {
                    match member {
                        PoolMember::VirtualHost(name) => assert!(config.virtual_hosts.contains_key(name)),
                        PoolMember::Server(name) => assert!(config.servers.contains_key(name)),
                        PoolMember::Endpoint(name) => assert!(config.endpoints.contains_key(name)),
                    }
                }
            }
        }
        assert_eq!(sizes, (1..=10).collect());
        assert!(styles.iter().all(|count| *count > 180), "{styles:?}");
    }
}
