//! What `GET /v1/status` says: the core's own account at one instant, with pools and zones from the view in force.

use std::net::SocketAddr;

use dns::View;
use host::ether::EtherView;
use model::{
    api::{ConfigStatus, DnsStatus, EthernetStatus, Status},
    config::ClusterConfig,
};

use crate::{desk::Summary, driver::Sample};

/// The configuration in force, as the driver keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Applied {
    /// The cluster's name.
    pub cluster: String,
    /// This server's name.
    pub this: String,
    /// Counts the configurations applied, from 1.
    pub version: u64,
    /// The digest of the configuration in force.
    pub digest: u64,
    /// Why the last one offered was refused, if it was.
    pub refused: Option<std::sync::Arc<str>>,
}

impl Applied {
    /// The first configuration of this run.
    pub(crate) fn first(this: &model::ServerName, config: &ClusterConfig) -> Self {
        Self {
            cluster: config.name.to_string(),
            this: this.to_string(),
            version: 1,
            digest: config.digest,
            refused: None,
        }
    }

    /// Another configuration comes into force.
    pub(crate) fn next(&mut self, config: &ClusterConfig) {
        self.cluster = config.name.to_string();
        self.version += 1;
        self.digest = config.digest;
        self.refused = None;
    }
}

/// The second heartbeat path on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Ethernet {
    /// The node file wants it.
    pub wanted: bool,
    /// How it does; none where it could not be started.
    pub view: Option<EtherView>,
}

impl Ethernet {
    /// For the status.
    pub(crate) fn status(&self) -> EthernetStatus {
        let state = self.view.as_ref().map(EtherView::state).unwrap_or_default();
        let nobody = || "no other server is on an Ethernet link of this machine that is up".to_owned();
        let failed = (!state.failed.is_empty()).then(|| state.failed.join("; "));
        let (word, reason) = match (self.wanted, state.open.is_empty()) {
            (false, _) => ("off", None),
            (true, true) => ("absent", failed.or_else(|| Some(nobody()))),
            (true, false) => ("on", failed),
        };
        EthernetStatus { state: word.to_owned(), interfaces: state.open, reason }
    }
}

/// The whole status.
pub(crate) fn status(
    sample: Sample,
    view: &View,
    listening: &[SocketAddr],
    guarded: Option<bool>,
    ethernet: &Ethernet,
    document: Option<&Summary>,
) -> Status {
    let conflicts = sample.cluster.servers.iter().filter(|server| server.config_agrees == Some(false));
    Status {
        cluster: sample.applied.cluster,
        this: sample.applied.this,
        state: sample.cluster.state,
        uptime_seconds: sample.uptime.as_secs(),
        config: ConfigStatus {
            version: sample.applied.version,
            hash: format!("{:016x}", sample.applied.digest),
            conflicts: conflicts.map(|server| server.name.clone()).collect(),
            refused: sample.applied.refused.map(|errors| errors.to_string()),
            mode: if document.is_some() { "document" } else { "file" }.into(),
            clashes: document.map(|document| document.clashes.clone()).unwrap_or_default(),
            held: document.map(|document| document.held.clone()).unwrap_or_default(),
            unconfirmed: document.is_some_and(|document| document.unconfirmed),
            disk_failing: document.is_some_and(|document| document.failing),
        },
        guardian: match guarded {
            Some(true) => "up",
            Some(false) => "gone",
            None => "none",
        }
        .into(),
        ethernet: ethernet.status(),
        servers: sample.cluster.servers,
        virtual_hosts: sample.cluster.virtual_hosts,
        endpoints: sample.cluster.endpoints,
        shared_fault: sample.cluster.shared_fault,
        pools: view.pools(),
        dns: DnsStatus {
            serial: view.serial(),
            zones: view.zone_names().map(|zone| zone.to_string()).collect(),
            listening: listening.iter().map(ToString::to_string).collect(),
        },
    }
}
