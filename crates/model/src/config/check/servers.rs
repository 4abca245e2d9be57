//! `[server.NAME]`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::{
    super::{
        cluster::Server,
        read::{Entry, Fields, Firsts, Value},
    },
    cluster::{Draft, refuse_equal_keys},
};
use crate::id::ServerName;

/// The port of `heartbeat` where the file gives none.
const HEARTBEAT_PORT: u16 = 7946;

/// All servers; their addresses are noted in the draft.
pub(super) fn servers(draft: &mut Draft<'_>) -> BTreeMap<ServerName, Server> {
    let entries = draft.servers.clone();
    if entries.is_empty() {
        draft.source.refuse(0..0, "the cluster has no server", "add `[server.NAME]` with `address = \"10.77.0.11\"`");
    }
    let mut servers = BTreeMap::new();
    let mut heartbeats = Vec::new();
    for entry in &entries {
        let Some(fields) =
            entry.value.fields(format!("server `{}`", entry.name), &["address", "also", "heartbeat", "joined"])
        else {
            continue;
        };
        let (own, heartbeat) = (own_addresses(draft, entry, &fields), fields.get("heartbeat"));
        if let Some(turn) = fields.get("joined").and_then(|value| value.integer(1..=u32::MAX)) {
            draft.joined.insert(ServerName::new(entry.name), turn);
        }
        let heartbeat = match heartbeat {
            None => own.first().map(|address| (SocketAddr::new(*address, HEARTBEAT_PORT), entry.span.clone())),
            Some(value) => heartbeat_socket(&value).map(|socket| (socket, value.span())),
        };
        if let (Some((address, also)), Some((heartbeat, span))) = (own.split_first(), heartbeat) {
            heartbeats.push((entry.name, heartbeat, span));
            servers.insert(ServerName::new(entry.name), Server { address: *address, also: also.to_vec(), heartbeat });
        }
    }
    let mut sockets = Firsts::new(draft.source);
    for (name, socket, span) in heartbeats {
        if let Some((other, line)) = sockets.note(socket, format!("server `{name}`"), &span) {
            draft.source.refuse(
                span.clone(),
                format!("{socket} is where {other} receives its heartbeats (line {line})"),
                "give each server a `heartbeat` address of its own",
            );
        }
        // Where it differs from the server's other addresses it is still not free for a virtual host.
        draft.addresses.note(socket.ip(), format!("server `{name}`"), &span);
    }
    let key = |entry: &Entry<'_>| ServerName::new(entry.name).key();
    refuse_equal_keys(
        draft.source,
        entries.iter().map(|entry| (format!("server `{}`", entry.name), key(entry), entry.span.clone())),
    );
    servers
}

/// `address`, then `also`; empty where one of them is missing or wrong.
fn own_addresses(draft: &mut Draft<'_>, entry: &Entry<'_>, fields: &Fields<'_>) -> Vec<IpAddr> {
    let address = fields.require("address", "address = \"10.77.0.11\"");
    let also = fields.get("also").and_then(|value| value.list("\"fd00:77::11\"")).unwrap_or_default();
    let (mut own, mut complete) = (Vec::new(), address.is_some());
    for value in address.into_iter().chain(also) {
        let Some(address) = own_address(&value) else {
            complete = false;
            continue;
        };
        match draft.addresses.note(address, format!("server `{}`", entry.name), &value.span()) {
            None => own.push(address),
            Some((whose, line)) => value.refuse(
                format!("{address} already belongs to {whose} (line {line})"),
                "every address belongs to one server, and is listed once",
            ),
        }
    }
    if complete { own } else { Vec::new() }
}

/// An address that one machine has for itself.
pub(super) fn own_address(value: &Value<'_>) -> Option<IpAddr> {
    let address = value.address("10.77.0.11")?;
    if is_link_local_v6(address) {
        value.refuse(
            format!("{address} is a link-local address, which means a different machine on every link"),
            "write its global or unique local (fd00::/8) address",
        );
        return None;
    }
    Some(address)
}

fn heartbeat_socket(value: &Value<'_>) -> Option<SocketAddr> {
    let socket = value.socket("10.77.0.11:7946")?;
    if socket.ip().is_unspecified() || socket.ip().is_multicast() {
        value.refuse(
            format!("the other servers cannot send heartbeats to {}", socket.ip()),
            "write the address of this server that the others reach",
        );
        return None;
    }
    Some(socket)
}

/// `fe80::/10`.
pub(super) fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(six) if six.is_unicast_link_local())
}
