//! Any server answers for the cluster: requests passed on to other members, and what several of them say.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{Query, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use cluster::trust::Member;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use model::{
    access::Action,
    api::{
        Status,
        access::{ClusterEvents, Unreachable},
    },
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{Admin, Failure};
use crate::{
    access::{ON_BEHALF, Who},
    circle::{Circle, Shown},
    journal::Entry,
    trust::tls::{any_server, shown_key},
};

/// Another server answers within this time, or it cannot be reached.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer.
const LONGEST: usize = 8 << 20;

/// Asks another member on behalf of somebody who may.
pub(super) async fn ask(
    circle: &Arc<Circle>,
    member: &str,
    other: &Member,
    who: &Who,
    request: (Method, &str, Vec<u8>),
) -> Result<Bytes, Failure> {
    let unreachable = |why: String| Failure::Unreachable { server: other.name.clone(), why };
    let asked = timeout(PATIENCE, exchange(circle, member, other, who, request)).await;
    let (code, body) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => return Err(unreachable(why)),
        Err(_) => return Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    };
    if code.is_success() {
        return Ok(body);
    }
    let said = serde_json::from_slice::<Value>(&body).ok();
    let said = said.and_then(|said| said.get("error").and_then(Value::as_str).map(str::to_owned));
    Err(Failure::Relayed(code, said.unwrap_or_else(|| code.to_string())))
}

async fn exchange(
    circle: &Arc<Circle>,
    member: &str,
    other: &Member,
    who: &Who,
    (method, path, body): (Method, &str, Vec<u8>),
) -> Result<(StatusCode, Bytes), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(other.reach).await.map_err(|error| text(&error))?;
    let connector = TlsConnector::from(circle.tls.load().request.clone());
    let stream = connector.connect(any_server(), stream).await.map_err(|error| text(&error))?;
    let shown = shown_key(stream.get_ref().1.peer_certificates()).map(|key| circle.shown(&key));
    if !matches!(shown, Some(Shown::Member(id, _)) if id == member) {
        return Err("somebody else answers there".to_owned());
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "standin")
        .header(ON_BEHALF, format!("{} {}", who.role, who.name))
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| text(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| text(&error))?;
    let code = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| text(&error))?;
    Ok((code, body.to_bytes()))
}

impl Admin {
    /// Passes a command for another server on to it.
    pub(super) async fn pass_on(&self, who: &Who, server: &str, path: &str, body: &[u8]) -> Result<(), Failure> {
        let elsewhere = || Failure::Elsewhere { this: self.this.clone(), asked: server.to_owned() };
        let circle = self.access.circle.as_ref().ok_or_else(elsewhere)?;
        let others = circle.others();
        let (id, member) = others.iter().find(|(_, member)| member.name == server).ok_or_else(elsewhere)?;
        ask(circle, id, member, who, (Method::POST, path, body.to_vec())).await.map(drop)
    }
}

impl Admin {
    /// What other members say of themselves and the cluster, by their names; or why one does not.
    pub(crate) async fn others_status(&self, who: &Who, wanted: &[String]) -> Vec<(String, Result<Status, String>)> {
        let Some(circle) = &self.access.circle else { return Vec::new() };
        let others = circle.others();
        let asked = others.iter().filter(|(_, member)| wanted.contains(&member.name)).map(async |(id, member)| {
            let answer = ask(circle, id, member, who, (Method::GET, "/v1/status", Vec::new())).await;
            let answer = answer.map_err(|error| error.to_string());
            let read = |body: Bytes| serde_json::from_slice(&body).map_err(|error| error.to_string());
            (member.name.clone(), answer.and_then(read))
        });
        join_all(asked).await
    }
}

/// How many servers' events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scope {
    /// All servers', and not this one's alone.
    #[serde(default)]
    cluster: bool,
}

/// The journal of this server, or of all.
pub(super) async fn events(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Query(scope): Query<Scope>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    let entries = admin.history.entries();
    let own: Vec<&Entry> = entries.iter().map(AsRef::as_ref).collect();
    if !scope.cluster {
        return Ok(Json(own).into_response());
    }
    let circle = admin.access.circle()?;
    let own = serde_json::to_value(&own).map_err(std::io::Error::other)?;
    let mut entries = named(&circle.name(), own);
    let mut unreachable = Vec::new();
    let others = circle.others();
    let asked =
        others.iter().map(|(id, member)| ask(circle, id, member, &who, (Method::GET, "/v1/events", Vec::new())));
    for ((_, member), answer) in others.iter().zip(join_all(asked).await) {
        let parsed = answer
            .map_err(|error| error.to_string())
            .and_then(|body| serde_json::from_slice::<Value>(&body).map_err(|error| error.to_string()));
        match parsed {
            Ok(theirs) => entries.extend(named(&member.name, theirs)),
            Err(why) => unreachable.push(Unreachable { server: member.name.clone(), why }),
        }
    }
    let time = |entry: &Value| entry.get("time").and_then(Value::as_str).unwrap_or_default().to_owned();
    entries.sort_by_key(time);
    Ok(Json(ClusterEvents { entries, unreachable }).into_response())
}

/// Entries with the name of who wrote them.
fn named(server: &str, entries: Value) -> Vec<Value> {
    let Value::Array(mut entries) = entries else { return Vec::new() };
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        entry.insert("written_by".to_owned(), server.into());
    }
    entries
}
