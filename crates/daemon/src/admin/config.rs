//! `/v1/config`: the cluster's configuration, read, planned and edited. On the Unix socket alone.
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
//! Deliberately not here: who may edit. The socket's mode says so today; a login's role will, and gives `who`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, body::Bytes, extract::State};
use document::{ChangeHash, Key};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Admin, Failure};
use crate::desk::{
    Handle,
    api::{Configuration, EditRequest, Edited, HistoryEntry, Plan},
    plan::Now,
};

/// An edit is in force within this time, or the answer says that it is not yet.
const IN_FORCE: Duration = Duration::from_secs(2);
/// Servers in conversation have an edit on their disks within this time, or count as not having it.
const EVERYWHERE: Duration = Duration::from_millis(500);

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::Question(format!("the body is not what is asked for here: {error}")))
}

impl Admin {
    fn desk(&self) -> Result<&Handle, Failure> {
        self.desk.as_ref().ok_or_else(|| Failure::FileMode {
            this: self.this.clone(),
            cluster_file: self.cluster_file.display().to_string(),
        })
    }
}

pub(super) async fn get_config(State(admin): State<Arc<Admin>>) -> Result<Json<Configuration>, Failure> {
    Ok(Json(admin.desk()?.ask(|desk| desk.configuration()).await?))
}

pub(super) async fn post_plan(State(admin): State<Arc<Admin>>, body: Bytes) -> Result<Json<Plan>, Failure> {
    let (desk, request) = (admin.desk()?, parse::<EditRequest>(&body)?);
    let sample = admin.sample().await?;
    let now = Now {
        status: sample.cluster,
        health: sample.health,
        view: admin.view.load_full(),
        identity: admin.this.to_string(),
    };
    Ok(Json(desk.ask(move |desk| desk.plan(&request, &now)).await??))
}

pub(super) async fn post_edit(State(admin): State<Arc<Admin>>, body: Bytes) -> Result<Json<Edited>, Failure> {
    let (desk, request) = (admin.desk()?, parse::<EditRequest>(&body)?);
    let (mut edited, change, digest) =
        desk.ask(move |desk| desk.edit(&request).map(|(edited, change)| (edited, change, desk.digest()))).await??;
    let Some(change) = change else { return Ok(Json(edited)) };
    let mut in_force = desk.applied.subscribe();
    // Not the guard that `wait_for` gives: it would be held while the other half waits.
    let here = async { in_force.wait_for(|now| *now == digest).await.is_ok() };
    let (here, ()) = tokio::join!(tokio::time::timeout(IN_FORCE, here), everywhere(desk, change));
    edited.in_force = here.unwrap_or(false);
    edited.accepted_on = desk.ask(move |desk| desk.accepted_on(&change)).await?;
    Ok(Json(edited))
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

/// A version by its name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    version: String,
}

pub(super) async fn post_confirm(State(admin): State<Arc<Admin>>) -> Result<Json<Version>, Failure> {
    let version = admin.desk()?.ask(|desk| desk.confirm()).await??;
    Ok(Json(Version { version }))
}

pub(super) async fn post_at(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<BTreeMap<Key, Arc<str>>>, Failure> {
    let (desk, Version { version }) = (admin.desk()?, parse(&body)?);
    Ok(Json(desk.ask(move |desk| desk.at(&version)).await??))
}

pub(super) async fn post_history(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Vec<HistoryEntry>>, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limit {
        limit: usize,
    }
    let (desk, Limit { limit }) = (admin.desk()?, parse(&body)?);
    Ok(Json(desk.ask(move |desk| desk.history(limit)).await?))
}
