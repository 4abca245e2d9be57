//! What `standin status --json` and the admin API say. Fields are added, never renamed.

pub mod access;
pub mod complaints;
pub mod doctor;
pub mod notify;
pub mod request;
pub mod usage;

use std::{net::IpAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole cluster as one server sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// The server that answers.
    #[serde(rename = "self")]
    pub this: String,
    /// `listening` (just started), `normal`, `isolated`, `standby` or `resigning`.
    pub state: String,
    /// Seconds since this daemon started.
    pub uptime_seconds: u64,
    /// `up`, `gone` (the daemon runs on without the process that would clean up after it) or `none`.
    #[serde(default)]
    pub guardian: String,
    /// This server's second heartbeat path.
    #[serde(default)]
    pub ethernet: EthernetStatus,
    /// Every member.
    pub servers: Vec<ServerStatus>,
    /// Every virtual host.
    pub virtual_hosts: Vec<VirtualHostStatus>,
    /// Every endpoint.
    #[serde(default)]
    pub endpoints: Vec<EndpointStatus>,
    /// Services fail on most servers at once, for a shared cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_fault: Option<SharedFaultStatus>,
    /// Every pool.
    pub pools: Vec<PoolStatus>,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// The DNS service.
    pub dns: DnsStatus,
}

/// Most monitors have failed on most servers at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SharedFaultStatus {
    /// Those that are down, each counted on each server, and a group as one.
    pub failed: u32,
    /// Of how many.
    pub watched: u32,
    /// Milliseconds since it was found.
    pub since_ms: u64,
    /// Virtual hosts stay where they are until nothing changes any more.
    pub stays: bool,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Its own address.
    pub address: IpAddr,
    /// `self`, `alive`, `suspect`, `dead`, `left` or `unknown`.
    pub state: String,
    /// On standby.
    pub standby: bool,
    /// Milliseconds since it was last heard; none for ourselves and for who was never heard.
    pub heard_ms: Option<u64>,
    /// Milliseconds since it last heard us directly, as it says; none where unknown.
    pub hears_us_ms: Option<u64>,
    /// Whether its configuration is the same as ours; none while unknown.
    pub config_agrees: Option<bool>,
    /// The paths over which it is heard straight; none for ourselves.
    #[serde(default)]
    pub paths: Vec<PathStatus>,
}

/// A heartbeat path from a peer to this server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PathStatus {
    /// `udp` or `ethernet`.
    pub path: String,
    /// `up`, `lost`, or `never` (heard since this daemon began to know the peer).
    pub state: String,
    /// Milliseconds since the peer was last heard over it; none if it never was.
    pub heard_ms: Option<u64>,
    /// Milliseconds that it has been in this state; none for `never`.
    pub since_ms: Option<u64>,
}

/// Heartbeats as Ethernet broadcasts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct EthernetStatus {
    /// `on`, `off` (by configuration) or `absent`.
    pub state: String,
    /// The interfaces in use.
    pub interfaces: Vec<String>,
    /// Why it is absent, or an interface is not in use: words for a person.
    pub reason: Option<String>,
}

/// A virtual host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VirtualHostStatus {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// `active`, `moving`, `unheld`, `refused` or `rivals`.
    pub state: String,
    /// Who holds it.
    pub active: Option<String>,
    /// Who should hold it.
    pub target: Option<String>,
    /// The number of the current holding.
    pub term: u64,
    /// Why it is not simply active: words for a person.
    pub reason: Option<String>,
    /// Its servers, primary first.
    pub servers: Vec<CandidateStatus>,
    /// Its hooks on the server that answers.
    #[serde(default)]
    pub hooks: Vec<HookStatus>,
    /// How others reach it through its virtual addresses.
    #[serde(default)]
    pub seen_by: Vec<SeenStatus>,
}

/// How a server reaches a virtual address on its holder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeenStatus {
    /// Who tries.
    pub server: String,
    /// At which address.
    pub address: IpAddr,
    /// What its probes find: `up`, `degraded`, `down` or `unknown`.
    pub verdict: String,
    /// The last probe's words; known for this server's own probes only.
    pub reason: Option<Arc<str>>,
}

/// A hook on the server that answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HookStatus {
    /// `before-take`, `after-take`, `before-release` or `after-release`.
    pub on: String,
    /// The program.
    pub program: String,
    /// Runs that have not ended yet.
    pub running: u64,
    /// How the last one ended: `succeeded`, `failed`, `timed-out`, `refused` or `not-run`; none before the first.
    pub outcome: Option<String>,
    /// The same in words.
    pub reason: Option<Arc<str>>,
    /// How long it took, in microseconds.
    pub took_us: Option<u64>,
}

/// One server of a virtual host's list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CandidateStatus {
    /// The server's name.
    pub name: String,
    /// `active`, `backup`, `taking`, `releasing`, `unable` or `away` (dead, left, unknown).
    pub role: String,
    /// Each monitor's verdict there.
    pub monitors: Vec<MonitorStatus>,
}

/// One monitor on one server.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct MonitorStatus {
    /// Its name.
    pub name: String,
    /// The address tried, where the monitor is an endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What counts: `up`, `degraded`, `down` or `unknown`.
    pub verdict: String,
    /// The last probe's words; known for this server's own probes only.
    pub reason: Option<Arc<str>>,
    /// What the probes find, which is what counts unless something is `held`.
    #[serde(default)]
    pub found: String,
    /// What is in force instead of what the probes find: `damped`, `latched`, `disabled`, `forced-up` or `forced-down`.
    #[serde(default)]
    pub held: Option<String>,
    /// Its recovery program is at work, and the verdict waits for it.
    #[serde(default)]
    pub recovering: bool,
    /// `failover`, `record` or `latch`.
    #[serde(default)]
    pub severity: String,
    /// The operator's words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// More of this server's own probes; none for others'.
    #[serde(default)]
    pub own: Option<OwnProbes>,
}

/// What a server knows of its own probes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct OwnProbes {
    /// Milliseconds that they have found the same.
    pub since_ms: u64,
    /// Milliseconds until what is in force instead ends by itself.
    pub held_for_ms: Option<u64>,
    /// Changes of what they find, since this daemon began to probe.
    pub flips: u64,
    /// Its recovery program is at work, and the verdict waits for it: words for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovering: Option<String>,
    /// The last results, the newest first.
    pub recent: Vec<ProbeStatus>,
}

/// One probe that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProbeStatus {
    /// Milliseconds ago.
    pub ago_ms: u64,
    /// `up`, `degraded` or `down`.
    pub result: String,
    /// Why it is not `up`: words for a person.
    pub reason: Option<Arc<str>>,
    /// How long the probe took, in microseconds; none where the service reports by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

/// An endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndpointStatus {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// `up`, `degraded`, `down` or `unknown`: what the majority of those who probe it find.
    pub verdict: String,
    /// Who probes it, and what each finds.
    pub probed_by: Vec<ProberStatus>,
}

/// One server that probes an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProberStatus {
    /// The server's name.
    pub name: String,
    /// Each monitor's verdict there; none while nothing is heard from the server, or others probe in its place.
    pub monitors: Vec<MonitorStatus>,
}

/// A pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Its members.
    pub members: Vec<PoolMemberStatus>,
}

/// A pool's member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolMemberStatus {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether answers contain it.
    pub answered: bool,
    /// Why, or why not.
    pub why: String,
}

/// Why a name is answered as it is: what `standin dns why` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// The name asked for, absolute.
    pub name: String,
    /// The type asked for.
    #[serde(rename = "type")]
    pub kind: String,
    /// `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED` and so on.
    pub rcode: String,
    /// Whether the answer is authoritative.
    pub authoritative: bool,
    /// What leads to the answer, step by step: words for a person.
    pub steps: Vec<String>,
    /// The pool that gives the addresses, if one does.
    pub pool: Option<PoolWhy>,
    /// The answer section as lines of a master file; the next answer may begin with another record.
    pub answer: Vec<String>,
    /// The authority section.
    pub authority: Vec<String>,
    /// The additional section.
    pub additional: Vec<String>,
}

/// A pool's part in an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolWhy {
    /// Its name.
    pub name: String,
    /// `round-robin`, `weighted` or `failover`.
    pub policy: String,
    /// Which of its rules decided: words for a person.
    pub rule: String,
    /// The answer's TTL in seconds.
    pub ttl: u32,
    /// Why it is that: words for a person.
    pub ttl_why: String,
    /// Its members.
    pub members: Vec<PoolMemberStatus>,
}

/// The configuration in force.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ConfigStatus {
    /// Counts the configurations that this daemon has applied, from 1.
    pub version: u64,
    /// The digest, sixteen hexadecimal digits.
    pub hash: String,
    /// Servers whose configuration differs from ours.
    pub conflicts: Vec<String>,
    /// Why the last reload was refused, if it was.
    pub refused: Option<String>,
    /// `file` or `document`.
    #[serde(default)]
    pub mode: String,
    /// Objects of the document that have several values, which somebody must settle: `standin conflicts`.
    #[serde(default)]
    pub clashes: Vec<String>,
    /// Objects that are not in force as the document has them, because they contradict others.
    #[serde(default)]
    pub held: Vec<String>,
    /// An edit waits to be confirmed.
    #[serde(default)]
    pub unconfirmed: bool,
    /// The disk does not keep the document: edits are refused.
    #[serde(default)]
    pub disk_failing: bool,
}

/// The DNS service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DnsStatus {
    /// The serial in every zone's SOA that asks for it.
    pub serial: u32,
    /// The zones served.
    pub zones: Vec<String>,
    /// Addresses listened on.
    pub listening: Vec<String>,
}
