//! `[pool.NAME]`.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    super::{
        cluster::{AllDown, Endpoint, Pool, PoolMember, Server, UnknownPolicy, VirtualHost},
        read::{Entry, Fields, Value},
    },
    cluster::Draft,
    suggest,
};
use crate::id::{EndpointName, PoolName, ServerName, VirtualHostName};

const KNOWN: &[&str] = &["members", "policy", "ttl", "max-answers", "doubled", "all-down", "unknown"];

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
        if let Some(policy) = fields.get("policy")
            && let Some(false) = policy.choice(&[("round-robin", true), ("weighted", false), ("failover", false)])
        {
            policy.refuse("only the policy \"round-robin\" is supported yet", "remove `policy`");
        }
        let pool = Pool {
            members: members(draft, &fields, there),
            ttl: fields.get("ttl").and_then(|value| value.integer(1..=86_400)).unwrap_or(5),
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
    pools
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
