//! One monitor: what its probes find on each server, the last results, and what the cluster's log says of it.
//!
//! Each server knows its own probes alone, so the others are asked. Deliberately not here: to change what it counts as (`act`).

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{Extension, extract::State, response::Response};
use chronicle::{Entry, Query, incident::span};
use model::{
    access::Action,
    api::{MonitorStatus, OwnProbes, Status},
};
use serde_json::{Map, Value};

use super::{
    cluster::Word,
    forms::Asked,
    journal::Row,
    page::{Shell, html},
};
use crate::{
    access::Who,
    admin::{Admin, Failure, log::time},
    cluster_log::{Order, wall_ms},
};

/// Entries looked through: other virtual hosts may have monitors of the same name.
const LOOKED_THROUGH: usize = 1000;
/// Entries on the page.
const SHOWN: usize = 50;

/// One result of a probe.
struct Tried {
    time: String,
    ago: String,
    /// How long the probe took; none where the service reports by itself.
    took: Option<String>,
    word: Word,
    reason: String,
}

/// What a server knows of its own probes.
struct Probes {
    since: String,
    lasted: String,
    flips: u64,
    held_for: Option<String>,
    recovering: Option<String>,
    recent: Vec<Tried>,
}

/// A monitor on one server.
struct Finding {
    server: String,
    /// Of an endpoint's addresses.
    address: String,
    word: Word,
    status: MonitorStatus,
    probes: Option<Probes>,
    /// Why that is not known.
    unknown: String,
}

/// A line of the log, and for how long it was so.
struct Told {
    row: Row,
    lasted: String,
}

#[derive(Template)]
#[template(path = "monitor.html")]
struct Page {
    shell: Shell,
    /// Whose it is.
    subject: String,
    monitor: String,
    findings: Vec<Finding>,
    told: Vec<Told>,
    /// Whether there is a log to ask.
    logged: bool,
    more: bool,
}

/// `GET /console/monitor`.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadStatus)?;
    who.may(&admin, Action::ReadEvents)?;
    let (subject, monitor) = asked.get("monitor").split_once('/').unwrap_or_default();
    let status = admin.status(admin.sample().await?);
    let known = monitors(&status, subject, monitor);
    if known.is_empty() {
        return Err(Failure::Missing(format!("there is no monitor {}", asked.get("monitor"))));
    }
    let others: Vec<String> =
        known.iter().filter(|(_, one)| one.own.is_none()).map(|(server, _)| (*server).to_owned()).collect();
    let others: BTreeMap<String, _> = admin.others_status(&who, &others).await.into_iter().collect();
    let findings = known.iter().map(|(server, ours)| {
        let theirs = match others.get(*server) {
            Some(Ok(theirs)) => Ok(own(theirs, subject, ours, server)),
            Some(Err(why)) => Err(why.clone()),
            None => Ok(None),
        };
        finding(server, ours, theirs)
    });
    let findings = findings.collect();
    let logged = admin.log.is_some();
    let (told, more) = if logged { history(&admin, subject, monitor).await? } else { (Vec::new(), false) };
    let (subject, monitor) = (subject.to_owned(), monitor.to_owned());
    html(&Page { shell, subject, monitor, findings, told, logged, more })
}

/// A monitor on each server that tries it.
fn monitors<'s>(status: &'s Status, subject: &str, monitor: &str) -> Vec<(&'s str, &'s MonitorStatus)> {
    let hosts = status.virtual_hosts.iter().filter(|host| host.name == subject).flat_map(|host| &host.servers);
    let hosts = hosts.map(|server| (server.name.as_str(), &server.monitors));
    let endpoints = status.endpoints.iter().filter(|endpoint| endpoint.name == subject);
    let endpoints = endpoints.flat_map(|endpoint| &endpoint.probed_by);
    let endpoints = endpoints.map(|prober| (prober.name.as_str(), &prober.monitors));
    let all = hosts.chain(endpoints).flat_map(|(server, monitors)| monitors.iter().map(move |one| (server, one)));
    all.filter(|(_, one)| one.name == monitor).collect()
}

/// The same monitor, as the server itself knows it.
fn own(theirs: &Status, subject: &str, ours: &MonitorStatus, server: &str) -> Option<MonitorStatus> {
    let same = |(by, one): &(&str, &MonitorStatus)| *by == server && one.address == ours.address && one.own.is_some();
    monitors(theirs, subject, &ours.name).into_iter().find(same).map(|(_, one)| one.clone())
}

fn finding(server: &str, ours: &MonitorStatus, theirs: Result<Option<MonitorStatus>, String>) -> Finding {
    let (status, unknown) = match theirs {
        Ok(theirs) => (theirs.unwrap_or_else(|| ours.clone()), String::new()),
        Err(why) => (ours.clone(), why),
    };
    Finding {
        server: server.to_owned(),
        address: status.address.map_or_else(String::new, |address| address.to_string()),
        word: Word::of(&status.verdict),
        probes: status.own.as_ref().map(probes),
        status,
        unknown,
    }
}

/// A probe's time, as exactly as it says something.
fn took(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => span(micros / 1_000),
    }
}

fn probes(own: &OwnProbes) -> Probes {
    let now = wall_ms();
    let at = |ago_ms: u64| time(now.saturating_sub(ago_ms));
    let tried = own.recent.iter().map(|one| Tried {
        time: at(one.ago_ms),
        ago: span(one.ago_ms),
        took: one.took_us.map(took),
        word: Word::of(&one.result),
        reason: one.reason.as_deref().unwrap_or_default().to_owned(),
    });
    Probes {
        since: at(own.since_ms),
        lasted: span(own.since_ms),
        flips: own.flips,
        held_for: own.held_for_ms.map(span),
        recovering: own.recovering.clone(),
        recent: tried.collect(),
    }
}

/// What the log says of it, the newest first, and whether there is more.
async fn history(admin: &Admin, subject: &str, monitor: &str) -> Result<(Vec<Told>, bool), Failure> {
    let query = Query { about: Some(monitor.to_owned()), ..Query::default() };
    let found = admin.search(query, Order::Newest, LOOKED_THROUGH).await?;
    // The newest first: when the next change came on that server and that address, and what has not ended lasts until now.
    let mut ended: BTreeMap<String, u64> = BTreeMap::new();
    let (mut told, now) = (Vec::new(), wall_ms());
    for entry in found.entries.iter().rev() {
        let Some(id) = of(entry, subject, monitor) else { continue };
        let lasted = if entry.kind() == "monitor-changed" {
            let tells = format!("{} {}", entry.stream.server, Value::Object(id.clone()));
            let end = ended.insert(tells, entry.stamp.wall_ms);
            let so_far = if end.is_none() { " so far" } else { "" };
            span(end.unwrap_or(now).saturating_sub(entry.stamp.wall_ms)) + so_far
        } else {
            String::new()
        };
        told.push(Told { row: Row::of(entry), lasted });
    }
    let more = told.len() > SHOWN || found.next.is_some();
    told.truncate(SHOWN);
    Ok((told, more))
}

/// The monitor that an entry names, if it is this one.
fn of<'e>(entry: &'e Entry, subject: &str, monitor: &str) -> Option<&'e Map<String, Value>> {
    let id = entry.fields.get("monitor")?.as_object()?;
    let is = |field: &str, name: &str| id.get(field).and_then(Value::as_str) == Some(name);
    (is("monitor", monitor) && (is("virtual_host", subject) || is("endpoint", subject))).then_some(id)
}
