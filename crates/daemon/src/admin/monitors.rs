//! An operator's word about a monitor, on this server or, passed on, on another one.

use std::{sync::Arc, time::Duration};

use axum::{body::Bytes, extract::State, http::StatusCode};
use cluster::Command;
use model::{
    access::Action,
    api::{
        Status,
        request::{ForceMonitor, ResetMonitor},
    },
};
use serde::Deserialize;

use super::{Admin, Failure};
use crate::access::Who;

/// `POST /v1/monitor/force`.
pub(crate) async fn force(State(admin): State<Arc<Admin>>, who: Who, body: Bytes) -> Result<StatusCode, Failure> {
    who.may(&admin, Action::ForceMonitor)?;
    let ForceMonitor { monitor, up, for_ms, server } = read(&body, "{\"monitor\": \"NAME\", \"up\": true}")?;
    if let Some(other) = admin.elsewhere(server) {
        admin.pass_on(&who, &other, "/v1/monitor/force", &body).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    admin.knows(&monitor).await?;
    let lasts = for_ms.map(Duration::from_millis);
    admin.give(Command::Force { monitor: monitor.as_str().into(), up, lasts }).await?;
    who.did(&admin, Action::ForceMonitor, &format!("{monitor} {}", if up { "up" } else { "down" }));
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/monitor/reset`.
pub(crate) async fn reset(State(admin): State<Arc<Admin>>, who: Who, body: Bytes) -> Result<StatusCode, Failure> {
    who.may(&admin, Action::ResetMonitor)?;
    let ResetMonitor { monitor, server } = read(&body, "{\"monitor\": \"NAME\"}")?;
    if let Some(other) = admin.elsewhere(server) {
        admin.pass_on(&who, &other, "/v1/monitor/reset", &body).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    admin.knows(&monitor).await?;
    admin.give(Command::Reset { monitor: monitor.as_str().into() }).await?;
    who.did(&admin, Action::ResetMonitor, &monitor);
    Ok(StatusCode::NO_CONTENT)
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8], example: &str) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Request(format!("the body must be {example}: {error}")))
}

impl Admin {
    /// The other server that a command is for.
    fn elsewhere(&self, server: Option<String>) -> Option<String> {
        server.filter(|server| server != self.this.as_str())
    }

    /// Whether this server has such a monitor.
    async fn knows(&self, monitor: &str) -> Result<(), Failure> {
        let sample = self.sample().await?;
        let names = names(&self.status(sample));
        if names.iter().any(|name| name == monitor) {
            return Ok(());
        }
        let there =
            if names.is_empty() { "there is none".to_owned() } else { format!("there is: {}", names.join(", ")) };
        Err(Failure::Request(format!("this server has no monitor `{monitor}`; {there}")))
    }
}

/// Every monitor of this server, as operators call it.
fn names(status: &Status) -> Vec<String> {
    let hosts = status.virtual_hosts.iter().flat_map(|host| {
        let own = host.servers.iter().filter(|server| server.name == status.this);
        own.flat_map(|server| &server.monitors).map(|monitor| format!("{}/{}", host.name, monitor.name))
    });
    let endpoints = status.endpoints.iter().flat_map(|endpoint| {
        let own = endpoint.probed_by.iter().filter(|prober| prober.name == status.this);
        own.flat_map(|prober| &prober.monitors).map(|monitor| format!("{}/{}", endpoint.name, monitor.name))
    });
    let mut names: Vec<String> = hosts.chain(endpoints).collect();
    names.sort();
    names.dedup();
    names
}
