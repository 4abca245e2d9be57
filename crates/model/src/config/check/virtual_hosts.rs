//! `[virtual-host.NAME]`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    super::{
        cluster::{Failback, VirtualHost},
        read::{Entry, Fields, Value},
    },
    cluster::{Draft, refuse_equal_keys},
    handling::{Owner, groups},
    hooks::hooks,
    is_declared, is_new,
    monitors::monitors,
    servers::is_link_local_v6,
    suggest,
};
use crate::id::{MonitorId, ServerName, VirtualHostName};

const KNOWN: &[&str] =
    &["addresses", "servers", "failback", "failback-delay", "always-active", "groups", "monitor", "hook"];

/// All virtual hosts; their addresses are noted in the draft.
pub(super) fn virtual_hosts(draft: &mut Draft<'_>) -> BTreeMap<VirtualHostName, VirtualHost> {
    let entries = draft.virtual_hosts.clone();
    let mut hosts = BTreeMap::new();
    let mut spread = 0;
    for entry in &entries {
        let Some(fields) = entry.value.fields(format!("virtual host `{}`", entry.name), KNOWN) else { continue };
        let named = fields.entries("groups");
        let monitor = fields.get("monitor");
        let monitors =
            monitor.as_ref().map(|value| monitors(draft, value, &Owner::VirtualHost(&named))).unwrap_or_default();
        let written = monitor.filter(Value::is_list).and_then(|value| value.list("")).map_or(0, |list| list.len());
        let complete = monitors.len() == written;
        let host = VirtualHost {
            addresses: addresses(draft, entry, &fields),
            servers: candidates(draft, &fields, &mut spread),
            failback: fields
                .get("failback")
                .and_then(|value| value.choice(&[("auto", Failback::Auto), ("sticky", Failback::Sticky)]))
                .unwrap_or_default(),
            failback_delay: fields
                .get("failback-delay")
                .and_then(|value| value.duration(Duration::ZERO..=Duration::from_secs(86_400)))
                .unwrap_or(Duration::from_secs(1)),
            always_active: fields.get("always-active").and_then(|value| value.boolean()).unwrap_or(true),
            groups: groups(&named, &monitors, complete),
            monitors,
            hooks: fields.get("hook").map(|value| hooks(draft.source, &value)).unwrap_or_default(),
        };
        hosts.insert(VirtualHostName::new(entry.name), host);
    }
    refuse_equal_wire_keys(draft, &entries, &hosts);
    hosts
}

fn addresses(draft: &mut Draft<'_>, entry: &Entry<'_>, fields: &Fields<'_>) -> Vec<IpAddr> {
    let Some(list) = fields.require("addresses", "addresses = [\"10.77.0.101\"]") else { return Vec::new() };
    let Some(values) = list.list("\"10.77.0.101\"") else { return Vec::new() };
    if values.is_empty() {
        list.refuse("a virtual host has at least one address", "write `addresses = [\"10.77.0.101\"]`");
    }
    let mut addresses = Vec::new();
    for value in values {
        let Some(address) = virtual_address(&value) else { continue };
        match draft.addresses.note(address, format!("virtual host `{}`", entry.name), &value.span()) {
            None => addresses.push(address),
            Some((whose, line)) => value.refuse(
                format!("{address} already belongs to {whose} (line {line})"),
                "a virtual address is free: no server's own, and in one virtual host only",
            ),
        }
    }
    addresses
}

fn virtual_address(value: &Value<'_>) -> Option<IpAddr> {
    let address = value.address("10.77.0.101")?;
    let kind = match address {
        _ if address.is_loopback() => "a loopback address",
        _ if is_link_local_v6(address) => "a link-local address",
        _ => return Some(address),
    };
    value.refuse(
        format!("{address} is {kind}: it cannot move between servers"),
        "write a free address of the servers' subnet",
    );
    None
}

/// The list of servers. `spread` counts the virtual hosts with `"all"`: each begins at the next server. Who has joined later
/// is the last backup of each, so that its coming moves nothing.
fn candidates(draft: &Draft<'_>, fields: &Fields<'_>, spread: &mut usize) -> Vec<ServerName> {
    let Some(list) = fields.require("servers", "servers = \"all\"") else { return Vec::new() };
    if list.is_text() {
        if list.choice(&[("all", ())]).is_none() || draft.servers.is_empty() {
            return Vec::new();
        }
        let all = draft.servers.iter().map(|entry| ServerName::new(entry.name));
        let (mut later, mut all): (Vec<_>, Vec<_>) = all.partition(|server| draft.joined.contains_key(server));
        later.sort_by_key(|server| draft.joined.get(server));
        if !all.is_empty() {
            let first = *spread % all.len();
            all.rotate_left(first);
        }
        *spread += 1;
        all.extend(later);
        return all;
    }
    let help = "name servers, the primary first, or write `\"all\"`";
    listed_servers(draft, &list, "a virtual host has at least one server", help)
}

/// The servers that a list names; `empty` and `help` are for a list of none.
pub(super) fn listed_servers(draft: &Draft<'_>, list: &Value<'_>, empty: &str, help: &str) -> Vec<ServerName> {
    let Some(values) = list.list("\"web1\"") else { return Vec::new() };
    if values.is_empty() {
        list.refuse(empty, help);
    }
    let mut names = Vec::new();
    for value in values {
        let Some(name) = value.text("web1") else { continue };
        let server = ServerName::new(name);
        if !is_declared(&draft.servers, name) {
            value.refuse(format!("there is no server `{name}`"), suggest(name, "server", &draft.servers));
        } else if is_new(&value, &server, &names) {
            names.push(server);
        }
    }
    names
}

fn refuse_equal_wire_keys(draft: &Draft<'_>, entries: &[Entry<'_>], hosts: &BTreeMap<VirtualHostName, VirtualHost>) {
    let host_keys = entries.iter().map(|entry| {
        let key = VirtualHostName::new(entry.name).key();
        (format!("virtual host `{}`", entry.name), key, entry.span.clone())
    });
    refuse_equal_keys(draft.source, host_keys);
    let monitor_keys = entries.iter().flat_map(|entry| {
        let name = VirtualHostName::new(entry.name);
        let monitors = hosts.get(&name).map(|host| host.monitors.as_slice()).unwrap_or_default();
        monitors.iter().map(move |monitor| {
            let id = MonitorId::of_host(&name, &monitor.name);
            (format!("monitor `{id}`"), id.key(), entry.span.clone())
        })
    });
    refuse_equal_keys(draft.source, monitor_keys);
}
