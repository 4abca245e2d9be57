//! The cluster's log: searched, followed, and told as incidents.
//!
//! | request | parameters | what |
//! |---|---|---|
//! | `GET /v1/log` | what is wanted (`Wanted`), `limit`, `oldest` | the last entries, or with `oldest=true` the first ones; oldest first |
//! | `GET /v1/log/arrived` | what is wanted, `arrivals`, `wait` | what came in since, in the order of arrival; waits for it |
//! | `GET /v1/incidents` | `since`, `until`, `about` | what belongs together, as stories, the oldest first |
//! | `GET /v1/incidents/summary` | the same | the same in short |

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State},
};
use chronicle::{
    Entry, Level,
    incident::{Incident, KINDS, Summary, Teller},
};
use model::{ServerName, access::Action, config::parse_duration, id::is_valid_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Admin, Failure};
use crate::{
    access::Who,
    cluster_log::{Found, Log, Order, wall_ms},
};

/// Entries in an answer.
const MOST: usize = 1000;
/// The same, where nothing is said.
const USUAL: usize = 200;
/// Whoever follows is answered after this time, be it with nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Stories are made of so many entries at most: the last ones.
const MOST_TOLD: usize = 50_000;
/// Stories that began before are not told, where nothing is said.
const USUAL_TIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which entries are wanted. Times: RFC 3339, or how long ago, such as `90s`, `2h`, `7d`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    /// Not before.
    #[schemars(extend("pattern" = "^[0-9]{1,6}(ms|s|m|h|d)$"))]
    since: Option<String>,
    /// Before.
    #[schemars(extend("pattern" = "^[0-9]{1,6}(ms|s|m|h|d)$"))]
    until: Option<String>,
    /// Written by this server.
    #[schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))]
    server: Option<String>,
    /// About the server, virtual host, endpoint or monitor of this name.
    about: Option<String>,
    /// At least this serious.
    level: Option<Level>,
    /// Of these kinds, with commas between them.
    kind: Option<String>,
    /// The sentence holds this text.
    text: Option<String>,
    /// Security events alone.
    security: bool,
    /// After this place: the `next` of an answer with `oldest`.
    #[schemars(extend("pattern" = "^[0-9]{1,15}[.][0-9]{1,9}[.][0-9]{1,9}[.][a-z0-9]{1,20}-[0-9a-f]{16}$"))]
    after: Option<String>,
    /// Before this place: the `next` of an answer without `oldest`.
    #[schemars(extend("pattern" = "^[0-9]{1,15}[.][0-9]{1,9}[.][0-9]{1,9}[.][a-z0-9]{1,20}-[0-9a-f]{16}$"))]
    before: Option<String>,
    /// The first ones, and not the last ones.
    oldest: bool,
    /// So many at most; 200 where nothing is said, 1,000 at most.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `/v1/log/arrived` alone: what its last answer said.
    arrivals: Option<u64>,
    /// `/v1/log/arrived` alone: waits until something arrives, some seconds at most.
    wait: bool,
}

/// One entry of the cluster's log.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LogEntry {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// Who wrote it.
    pub written_by: String,
    /// The row that it stands in, and its number there.
    pub stream: String,
    /// See there.
    pub sequence: u64,
    /// How much it matters.
    pub level: Level,
    /// Whether somebody may be trying what they must not.
    pub security: bool,
    /// One sentence.
    pub message: String,
    /// The names of everybody whom it is about.
    pub about: Vec<String>,
    /// The event's kind and fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// `GET /v1/log`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Page {
    /// The oldest first.
    entries: Vec<LogEntry>,
    /// There are more: ask with this as `before`, or with `oldest` as `after`.
    next: Option<String>,
}

/// `GET /v1/log/arrived`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct News {
    /// In the order of arrival.
    entries: Vec<LogEntry>,
    /// Ask with this as `arrivals` for what comes next.
    arrivals: u64,
    /// Some came and went between two questions: `/v1/log` has them.
    missed: bool,
}

/// `GET /v1/incidents`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Incidents {
    /// The oldest first.
    incidents: Vec<Incident>,
    /// The log goes back further than was read.
    more: bool,
}

impl From<&Entry> for LogEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            time: time(entry.stamp.wall_ms),
            written_by: entry.stream.server.to_string(),
            stream: entry.stream.to_string(),
            sequence: entry.sequence,
            level: entry.level,
            security: entry.security,
            message: entry.message.clone(),
            about: entry.about.clone(),
            fields: entry.fields.clone(),
        }
    }
}

pub(crate) fn time(wall_ms: u64) -> String {
    let millis = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| wall_ms.to_string(), |time| format!("{time:.3}"))
}

/// A moment, in milliseconds since 1970.
pub(super) fn moment(name: &str, text: &str, now_ms: u64) -> Result<u64, Failure> {
    let days =
        text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()).and_then(|days| days.checked_mul(86_400));
    if let Some(ago) = days.map(Duration::from_secs).or_else(|| parse_duration(text)) {
        return Ok(now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)));
    }
    let time = text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    time.ok_or_else(|| {
        let example = "2026-01-31T03:00:00Z, or how long ago: 90s, 15m, 2h, 7d";
        Failure::Request(format!("`{name}` is not a time: expected one such as {example}"))
    })
}

impl Wanted {
    fn query(&self) -> Result<chronicle::Query, Failure> {
        if self.limit.is_some_and(|limit| !(1..=MOST).contains(&limit)) {
            return Err(Failure::Request(format!("`limit` must be from 1 to {MOST}")));
        }
        let now = wall_ms();
        let time = |name, text: &Option<String>| text.as_deref().map(|text| moment(name, text, now)).transpose();
        let place = |name: &str, text: &Option<String>| {
            let place = text.as_deref().map(str::parse).transpose();
            place.map_err(|error: chronicle::NotAPosition| Failure::Request(format!("`{name}`: {error}")))
        };
        let server = self.server.as_deref().map(|name| {
            let valid = is_valid_name(name).then(|| ServerName::new(name));
            valid.ok_or_else(|| Failure::Request("`server` is not a server's name".to_owned()))
        });
        Ok(chronicle::Query {
            since_ms: time("since", &self.since)?,
            until_ms: time("until", &self.until)?,
            server: server.transpose()?,
            about: self.about.clone(),
            level: self.level,
            kinds: self.kind.iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect(),
            text: self.text.clone(),
            security: self.security,
            after: place("after", &self.after)?,
            before: place("before", &self.before)?,
        })
    }
}

impl Admin {
    fn log(&self) -> Result<Log, Failure> {
        let none =
            || Failure::Conflict("this server keeps no log of the cluster: its disk has no place for it".to_owned());
        self.log.clone().ok_or_else(none)
    }

    /// Searches on a thread that may wait for the disk.
    pub(crate) async fn search(&self, query: chronicle::Query, order: Order, most: usize) -> Result<Found, Failure> {
        let log = self.log()?;
        let _turn = log.searches.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        let searched = tokio::task::spawn_blocking(move || log.search(&query, order, most)).await;
        let mut found = searched.map_err(std::io::Error::other)??;
        if order == Order::Newest {
            found.entries.reverse();
        }
        Ok(found)
    }
}

impl Admin {
    /// Incidents that were not over before `asked.since_ms`, about whom is asked, the oldest first; and whether the log goes back
    /// further than was read.
    pub(crate) async fn stories(&self, asked: &chronicle::Query) -> Result<(Vec<Incident>, bool), Failure> {
        let (incidents, found) = self.told(asked).await?;
        Ok((incidents, found.next.is_some()))
    }

    /// The same in short, of all that is in the log of that time.
    pub(crate) async fn summary(&self, asked: &chronicle::Query) -> Result<Summary, Failure> {
        let now = wall_ms();
        let since_ms = asked.since_ms.unwrap_or_else(|| now.saturating_sub(usual()));
        let until_ms = asked.until_ms.unwrap_or(now).min(now);
        let (incidents, found) = self.told(asked).await?;
        let (since, until) = (Some(since_ms), Some(until_ms));
        let query =
            chronicle::Query { since_ms: since, until_ms: until, security: true, ..chronicle::Query::default() };
        let security = self.search(query, Order::Newest, MOST_TOLD).await?.entries.len();
        let entries = found.entries.iter().map(|entry| &**entry);
        let summary = Summary::of(&incidents, entries, (since_ms, until_ms), security);
        Ok(Summary { more: found.next.is_some(), ..summary })
    }

    /// Incidents, and what they are made of.
    async fn told(&self, asked: &chronicle::Query) -> Result<(Vec<Incident>, Found), Failure> {
        let since = asked.since_ms.unwrap_or_else(|| wall_ms().saturating_sub(usual()));
        // Who held what when a story began is told before it: read from a day earlier on.
        let query = chronicle::Query {
            since_ms: Some(since.saturating_sub(24 * 3_600_000)),
            until_ms: asked.until_ms,
            kinds: KINDS.map(str::to_owned).into(),
            ..chronicle::Query::default()
        };
        let found = self.search(query, Order::Newest, MOST_TOLD).await?;
        let mut teller = Teller::new(u64::try_from(self.log()?.heartbeat.as_millis()).unwrap_or(u64::MAX));
        found.entries.iter().for_each(|entry| teller.hear(entry));
        let is_about = |story: &Incident| {
            asked.about.as_ref().is_none_or(|name| {
                story.subject == *name
                    || story.moves.iter().any(|moved| moved.virtual_host == *name || moved.to == *name)
            })
        };
        let mut incidents = teller.finish();
        incidents.retain(|story| story.ended_ms.is_none_or(|ended| ended >= since) && is_about(story));
        Ok((incidents, found))
    }
}

fn usual() -> u64 {
    u64::try_from(USUAL_TIME.as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn summary(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Summary>, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    admin.summary(&wanted.query()?).await.map(Json)
}

pub(super) async fn entries(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page>, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    let order = if wanted.oldest { Order::Oldest } else { Order::Newest };
    let most = wanted.limit.unwrap_or(USUAL);
    let found = admin.search(wanted.query()?, order, most).await?;
    let entries = found.entries.iter().map(|entry| LogEntry::from(&**entry)).collect();
    Ok(Json(Page { entries, next: found.next.map(|next| next.to_string()) }))
}

pub(super) async fn arrived(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<News>, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    let (log, query) = (admin.log()?, wanted.query()?);
    let Some(arrivals) = wanted.arrivals else {
        // Whoever begins to follow learns from where.
        return Ok(Json(News { entries: Vec::new(), arrivals: log.arrived(u64::MAX).count, missed: false }));
    };
    if wanted.wait && arrivals <= log.arrived(u64::MAX).count {
        let mut news = log.news();
        let wait = async { news.wait_for(|count| *count > arrivals).await.is_ok() };
        let _nothing_new = tokio::time::timeout(LONGEST_WAIT, wait).await;
    }
    let arrived = log.arrived(arrivals);
    let entries = arrived.entries.iter().filter(|entry| query.matches(entry)).map(|entry| LogEntry::from(&**entry));
    Ok(Json(News { entries: entries.collect(), arrivals: arrived.count, missed: arrived.missed }))
}

pub(super) async fn incidents(
    State(admin): State<Arc<Admin>>,
    who: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Incidents>, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    let (incidents, more) = admin.stories(&wanted.query()?).await?;
    Ok(Json(Incidents { incidents, more }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now = 1_800_000_000_000;
        for (text, expected) in [
            ("90s", now - 90_000),
            ("7d", now - 7 * 86_400_000),
            ("2026-11-26T00:00:00Z", 1_795_651_200_000),
            ("2026-11-26T01:00:00+01:00", 1_795_651_200_000),
        ] {
            assert_eq!(moment("since", text, now).unwrap(), expected, "{text}");
        }
        for wrong in ["", "yesterday", "5", "d", "-1d", "1969-01-01T00:00:00Z"] {
            let error = moment("since", wrong, now).unwrap_err().to_string();
            assert!(error.contains("`since` is not a time"), "{error}");
        }
    }
}
