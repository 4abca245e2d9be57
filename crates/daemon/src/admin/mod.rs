//! The admin API over HTTP, version 1: on the Unix socket, whose file mode says who may, and on `[admin] listen`.
//!
//! | request | what | `model::access::Action` |
//! |---|---|---|
//! | `GET /v1/status` | `model::api::Status` | `ReadStatus` |
//! | `GET /v1/events`, `?cluster=true` | the journal's last entries, oldest first; of all servers | `ReadEvents` |
//! | `GET /v1/log`, `/v1/log/arrived`, `/v1/incidents` | the cluster's log, and what it tells: `log` | `ReadEvents` |
//! | `GET /v1/heartbeats` | what the flight recorder has: `heartbeats` | `ReadHeartbeats` |
//! | `POST /v1/dns/why` with `{"name": NAME, "type": TYPE}` | `model::api::Why` | `AskDns` |
//! | `GET /v1/dns/top`, `/v1/dns/clients` | `model::api::usage`: what is asked most, by whom: `usage` | `AskDns`, `ReadClients` |
//! | `POST /v1/standby`, `/v1/resume` with `{"server": NAME}` | 204 once the core has dealt with it | `Standby`, `Resume` |
//! | `POST /v1/monitor/force`, `/v1/monitor/reset` | 204: what a monitor counts as (`monitors`) | `ForceMonitor`, `ResetMonitor` |
//! | `POST /v1/push` with `{"monitor": "VIRTUAL-HOST/MONITOR", "state": "up"}` | 204: a service's own report | `Push` |
//! | `GET /v1/notify`; `POST /v1/notify/test` with `{"channel": NAME}` | channels for notifications; a test of one (`notify`) | `ReadStatus`, `TestNotification` |
//! | `GET /v1/doctor`, `/v1/clock` | `model::api::doctor`: what `standin doctor` asks the daemon | `Diagnose` |
//! | `GET /metrics` | Prometheus' text; without TLS on `[metrics] listen` | `ReadMetrics` |
//! | `GET /v1/openapi.json` | this API as an OpenAPI document (`openapi`), for anybody | |
//! | `GET /`, `/console` and below | pages for people: `crate::console` | |
//! | `/v1/login`, `/v1/logout`, `/v1/password`, `/v1/users`, `/v1/api-tokens` | people and programs: `people` | |
//! | `/v1/join`, `/v1/join-tokens`, `/v1/servers`, `/v1/leave`, `/v1/rotate` | members and keys: `servers`, `progress` | |
//! | `/v1/config` and below | the configuration: `config` | `ReadConfiguration`, `EditConfiguration` |
//!
//! Who asks is found out before a handler runs (`access`); what it may is the handler's first line.

pub(crate) mod config;
mod doctor;
mod failure;
pub(crate) mod heartbeats;
pub(crate) mod log;
pub(crate) mod monitors;
pub(crate) mod notify;
mod openapi;
pub(crate) mod others;
pub(crate) mod people;
mod progress;
mod push;
pub(crate) mod receive;
pub(crate) mod servers;
pub(crate) mod socket;
pub(crate) mod usage;

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use cluster::Command;
use dns::View;
use host::{guardian::Ward, probe::Probes};
use model::{
    ServerName,
    access::Action,
    api::{
        Status, Why,
        request::{Question, Target},
    },
};
use tokio::sync::oneshot;

pub(crate) use self::failure::{Body, Failure};
pub use self::openapi::openapi;
use crate::{
    access::{Access, Who, identify},
    cluster_log::Log,
    console::{self, Console},
    desk,
    driver::{Message, Queue, Refused, Sample},
    journal::History,
    metrics::{
        Metrics,
        scrape::{self, Sampled},
    },
    name_service::NameService,
    notify::Notify,
    recorder::keep::Kept,
    status::{Ethernet, status},
};

/// The driver answers within this time, or the request fails.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Admin {
    /// This server.
    pub this: ServerName,
    /// The driver.
    pub queue: Queue,
    /// The answers in force.
    pub view: Arc<ArcSwap<View>>,
    /// The journal's last entries.
    pub history: History,
    /// The cluster's log; none where the disk has no place for it.
    pub log: Option<Log>,
    /// The last heartbeats, and those around incidents.
    pub kept: Kept,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// Where DNS listens, and what it counts.
    pub name_service: Arc<NameService>,
    /// The tie to the guardian; none where nobody guards.
    pub ward: Option<Ward>,
    /// Monitors' probes; gone once the driver has ended.
    pub probes: Weak<Probes>,
    /// The second heartbeat path.
    pub ethernet: Ethernet,
    /// Who may do what.
    pub access: Access,
    /// The document's desk; none in file mode.
    pub desk: Option<desk::Handle>,
    /// The file that rules in file mode.
    pub cluster_file: PathBuf,
    /// What pages for people share.
    pub console: Console,
    /// Who outside the cluster is told of incidents.
    pub notify: Notify,
}

/// Everything.
pub(crate) fn api(admin: &Arc<Admin>) -> Router {
    let router = Router::new()
        .route("/v1/openapi.json", get(openapi::get))
        .route("/v1/status", get(get_status))
        .route("/v1/events", get(others::events))
        .route("/v1/log", get(log::entries))
        .route("/v1/log/arrived", get(log::arrived))
        .route("/v1/incidents", get(log::incidents))
        .route("/v1/incidents/summary", get(log::summary))
        .route("/v1/heartbeats", get(heartbeats::heartbeats))
        .route("/v1/clock", get(doctor::clock))
        .route("/v1/doctor", get(doctor::diagnosis))
        .route("/v1/dns/why", post(post_why))
        .route("/v1/dns/top", get(usage::top))
        .route("/v1/dns/clients", get(usage::clients))
        .route("/v1/standby", post(post_standby))
        .route("/v1/resume", post(post_resume))
        .route("/v1/monitor/force", post(monitors::force))
        .route("/v1/monitor/reset", post(monitors::reset))
        .route("/v1/push", post(push::post))
        .route("/v1/notify", get(notify::channels))
        .route("/v1/notify/test", post(notify::test))
        .merge(config::routes())
        .route("/metrics", get(get_metrics))
        .route("/v1/login", post(people::login))
        .route("/v1/logout", post(people::logout))
        .route("/v1/password", post(people::password))
        .route("/v1/users", get(people::people))
        .route("/v1/users/{name}", put(people::set_user).delete(people::remove_user))
        .route("/v1/api-tokens", post(people::issue_token))
        .route("/v1/api-tokens/{id}", delete(people::revoke_token))
        .route("/v1/join-tokens", post(servers::invite))
        .route("/v1/join", post(servers::join))
        .route("/v1/servers", get(servers::servers))
        .route("/v1/servers/progress", get(progress::get))
        .route("/v1/servers/{name}", delete(servers::remove))
        .route("/v1/leave", post(servers::leave))
        .route("/v1/rotate", post(servers::rotate));
    let router = router.fallback(failure::nothing_there).method_not_allowed_fallback(failure::not_that_way);
    let identify = from_fn_with_state(admin.clone(), identify);
    // The last one comes first: who asks, then what is sent, which `receive` has already limited.
    let router = router.layer(DefaultBodyLimit::disable()).layer(from_fn_with_state(admin.clone(), receive::receive));
    let router = router.layer(identify).layer(map_response(failure::in_json)).with_state(admin.clone());
    // Pages know people otherwise, and fail in words for them.
    router.merge(console::router(admin))
}

/// Metrics alone: for `[metrics] listen`.
pub(crate) fn metrics(admin: &Arc<Admin>) -> Router {
    Router::new().route("/metrics", get(get_open_metrics)).with_state(admin.clone())
}

impl Admin {
    /// One consistent account of the core.
    pub(crate) async fn sample(&self) -> Result<Sample, Failure> {
        let (reply, answer) = oneshot::channel();
        self.queue.offer(Message::Sample(reply))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(sample)) => Ok(sample),
            Ok(Err(_)) => Err(Refused::Ended.into()),
            Err(_) => Err(Failure::Late),
        }
    }

    /// What `GET /v1/status` says.
    pub(crate) fn status(&self, sample: Sample) -> Status {
        let (listening, guarded) = (self.name_service.listening(), self.ward.as_ref().map(Ward::is_guarded));
        let summary = self.desk.as_ref().map(|desk| desk.summary.load_full());
        status(sample, &self.view.load(), &listening, guarded, &self.ethernet, summary.as_deref())
    }

    /// Standby, or its end, here or on another server.
    pub(crate) async fn command(&self, who: &Who, action: Action, body: &[u8]) -> Result<StatusCode, Failure> {
        who.may(self, action)?;
        let (path, command): (_, fn(ServerName) -> Command) = match action {
            Action::Standby => ("/v1/standby", Command::Standby),
            _ => ("/v1/resume", Command::Resume),
        };
        let target = serde_json::from_slice(body);
        let Target { server } =
            target.map_err(|error| Failure::Request(format!("the body must be {{\"server\": \"NAME\"}}: {error}")))?;
        if server != self.this.as_str() {
            self.pass_on(who, &server, path, body).await?;
            return Ok(StatusCode::NO_CONTENT);
        }
        self.give(command(self.this.clone())).await?;
        who.did(self, action, &server);
        Ok(StatusCode::NO_CONTENT)
    }

    /// Gives the core a command, and waits until it has dealt with it.
    async fn give(&self, command: Command) -> Result<(), Failure> {
        let (done, finished) = oneshot::channel();
        self.queue.offer(Message::Command { command, done })?;
        match tokio::time::timeout(PATIENCE, finished).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Refused::Ended.into()),
            Err(_) => Err(Failure::Late),
        }
    }
}

async fn get_status(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<Status>, Failure> {
    who.may(&admin, Action::ReadStatus)?;
    let sample = admin.sample().await?;
    Ok(Json(admin.status(sample)))
}

/// Reads only, and is a POST for the names' sake, which need no escaping in a body.
async fn post_why(State(admin): State<Arc<Admin>>, who: Who, body: axum::body::Bytes) -> Result<Json<Why>, Failure> {
    who.may(&admin, Action::AskDns)?;
    let wrong = |error: serde_json::Error| {
        Failure::Request(format!("the body must be {{\"name\": \"NAME\", \"type\": \"TYPE\"}}: {error}"))
    };
    let Question { name, kind } = serde_json::from_slice(&body).map_err(wrong)?;
    admin.view.load().why(&name, &kind).map(Json).map_err(Failure::Request)
}

async fn post_standby(
    State(admin): State<Arc<Admin>>,
    who: Who,
    body: axum::body::Bytes,
) -> Result<StatusCode, Failure> {
    admin.command(&who, Action::Standby, &body).await
}

async fn post_resume(
    State(admin): State<Arc<Admin>>,
    who: Who,
    body: axum::body::Bytes,
) -> Result<StatusCode, Failure> {
    admin.command(&who, Action::Resume, &body).await
}

async fn get_metrics(State(admin): State<Arc<Admin>>, who: Who) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadMetrics)?;
    Ok(get_open_metrics(State(admin)).await)
}

async fn get_open_metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut sampled = Sampled::default();
    admin.name_service.count(&mut sampled);
    // A driver that hangs must not hide the rest: its families are missing then, and that can be alerted on.
    if let Ok(sample) = admin.sample().await {
        sampled.core = Some(sample.counters.clone());
        sampled.status = Some(admin.status(sample));
    }
    ([(header::CONTENT_TYPE, scrape::CONTENT_TYPE)], scrape::scrape(&admin.metrics, &sampled)).into_response()
}
