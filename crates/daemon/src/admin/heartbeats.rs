//! What the flight recorder has: `GET /v1/heartbeats`, of this server or, with `server=NAME`, of another one.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
};
use hyper::Method;
use model::{access::Action, id::is_valid_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Failure, log::moment, others::ask};
use crate::{access::Who, cluster_log::wall_ms, recorder::Heartbeat};

/// Which heartbeats. Times: RFC 3339, or how long ago, such as `90s`, `2h`, `7d`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    /// Not before; a minute ago where nothing is said.
    #[schemars(extend("pattern" = "^[0-9]{1,6}(ms|s|m|h|d)$"))]
    since: Option<String>,
    /// Before; now where nothing is said.
    #[schemars(extend("pattern" = "^[0-9]{1,6}(ms|s|m|h|d)$"))]
    until: Option<String>,
    /// Another server's.
    #[schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))]
    server: Option<String>,
}

/// `GET /v1/heartbeats`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Heartbeats {
    /// Whose.
    server: String,
    /// The oldest first.
    heartbeats: Vec<Heartbeat>,
}

pub(super) async fn heartbeats(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Heartbeats>, Failure> {
    who.may(&admin, Action::ReadHeartbeats)?;
    let now = wall_ms();
    let time = |name: &str, text: &Option<String>| text.as_deref().map(|text| moment(name, text, now)).transpose();
    let since = time("since", &wanted.since)?.unwrap_or(now.saturating_sub(60_000));
    let until = time("until", &wanted.until)?.unwrap_or(now);
    let server = wanted.server.as_deref();
    if server.is_some_and(|name| !is_valid_name(name)) {
        return Err(Failure::Request("`server` is not a server's name".to_owned()));
    }
    if let Some(name) = server.filter(|name| *name != admin.this.as_str()) {
        let others = admin.access.circle()?.others();
        let other = others.iter().find(|(_, member)| member.name == name);
        let (id, member) = other.ok_or_else(|| Failure::Missing(format!("there is no server {name}")))?;
        // Two clocks: asked for with times, not with how long ago.
        let path = format!("/v1/heartbeats?since={}&until={}", super::log::time(since), super::log::time(until));
        let body = ask(admin.access.circle()?, id, member, &who, (Method::GET, &path, Vec::new())).await?;
        return Ok(Json(serde_json::from_slice(&body).map_err(std::io::Error::other)?));
    }
    let kept = admin.kept.clone();
    let read = tokio::task::spawn_blocking(move || kept.read(since, until)).await;
    let heartbeats = read.map_err(std::io::Error::other)??;
    Ok(Json(Heartbeats { server: admin.this.to_string(), heartbeats }))
}
