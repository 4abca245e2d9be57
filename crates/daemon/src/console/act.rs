//! What can be done: standby and its end, what a monitor counts as, and the way to every object. First the plan, then the deed.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use document::{Kind, fields::monitor_names};
use model::{
    access::Action,
    api::{
        Status,
        notify::{ChannelStatus, Tested},
        request::{ForceMonitor, ResetMonitor, Target},
    },
};
use serde::Serialize;

use super::{
    forms::{Asked, Fields},
    journal::Change,
    page::{Shell, html},
    plan::Page,
};
use crate::{
    access::Who,
    admin::{Admin, Failure, monitors},
    desk::{
        api::{ClashingObject, Plan},
        plan::Now,
        suppose::Supposed,
    },
};

/// Changes shown, the newest first.
const CHANGES: usize = 12;

struct Object {
    key: String,
    name: String,
    monitors: Vec<String>,
}

struct Group {
    title: &'static str,
    kind: &'static str,
    /// The same as people say it.
    word: &'static str,
    objects: Vec<Object>,
}

#[derive(Template)]
#[template(path = "do.html")]
struct Do {
    shell: Shell,
    status: Status,
    monitors: Vec<String>,
    groups: Vec<Group>,
    /// How those who are told of incidents can be reached.
    channels: Vec<ChannelStatus>,
    changes: Vec<Change>,
    unconfirmed: Option<u64>,
    clashes: Vec<ClashingObject>,
}

/// `GET /console/do`.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadConfiguration)?;
    let status = admin.status(admin.sample().await?);
    let mut page = Do {
        shell,
        monitors: names(&status),
        status,
        groups: Vec::new(),
        channels: admin.notify.status(),
        changes: Vec::new(),
        unconfirmed: None,
        clashes: Vec::new(),
    };
    if let Some(desk) = &admin.desk {
        let (configuration, history) = desk.ask(|desk| (desk.configuration(), desk.history(CHANGES))).await?;
        page.unconfirmed = configuration.unconfirmed.as_ref().map(|one| one.seconds_left);
        page.clashes = configuration.clashes;
        page.changes = history.iter().map(Change::of).collect();
        let kinds = [
            (Kind::VirtualHost, "Virtual hosts", "virtual host"),
            (Kind::Pool, "Pools", "pool"),
            (Kind::Endpoint, "Endpoints", "endpoint"),
            (Kind::Notify, "Notifications", "channel"),
        ];
        page.groups = kinds
            .map(|(kind, title, word)| Group {
                title,
                kind: kind.word(),
                word,
                objects: configuration
                    .objects
                    .iter()
                    .filter(|(key, _)| key.kind == kind)
                    .map(|(key, text)| Object {
                        key: key.to_string(),
                        name: key.name.to_string(),
                        monitors: monitor_names(key, text),
                    })
                    .collect(),
            })
            .into();
    }
    html(&page)
}

/// `VIRTUAL-HOST/MONITOR` and `ENDPOINT/MONITOR`, each once.
fn names(status: &Status) -> Vec<String> {
    let hosts = status.virtual_hosts.iter().flat_map(|host| {
        let monitors = host.servers.iter().flat_map(|server| &server.monitors);
        monitors.map(|monitor| format!("{}/{}", host.name, monitor.name))
    });
    let endpoints = status.endpoints.iter().flat_map(|endpoint| {
        let monitors = endpoint.probed_by.iter().flat_map(|prober| &prober.monitors);
        monitors.map(|monitor| format!("{}/{}", endpoint.name, monitor.name))
    });
    let mut names: Vec<String> = hosts.chain(endpoints).collect();
    names.sort();
    names.dedup();
    names
}

/// What the cluster knows at this moment.
pub(super) async fn now(admin: &Admin) -> Result<Now, Failure> {
    let sample = admin.sample().await?;
    let (view, identity) = (admin.view.load_full(), admin.this.to_string());
    Ok(Now { status: sample.cluster, health: sample.health, view, identity })
}

async fn suppose(admin: &Admin, supposed: Supposed) -> Result<Option<Plan>, Failure> {
    let Some(desk) = &admin.desk else { return Ok(None) };
    let now = now(admin).await?;
    Ok(Some(desk.ask(move |desk| desk.suppose(&supposed, now)).await?))
}

const UNFORESEEN: &str =
    "In file mode what follows cannot be foreseen here; `standin check` and the cluster file tell who is next.";

/// `GET /console/do/server`: the plan of standby, or of its end.
pub(super) async fn server(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    let on = asked.get("to") == "standby";
    who.may(&admin, if on { Action::Standby } else { Action::Resume })?;
    let server = asked.get("server").to_owned();
    let status = admin.status(admin.sample().await?);
    if !status.servers.iter().any(|one| one.name == server) {
        return Err(Failure::Missing(format!("there is no server {server}")));
    }
    let plan = suppose(&admin, Supposed::Standby { server: server.clone(), on }).await?;
    let title = if on { format!("{server} goes on standby") } else { format!("{server} serves again") };
    let unforeseen = plan.is_none();
    let mut page = Page::new(shell, title, plan);
    page.note = match (unforeseen, on) {
        (true, _) => UNFORESEEN.into(),
        (false, false) => "Addresses return when the server has been well for the failback delay.".into(),
        (false, true) => String::new(),
    };
    page.action = if on { "/console/do/standby" } else { "/console/do/resume" };
    page.button = if on { "Put it on standby" } else { "Let it serve" };
    page.fields = vec![("server", server)];
    page.show()
}

/// `GET /console/do/monitor`: the plan of another verdict.
pub(super) async fn monitor(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    let (name, server, to) = (asked.get("monitor").to_owned(), asked.get("server").to_owned(), asked.get("to"));
    let verdict = match to {
        "up" => Some("up"),
        "down" => Some("down"),
        _ => None,
    };
    who.may(&admin, if verdict.is_some() { Action::ForceMonitor } else { Action::ResetMonitor })?;
    let Some((virtual_host, monitor)) = name.split_once('/') else {
        return Err(Failure::Request("choose a monitor".into()));
    };
    let (virtual_host, monitor) = (virtual_host.to_owned(), monitor.to_owned());
    let supposed = Supposed::Monitor { virtual_host, monitor, server: server.clone(), verdict };
    let plan = suppose(&admin, supposed).await?;
    let title = match verdict {
        Some(verdict) => format!("{name} counts as {verdict} on {server}"),
        None => format!("{name} counts as its probes find on {server}"),
    };
    let unforeseen = plan.is_none();
    let mut page = Page::new(shell, title, plan);
    page.note = if unforeseen { UNFORESEEN.into() } else { String::new() };
    page.action = if verdict.is_some() { "/console/do/force" } else { "/console/do/reset" };
    page.fields =
        vec![("monitor", name), ("server", server), ("to", to.to_owned()), ("for", asked.get("for").to_owned())];
    page.show()
}

fn json(value: &impl Serialize) -> Result<Bytes, Failure> {
    Ok(serde_json::to_vec(value).map_err(std::io::Error::other)?.into())
}

/// `POST /console/do/standby`.
pub(super) async fn standby(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    command(&admin, &who, Action::Standby, &fields).await
}

/// `POST /console/do/resume`.
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    command(&admin, &who, Action::Resume, &fields).await
}

async fn command(admin: &Admin, who: &Who, action: Action, fields: &Fields) -> Result<Response, Failure> {
    let target = Target { server: fields.get("server").to_owned() };
    admin.command(who, action, &json(&target)?).await?;
    Ok(Redirect::to("/console").into_response())
}

/// `POST /console/do/force`.
pub(super) async fn force(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let minutes = match fields.given("for") {
        None => None,
        Some(text) => Some(
            text.parse::<u64>()
                .ok()
                .filter(|minutes| (1..=10_080).contains(minutes))
                .ok_or_else(|| Failure::Request("for how long: 1 to 10080 minutes, or nothing".into()))?,
        ),
    };
    let wanted = ForceMonitor {
        monitor: fields.get("monitor").to_owned(),
        up: fields.get("to") == "up",
        for_ms: minutes.map(|minutes| minutes * 60_000),
        server: fields.given("server").map(str::to_owned),
    };
    let body = json(&wanted)?;
    monitors::force(State(admin), who, body).await?;
    Ok(Redirect::to("/console").into_response())
}

/// `POST /console/do/reset`.
pub(super) async fn reset(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let monitor = fields.get("monitor").to_owned();
    let body = json(&ResetMonitor { monitor, server: fields.given("server").map(str::to_owned) })?;
    monitors::reset(State(admin), who, body).await?;
    Ok(Redirect::to("/console").into_response())
}

#[derive(Template)]
#[template(path = "tested.html")]
struct TestedPage {
    shell: Shell,
    channel: String,
    tested: Tested,
}

/// `POST /console/do/notify`: a test of a channel.
pub(super) async fn notify(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::TestNotification)?;
    let channel = fields.get("channel").to_owned();
    let tested = admin.try_channel(&channel).await?;
    who.did(&admin, Action::TestNotification, &channel);
    html(&TestedPage { shell, channel, tested })
}
