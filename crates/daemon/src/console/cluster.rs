//! The first page: who holds what, who lives, what the monitors find, what pools answer, at a glance.
//!
//! Invariant: the picture is the same for everybody who may look, so that it is drawn once; it has no forms.

use std::{net::IpAddr, sync::Arc};

use askama::Template;
use axum::{Extension, extract::State, response::Response};
use model::{
    access::Action,
    api::{CandidateStatus, MonitorStatus, ServerStatus, Status, VirtualHostStatus, complaints::complaints},
};

use super::page::{Shell, html};
use crate::{
    access::Who,
    admin::{Admin, Failure},
};

/// A word, and what it is in colour; the word itself always stands there, too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Word {
    pub word: String,
    pub tone: &'static str,
}

impl Word {
    /// What a state's word means.
    pub(super) fn of(word: &str) -> Self {
        let tone = match word {
            "self" | "alive" | "up" | "active" | "normal" | "yes" | "forced-up" | "NOERROR" => "good",
            "dead" | "unheld" | "rivals" | "down" | "error" | "refused" | "isolated" | "SERVFAIL" => "bad",
            "suspect" | "left" | "moving" | "unknown" | "degraded" | "warn" | "standby" | "no" | "lost" | "taking"
            | "releasing" | "unable" | "listening" | "resigning" | "damped" | "latched" | "disabled"
            | "forced-down" | "NXDOMAIN" | "REFUSED" => "warn",
            _ => "plain",
        };
        Self { word: word.to_owned(), tone }
    }
}

/// A virtual host in its server's lane.
struct Chip<'s> {
    host: &'s VirtualHostStatus,
    addresses: String,
    word: Word,
    away: bool,
}

/// A server, and what sits there.
struct Lane<'s> {
    server: &'s ServerStatus,
    word: Word,
    heard: String,
    chips: Vec<Chip<'s>>,
}

/// What a server is to a virtual host.
struct Place<'s> {
    candidate: Option<&'s CandidateStatus>,
    word: Word,
    monitors: Vec<(&'s MonitorStatus, Word)>,
}

struct Row<'s> {
    host: &'s VirtualHostStatus,
    word: Word,
    places: Vec<Place<'s>>,
}

/// How each server sees one virtual address.
struct Seen {
    host: String,
    address: IpAddr,
    by: Vec<(String, Word)>,
}

#[derive(Template)]
#[template(path = "picture.html")]
struct Picture<'s> {
    status: &'s Status,
    complaints: Vec<String>,
    lanes: Vec<Lane<'s>>,
    nowhere: Vec<Chip<'s>>,
    rows: Vec<Row<'s>>,
    seen: Vec<Seen>,
    paths: Vec<&'static str>,
    /// Enough of the configuration's digest to tell two apart.
    hash: &'s str,
}

#[derive(Template)]
#[template(path = "cluster.html")]
struct Cluster {
    shell: Shell,
    picture: String,
    /// Where else to ask.
    others: Vec<String>,
}

/// `GET /console`.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadStatus)?;
    let others = admin.access.circle.as_ref().map(|circle| circle.others()).unwrap_or_default();
    let others = others.iter().map(|(_, member)| format!("{} at {}", member.name, member.reach)).collect();
    html(&Cluster { shell, picture: picture(&admin).await?, others })
}

/// The picture at this moment.
///
/// # Errors
/// Where the driver does not answer.
pub(super) async fn picture(admin: &Admin) -> Result<String, Failure> {
    let status = admin.status(admin.sample().await?);
    draw(&status).map_err(|error| Failure::Io(std::io::Error::other(error)))
}

fn draw(status: &Status) -> askama::Result<String> {
    let lanes = status.servers.iter().map(|server| lane(server, status)).collect();
    let nowhere = status.virtual_hosts.iter().filter(|host| sits(host).is_none()).map(chip).collect();
    let rows = status.virtual_hosts.iter().map(|host| row(host, &status.servers)).collect();
    let seen = status.virtual_hosts.iter().flat_map(|host| seen(host, &status.servers)).collect();
    let paths = ["udp", "ethernet"];
    let paths = paths.into_iter().filter(|path| status.servers.iter().any(|server| has(server, path))).collect();
    let hash = status.config.hash.get(..8).unwrap_or_default();
    Picture { status, complaints: complaints(status), lanes, nowhere, rows, seen, paths, hash }.render()
}

fn has(server: &ServerStatus, path: &str) -> bool {
    server.paths.iter().any(|one| one.path == path)
}

fn sits(host: &VirtualHostStatus) -> Option<&str> {
    host.active.as_deref()
}

fn chip(host: &VirtualHostStatus) -> Chip<'_> {
    let primary = host.servers.first().map(|server| server.name.as_str());
    Chip { host, addresses: joined(&host.addresses), word: Word::of(&host.state), away: sits(host) != primary }
}

fn lane<'s>(server: &'s ServerStatus, status: &'s Status) -> Lane<'s> {
    let here = status.virtual_hosts.iter().filter(|host| sits(host) == Some(&server.name));
    let word = Word::of(if server.standby { "standby" } else { &server.state });
    Lane { server, word, heard: server.heard_ms.map_or_else(String::new, ago), chips: here.map(chip).collect() }
}

fn row<'s>(host: &'s VirtualHostStatus, servers: &'s [ServerStatus]) -> Row<'s> {
    let place = |server: &ServerStatus| {
        let candidate = host.servers.iter().find(|candidate| candidate.name == server.name);
        let monitors = candidate.into_iter().flat_map(|candidate| &candidate.monitors);
        Place {
            candidate,
            word: Word::of(candidate.map_or("", |candidate| &candidate.role)),
            monitors: monitors.map(|monitor| (monitor, Word::of(&monitor.verdict))).collect(),
        }
    };
    let places = servers.iter().map(place).collect();
    Row { host, word: Word::of(&host.state), places }
}

fn seen<'s>(host: &'s VirtualHostStatus, servers: &'s [ServerStatus]) -> impl Iterator<Item = Seen> {
    host.addresses.iter().map(|address| {
        let by = servers.iter().map(|server| {
            let found = host.seen_by.iter().find(|seen| seen.server == server.name && seen.address == *address);
            let word = match found {
                Some(seen) => Word::of(&seen.verdict),
                None if sits(host) == Some(&server.name) => Word { word: "holds".into(), tone: "good" },
                None => Word { word: "—".into(), tone: "plain" },
            };
            (server.name.clone(), word)
        });
        Seen { host: host.name.clone(), address: *address, by: by.collect() }
    })
}

/// Addresses in words.
pub(super) fn joined(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" · ")
}

/// How long ago, as coarsely as an eye needs: what changes with each picture cannot be read.
fn ago(ms: u64) -> String {
    match ms / 1000 {
        0..=1 => "just now".to_owned(),
        seconds @ 2..=59 => format!("{} s ago", seconds / 5 * 5),
        seconds @ 60..=3599 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

/// One result of a probe in words.
fn probed(ms: u64) -> String {
    ago(ms)
}
