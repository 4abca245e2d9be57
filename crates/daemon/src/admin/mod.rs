//! The admin API over HTTP, version 1.
//!
//! | request | where | what |
//! |---|---|---|
//! | `GET /v1/status` | socket, `[admin] listen` | `model::api::Status` |
//! | `GET /v1/events` | socket, `[admin] listen` | the journal's last entries, oldest first |
//! | `POST /v1/dns/why` with `{"name": NAME, "type": TYPE}` | socket, `[admin] listen` | `model::api::Why` |
//! | `POST /v1/standby`, `/v1/resume` with `{"server": NAME}` | socket | 204 once the core has dealt with it |
//! | `POST /v1/monitor/force` with `{"monitor": NAME, "up": BOOL}`, optionally `"for_ms"`, `"server"` | socket | 204 |
//! | `POST /v1/monitor/reset` with `{"monitor": NAME}`, optionally `"server"` | socket | 204 |
//! | `/v1/config` and below | socket | the configuration: see `config` |
//! | `POST /v1/push` with `{"monitor": "VIRTUAL-HOST/MONITOR", "state": "up"}` | socket | 204: a service's own report |
//! | `GET /metrics` | socket, `[metrics] listen` | Prometheus' text format |
//! | `GET /` | `[admin] listen` | a page for people |
//!
//! What changes something is on the Unix socket alone, whose file mode says who may. The others only read.
//!
//! Deliberately not here: logins and roles, and commands for other servers than this one.

mod config;
mod monitors;
mod page;
mod push;
pub(crate) mod socket;

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
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use cluster::Command;
use dns::View;
use document::Refusal;
use host::{guardian::Ward, probe::Probes};
use model::{
    ServerName,
    api::{Status, Why},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    desk::{self, Busy, EditError},
    driver::{Message, Queue, Refused, Sample},
    journal::{Entry, History},
    metrics::{
        Metrics,
        scrape::{self, Sampled},
    },
    name_service::NameService,
    status::{Ethernet, status},
};

/// The driver answers within this time, or the request fails.
const PATIENCE: Duration = Duration::from_secs(1);

/// A whole configuration with large zones is not longer.
const LARGEST_BODY: usize = 256 << 20;

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
    /// The document's desk; none in file mode.
    pub desk: Option<desk::Handle>,
    /// The file that rules in file mode.
    pub cluster_file: PathBuf,
}

/// Everything: for the Unix socket.
pub(crate) fn local(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/v1/status", get(get_status))
        .route("/v1/events", get(get_events))
        .route("/v1/dns/why", post(post_why))
        .route("/v1/standby", post(post_standby))
        .route("/v1/resume", post(post_resume))
        .route("/v1/monitor/force", post(monitors::force))
        .route("/v1/monitor/reset", post(monitors::reset))
        .route("/v1/push", post(push::post))
        .route("/v1/config", get(config::get_config))
        .route("/v1/config/plan", post(config::post_plan))
        .route("/v1/config/edit", post(config::post_edit))
        .route("/v1/config/confirm", post(config::post_confirm))
        .route("/v1/config/at", post(config::post_at))
        .route("/v1/config/history", post(config::post_history))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .route("/metrics", get(get_metrics))
        .with_state(admin)
}

/// What only reads: for `[admin] listen`.
pub(crate) fn remote(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/", get(get_page))
        .route("/v1/status", get(get_status))
        .route("/v1/events", get(get_events))
        .route("/v1/dns/why", post(post_why))
        .with_state(admin)
}

/// Metrics alone: for `[metrics] listen`.
pub(crate) fn metrics(admin: Arc<Admin>) -> Router {
    Router::new().route("/metrics", get(get_metrics)).with_state(admin)
}

/// Why a request was not served, with its status code. The body is `{"error": "..."}`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// 503: the driver could not be asked.
    #[error("{0}")]
    Driver(#[from] Refused),
    /// 504: the driver took longer than [`PATIENCE`].
    #[error("the driver did not answer within {} s", PATIENCE.as_secs())]
    Late,
    /// 400: the body is not `{"server": NAME}`.
    #[error("the body must be {{\"server\": \"NAME\"}}: {0}")]
    Body(serde_json::Error),
    /// 400: the body is not `{"name": NAME, "type": TYPE}`, or these are none.
    #[error("{0}")]
    Question(String),
    /// 409: there is no document to edit.
    #[error(
        "{this} is in file mode: edit {cluster_file} on every server, then `standin check` and SIGHUP; or make it the \
         cluster's document with `standin init` and restart the daemon"
    )]
    FileMode {
        /// This server.
        this: ServerName,
        /// Its cluster file.
        cluster_file: String,
    },
    /// 503: too much waits already.
    #[error("{0}")]
    Busy(#[from] Busy),
    /// 409, 422 or 507: see there.
    #[error("{0}")]
    Edit(#[from] EditError),
    /// 400: the body is no report.
    #[error("{0}")]
    Report(String),
    /// 404: the report is about a monitor that takes none, or is not here.
    #[error("{0}")]
    NoSuchMonitor(String),
    /// 421: the command is for another server.
    #[error("this is {this}, not {asked}: give the command on {asked} itself")]
    Elsewhere {
        /// This server.
        this: ServerName,
        /// Whom the command names.
        asked: String,
    },
}

#[derive(Serialize)]
struct ErrorBody {
    error: String,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = match &self {
            Self::Driver(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Body(_) | Self::Question(_) | Self::Report(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchMonitor(_) => StatusCode::NOT_FOUND,
            Self::Elsewhere { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::FileMode { .. } => StatusCode::CONFLICT,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Edit(EditError::Refused(Refusal::Mistakes(_))) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Edit(EditError::Refused(_) | EditError::Unconfirmed | EditError::NothingToConfirm) => {
                StatusCode::CONFLICT
            }
            Self::Edit(EditError::NoVersion(_)) => StatusCode::NOT_FOUND,
            Self::Edit(EditError::Disk(_)) => StatusCode::INSUFFICIENT_STORAGE,
        };
        (code, Json(ErrorBody { error: self.to_string() })).into_response()
    }
}

impl Admin {
    /// One consistent account of the core.
    async fn sample(&self) -> Result<Sample, Failure> {
        let (reply, answer) = oneshot::channel();
        self.queue.offer(Message::Sample(reply))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(sample)) => Ok(sample),
            Ok(Err(_)) => Err(Refused::Ended.into()),
            Err(_) => Err(Failure::Late),
        }
    }

    fn status(&self, sample: Sample) -> Status {
        let (listening, guarded) = (self.name_service.listening(), self.ward.as_ref().map(Ward::is_guarded));
        let summary = self.desk.as_ref().map(|desk| desk.summary.load_full());
        status(sample, &self.view.load(), &listening, guarded, &self.ethernet, summary.as_deref())
    }

    async fn command(&self, body: &[u8], command: fn(ServerName) -> Command) -> Result<StatusCode, Failure> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Target {
            server: String,
        }
        let Target { server } = serde_json::from_slice(body).map_err(Failure::Body)?;
        if server != self.this.as_str() {
            return Err(Failure::Elsewhere { this: self.this.clone(), asked: server });
        }
        self.give(command(self.this.clone())).await
    }

    /// Gives the core a command, and waits until it has dealt with it.
    async fn give(&self, command: Command) -> Result<StatusCode, Failure> {
        let (done, finished) = oneshot::channel();
        self.queue.offer(Message::Command { command, done })?;
        match tokio::time::timeout(PATIENCE, finished).await {
            Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
            Ok(Err(_)) => Err(Refused::Ended.into()),
            Err(_) => Err(Failure::Late),
        }
    }
}

async fn get_status(State(admin): State<Arc<Admin>>) -> Result<Json<Status>, Failure> {
    let sample = admin.sample().await?;
    Ok(Json(admin.status(sample)))
}

async fn get_events(State(admin): State<Arc<Admin>>) -> Response {
    let entries = admin.history.entries();
    let entries: Vec<&Entry> = entries.iter().map(AsRef::as_ref).collect();
    Json(entries).into_response()
}

/// Reads only, and is a POST for the names' sake, which need no escaping in a body.
async fn post_why(State(admin): State<Arc<Admin>>, body: axum::body::Bytes) -> Result<Json<Why>, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Question {
        name: String,
        #[serde(rename = "type")]
        kind: String,
    }
    let wrong = |error: serde_json::Error| {
        Failure::Question(format!("the body must be {{\"name\": \"NAME\", \"type\": \"TYPE\"}}: {error}"))
    };
    let Question { name, kind } = serde_json::from_slice(&body).map_err(wrong)?;
    admin.view.load().why(&name, &kind).map(Json).map_err(Failure::Question)
}

async fn post_standby(State(admin): State<Arc<Admin>>, body: axum::body::Bytes) -> Result<StatusCode, Failure> {
    admin.command(&body, Command::Standby).await
}

async fn post_resume(State(admin): State<Arc<Admin>>, body: axum::body::Bytes) -> Result<StatusCode, Failure> {
    admin.command(&body, Command::Resume).await
}

async fn get_metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut sampled = Sampled::default();
    admin.name_service.count(&mut sampled);
    // A driver that hangs must not hide the rest: its families are missing then, and that can be alerted on.
    if let Ok(sample) = admin.sample().await {
        sampled.core = Some(sample.counters.clone());
        sampled.status = Some(admin.status(sample));
    }
    ([(header::CONTENT_TYPE, scrape::CONTENT_TYPE)], scrape::scrape(&admin.metrics, &sampled)).into_response()
}

async fn get_page(State(admin): State<Arc<Admin>>) -> Result<Html<String>, Failure> {
    let sample = admin.sample().await?;
    Ok(Html(page::render(&admin.status(sample), &admin.history.entries())))
}
