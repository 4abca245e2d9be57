//! What happened in the cluster, what was changed in the configuration; and the page that explains the words.

use std::sync::Arc;

use askama::Template;
use axum::{Extension, extract::State, response::Response};
use chronicle::{Level, Query};
use document::Touch;
use model::access::Action;

use super::{
    cluster::Word,
    forms::{Asked, Fields},
    page::{Shell, html},
};
use crate::{
    access::Who,
    admin::{Admin, Failure, log},
    cluster_log::Order,
    desk::api::HistoryEntry,
    journal::Entry,
};

/// Entries on a page, also where more come in while it is open.
const SHOWN: usize = 300;
/// From the least.
pub(super) const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

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

/// One line of the log.
pub(super) struct Row {
    /// By which the page knows it again; empty: it comes once.
    pub id: String,
    pub time: String,
    /// Who wrote it.
    pub by: String,
    pub level: Word,
    pub message: String,
}

impl Row {
    /// Of the cluster's log.
    pub(super) fn of(entry: &chronicle::Entry) -> Self {
        Self {
            id: format!("{}.{}", entry.stream, entry.sequence),
            time: log::time(entry.stamp.wall_ms),
            by: entry.stream.server.to_string(),
            level: Word::of(LEVELS[entry.level as usize]),
            message: entry.message.clone(),
        }
    }
}

/// Which lines are asked for.
pub(super) struct Wanted {
    about: String,
    text: String,
    /// The place in [`LEVELS`].
    least: usize,
    before: Option<chronicle::Position>,
}

impl Wanted {
    /// Of a page's query.
    ///
    /// # Errors
    /// Where the place in the log is none.
    pub(super) fn of(asked: &Fields) -> Result<Self, Failure> {
        let least = asked.given("level").and_then(|level| LEVELS.iter().position(|one| *one == level)).unwrap_or(1);
        let before = asked.given("before").map(str::parse).transpose();
        Ok(Self {
            about: asked.get("about").trim().to_owned(),
            text: asked.get("text").trim().to_owned(),
            least,
            before: before.map_err(|error: chronicle::NotAPosition| Failure::Request(error.to_string()))?,
        })
    }

    /// For the cluster's log.
    pub(super) fn query(&self) -> Query {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let level = Some([Level::Debug, Level::Info, Level::Warn, Level::Error][self.least]);
        let before = self.before.clone();
        Query { about: given(&self.about), text: given(&self.text), level, before, ..Query::default() }
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct Log {
    shell: Shell,
    rows: Vec<Row>,
    about: String,
    text: String,
    level: String,
    levels: [&'static str; 4],
    /// Where older entries begin.
    older: Option<String>,
    /// All servers' entries, and not this one's last ones alone.
    whole: bool,
    /// Followed live, from this arrival on.
    follow: Option<u64>,
}

/// `GET /console/log`.
pub(super) async fn log(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    let wanted = Wanted::of(&asked)?;
    let whole = admin.log.is_some();
    // Counted before it is searched: what comes in between comes twice, and the page knows it again.
    let arrivals = admin.log.as_ref().map(|log| log.arrived(u64::MAX).count);
    let follow = arrivals.filter(|_| asked.get("follow") == "on" && wanted.before.is_none());
    let (rows, older) = if whole {
        let found = admin.search(wanted.query(), Order::Newest, SHOWN).await?;
        (found.entries.iter().rev().map(|entry| Row::of(entry)).collect(), found.next.map(|next| next.to_string()))
    } else {
        (of_this_server(&admin, wanted.least, &[&wanted.about, &wanted.text]), None)
    };
    let Wanted { about, text, least, .. } = wanted;
    html(&Log { shell, rows, about, text, level: LEVELS[least].to_owned(), levels: LEVELS, older, whole, follow })
}

/// The last entries of this server alone, where the disk has no place for the cluster's log.
fn of_this_server(admin: &Admin, least: usize, wanted: &[&str]) -> Vec<Row> {
    let fits = |entry: &Arc<Entry>| {
        let message = entry.message.to_lowercase();
        LEVELS.iter().position(|one| *one == entry.level).is_none_or(|level| level >= least)
            && wanted.iter().all(|text| message.contains(&text.to_lowercase()))
    };
    let row = |entry: Arc<Entry>| Row {
        id: String::new(),
        time: entry.time.clone(),
        by: admin.this.to_string(),
        level: Word::of(entry.level),
        message: entry.message.clone(),
    };
    admin.history.entries().into_iter().rev().filter(fits).take(SHOWN).map(row).collect()
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
