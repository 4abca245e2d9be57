//! What an edit would change, told before it is made: objects, who holds which address, answers, shares of the load.
//!
//! Placement is the core's own function over what the cluster knows at this moment: dead servers count as dead, monitors that
//! stay keep their verdicts, new ones count as unknown. A virtual host that does not change stays where it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use cluster::{
    ClusterStatus,
    placement::{Candidate, target},
};
use dns::{View, Zone, Zones};
use document::settle::Settled;
use model::{
    Health, PoolName, ServerName, VirtualHostName,
    config::{ClusterConfig, Policy, PoolMember, VirtualHost},
    health::{ServerState, Verdict},
};

use super::{
    Desk,
    api::{AnswerChange, ChangedObject, EditRequest, Move, Plan, Sample, Share, ZoneChange},
    edit::{EditError, held},
};

/// No more names of pools are asked for.
const MOST_NAMES: usize = 64;
/// No more records of a zone are listed.
const MOST_RECORDS: usize = 100;

/// What the cluster knows at this moment.
#[derive(Debug)]
pub(crate) struct Now {
    /// Members and virtual hosts.
    pub status: ClusterStatus,
    /// What DNS believes.
    pub health: Arc<Health>,
    /// What is answered.
    pub view: Arc<View>,
    /// What this server calls itself.
    pub identity: String,
}

impl Desk {
    /// What an edit would change.
    ///
    /// # Errors
    /// As the edit itself.
    pub(crate) fn plan(&mut self, request: &EditRequest, now: &Now) -> Result<Plan, EditError> {
        let considered = self.consider(request)?;
        let (before, after) = (self.ledger.in_force().clone(), &considered.settled);
        let changed = |change: &document::Change| ChangedObject {
            key: change.key.clone(),
            before: self.ledger.document().get(&change.key).cloned(),
            after: change.text.clone(),
        };
        let changes: Vec<ChangedObject> = considered.transaction.changes.iter().map(changed).collect();
        let then = health_then(&before.checked.config, &after.checked.config, now);
        let zones = Arc::new(Zones::compile(after.checked.zones.clone(), &after.checked.config));
        let view = View::build(&zones, &then, &now.identity);
        let samples = samples(&before, after, &request.samples);
        Ok(Plan {
            moves: moves(&before.checked.config, &after.checked.config, &now.health, &then),
            answers: samples.iter().filter_map(|sample| answer(sample, &now.view, &view)).collect(),
            compared: samples.len(),
            zones: zones_that_differ(&before, after),
            shares: shares(&before.checked.config, &after.checked.config, (&now.view, &view), (&now.health, &then)),
            held: after.held.iter().map(held).collect(),
            changes,
        })
    }
}

/// The health right after: what is known stays known, what is new is well.
fn health_then(before: &ClusterConfig, after: &ClusterConfig, now: &Now) -> Health {
    let health = &now.health;
    let mut then =
        Health { settled: health.settled, isolated: health.isolated, ..Health::all_well(after, health.serial) };
    for (name, server) in &mut then.servers {
        // A server that nobody has heard of yet holds nothing yet.
        *server = health
            .servers
            .get(name)
            .copied()
            .unwrap_or(model::health::ServerHealth { state: ServerState::Unknown, standby: false });
    }
    for (name, endpoint) in &mut then.endpoints {
        if before.endpoints.get(name) == after.endpoints.get(name)
            && let Some(known) = health.endpoints.get(name)
        {
            *endpoint = *known;
        }
    }
    for (name, host) in &mut then.virtual_hosts {
        let Some(spec) = after.virtual_hosts.get(name) else { continue };
        let known = health.virtual_hosts.get(name);
        let stays = before.virtual_hosts.get(name) == Some(spec);
        let active = known.and_then(|known| known.active.clone());
        host.active = if stays { active } else { place(name, spec, active.as_ref(), &then.servers, now) };
        host.at_primary = host.active.is_some() && host.active.as_ref() == spec.servers.first();
        host.verdict = known.map_or(Verdict::Up, |known| known.verdict);
    }
    for (name, calm) in &mut then.calm {
        *calm = health.calm.get(name).copied().unwrap_or(*calm);
    }
    then
}

/// Who would hold a virtual host.
pub(super) fn place(
    name: &VirtualHostName,
    spec: &VirtualHost,
    active: Option<&ServerName>,
    servers: &BTreeMap<ServerName, model::health::ServerHealth>,
    now: &Now,
) -> Option<ServerName> {
    let status = now.status.virtual_hosts.iter().find(|status| status.name == name.as_str());
    let verdict = |server: &ServerName, monitor: &str| {
        let candidate = status?.servers.iter().find(|candidate| candidate.name == server.as_str())?;
        let known = candidate.monitors.iter().find(|known| known.name == monitor)?;
        match known.verdict.as_str() {
            "up" => Some(Verdict::Up),
            "degraded" => Some(Verdict::Degraded),
            "down" => Some(Verdict::Down),
            _ => None,
        }
    };
    let mut monitors: Vec<_> = spec.monitors.iter().collect();
    monitors.sort_by_key(|monitor| monitor.priority);
    let candidate = |server: &ServerName| Candidate {
        eligible: servers.get(server).is_some_and(|health| health.state.is_alive() && !health.standby),
        health: monitors.iter().map(|one| verdict(server, &one.name).unwrap_or(Verdict::Unknown)).collect(),
        steady: true,
    };
    let list: Vec<Candidate> = spec.servers.iter().map(candidate).collect();
    let holder = active.and_then(|active| spec.servers.iter().position(|server| server == active));
    target(&list, holder, spec.failback, spec.always_active).and_then(|index| spec.servers.get(index).cloned())
}

/// Addresses whose holder differs.
pub(super) fn moves(before: &ClusterConfig, after: &ClusterConfig, now: &Health, then: &Health) -> Vec<Move> {
    type Held = BTreeMap<IpAddr, (String, Option<String>)>;
    let held = |config: &ClusterConfig, health: &Health| -> Held {
        let hosts = config.virtual_hosts.iter();
        let addresses = hosts.flat_map(|(name, host)| host.addresses.iter().map(move |address| (*address, name)));
        let active =
            |name| health.virtual_hosts.get(name).and_then(|host| host.active.as_ref()).map(ToString::to_string);
        addresses.map(|(address, name)| (address, (name.to_string(), active(name)))).collect()
    };
    let (old, new) = (held(before, now), held(after, then));
    let addresses: BTreeSet<IpAddr> = old.keys().chain(new.keys()).copied().collect();
    let holder = |held: &Held, address: &IpAddr| held.get(address).and_then(|(_, active)| active.clone());
    let moved = |address: IpAddr| {
        let (now, then) = (holder(&old, &address), holder(&new, &address));
        let (whose, _) = new.get(&address).or_else(|| old.get(&address))?;
        let known = old.contains_key(&address) == new.contains_key(&address);
        (now != then || !known).then(|| Move { address, virtual_host: whose.clone(), now, then })
    };
    addresses.into_iter().filter_map(moved).collect()
}

/// What is asked: every name of a pool, for both families, and what the request wants.
pub(super) fn samples(before: &Settled, after: &Settled, wanted: &[Sample]) -> Vec<Sample> {
    let zones = before.checked.zones.iter().chain(&after.checked.zones);
    let names = zones.flat_map(|zone| {
        zone.owners.iter().filter(|owner| owner.pool().is_some()).map(|owner| owner.name().to_string())
    });
    let names: BTreeSet<String> = names.take(2 * MOST_NAMES).collect();
    let both = names
        .into_iter()
        .take(MOST_NAMES)
        .flat_map(|name| ["A", "AAAA"].map(|kind| Sample { name: name.clone(), kind: kind.to_owned() }));
    wanted.iter().cloned().chain(both).collect()
}

pub(super) fn answer(sample: &Sample, now: &View, then: &View) -> Option<AnswerChange> {
    let ask = |view: &View| match view.why(&sample.name, &sample.kind) {
        Ok(why) if why.answer.is_empty() => vec![why.rcode],
        Ok(why) => {
            // In which order they stand is the rotation's business.
            let mut answer = why.answer;
            answer.sort();
            answer
        }
        Err(error) => vec![error],
    };
    let (now, then) = (ask(now), ask(then));
    (now != then).then(|| AnswerChange { name: sample.name.clone(), kind: sample.kind.clone(), now, then })
}

/// Zones whose records differ, as if every member were up.
fn zones_that_differ(before: &Settled, after: &Settled) -> Vec<ZoneChange> {
    let find =
        |settled: &Settled, name: &str| settled.checked.zones.iter().find(|zone| zone.name.as_str() == name).cloned();
    let names: BTreeSet<String> =
        before.checked.zones.iter().chain(&after.checked.zones).map(|zone| zone.name.to_string()).collect();
    let differs = |name: String| {
        let (old, new) = (find(before, &name), find(after, &name));
        if let (Some(old), Some(new)) = (&old, &new)
            && Arc::ptr_eq(old, new)
        {
            return None;
        }
        let records = |zone: Option<Arc<Zone>>, config: &ClusterConfig| {
            zone.map_or_else(BTreeSet::new, |zone| {
                zone.render(&|pool| members(config, pool), 0).lines().map(str::to_owned).collect()
            })
        };
        let (old, new) = (records(old, &before.checked.config), records(new, &after.checked.config));
        let mut removed: Vec<String> = old.difference(&new).cloned().collect();
        let mut added: Vec<String> = new.difference(&old).cloned().collect();
        let all = removed.len() + added.len();
        removed.truncate(MOST_RECORDS);
        added.truncate(MOST_RECORDS);
        let more = all - removed.len() - added.len();
        (all > 0).then_some(ZoneChange { zone: name, removed, added, more })
    };
    names.into_iter().filter_map(differs).collect()
}

pub(super) fn members(config: &ClusterConfig, pool: &PoolName) -> Vec<IpAddr> {
    let members = config.pools.get(pool).into_iter().flat_map(|pool| &pool.members);
    members.flat_map(|member| config.addresses_of(member)).collect()
}

/// Servers whose share of new clients differs by half a percent or more.
pub(super) fn shares(
    before: &ClusterConfig,
    after: &ClusterConfig,
    (now, then): (&View, &View),
    (health_now, health_then): (&Health, &Health),
) -> Vec<Share> {
    let (now, then) = (share(before, now, health_now), share(after, then, health_then));
    let servers: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    let of = |shares: &BTreeMap<String, f64>, server: &String| shares.get(server).copied().unwrap_or_default();
    let all =
        servers.into_iter().map(|name| Share { server: name.clone(), now: of(&now, name), then: of(&then, name) });
    let shares: Vec<Share> = all.collect();
    let differs = shares.iter().any(|share| (share.now - share.then).abs() >= 0.5);
    if differs { shares } else { Vec::new() }
}

/// Each server's share of new clients in percent, averaged over the pools that answer anything.
pub(super) fn share(config: &ClusterConfig, view: &View, health: &Health) -> BTreeMap<String, f64> {
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    let mut pools = 0.0;
    for status in view.pools() {
        let Some(pool) = config.pools.get(&PoolName::new(&status.name)) else { continue };
        let answered: Vec<(&PoolMember, f64)> = pool
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| status.members.iter().any(|one| one.answered && one.name == member.name()))
            .map(|(index, member)| (member, weight(&pool.policy, index)))
            .collect();
        let total: f64 = answered.iter().map(|(_, weight)| weight).sum();
        if total == 0.0 {
            continue;
        }
        pools += 1.0;
        for (member, weight) in answered {
            let who = match member {
                PoolMember::VirtualHost(name) => health.virtual_hosts.get(name).and_then(|host| host.active.clone()),
                PoolMember::Server(name) => Some(name.clone()),
                PoolMember::Endpoint(name) => Some(ServerName::new(name.as_str())),
            };
            let who = who.map_or_else(|| "nobody".to_owned(), |who| who.to_string());
            *shares.entry(who).or_default() += 100.0 * weight / total;
        }
    }
    shares.values_mut().for_each(|share| *share /= f64::max(pools, 1.0));
    shares
}

fn weight(policy: &Policy, index: usize) -> f64 {
    match policy {
        Policy::RoundRobin | Policy::Failover => 1.0,
        Policy::Weighted(weights) => weights.get(index).copied().map_or(1.0, f64::from),
    }
}
