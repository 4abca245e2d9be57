//! Looks at this machine, its configuration, the other servers and the zones' parents.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use host::{echo::size_passes, survey};

use super::{Facts, Passage, Running, Wanted};
use crate::{
    delegation::{Delegated, compare_with, compare_with_parent, parents_of},
    load::{Loaded, load},
    trust::identity,
};

/// A packet that gets everywhere.
const SHORT: usize = 64;
/// The document's log (`host::store`).
const LOG: &str = "document.log";

/// Looks at everything: what the node file `config` names, this machine, the parents' servers `parents` (else those that the
/// machine's resolver finds). `running` is what the daemon said of itself. It takes up to some seconds, and changes nothing.
pub fn collect(config: &Path, parents: &[IpAddr], running: Option<Running>) -> Facts {
    let mut facts = Facts { machine: survey::machine(), ..Facts::default() };
    facts.process = survey::process(running.as_ref().map(|running| running.diagnosis.pid)).ok();
    match load(config) {
        Ok(loaded) => {
            look_at_files(&mut facts, &loaded);
            facts.delegated = delegated(&loaded, parents);
            facts.wanted = Some(wanted(&loaded));
        }
        Err(mistakes) => facts.mistakes = Some(mistakes.render(false)),
    }
    facts.running = running;
    let peers = facts.wanted.iter().flat_map(|wanted| &wanted.peers);
    facts.passages = peers.filter_map(|(server, address)| passage(&facts, server, *address)).collect();
    facts
}

fn wanted(loaded: &Loaded) -> Wanted {
    let (node, cluster) = (&loaded.node, &loaded.cluster);
    let others = cluster.servers.iter().filter(|(name, _)| **name != node.name);
    Wanted {
        heartbeat: node.heartbeat_listen,
        dns: node.dns_listen.clone(),
        admin: node.admin_listen,
        metrics: node.metrics_listen,
        peers: others.map(|(name, server)| (name.to_string(), server.address)).collect(),
        virtual_addresses: cluster.virtual_hosts.values().flat_map(|host| host.addresses.iter().copied()).collect(),
    }
}

fn look_at_files(facts: &mut Facts, loaded: &Loaded) {
    let state = &loaded.node.state_dir;
    let mut paths: Vec<PathBuf> =
        vec![state.clone(), identity::path(state), identity::trust_path(state), state.join(LOG)];
    if !loaded.member {
        paths.push(loaded.node.key_file.clone());
    }
    for path in paths {
        match survey::guarded(&path) {
            Ok(found) => facts.guarded.extend(found),
            Err(error) => facts.hidden.push((path, error.to_string())),
        }
    }
}

/// How long packets to a peer may be; none where there is no right to ask, or no route.
fn passage(facts: &Facts, server: &str, address: IpAddr) -> Option<Passage> {
    let mtu = facts.link_to(address)?.mtu;
    let short = size_passes(address, SHORT).ok()?;
    let long = short && size_passes(address, usize::try_from(mtu).ok()?).ok()?;
    Some(Passage { server: server.to_owned(), address, mtu, short, long })
}

/// What the parents say; nothing where no parent is named and none is found.
fn delegated(loaded: &Loaded, parents: &[IpAddr]) -> Vec<Delegated> {
    if !parents.is_empty() {
        return compare_with_parent(loaded, parents);
    }
    let resolvers = survey::resolvers();
    let Some(resolver) = resolvers.first() else { return Vec::new() };
    let each = loaded.zones.iter().map(|zone| compare_with(zone, &parents_of(zone, *resolver)));
    each.flatten().collect()
}
