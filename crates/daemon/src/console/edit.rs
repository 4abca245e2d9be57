//! Objects of the document: a form, its plan, the deed, undo.
//!
//! Invariant: an edit carries what the object was when its form was sent, so that nobody's change is overwritten unseen.

mod inputs;

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use document::{Change as Edit, Key, Kind, Refusal, Was};
use model::access::Action;

use self::inputs::{Filled, assignments};
use super::{
    act::now,
    forms::{Asked, Fields},
    journal::Change,
    page::{Shell, html},
    plan::Page,
};
use crate::{
    access::Who,
    admin::{Admin, Failure, config::make},
    desk::{
        EditError, Handle,
        api::{Configuration, EditRequest, Plan, Wanted},
    },
};

/// Changes looked through for one version.
const LOOKED_THROUGH: usize = 500;

/// What a form is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct About {
    kind: String,
    name: String,
    /// A monitor of it: its name, `+` for a new one, or nothing.
    monitor: String,
    /// Whether the whole text is edited.
    text: bool,
    /// Whether there is such an object already.
    known: bool,
}

#[derive(Template)]
#[template(path = "edit.html")]
struct Form {
    shell: Shell,
    title: String,
    about: About,
    known: bool,
    /// While there is no object its name is a field, too.
    name: String,
    was: String,
    inputs: Vec<Filled>,
    more: String,
    whole: String,
    mistakes: Vec<String>,
}

impl About {
    fn of(fields: &Fields) -> Self {
        let (kind, name) = fields.get("key").split_once('/').unwrap_or((fields.get("kind"), fields.get("name")));
        Self {
            kind: kind.to_owned(),
            name: name.trim().to_owned(),
            monitor: fields.get("monitor").to_owned(),
            text: fields.get("as") == "text",
            known: !fields.get("key").is_empty() || fields.get("known") == "yes",
        }
    }

    fn key(&self) -> Result<Key, Failure> {
        let kind = Kind::of(&self.kind).ok_or_else(|| Failure::Missing("there is no such kind of object".into()))?;
        if kind == Kind::Server {
            return Err(Failure::Request("servers join with `standin join` and leave with `standin leave`".into()));
        }
        Key::new(kind, &self.name).ok_or_else(|| {
            Failure::Request(format!("`{}` is no name: 1 to 63 letters, digits, '-', '_' or '.'", self.name))
        })
    }

    fn title(&self) -> String {
        let kind = self.kind.replace('-', " ");
        match (self.name.as_str(), self.monitor.as_str()) {
            ("", _) => format!("Add: {kind}"),
            (name, "") if !self.known => format!("Add: {kind} {name}"),
            (name, "") => format!("Change: {kind} {name}"),
            (name, "+") => format!("Add: monitor of {name}"),
            (name, monitor) => format!("Change: monitor {monitor} of {name}"),
        }
    }
}

/// `GET /console/do/edit`.
pub(super) async fn form(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::EditConfiguration)?;
    let desk = admin.desk()?;
    let about = About::of(&asked);
    let text = if about.name.is_empty() { None } else { Some(current(desk, about.key()?).await?) };
    html(&filled(shell, about, text.as_deref(), &Fields::default(), Vec::new())?)
}

async fn current(desk: &Handle, key: Key) -> Result<Arc<str>, Failure> {
    let missing = format!("there is no {key}");
    let configuration = desk.ask(|desk| desk.configuration()).await?;
    configuration.objects.get(&key).cloned().ok_or(Failure::Missing(missing))
}

/// A form with what was sent, else with what there is.
fn filled(
    shell: Shell,
    about: About,
    text: Option<&str>,
    sent: &Fields,
    mistakes: Vec<String>,
) -> Result<Form, Failure> {
    let inputs = inputs::fill(&about.kind, &about.monitor, text.map(|text| (about.name.as_str(), text)), sent)?;
    let was = fields_was(sent).unwrap_or_else(|| word(Was::of(text)));
    let whole = sent.given("whole").map_or_else(|| text.unwrap_or_default().to_owned(), str::to_owned);
    let more = sent.get("more").to_owned();
    let (title, name, known) = (about.title(), about.name.clone(), text.is_some());
    Ok(Form { shell, title, known, name, was, inputs, more, whole, mistakes, about })
}

fn fields_was(sent: &Fields) -> Option<String> {
    sent.given("was").map(str::to_owned)
}

/// What it was, as a form carries it.
pub(super) fn word(was: Was) -> String {
    serde_json::to_value(was).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Read from a form.
pub(super) fn was(fields: &Fields) -> Was {
    serde_json::from_value(fields.get("was").into()).unwrap_or_default()
}

/// An edit by who looks.
pub(super) fn request(who: &Who, wanted: Wanted, fields: &Fields) -> EditRequest {
    EditRequest {
        wanted,
        who: who.name.clone(),
        from: format!("console at {}", who.from),
        why: fields.get("why").chars().take(200).collect(),
        confirm_seconds: fields.given("confirm").and_then(|seconds| seconds.parse().ok()).filter(|s| *s <= 86_400),
        samples: Vec::new(),
    }
}

/// What would follow of an edit.
pub(super) async fn planned(admin: &Admin, request: EditRequest) -> Result<Result<Plan, EditError>, Failure> {
    let now = now(admin).await?;
    Ok(admin.desk()?.ask(move |desk| desk.plan(&request, &now)).await?)
}

/// `POST /console/do/plan`: of a form, a removal, or an undo.
pub(super) async fn plan(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let about = About::of(&fields);
    let (wanted, title) = match fields.get("do") {
        "undo" => {
            let version = fields.get("version").to_owned();
            (Wanted::Undo(Some(version.clone())), format!("Undo {version}"))
        }
        "settle" => {
            let (key, version) = (about.key()?, fields.get("version"));
            let title = format!("Settle {key}: as of {version}");
            (Wanted::Changes(vec![settling(admin.desk()?, &key, version).await?]), title)
        }
        "remove" => {
            let key = about.key()?;
            let title = if about.monitor.is_empty() {
                format!("Remove {key}")
            } else {
                format!("Remove {} of {key}", about.monitor)
            };
            (Wanted::Changes(vec![removal(admin.desk()?, key, &about).await?]), title)
        }
        _ => match set(&admin, &about, &fields).await? {
            Ok(edit) => (Wanted::Changes(vec![edit]), about.title()),
            Err(mistake) => return again(&admin, shell, about, &fields, vec![mistake]).await,
        },
    };
    match planned(&admin, request(&who, wanted.clone(), &Fields::default())).await? {
        Ok(plan) => sheet(shell, title, plan, &wanted)?.show(),
        Err(EditError::Refused(Refusal::Mistakes(mistakes))) if fields.get("do") == "set" => {
            let mistakes = mistakes.iter().map(|mistake| mistake.diagnostic.to_string()).collect();
            again(&admin, shell, about, &fields, mistakes).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The page of an edit's plan.
pub(super) fn sheet(shell: Shell, title: String, plan: Plan, wanted: &Wanted) -> Result<Page, Failure> {
    let edit = serde_json::to_string(wanted).map_err(std::io::Error::other)?;
    let removes = plan.changes.iter().any(|change| change.after.is_none());
    let mut page = Page::new(shell, title, Some(plan));
    (page.edits, page.action, page.fields, page.dangerous) = (true, "/console/do/apply", vec![("edit", edit)], removes);
    Ok(page)
}

async fn again(
    admin: &Admin,
    shell: Shell,
    about: About,
    fields: &Fields,
    mistakes: Vec<String>,
) -> Result<Response, Failure> {
    let known = fields.get("known") == "yes";
    let text = if known { Some(current(admin.desk()?, about.key()?).await?) } else { None };
    let mut response = html(&filled(shell, about, text.as_deref(), fields, mistakes)?)?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

async fn removal(desk: &Handle, key: Key, about: &About) -> Result<Edit, Failure> {
    let text = current(desk, key.clone()).await?;
    let left = match about.monitor.as_str() {
        "" => None,
        monitor => Some(
            document::fields::without_monitor(&key, &text, monitor)
                .map_err(|error| Failure::Request(error.to_string()))?,
        ),
    };
    Ok(Edit { was: Was::of(Some(&text)), ..Edit::new(key, left.as_deref()) })
}

/// The edit that takes one of the values of an object that clashes.
async fn settling(desk: &Handle, key: &Key, version: &str) -> Result<Edit, Failure> {
    let clashes = desk.ask(|desk| desk.configuration().clashes).await?;
    let values = clashes.into_iter().filter(|clash| clash.key == *key).flat_map(|clash| clash.values);
    let value = values.into_iter().find(|value| value.version == version);
    let value = value.ok_or_else(|| Failure::Conflict(format!("{key} does not clash any more: look at it again")))?;
    Ok(Edit { settles: true, ..Edit::new(key.clone(), value.text.as_deref()) })
}

/// What a form makes of its object; or what is wrong with it.
async fn set(admin: &Admin, about: &About, fields: &Fields) -> Result<Result<Edit, String>, Failure> {
    let key = match about.key() {
        Ok(key) => key,
        Err(Failure::Request(words)) => return Ok(Err(words)),
        Err(other) => return Err(other),
    };
    let known = fields.get("known") == "yes";
    let text = if known { Some(current(admin.desk()?, key.clone()).await?) } else { None };
    let new = if about.text {
        Ok(fields.get("whole").to_owned())
    } else {
        let assignments = assignments(&about.kind, &about.monitor, &key, text.as_deref(), fields)?;
        let part = inputs::part(&about.monitor);
        document::fields::set_fields(&key, text.as_deref(), &part, &assignments).map_err(|error| error.to_string())
    };
    Ok(new.map(|new| Edit { was: was(fields), ..Edit::new(key, Some(&new)) }))
}

/// `POST /console/do/apply`: the deed.
pub(super) async fn apply(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let wanted = serde_json::from_str(fields.get("edit"))
        .map_err(|_| Failure::Request("this form has no edit: plan it again".into()))?;
    let edited = make(admin.desk()?, request(&who, wanted, &fields)).await?;
    if edited.changes.is_empty() {
        return Ok(Redirect::to("/console/do").into_response());
    }
    who.did(&admin, Action::EditConfiguration, &edited.version);
    Ok(Redirect::to(&format!("/console/do/done?version={}", edited.version)).into_response())
}

#[derive(Template)]
#[template(path = "done.html")]
struct Done {
    shell: Shell,
    change: Change,
    kept_by: Vec<String>,
    /// Servers that are not known to have it.
    awaited: Vec<String>,
    unconfirmed: Option<u64>,
}

/// `GET /console/do/done`: a change that was made, and the way back.
pub(super) async fn done(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadConfiguration)?;
    let version = asked.get("version").to_owned();
    let missing = Failure::Missing(format!("there is no version {version}, or it is long ago"));
    let found = admin.desk()?.ask(move |desk| {
        let entry = desk.history(LOOKED_THROUGH).into_iter().find(|entry| entry.version == version)?;
        let Configuration { objects, unconfirmed, .. } = desk.configuration();
        let waits = unconfirmed.filter(|one| version.starts_with(&one.version) || one.version.starts_with(&version));
        let kept_by = desk.kept_by(&version);
        let servers = objects.keys().filter(|key| key.kind == Kind::Server).map(|key| key.name.to_string());
        let awaited = servers.filter(|server| !kept_by.contains(server)).collect();
        Some((Change::of(&entry), kept_by, awaited, waits.map(|one| one.seconds_left)))
    });
    let (change, kept_by, awaited, unconfirmed) = found.await?.ok_or(missing)?;
    html(&Done { shell, change, kept_by, awaited, unconfirmed })
}

/// `POST /console/do/confirm`: what waits stays.
pub(super) async fn confirm(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
) -> Result<Response, Failure> {
    let version = admin.desk()?.ask(|desk| desk.confirm()).await??;
    who.did(&admin, Action::EditConfiguration, &format!("{version} is confirmed"));
    Ok(Redirect::to("/console/do").into_response())
}
