//! `/v1/config`: the cluster's configuration, read, planned and edited.
//!
//! | request | what |
//! |---|---|
//! | `GET /v1/config` | [`Configuration`]: objects, clashes, what is held, what waits to be confirmed |
//! | `POST /v1/config/plan` with [`EditRequest`] | [`Plan`]: what it would change; nothing is changed |
//! | `POST /v1/config/edit` with [`EditRequest`] | [`Edited`], once it is on the disk and in force here |
//! | `POST /v1/config/confirm` | `{"version": V}` |
//! | `POST /v1/config/at` with `{"version": V}` | the objects at that version |
//! | `POST /v1/config/history` with `{"limit": N}` | a list of [`HistoryEntry`], the newest first |
//!
//! 409 in file mode, and where the edit is refused because of what others did; 422 with every mistake where it doesn't check;
//! 507 where the disk does not keep it.
//!
//! Who edits is who has logged in. On the Unix socket, whose file mode says who may, the caller's own word is kept instead:
//! it knows who became root.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    routing::{get, post},
};
use document::{ChangeHash, Key};
use model::{
    access::Action,
    api::request::{Limit, Version},
};
use serde::de::DeserializeOwned;

use super::{Admin, Failure};
use crate::{
    access::Who,
    desk::{
        Handle,
        api::{Configuration, EditRequest, Edited, HistoryEntry, Plan},
        plan::Now,
    },
};

/// An edit is in force within this time, or the answer says that it is not yet.
const IN_FORCE: Duration = Duration::from_secs(2);
/// Servers in conversation have an edit on their disks within this time, or count as not having it.
const EVERYWHERE: Duration = Duration::from_millis(500);

/// Everything here.
pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/v1/config/plan", post(post_plan))
        .route("/v1/config/edit", post(post_edit))
        .route("/v1/config", get(get_config))
        .route("/v1/config/confirm", post(post_confirm))
        .route("/v1/config/at", post(post_at))
        .route("/v1/config/history", post(post_history))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::Request(format!("the body is not what is asked for here: {error}")))
}

impl Admin {
    /// The document's desk.
    ///
    /// # Errors
    /// [`Failure::FileMode`].
    pub(crate) fn desk(&self) -> Result<&Handle, Failure> {
        self.desk.as_ref().ok_or_else(|| Failure::FileMode {
            this: self.this.clone(),
            cluster_file: self.cluster_file.display().to_string(),
        })
    }
}

/// The request by who makes it.
fn request(who: &Who, body: &[u8]) -> Result<EditRequest, Failure> {
    let request: EditRequest = parse(body)?;
    if who.is_local() && !request.who.is_empty() {
        return Ok(request);
    }
    Ok(EditRequest { who: who.name.clone(), from: who.from.clone(), ..request })
}

async fn get_config(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<Configuration>, Failure> {
    who.may(&admin, Action::ReadConfiguration)?;
    Ok(Json(admin.desk()?.ask(|desk| desk.configuration()).await?))
}

async fn post_plan(State(admin): State<Arc<Admin>>, who: Who, body: Bytes) -> Result<Json<Plan>, Failure> {
    who.may(&admin, Action::ReadConfiguration)?;
    let (desk, request) = (admin.desk()?, request(&who, &body)?);
    let sample = admin.sample().await?;
    let now = Now {
        status: sample.cluster,
        health: sample.health,
        view: admin.view.load_full(),
        identity: admin.this.to_string(),
    };
    Ok(Json(desk.ask(move |desk| desk.plan(&request, &now)).await??))
}

async fn post_edit(State(admin): State<Arc<Admin>>, who: Who, body: Bytes) -> Result<Json<Edited>, Failure> {
    who.may(&admin, Action::EditConfiguration)?;
    let (desk, request) = (admin.desk()?, request(&who, &body)?);
    let edited = make(desk, request).await?;
    if !edited.changes.is_empty() {
        who.did(&admin, Action::EditConfiguration, &edited.version);
    }
    Ok(Json(edited))
}

/// Makes an edit, and waits until it is in force here.
pub(crate) async fn make(desk: &Handle, request: EditRequest) -> Result<Edited, Failure> {
    let (mut edited, change, digest) =
        desk.ask(move |desk| desk.edit(&request).map(|(edited, change)| (edited, change, desk.digest()))).await??;
    let Some(change) = change else { return Ok(edited) };
    let mut in_force = desk.applied.subscribe();
    // Not the guard that `wait_for` gives: it would be held while the other half waits.
    let here = async { in_force.wait_for(|now| *now == digest).await.is_ok() };
    let (here, ()) = tokio::join!(tokio::time::timeout(IN_FORCE, here), everywhere(desk, change));
    edited.in_force = here.unwrap_or(false);
    edited.accepted_on = desk.ask(move |desk| desk.accepted_on(&change)).await?;
    Ok(edited)
}

/// Waits until the servers in conversation have a change, not for long.
async fn everywhere(desk: &Handle, change: ChangeHash) {
    let mut news = desk.news.clone();
    let told = async {
        while desk.ask(move |desk| desk.is_everywhere(&change)).await.is_ok_and(|everywhere| !everywhere) {
            if news.changed().await.is_err() {
                return;
            }
        }
    };
    let _in_time = tokio::time::timeout(EVERYWHERE, told).await;
}

async fn post_confirm(State(admin): State<Arc<Admin>>, who: Who) -> Result<Json<Version>, Failure> {
    who.may(&admin, Action::EditConfiguration)?;
    let version = admin.desk()?.ask(|desk| desk.confirm()).await??;
    who.did(&admin, Action::EditConfiguration, &format!("{version} is confirmed"));
    Ok(Json(Version { version }))
}

async fn post_at(
    State(admin): State<Arc<Admin>>,
    who: Who,
    body: Bytes,
) -> Result<Json<BTreeMap<Key, Arc<str>>>, Failure> {
    who.may(&admin, Action::ReadConfiguration)?;
    let (desk, Version { version }) = (admin.desk()?, parse(&body)?);
    Ok(Json(desk.ask(move |desk| desk.at(&version)).await??))
}

async fn post_history(
    State(admin): State<Arc<Admin>>,
    who: Who,
    body: Bytes,
) -> Result<Json<Vec<HistoryEntry>>, Failure> {
    who.may(&admin, Action::ReadConfiguration)?;
    let (desk, Limit { limit }) = (admin.desk()?, parse(&body)?);
    Ok(Json(desk.ask(move |desk| desk.history(limit)).await?))
}
