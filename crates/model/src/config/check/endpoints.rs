//! `[endpoint.NAME]`.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    super::{
        cluster::Endpoint,
        read::{Entry, Fields},
    },
    cluster::{Draft, refuse_equal_keys},
    handling::Owner,
    monitors::monitors,
    servers::own_address,
    virtual_hosts::listed_servers,
};
use crate::id::{EndpointName, ServerName};

const KNOWN: &[&str] = &["addresses", "probed-by", "monitor"];

/// All endpoints. Two may share an address, each with monitors for one of its services; a server's or a virtual host's
/// addresses are never an endpoint's.
pub(super) fn endpoints(draft: &Draft<'_>) -> BTreeMap<EndpointName, Endpoint> {
    let mut endpoints = BTreeMap::new();
    for entry in &draft.endpoints {
        let Some(fields) = entry.value.fields(format!("endpoint `{}`", entry.name), KNOWN) else { continue };
        let monitor = fields.get("monitor");
        let endpoint = Endpoint {
            addresses: addresses(draft, &fields),
            probed_by: probed_by(draft, &fields),
            monitors: monitor.map(|value| monitors(draft, &value, &Owner::Endpoint)).unwrap_or_default(),
        };
        endpoints.insert(EndpointName::new(entry.name), endpoint);
    }
    let keys = draft.endpoints.iter().flat_map(|entry: &Entry<'_>| {
        let name = EndpointName::new(entry.name);
        let ids = endpoints.get(&name).map(|endpoint| endpoint.monitors(&name).map(|(id, ..)| id).collect::<Vec<_>>());
        ids.into_iter().flatten().map(|id| (format!("monitor `{id}`"), id.key(), entry.span.clone()))
    });
    refuse_equal_keys(draft.source, keys);
    endpoints
}

fn addresses(draft: &Draft<'_>, fields: &Fields<'_>) -> Vec<IpAddr> {
    let Some(list) = fields.require("addresses", "addresses = [\"10.77.0.40\"]") else { return Vec::new() };
    let Some(values) = list.list("\"10.77.0.40\"") else { return Vec::new() };
    if values.is_empty() {
        list.refuse("an endpoint has at least one address", "write `addresses = [\"10.77.0.40\"]`");
    }
    let mut addresses = Vec::new();
    for value in values {
        let Some(address) = own_address(&value) else { continue };
        if let Some((whose, line)) = draft.addresses.get(&address) {
            value.refuse(
                format!("{address} already belongs to {whose} (line {line})"),
                "an endpoint is a host outside the cluster; servers and virtual hosts are members of pools themselves",
            );
        } else if super::is_new(&value, &address, &addresses) {
            addresses.push(address);
        }
    }
    addresses
}

fn probed_by(draft: &Draft<'_>, fields: &Fields<'_>) -> Vec<ServerName> {
    let all = || draft.servers.iter().map(|entry| ServerName::new(entry.name)).collect::<Vec<_>>();
    let Some(list) = fields.get("probed-by") else { return all() };
    if list.is_text() {
        return list.choice(&[("all", ())]).map(|()| all()).unwrap_or_default();
    }
    listed_servers(draft, &list, "an endpoint is probed by at least one server", "name servers, or write `\"all\"`")
}
