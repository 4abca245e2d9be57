//! `cluster.toml`: what the whole cluster agrees on.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{handling::Handling, notify::Channel};
use crate::{
    digest::digest64,
    hook::HookMoment,
    id::{ChannelName, EndpointName, MonitorId, PoolName, ServerName, VirtualHostName, ZoneName},
    net::Prefix,
};

use super::probe::ProbeKind;

/// The cluster's configuration, checked: every reference resolves, every address is used once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// The cluster's name.
    pub name: Arc<str>,
    /// Digest of the cluster file, its zone templates and all that they include. Servers compare it.
    pub digest: u64,
    /// How members watch each other.
    pub heartbeat: HeartbeatSettings,
    /// What a server that hears nobody does.
    pub partition: PartitionPolicy,
    /// What happens when everything fails at once.
    pub shared_cause: SharedCause,
    /// Every member.
    pub servers: BTreeMap<ServerName, Server>,
    /// Every virtual host.
    pub virtual_hosts: BTreeMap<VirtualHostName, VirtualHost>,
    /// Every endpoint.
    pub endpoints: BTreeMap<EndpointName, Endpoint>,
    /// Every pool.
    pub pools: BTreeMap<PoolName, Pool>,
    /// Every zone served.
    pub zones: BTreeMap<ZoneName, ZoneSettings>,
    /// Settings of the DNS service.
    pub dns: DnsSettings,
    /// Who outside the cluster is told of incidents.
    pub channels: BTreeMap<ChannelName, Channel>,
}

impl ClusterConfig {
    /// Of no cluster at all: nobody is a member.
    pub fn empty() -> Self {
        Self {
            name: Arc::from(""),
            digest: 0,
            heartbeat: HeartbeatSettings::default(),
            partition: PartitionPolicy::Gateway { witness: Vec::new() },
            shared_cause: SharedCause::default(),
            servers: BTreeMap::new(),
            virtual_hosts: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            pools: BTreeMap::new(),
            zones: BTreeMap::new(),
            dns: DnsSettings::default(),
            channels: BTreeMap::new(),
        }
    }

    /// Makes the digest cover further texts: the zone templates and all that they include, in a fixed order.
    pub fn with_digest_of<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        for text in texts {
            self.digest = digest64(&[&format!("{:016x}", self.digest), text]);
        }
    }

    /// A pool member's addresses.
    pub fn addresses_of(&self, member: &PoolMember) -> Vec<IpAddr> {
        let addresses = match member {
            PoolMember::VirtualHost(name) => self.virtual_hosts.get(name).map(|host| host.addresses.clone()),
            PoolMember::Server(name) => self.servers.get(name).map(|server| server.addresses().collect()),
            PoolMember::Endpoint(name) => self.endpoints.get(name).map(|endpoint| endpoint.addresses.clone()),
        };
        addresses.unwrap_or_default()
    }

    /// All monitors of all virtual hosts.
    pub fn monitors(&self) -> impl Iterator<Item = (MonitorId, &Monitor)> {
        self.virtual_hosts.iter().flat_map(|(name, host)| {
            host.monitors.iter().map(|monitor| (MonitorId::of_host(name, &monitor.name), monitor))
        })
    }
}

/// `[cluster] heartbeat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeartbeatSettings {
    /// Time between two heartbeats to a peer, 10 ms to 10 s. Default 50 ms.
    pub interval: Duration,
    /// Heartbeats missed in a row until a peer is dead, 2 to 20. Default 3.
    pub misses: u32,
}

impl HeartbeatSettings {
    /// Silence after which a peer is dead.
    pub fn detection(&self) -> Duration {
        self.interval * self.misses
    }
}

impl Default for HeartbeatSettings {
    fn default() -> Self {
        Self { interval: Duration::from_millis(50), misses: 3 }
    }
}

/// `[cluster] partition`: what must hold for a server to keep or take addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PartitionPolicy {
    /// A server that hears no peer must reach a witness: these addresses, else the default gateway of the link; where
    /// there is neither it behaves as `Availability`. The default.
    Gateway {
        /// Asked by ARP or neighbour discovery where they are on a link of the server, however they treat pings. Those
        /// beyond a router are asked by ICMP echo, from the server's own address; they must answer within three eighths
        /// of the heartbeat interval. One answer of any of them is enough.
        witness: Vec<IpAddr>,
    },
    /// A server must hear, itself included, more than half of the configured servers.
    Majority,
    /// A server alone goes on; two halves may both hold an address until they meet again.
    Availability,
}

/// `[cluster] shared-cause`: whether most monitors of most servers that fail within a span have one cause, so that nothing
/// moves until all is quiet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SharedCause {
    /// The span follows the monitors: as long as the slowest takes to notice, 3 s at least, 30 s at most. Default.
    #[default]
    Automatic,
    /// The span, 500 ms to 5 min. One that is shorter than a monitor takes to notice may miss what fails together.
    Within(Duration),
    /// Each failure counts for itself.
    Off,
}

/// `[server.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// The machine's own address: probes' target, pool member, name server.
    pub address: IpAddr,
    /// Further own addresses, normally of the other family.
    pub also: Vec<IpAddr>,
    /// Where it receives heartbeats. Default: `address`, port 7946.
    pub heartbeat: SocketAddr,
}

impl Server {
    /// All of the server's own addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.address).chain(self.also.iter().copied())
    }
}

/// `[virtual-host.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VirtualHost {
    /// Addresses that move together; at least one.
    pub addresses: Vec<IpAddr>,
    /// Primary, then backups; at least one; `"all"` is already resolved and rotated.
    pub servers: Vec<ServerName>,
    /// What happens when a better-listed server is as healthy again.
    pub failback: Failback,
    /// How long a better-listed server must have been as healthy before it wins from the holder. Default 1 s.
    pub failback_delay: Duration,
    /// If every monitor is down everywhere: keep it where it is (true, default) or place it nowhere.
    pub always_active: bool,
    /// Guards, in the order of the file.
    pub monitors: Vec<Monitor>,
    /// Monitors that count together, as one: of how many at least the verdict must be borne out; 1 to their number.
    pub groups: BTreeMap<Arc<str>, usize>,
    /// Programs around taking and releasing, at most one for each moment.
    pub hooks: BTreeMap<HookMoment, Hook>,
}

/// `[endpoint.NAME]`: a host that runs no daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Its addresses, at least one. Each is tried; they are answered, or not, together.
    pub addresses: Vec<IpAddr>,
    /// Who may probe it, at least one; three of them do. `"all"`, the default, is already resolved.
    pub probed_by: Vec<ServerName>,
    /// What is tried at each address, in the order of the file; none: it counts as up.
    pub monitors: Vec<Monitor>,
}

impl Endpoint {
    /// Every monitor at every address.
    pub fn monitors<'a>(&'a self, name: &'a EndpointName) -> impl Iterator<Item = (MonitorId, IpAddr, &'a Monitor)> {
        self.addresses.iter().flat_map(move |address| {
            let id = move |monitor: &Monitor| MonitorId::of_endpoint(name, *address, &monitor.name);
            self.monitors.iter().map(move |monitor| (id(monitor), *address, monitor))
        })
    }
}

/// `failback` of a virtual host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failback {
    /// Goes back to the better-listed server. Default.
    #[default]
    Auto,
    /// Stays with the holder among equally healthy servers.
    Sticky,
}

/// `[[virtual-host.NAME.monitor]]` and `[[endpoint.NAME.monitor]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Monitor {
    /// Unique within the virtual host or endpoint. Default: type and port, such as `http-80`.
    pub name: Arc<str>,
    /// What is tried.
    pub kind: ProbeKind,
    /// The port tried on each listed server's own address, or on each address of the endpoint; none where the type has none.
    pub port: Option<u16>,
    /// Time between probes, 20 ms to 1 h. Default 1 s.
    pub interval: Duration,
    /// Time between probes while the verdict is in doubt, 20 ms to `interval`. Default: a tenth of `interval`, at
    /// least 50 ms or the interval.
    pub recheck: Duration,
    /// A probe that takes longer has failed. 10 ms to 5 min. Default: `interval`, at most 5 s. Longer than `interval` only
    /// with a note: the next probe waits for it, so a service that hangs is tried less often.
    pub timeout: Duration,
    /// Successes in a row that make it up, 1 to 100. Default 2. The first result after a start decides alone.
    pub rise: u32,
    /// Failures in a row that make it down, 1 to 100. Default 2.
    pub fall: u32,
    /// 0 is the most important. Default 0.
    pub priority: u8,
    /// An operator's words about it, for people: why it is as it is.
    pub note: Option<Arc<str>>,
    /// What follows from its results.
    pub handling: Handling,
}

/// `[[virtual-host.NAME.hook]]`, and the program of a monitor's `recovery`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hook {
    /// Its place in the file among its kind, from 0: for messages that can be made only on the machine where it would run.
    pub position: usize,
    /// The program: an absolute path. No shell is between.
    pub program: Arc<str>,
    /// Its arguments.
    pub arguments: Vec<Arc<str>>,
    /// As whom it runs. Default: `nobody` where the daemon is root, else the daemon's own user.
    pub user: Option<Arc<str>>,
    /// After so long it is killed, and whoever waits for it goes on: 10 ms to 10 s, default 500 ms, for `before-take`; 10 ms to
    /// 60 s, default 5 s, for the others.
    pub timeout: Duration,
}

/// `[pool.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// Who answers for the pool's names, in the order of the file; at least one.
    pub members: Vec<PoolMember>,
    /// How the members share new clients.
    pub policy: Policy,
    /// Seconds that caches may keep an answer. Default 5, always.
    pub ttl: Ttl,
    /// At most so many addresses of each family in one answer; none: all.
    pub max_answers: Option<u16>,
    /// Whether a virtual host that sits on a backup which already answers for another member stays in the answers.
    /// `doubled = "drop"` (false) is the default: survivors share new clients evenly.
    pub keep_doubled: bool,
    /// Per cent of its weight that a degraded member keeps, 0 to 100; 0: it is answered only while all others are out, or
    /// degraded. Default 100. Under the policy "failover" it means nothing.
    pub degraded_weight: u8,
    /// What is answered when no member is up.
    pub all_down: AllDown,
    /// What is answered before anything is known.
    pub unknown: UnknownPolicy,
}

/// `policy` of a pool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// To each living member its equal share. Default.
    #[default]
    RoundRobin,
    /// To each living member a share by its weight, 0 to 1,000, in the order of the members; not all are 0. Who has 0 is
    /// answered only while all others are out.
    Weighted(Vec<u16>),
    /// All to the first member that lives.
    Failover,
}

impl Policy {
    /// The word of the configuration.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Weighted(_) => "weighted",
            Self::Failover => "failover",
        }
    }
}

/// `ttl` of a pool, in seconds, 1 to 86,400: short while anything about the pool is suspected, moved, unknown or planned,
/// and never longer than the calm has lasted. The same number twice is a fixed TTL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ttl {
    /// The shortest.
    pub min: u32,
    /// The longest; not below the shortest.
    pub max: u32,
}

impl Ttl {
    /// Always the same.
    pub const fn fixed(seconds: u32) -> Self {
        Self { min: seconds, max: seconds }
    }

    /// Whether calm makes a difference.
    pub const fn is_elastic(self) -> bool {
        self.min < self.max
    }

    /// After so many seconds of calm.
    pub fn after(self, calm: u32) -> u32 {
        calm.clamp(self.min, self.max)
    }
}

/// A pool's member.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PoolMember {
    /// A virtual host: its addresses are answered while somebody holds it and its service is not down.
    VirtualHost(VirtualHostName),
    /// A server: its own addresses are answered while it lives.
    Server(ServerName),
    /// An endpoint: its addresses are answered while its monitors are up.
    Endpoint(EndpointName),
}

impl PoolMember {
    /// Its name: virtual hosts, servers and endpoints share one name space in a pool.
    pub fn name(&self) -> &str {
        match self {
            Self::VirtualHost(name) => name.as_str(),
            Self::Server(name) => name.as_str(),
            Self::Endpoint(name) => name.as_str(),
        }
    }
}

/// `all-down` of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllDown {
    /// All members: somebody may still be reached. Default.
    #[default]
    All,
    /// SERVFAIL: resolvers ask another server.
    Servfail,
    /// No address, and the name exists.
    Nodata,
}

/// `unknown` of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownPolicy {
    /// SERVFAIL until the first verdicts: resolvers ask another server. Default.
    #[default]
    Servfail,
    /// All members.
    All,
}

/// `[zone."NAME"]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneSettings {
    /// The zone template, relative to the cluster file's directory unless absolute.
    pub template: PathBuf,
    /// `${name}` in the template.
    pub variables: BTreeMap<String, String>,
}

/// `[dns]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsSettings {
    /// Largest UDP answer that we send, whatever the client offers: 512 to 4,096 bytes. Default 1,232.
    pub max_udp_size: u16,
    /// What `id.server` CH TXT and NSID say. Default: the server's name.
    pub identity: bool,
    /// Response rate limiting over UDP; none where it is switched off.
    pub rate_limit: Option<RateLimit>,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { max_udp_size: 1232, identity: true, rate_limit: Some(RateLimit::default()) }
    }
}

/// `[dns] rate-limit`: how many replies of one kind the clients of one network (IPv4 /24, IPv6 /56) get over UDP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Replies a second, of each kind. Default 1,000: far above what a network's resolvers ask of one zone, far below what
    /// makes an amplifier worth using.
    pub per_second: u32,
    /// Every so many replies over the limit a truncated one is sent, so that a true client comes by TCP; 0: never. Default 2.
    pub slip: u8,
    /// Networks without a limit. Loopback never has one.
    pub allow: Vec<Prefix>,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { per_second: 1_000, slip: 2, allow: Vec::new() }
    }
}
