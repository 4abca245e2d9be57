//! `[pool.NAME]`.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    super::{
        cluster::{AllDown, Endpoint, Policy, Pool, PoolMember, Server, Ttl, UnknownPolicy, VirtualHost},
        read::{Entry, Fields, Value},
    },
    cluster::{Draft, refuse_equal_keys},
    suggest,
};
use crate::id::{EndpointName, PoolName, ServerName, VirtualHostName};

const KNOWN: &[&str] =
    &["members", "policy", "weights", "ttl", "max-answers", "doubled", "degraded-weight", "all-down", "unknown"];

/// What may be a pool's member.
pub(super) struct There<'c> {
    pub(super) servers: &'c BTreeMap<ServerName, Server>,
    pub(super) virtual_hosts: &'c BTreeMap<VirtualHostName, VirtualHost>,
    pub(super) endpoints: &'c BTreeMap<EndpointName, Endpoint>,
}

impl There<'_> {
    /// A member's addresses; none where its section has mistakes.
    fn addresses(&self, member: &PoolMember) -> Vec<IpAddr> {
        let addresses = match member {
            PoolMember::VirtualHost(name) => self.virtual_hosts.get(name).map(|host| host.addresses.clone()),
            PoolMember::Server(name) => self.servers.get(name).map(|server| server.addresses().collect()),
            PoolMember::Endpoint(name) => self.endpoints.get(name).map(|endpoint| endpoint.addresses.clone()),
        };
        addresses.unwrap_or_default()
    }
}

/// All pools.
pub(super) fn pools(draft: &Draft<'_>, there: &There<'_>) -> BTreeMap<PoolName, Pool> {
    let mut pools = BTreeMap::new();
    for entry in &draft.pools {
        let Some(fields) = entry.value.fields(format!("pool `{}`", entry.name), KNOWN) else { continue };
        let members = members(draft, &fields, there);
        let policy = policy(&fields, &members);
        let pool = Pool {
            degraded_weight: fields.get("degraded-weight").map_or(100, |value| degraded_weight(&value, &policy)),
            policy,
            members,
            ttl: fields.get("ttl").and_then(|value| ttl(&value)).unwrap_or(Ttl::fixed(5)),
            max_answers: fields.get("max-answers").and_then(|value| value.integer(1..=1000)),
            keep_doubled: fields
                .get("doubled")
                .and_then(|value| value.choice(&[("drop", false), ("keep", true)]))
                .unwrap_or(false),
            all_down: fields
                .get("all-down")
                .and_then(|value| {
                    value.choice(&[("all", AllDown::All), ("servfail", AllDown::Servfail), ("nodata", AllDown::Nodata)])
                })
                .unwrap_or_default(),
            unknown: fields
                .get("unknown")
                .and_then(|value| value.choice(&[("servfail", UnknownPolicy::Servfail), ("all", UnknownPolicy::All)]))
                .unwrap_or_default(),
        };
        pools.insert(PoolName::new(entry.name), pool);
    }
    let key =
        |entry: &Entry<'_>| (format!("pool `{}`", entry.name), PoolName::new(entry.name).key(), entry.span.clone());
    refuse_equal_keys(draft.source, draft.pools.iter().map(key));
    pools
}

/// `policy` and `weights`.
fn policy(fields: &Fields<'_>, members: &[PoolMember]) -> Policy {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        RoundRobin,
        Weighted,
        Failover,
    }
    let word = fields.get("policy").map_or(Some(Word::RoundRobin), |policy| {
        policy.choice(&[("round-robin", Word::RoundRobin), ("weighted", Word::Weighted), ("failover", Word::Failover)])
    });
    match (word, fields.get("weights")) {
        (Some(Word::Weighted), Some(value)) => Policy::Weighted(weights(&value, fields, members)),
        (Some(Word::Weighted), None) => {
            fields.require("weights", "weights = { virtual1 = 3 }");
            Policy::default()
        }
        (Some(Word::RoundRobin | Word::Failover), Some(value)) => {
            value.refuse("`weights` count under the policy \"weighted\" only", "write `policy = \"weighted\"`");
            Policy::default()
        }
        (Some(Word::Failover), None) => Policy::Failover,
        (Some(Word::RoundRobin), None) | (None, _) => Policy::RoundRobin,
    }
}

/// One weight a member; who is not mentioned has 1.
fn weights(value: &Value<'_>, fields: &Fields<'_>, members: &[PoolMember]) -> Vec<u16> {
    let mut weights = vec![1; members.len()];
    for entry in fields.entries("weights") {
        let weight = entry.value.integer(0..=1000);
        match members.iter().position(|member| member.name() == entry.name) {
            Some(index) => weights[index] = weight.unwrap_or(1),
            None => {
                let names = members.iter().map(PoolMember::name).collect::<Vec<_>>().join(", ");
                entry
                    .value
                    .refuse_name(format!("`{}` is no member of this pool", entry.name), format!("there is: {names}"));
            }
        }
    }
    if weights.iter().all(|weight| *weight == 0) && !weights.is_empty() {
        value.refuse("no member has a weight above 0", "weight 0 is for a member that helps out while all others fail");
    }
    weights
}

/// Per cent.
fn degraded_weight(value: &Value<'_>, policy: &Policy) -> u8 {
    match policy {
        Policy::RoundRobin | Policy::Weighted(_) => {}
        Policy::Failover => value.refuse(
            "`degraded-weight` means nothing under the policy \"failover\"",
            "remove it: all go to the first member that lives; or write `policy = \"weighted\"`",
        ),
    }
    value.integer(0..=100).unwrap_or(100)
}

/// `10`, or `{ min = 5, max = 30 }`.
fn ttl(value: &Value<'_>) -> Option<Ttl> {
    const LIMITS: std::ops::RangeInclusive<u32> = 1..=86_400;
    if !value.is_table() {
        return value.integer(LIMITS).map(Ttl::fixed);
    }
    let fields = value.fields("`ttl`", &["min", "max"])?;
    let (min, max) = (fields.require("min", "min = 5"), fields.require("max", "max = 30"));
    let min = min?.integer(LIMITS)?;
    let last = max?;
    let max = last.integer(LIMITS)?;
    if max < min {
        last.refuse(format!("`max` ({max}) is below `min` ({min})"), "write the shortest TTL as `min`");
        return None;
    }
    Some(Ttl { min, max })
}

fn members(draft: &Draft<'_>, fields: &Fields<'_>, there: &There<'_>) -> Vec<PoolMember> {
    let Some(list) = fields.require("members", "members = [\"virtual1\"]") else { return Vec::new() };
    let Some(values) = list.list("\"virtual1\"") else { return Vec::new() };
    if values.is_empty() {
        list.refuse("a pool has at least one member", "name virtual hosts, servers or endpoints");
    }
    let (mut names, mut members) = (Vec::new(), Vec::new());
    for value in values {
        let Some(name) = value.text("virtual1") else { continue };
        if names.contains(&name) {
            value.refuse(format!("`{name}` is listed twice"), "remove one of the two");
            continue;
        }
        names.push(name);
        members.extend(member(draft, &value, name).map(|member| (member, value)));
    }
    refuse_common_addresses(&members, there);
    members.into_iter().map(|(member, _)| member).collect()
}

/// A member's name means one thing: virtual hosts, servers and endpoints share one name space here.
fn member(draft: &Draft<'_>, value: &Value<'_>, name: &str) -> Option<PoolMember> {
    let kinds =
        [("a virtual host", &draft.virtual_hosts), ("a server", &draft.servers), ("an endpoint", &draft.endpoints)];
    let found = kinds.map(|(kind, there)| Some((kind, there.iter().find(|entry| entry.name == name)?)));
    if let [(first, one), (second, other), ..] = *found.iter().flatten().collect::<Vec<_>>() {
        let line = |entry: &Entry<'_>| draft.source.line(entry.span.start);
        value.refuse(
            format!("`{name}` is both {first} (line {}) and {second} (line {})", line(one), line(other)),
            "rename one of the two: members of a pool share one name space",
        );
        return None;
    }
    match found.map(|found| found.is_some()) {
        [true, ..] => Some(PoolMember::VirtualHost(VirtualHostName::new(name))),
        [_, true, _] => Some(PoolMember::Server(ServerName::new(name))),
        [.., true] => Some(PoolMember::Endpoint(EndpointName::new(name))),
        [false, false, false] => {
            let all = kinds.map(|(_, there)| there.as_slice()).concat();
            let kind = "virtual host, server or endpoint";
            value.refuse(format!("there is no {kind} `{name}`"), suggest(name, kind, &all));
            None
        }
    }
}

/// One address is answered once, so two members of a pool have none in common.
fn refuse_common_addresses(members: &[(PoolMember, Value<'_>)], there: &There<'_>) {
    let mut owners: BTreeMap<IpAddr, &PoolMember> = BTreeMap::new();
    for (member, value) in members {
        for address in there.addresses(member) {
            if let Some(other) = owners.insert(address, member) {
                value.refuse(
                    format!("{address} is already in this pool as an address of `{}`", other.name()),
                    "leave one of the two out: an answer has each address once",
                );
            }
        }
    }
}
