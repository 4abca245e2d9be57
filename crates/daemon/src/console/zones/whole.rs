//! Zones as a whole: added with a first template, removed with the template that nobody else uses.

use std::sync::Arc;

use askama::Template;
use axum::{Extension, extract::State, http::StatusCode, response::Response};
use document::{
    Change as Edit, Key, Kind, Refusal, Was,
    fields::{Part, set_fields},
};
use model::access::Action;

use super::{Mistake, mistakes, template_name};
use crate::{
    access::Who,
    admin::{Admin, Failure},
    console::{
        edit::{planned, request, sheet},
        forms::Fields,
        page::{Shell, html},
    },
    desk::{
        EditError,
        api::{Configuration, Wanted},
    },
};

#[derive(Template)]
#[template(path = "zone_new.html")]
struct New {
    shell: Shell,
    zone: String,
    text: String,
    mistakes: Vec<Mistake>,
}

/// `GET /console/zones/new`.
pub(in crate::console) async fn form(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
) -> Result<Response, Failure> {
    who.may(&admin, Action::EditConfiguration)?;
    let configuration = admin.desk()?.ask(|desk| desk.configuration()).await?;
    html(&New { shell, zone: String::new(), text: beginning(&configuration), mistakes: Vec::new() })
}

/// A template that checks, of what there is.
fn beginning(configuration: &Configuration) -> String {
    let first = |kind| configuration.objects.keys().find(|key| key.kind == kind).map(|key| key.name.to_string());
    let server = first(Kind::VirtualHost).or_else(|| first(Kind::Server)).unwrap_or_default();
    let pool = first(Kind::Pool).map_or_else(String::new, |pool| format!("www\tPOOL\t{pool}\n"));
    format!(
        "$TTL 5m\n@\tSOA\tns1 hostmaster ( 0 1h 15m 1w 5 )\t; serial 0: the cluster numbers its versions\n\
         @\t1h\tNAMESERVERS\tns1={server}\n{pool}"
    )
}

/// `POST /console/zones/add`: mistakes by line, or what would follow.
pub(in crate::console) async fn add(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let zone = fields.get("zone").trim().to_owned();
    let no_name = || Failure::Request(format!("`{zone}` is no name of a zone, such as lb.example.test"));
    let key = Key::new(Kind::Zone, &zone).ok_or_else(no_name)?;
    let file = format!("{}.zone", key.name);
    let template = Key::new(Kind::Template, &file).ok_or_else(no_name)?;
    let settings = set_fields(&key, None, &Part::Whole, &[format!("template=\"{file}\"")])
        .map_err(|error| Failure::Request(error.to_string()))?;
    let new = |key: &Key, text: &str| Edit { was: Was::Absent, ..Edit::new(key.clone(), Some(text)) };
    let text = fields.get("text").to_owned();
    let wanted = Wanted::Changes(vec![new(&key, &settings), new(&template, &text)]);
    match planned(&admin, request(&who, wanted.clone(), &Fields::default())).await? {
        Ok(plan) => {
            let mut page = sheet(shell, format!("Add: zone {}", key.name), plan, &wanted)?;
            page.back = "/console/zones".into();
            page.show()
        }
        Err(EditError::Refused(Refusal::Mistakes(found))) => {
            let mut response = html(&New { shell, zone, text, mistakes: mistakes(&found, &template) })?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /console/zones/remove`: what would follow.
pub(in crate::console) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let configuration = admin.desk()?.ask(|desk| desk.configuration()).await?;
    let zone = Key::new(Kind::Zone, fields.get("zone")).filter(|key| configuration.objects.contains_key(key));
    let zone = zone.ok_or_else(|| Failure::Missing(format!("there is no zone {}", fields.get("zone"))))?;
    let template = template_name(&configuration, &zone);
    let mut zones = configuration.objects.keys().filter(|key| key.kind == Kind::Zone && **key != zone);
    let used = zones.any(|other| template_name(&configuration, other) == template);
    let template = Key::new(Kind::Template, &template).filter(|_| !used);
    let gone = |key: &Key| {
        let text = configuration.objects.get(key)?;
        Some(Edit { was: Was::of(Some(text)), ..Edit::new(key.clone(), None) })
    };
    let edits = [Some(zone.clone()), template].iter().flatten().filter_map(gone).collect();
    let wanted = Wanted::Changes(edits);
    let plan = planned(&admin, request(&who, wanted.clone(), &Fields::default())).await??;
    let mut page = sheet(shell, format!("Remove: zone {}", zone.name), plan, &wanted)?;
    page.back = "/console/zones".into();
    page.show()
}
