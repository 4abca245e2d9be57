//! `[pool.NAME]`.

use std::collections::BTreeMap;

use super::{
    super::{
        cluster::{AllDown, Pool, PoolMember, UnknownPolicy},
        read::{Fields, Value},
    },
    cluster::Draft,
    is_declared, suggest,
};
use crate::id::{PoolName, ServerName, VirtualHostName};

const KNOWN: &[&str] = &["members", "policy", "ttl", "max-answers", "doubled", "all-down", "unknown"];

/// All pools.
pub(super) fn pools(draft: &Draft<'_>) -> BTreeMap<PoolName, Pool> {
    let mut pools = BTreeMap::new();
    for entry in &draft.pools {
        let Some(fields) = entry.value.fields(format!("pool `{}`", entry.name), KNOWN) else { continue };
        if let Some(policy) = fields.get("policy")
            && let Some(false) = policy.choice(&[("round-robin", true), ("weighted", false), ("failover", false)])
        {
            policy.refuse("only the policy \"round-robin\" is supported yet", "remove `policy`");
        }
        let pool = Pool {
            members: members(draft, &fields),
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

fn members(draft: &Draft<'_>, fields: &Fields<'_>) -> Vec<PoolMember> {
    let Some(list) = fields.require("members", "members = [\"virtual1\"]") else { return Vec::new() };
    let Some(values) = list.list("\"virtual1\"") else { return Vec::new() };
    if values.is_empty() {
        list.refuse("a pool has at least one member", "name virtual hosts or servers");
    }
    let (mut names, mut members) = (Vec::new(), Vec::new());
    for value in values {
        let Some(name) = value.text("virtual1") else { continue };
        if names.contains(&name) {
            value.refuse(format!("`{name}` is listed twice"), "remove one of the two");
            continue;
        }
        names.push(name);
        members.extend(member(draft, &value, name));
    }
    members
}

fn member(draft: &Draft<'_>, value: &Value<'_>, name: &str) -> Option<PoolMember> {
    match (is_declared(&draft.virtual_hosts, name), is_declared(&draft.servers, name)) {
        (true, false) => Some(PoolMember::VirtualHost(VirtualHostName::new(name))),
        (false, true) => Some(PoolMember::Server(ServerName::new(name))),
        (true, true) => {
            value.refuse(format!("`{name}` is both a server and a virtual host"), "rename one of the two");
            None
        }
        // Declared endpoints are refused as a whole, at their first section.
        (false, false) if is_declared(&draft.endpoints, name) => None,
        (false, false) => {
            let both = [draft.virtual_hosts.as_slice(), &draft.servers].concat();
            value.refuse(
                format!("there is no virtual host or server `{name}`"),
                suggest(name, "virtual host or server", &both),
            );
            None
        }
    }
}
