//! What happened on this server, what was changed in the configuration; and the page that explains the words.

use std::sync::Arc;

use askama::Template;
use axum::{Extension, extract::State, response::Response};
use document::Touch;
use model::access::Action;

use super::{
    cluster::Word,
    forms::Asked,
    page::{Shell, html},
};
use crate::{
    access::Who,
    admin::{Admin, Failure},
    desk::api::HistoryEntry,
    journal::Entry,
};

/// Entries on a page.
const SHOWN: usize = 300;
/// From the least.
const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

/// A change of the configuration, for a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub version: String,
    pub time: String,
    pub who: String,
    pub from: String,
    pub server: String,
    pub why: String,
    pub objects: Vec<(&'static str, String)>,
    /// The first change of all has nothing before it.
    pub undoes: bool,
}

impl Change {
    /// In words.
    pub(super) fn of(entry: &HistoryEntry) -> Self {
        let time = jiff::Timestamp::from_second(entry.time);
        let how = |touched: &document::Touched| {
            let how = match touched.how {
                Touch::Added => "added",
                Touch::Changed => "changed",
                Touch::Removed => "removed",
            };
            (how, touched.key.to_string())
        };
        Self {
            version: entry.version.clone(),
            time: time.map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            who: entry.who.clone(),
            from: entry.from.clone(),
            server: entry.server.clone(),
            why: entry.why.clone(),
            undoes: !entry.parents.is_empty(),
            objects: entry.objects.iter().map(how).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct Log {
    shell: Shell,
    entries: Vec<(Arc<Entry>, Word)>,
    text: String,
    level: String,
    levels: [&'static str; 4],
    of: usize,
}

/// `GET /console/log`.
pub(super) async fn log(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    let level = asked.given("level").unwrap_or("info").to_owned();
    let least = LEVELS.iter().position(|one| *one == level).unwrap_or(1);
    let text = asked.get("about").trim().to_owned();
    let wanted = text.to_lowercase();
    let all = admin.history.entries();
    let of = all.len();
    let fits = |entry: &Arc<Entry>| {
        LEVELS.iter().position(|one| *one == entry.level).is_none_or(|level| level >= least)
            && (wanted.is_empty() || entry.message.to_lowercase().contains(&wanted))
    };
    let entries = all.into_iter().rev().filter(fits).take(SHOWN);
    let entries = entries.map(|entry| (entry.clone(), Word::of(entry.level))).collect();
    html(&Log { shell, entries, text, level, levels: LEVELS, of })
}

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    shell: Shell,
}

/// `GET /console/help`.
pub(super) async fn help(Extension(shell): Extension<Shell>) -> Result<Response, Failure> {
    html(&Help { shell })
}
