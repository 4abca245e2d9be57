//! Servers: who belongs to the cluster, live; an invitation for a new one; removing one.
//!
//! Invariant: a join token is in the one answer to the form that made it, and nowhere else: in no address, no stream and no log.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use model::{
    access::{Action, SecretText},
    api::access::{InvitationStatus, MemberStatus},
};

use super::{
    cluster::Word,
    edit::{planned, request},
    forms::{Asked, Fields},
    page::{Shell, html},
    plan::Page,
};
use crate::{
    access::Who,
    admin::{Admin, Failure, log::time, people, servers},
    desk::{EditError, api::Wanted},
    remote::PORT,
};

/// How long an invitation may count: seconds, and in words.
const LIVES: [(u64, &str); 4] =
    [(3600, "an hour"), (600, "ten minutes"), (86_400, "a day"), (7 * 86_400, "seven days")];

/// A server, of what the members and the heartbeats say of it.
struct Row {
    name: String,
    address: String,
    state: Word,
    member: Option<MemberStatus>,
    link: Word,
}

#[derive(Template)]
#[template(path = "members.html")]
struct Members {
    rows: Vec<Row>,
    /// Keys that change, and who is awaited.
    rotating: Vec<(String, String)>,
    /// Whether a cluster was made.
    founded: bool,
}

/// The servers at this moment: the same for everybody who may look.
///
/// # Errors
/// Where the driver does not answer.
pub(super) async fn picture(admin: &Admin) -> Result<String, Failure> {
    let status = admin.status(admin.sample().await?);
    let (known, founded) = match servers::members(admin) {
        Ok(known) => (known, true),
        Err(Failure::NoCluster) => (model::api::access::Servers::default(), false),
        Err(failure) => return Err(failure),
    };
    let mut members = known.servers;
    let mut rows: Vec<Row> = Vec::new();
    for server in &status.servers {
        let at = members.iter().position(|member| member.name == server.name);
        let member = at.map(|at| members.remove(at));
        let state = Word::of(if server.standby { "standby" } else { &server.state });
        rows.push(row(server.name.clone(), server.address.to_string(), state, member));
    }
    // It has joined, and the configuration with it is not in force here yet; or it was not struck out as a whole.
    rows.extend(members.into_iter().map(|member| {
        let (name, address) = (member.name.clone(), member.reach.ip().to_string());
        row(name, address, Word { word: "not in the configuration".into(), tone: "warn" }, Some(member))
    }));
    let rotating = known.rotating.into_iter().map(|one| (one.key, one.awaited.join(", "))).collect();
    let drawn = Members { rows, rotating, founded }.render();
    drawn.map_err(|error| Failure::Io(std::io::Error::other(error)))
}

fn row(name: String, address: String, state: Word, member: Option<MemberStatus>) -> Row {
    let link = member.as_ref().map_or_else(String::new, |member| member.link.clone());
    let tone = match link.as_str() {
        "self" | "linked" => "good",
        _ => "warn",
    };
    Row { name, address, state, member, link: Word { word: link, tone } }
}

/// An invitation in words.
struct Open {
    id: String,
    until: String,
    made_on: String,
}

impl Open {
    fn of(status: InvitationStatus) -> Self {
        Self { id: status.id, until: moment(status.expires), made_on: status.made_on }
    }
}

/// A moment, to the second.
pub(super) fn moment(seconds: u64) -> String {
    time(seconds.saturating_mul(1000)).get(..19).unwrap_or_default().replace('T', " ")
}

#[derive(Template)]
#[template(path = "servers.html")]
struct Servers {
    shell: Shell,
    picture: String,
    open: Vec<Open>,
    lives: [(u64, &'static str); 4],
    /// Whether there is a cluster to which a server can come.
    founded: bool,
    /// Servers that can be removed from here.
    others: Vec<String>,
    /// What was done, if this follows upon that.
    done: Option<Done>,
}

/// A server was removed, and this is still to do.
struct Done {
    server: String,
    advice: Vec<String>,
}

async fn page(admin: &Admin, who: &Who, shell: Shell, done: Option<Done>) -> Result<Response, Failure> {
    let founded = admin.access.circle.is_some();
    let open = if founded && who.role.may(Action::Invite) { servers::invitations(admin)? } else { Vec::new() };
    let circle = admin.access.circle.as_ref();
    let mut others: Vec<String> =
        circle.into_iter().flat_map(|circle| circle.others()).map(|(_, member)| member.name).collect();
    if let Some(desk) = &admin.desk {
        // Who is in the configuration alone can be taken out of it, too.
        let kept = desk.ask(|desk| desk.configuration()).await?.objects;
        let named = kept.keys().filter(|key| key.kind == document::Kind::Server).map(|key| key.name.to_string());
        others.extend(named.filter(|name| *name != admin.this.as_str()));
    }
    others.sort();
    others.dedup();
    let (picture, open) = (picture(admin).await?, open.into_iter().map(Open::of).collect());
    html(&Servers { shell, picture, open, lives: LIVES, founded, others, done })
}

/// `GET /console/servers`.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadMembers)?;
    page(&admin, &who, shell, None).await
}

#[derive(Template)]
#[template(path = "invited.html")]
struct Invited {
    shell: Shell,
    token: SecretText,
    until: String,
    /// Where the new server reaches this one.
    address: String,
    picture: String,
}

/// `POST /console/servers/invite`: the token is shown in this answer alone.
pub(super) async fn invite(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::Invite)?;
    let seconds = fields.get("seconds").parse();
    let seconds = seconds.map_err(|_| Failure::Request("choose for how long the token counts".into()))?;
    let picture = picture(&admin).await?;
    let own = servers::members(&admin)?.servers.into_iter().find(|member| member.name == admin.this.as_str());
    let address = own.map_or_else(
        || admin.this.to_string(),
        |own| if own.reach.port() == PORT { own.reach.ip().to_string() } else { own.reach.to_string() },
    );
    let invited = servers::invited(&admin, &who, seconds).await?;
    html(&Invited { shell, token: invited.token, until: moment(invited.expires), address, picture })
}

/// `POST /console/servers/withdraw`: an invitation counts no more.
pub(super) async fn withdraw(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    people::refuse(&admin, &who, fields.get("id")).await?;
    Ok(Redirect::to("/console/servers").into_response())
}

/// `GET /console/servers/remove`: what would follow.
pub(super) async fn plan(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::RemoveServer)?;
    let name = asked.get("server").to_owned();
    servers::may_go(&admin, &name)?;
    let member = servers::members(&admin)?.servers.into_iter().find(|member| member.name == name);
    let wanted = name.clone();
    let changes = admin.desk()?.ask(move |desk| desk.dismissing(&wanted)).await?;
    if member.is_none() && changes.is_empty() {
        return Err(Failure::Missing(format!("there is no server {name}")));
    }
    let (plan, stays) = match planned(&admin, request(&who, Wanted::Changes(changes), &Fields::default())).await? {
        Ok(plan) => (Some(plan), None),
        Err(error @ EditError::Refused(_)) => (None, Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let mut page = Page::new(shell, format!("Remove the server {name}"), plan);
    page.note = match (stays, member.is_some()) {
        (Some(why), true) => format!(
            "It would be refused from now on, and yet stay in the configuration until this is mended and it is removed again: \
             {why}"
        ),
        (Some(why), false) => format!("It cannot be taken out of the configuration: {why}"),
        (None, _) => {
            "It is refused from now on, whether or not it hears that, and the heartbeat key changes. This cannot be \
                      undone: it comes back only by joining anew."
                .to_owned()
        }
    };
    (page.edits, page.dangerous, page.for_good) = (true, true, true);
    (page.action, page.button, page.back) = ("/console/servers/remove", "Remove it", "/console/servers".into());
    page.fields = vec![("server", name)];
    page.show()
}

/// `POST /console/servers/remove`.
pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let (server, why) = (fields.get("server").to_owned(), fields.get("why").chars().take(200).collect());
    let removed = servers::removed(&admin, &who, &server, why).await?;
    page(&admin, &who, shell, Some(Done { server, advice: removed.advice })).await
}
