//! What would follow if a server stood by or returned, or a monitor counted otherwise: told before it is done, as a plan is.
//!
//! Placement is the core's own function, as in [`super::plan`]. Deliberately not here: what only time decides, such as the delay
//! of a failback.

use std::{collections::BTreeMap, sync::Arc};

use dns::{View, Zones};
use model::{Health, ServerName, VirtualHostName};

use super::{
    Desk,
    api::Plan,
    edit::held,
    plan::{Now, answer, moves, place, samples, share, shares},
};

/// What is supposed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Supposed {
    /// A server stands by, or does so no longer.
    Standby {
        /// Which.
        server: String,
        /// Whether it does.
        on: bool,
    },
    /// A monitor counts so on a server; none: as its probes find.
    Monitor {
        /// Whose.
        virtual_host: String,
        /// Which.
        monitor: String,
        /// Where.
        server: String,
        /// As what.
        verdict: Option<&'static str>,
    },
}

impl Desk {
    /// Each server's share of new clients now, in percent.
    pub(crate) fn shares(&self, now: &Now) -> BTreeMap<String, f64> {
        share(&self.ledger.in_force().checked.config, &now.view, &now.health)
    }

    /// What would follow.
    pub(crate) fn suppose(&self, supposed: &Supposed, now: Now) -> Plan {
        let in_force = self.ledger.in_force();
        let config = &in_force.checked.config;
        let then = health_then(config, supposed, &now);
        let zones = Arc::new(Zones::compile(in_force.checked.zones.clone(), config));
        let view = View::build(&zones, &then, &now.identity);
        let samples = samples(in_force, in_force, &[]);
        Plan {
            changes: Vec::new(),
            moves: moves(config, config, &now.health, &then),
            answers: samples.iter().filter_map(|sample| answer(sample, &now.view, &view)).collect(),
            compared: samples.len(),
            zones: Vec::new(),
            shares: shares(config, config, (&now.view, &view), (&now.health, &then)),
            held: in_force.held.iter().map(held).collect(),
        }
    }
}

fn health_then(config: &model::config::ClusterConfig, supposed: &Supposed, now: &Now) -> Health {
    let mut then = Health::clone(&now.health);
    let mut now = Now {
        status: now.status.clone(),
        health: now.health.clone(),
        view: now.view.clone(),
        identity: now.identity.clone(),
    };
    let concerned: Vec<VirtualHostName> = match supposed {
        Supposed::Standby { server, on } => {
            if let Some(health) = then.servers.get_mut(&ServerName::new(server)) {
                health.standby = *on;
            }
            config.virtual_hosts.keys().cloned().collect()
        }
        Supposed::Monitor { virtual_host, monitor, server, verdict } => {
            let hosts = now.status.virtual_hosts.iter_mut().filter(|host| host.name == *virtual_host);
            let servers = hosts.flat_map(|host| &mut host.servers).filter(|candidate| candidate.name == *server);
            for known in servers.flat_map(|candidate| &mut candidate.monitors).filter(|known| known.name == *monitor) {
                known.verdict = verdict.map_or_else(|| known.found.clone(), str::to_owned);
            }
            vec![VirtualHostName::new(virtual_host)]
        }
    };
    for name in concerned {
        let (Some(spec), Some(known)) = (config.virtual_hosts.get(&name), now.health.virtual_hosts.get(&name)) else {
            continue;
        };
        let active = place(&name, spec, known.active.as_ref(), &then.servers, &now);
        if let Some(host) = then.virtual_hosts.get_mut(&name) {
            host.at_primary = active.is_some() && active.as_ref() == spec.servers.first();
            host.active = active;
        }
    }
    then
}
