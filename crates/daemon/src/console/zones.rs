//! Zones: the template with its mistakes by line, what is served, what would differ, what was changed before.

pub(super) mod whole;

use std::sync::Arc;

use askama::Template;
use axum::{Extension, extract::State, http::StatusCode, response::Response};
use document::{Change as Edit, Key, Kind, Refusal, Was, object::read};
use model::access::Action;

use super::{
    edit::{planned, request, sheet, was, word},
    forms::{Asked, Fields},
    journal::Change,
    page::{Shell, html},
};
use crate::{
    access::Who,
    admin::{Admin, Failure},
    desk::{
        EditError,
        api::{Configuration, Wanted},
    },
};

/// Changes looked through for those of one template.
const LOOKED_THROUGH: usize = 500;
/// Of those shown.
const SHOWN: usize = 10;

#[derive(Template)]
#[template(path = "zones.html")]
struct List {
    shell: Shell,
    zones: Vec<(String, String)>,
}

/// `GET /console/zones`.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadConfiguration)?;
    let served = admin.view.load().zone_names().map(|zone| (zone.to_string(), String::new())).collect();
    let zones = match &admin.desk {
        None => served,
        Some(desk) => {
            let configuration = desk.ask(|desk| desk.configuration()).await?;
            let zones = configuration.objects.keys().filter(|key| key.kind == Kind::Zone);
            zones.map(|key| (key.name.to_string(), template_name(&configuration, key))).collect()
        }
    };
    html(&List { shell, zones })
}

/// The template's name; empty where the zone names none.
fn template_name(configuration: &Configuration, zone: &Key) -> String {
    let body = configuration.objects.get(zone).and_then(|text| read(zone, text).ok());
    let name = body.as_ref().and_then(|body| body.get("template")?.as_str());
    name.unwrap_or_default().to_owned()
}

/// A template that is longer is edited by `standin zone edit`, and nothing of it shown here.
const EDITED: usize = 1 << 20;
/// Lines of a rendered zone that a page shows.
const LINES: usize = 2000;

/// The beginning of a long zone.
fn beginning(rendered: &str) -> String {
    let more = rendered.lines().count().saturating_sub(LINES);
    let mut text: String = rendered.split_inclusive('\n').take(LINES).collect();
    if more > 0 {
        text += &format!("; and {more} lines more: `standin zone render` prints them all\n");
    }
    text
}

/// A mistake at its place.
struct Mistake {
    file: String,
    line: usize,
    column: usize,
    message: String,
    help: Option<String>,
    text: String,
    /// Whether it is in the text that is edited.
    here: bool,
}

/// Mistakes for a page on which the text of `edited` is edited.
fn mistakes(found: &[document::Mistake], edited: &Key) -> Vec<Mistake> {
    let mistake = |one: &document::Mistake| Mistake {
        file: one.diagnostic.file.to_string(),
        line: one.diagnostic.line,
        column: one.diagnostic.column,
        message: one.diagnostic.message.clone(),
        help: one.diagnostic.help.clone(),
        text: one.diagnostic.text.to_string(),
        here: one.key == *edited,
    };
    found.iter().map(mistake).collect()
}

#[derive(Template)]
#[template(path = "zone.html")]
struct Editor {
    shell: Shell,
    zone: String,
    template: String,
    text: String,
    was: String,
    mistakes: Vec<Mistake>,
    rendered: String,
    changes: Vec<Change>,
}

/// What there is of a zone.
struct Found {
    template: Key,
    text: Arc<str>,
    rendered: String,
    changes: Vec<Change>,
}

async fn find(admin: &Admin, name: &str) -> Result<Found, Failure> {
    let missing = || Failure::Missing(format!("there is no zone {name}"));
    let zone = Key::new(Kind::Zone, name).ok_or_else(missing)?;
    let key = zone.clone();
    let (configuration, rendered, history) = admin
        .desk()?
        .ask(move |desk| {
            let configuration = desk.configuration();
            let template = Key::new(Kind::Template, &template_name(&configuration, &key));
            let short =
                template.and_then(|key| configuration.objects.get(&key)).is_some_and(|text| text.len() <= EDITED);
            let rendered = if short { desk.rendered(&key.name, None).ok().flatten() } else { None };
            (configuration, beginning(&rendered.unwrap_or_default()), desk.history(LOOKED_THROUGH))
        })
        .await?;
    if !configuration.objects.contains_key(&zone) {
        return Err(missing());
    }
    let template = Key::new(Kind::Template, &template_name(&configuration, &zone)).ok_or_else(missing)?;
    let text = configuration.objects.get(&template).cloned().ok_or_else(missing)?;
    if text.len() > EDITED {
        let words = format!("{template} is longer than {EDITED} bytes: `standin zone edit {name}` edits it");
        return Err(Failure::Conflict(words));
    }
    let touches = |entry: &&crate::desk::api::HistoryEntry| {
        entry.objects.iter().any(|touched| touched.key == zone || touched.key == template)
    };
    let changes = history.iter().filter(touches).take(SHOWN).map(Change::of).collect();
    Ok(Found { template, text, rendered, changes })
}

/// `GET /console/zones/edit`.
pub(super) async fn edit(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadConfiguration)?;
    let zone = asked.get("zone").to_owned();
    let Found { template, text, rendered, changes } = find(&admin, &zone).await?;
    let (was, template) = (word(Was::of(Some(&text))), template.name.to_string());
    html(&Editor { shell, zone, template, text: text.to_string(), was, mistakes: Vec::new(), rendered, changes })
}

/// `POST /console/zones/plan`: mistakes by line, or what would follow.
pub(super) async fn plan(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let zone = fields.get("zone").to_owned();
    let Found { template, rendered, changes, .. } = find(&admin, &zone).await?;
    let text = fields.get("text");
    let wanted = Wanted::Changes(vec![Edit { was: was(&fields), ..Edit::new(template.clone(), Some(text)) }]);
    let wish = request(&who, wanted.clone(), &Fields::default());
    match planned(&admin, wish.clone()).await? {
        Ok(plan) => {
            let name = zone.clone();
            let preview = admin.desk()?.ask(move |desk| desk.rendered(&name, Some(&wish))).await??;
            let mut page = sheet(shell, format!("Change: zone {zone}"), plan, &wanted)?;
            page.preview = preview.as_deref().map(beginning);
            page.back = format!("/console/zones/edit?zone={zone}");
            page.show()
        }
        Err(EditError::Refused(Refusal::Mistakes(found))) => {
            let (mistakes, template) = (mistakes(&found, &template), template.name.to_string());
            let (text, was) = (text.to_owned(), fields.get("was").to_owned());
            let mut response = html(&Editor { shell, zone, template, text, was, mistakes, rendered, changes })?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_zone_the_beginning_is_shown() {
        let zone: String = (0..LINES + 3).map(|number| format!("{number}\n")).collect();
        let shown = beginning(&zone);
        assert!(shown.ends_with("1999\n; and 3 lines more: `standin zone render` prints them all\n"), "{shown}");
        assert_eq!(beginning("a\nb\n"), "a\nb\n");
    }
}
