//! An operator's word about a monitor on this server.

use std::{sync::Arc, time::Duration};

use axum::{body::Bytes, extract::State, http::StatusCode};
use cluster::Command;
use model::api::Status;
use serde::Deserialize;

use super::{Admin, Failure};

/// `POST /v1/monitor/force`.
pub(super) async fn force(State(admin): State<Arc<Admin>>, body: Bytes) -> Result<StatusCode, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        monitor: String,
        up: bool,
        for_ms: Option<u64>,
        server: Option<String>,
    }
    let Asked { monitor, up, for_ms, server } = read(&body, "{\"monitor\": \"NAME\", \"up\": true}")?;
    admin.knows(&monitor, server).await?;
    let lasts = for_ms.map(Duration::from_millis);
    admin.give(Command::Force { monitor: monitor.into(), up, lasts }).await
}

/// `POST /v1/monitor/reset`.
pub(super) async fn reset(State(admin): State<Arc<Admin>>, body: Bytes) -> Result<StatusCode, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        monitor: String,
        server: Option<String>,
    }
    let Asked { monitor, server } = read(&body, "{\"monitor\": \"NAME\"}")?;
    admin.knows(&monitor, server).await?;
    admin.give(Command::Reset { monitor: monitor.into() }).await
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8], example: &str) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Question(format!("the body must be {example}: {error}")))
}

impl Admin {
    /// Whether the command is for this server, and it has such a monitor.
    async fn knows(&self, monitor: &str, server: Option<String>) -> Result<(), Failure> {
        if let Some(asked) = server.filter(|server| server != self.this.as_str()) {
            return Err(Failure::Elsewhere { this: self.this.clone(), asked });
        }
        let sample = self.sample().await?;
        let names = names(&self.status(sample));
        if names.iter().any(|name| name == monitor) {
            return Ok(());
        }
        let there =
            if names.is_empty() { "there is none".to_owned() } else { format!("there is: {}", names.join(", ")) };
        Err(Failure::Question(format!("this server has no monitor `{monitor}`; {there}")))
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
