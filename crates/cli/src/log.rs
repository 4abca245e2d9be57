//! `standin log`, `standin incidents`: the cluster's log, from any server.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::{Context, Result, bail};
use chronicle::incident::{Incident, Summary};
use hyper::Method;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    args::{Incidents, Log},
    client::{self, Door},
    complain,
    print::{self, Style},
    say,
};

/// Entries in an answer, at most.
const PAGE: usize = 1000;
/// The same, where nobody says how many.
const USUAL: usize = 200;
/// Entries in a bundle, or a few more.
const LONGEST_BUNDLE: usize = 50_000;

/// `GET /v1/log`.
#[derive(Deserialize)]
struct Page {
    entries: Vec<Value>,
    next: Option<String>,
}

/// `GET /v1/log/arrived`.
#[derive(Deserialize)]
struct News {
    entries: Vec<Value>,
    arrivals: u64,
    missed: bool,
}

/// A path with a query.
struct Query(form_urlencoded::Serializer<'static, String>);

impl Query {
    fn new(path: &str) -> Self {
        let path = format!("{path}?");
        let begun = path.len();
        Self(form_urlencoded::Serializer::for_suffix(path, begun))
    }

    fn with(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.append_pair(name, value);
        }
        self
    }

    fn ask<T: serde::de::DeserializeOwned>(mut self, door: &Door) -> Result<T> {
        let body = client::request(door, Method::GET, &self.0.finish(), None)?;
        serde_json::from_slice(&body).context("the daemon's answer is not what this version understands")
    }
}

impl Log {
    fn query(&self, path: &str) -> Query {
        Query::new(path)
            .with("since", self.since.as_deref())
            .with("until", self.until.as_deref())
            .with("server", self.server.as_deref())
            .with("about", self.about.as_deref())
            .with("level", self.level.map(crate::args::LogLevel::word))
            .with("kind", self.kind.as_deref())
            .with("text", self.text.as_deref())
            .with("security", self.security.then_some("true"))
    }

    fn show(&self, entries: &[Value]) -> Result<()> {
        if self.json {
            return say(&entries.iter().map(|entry| entry.to_string() + "\n").collect::<String>());
        }
        say(&print::events::render(entries, &TimeZone::system(), Style::of_stdout()))
    }
}

/// Shows the log, and goes on with it where that is wanted.
pub(crate) fn log(wanted: &Log) -> Result<ExitCode> {
    let door = client::door(&wanted.reach)?;
    // First from where to go on, then what was before: nothing falls between.
    let begun: News = Query::new("/v1/log/arrived").ask(&door)?;
    let shown = before(wanted, &door)?;
    if wanted.follow {
        follow(wanted, &door, begun.arrivals, shown)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Which entry: its stream and number.
fn key(entry: &Value) -> Option<(String, u64)> {
    Some((entry.get("stream")?.as_str()?.to_owned(), entry.get("sequence")?.as_u64()?))
}

/// Shows what there is; which entries those were, as far as they may come again.
fn before(wanted: &Log, door: &Door) -> Result<BTreeSet<(String, u64)>> {
    if let (Some(_), None) = (&wanted.since, wanted.limit) {
        let mut after: Option<String> = None;
        loop {
            let query = wanted.query("/v1/log").with("oldest", Some("true")).with("limit", Some(&PAGE.to_string()));
            let page: Page = query.with("after", after.as_deref()).ask(door)?;
            wanted.show(&page.entries)?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(page.entries.iter().filter_map(key).collect()),
            }
        }
    }
    let (mut left, mut before) = (wanted.limit.unwrap_or(USUAL), None::<String>);
    let mut pages: Vec<Vec<Value>> = Vec::new();
    while left > 0 {
        let query = wanted.query("/v1/log").with("limit", Some(&left.min(PAGE).to_string()));
        let page: Page = query.with("before", before.as_deref()).ask(door)?;
        left -= page.entries.len().min(left);
        pages.push(page.entries);
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    let entries: Vec<Value> = pages.into_iter().rev().flatten().collect();
    wanted.show(&entries)?;
    Ok(entries.iter().rev().take(PAGE).filter_map(key).collect())
}

fn follow(wanted: &Log, door: &Door, mut arrivals: u64, mut shown: BTreeSet<(String, u64)>) -> Result<()> {
    loop {
        let query = wanted.query("/v1/log/arrived").with("arrivals", Some(&arrivals.to_string()));
        let news: News = query.with("wait", Some("true")).ask(door)?;
        if news.missed {
            complain("standin: more came in than could be followed: `standin log --since` has it all");
        }
        let new: Vec<Value> =
            news.entries.into_iter().filter(|entry| key(entry).is_none_or(|key| !shown.remove(&key))).collect();
        wanted.show(&new)?;
        arrivals = news.arrivals;
    }
}

/// From a minute before an incident to a minute after it.
fn times(incident: &Incident) -> Result<(String, String)> {
    let last = incident.timeline.last().map_or(incident.began_ms, |line| line.at_ms);
    let end = incident.ended_ms.unwrap_or(last).max(last);
    let time =
        |millis: u64| -> Result<String> { Ok(jiff::Timestamp::from_millisecond(i64::try_from(millis)?)?.to_string()) };
    Ok((time(incident.began_ms.saturating_sub(60_000))?, time(end.saturating_add(60_000))?))
}

/// The heartbeats of each server at that time, a line each; of one that does not tell, why.
fn heartbeats(door: &Door, incident: &Incident) -> Result<Vec<(String, Result<Vec<Value>>)>> {
    let (since, until) = times(incident)?;
    let servers = client::status(door)?.servers;
    let of = |server: &str| -> Result<Vec<Value>> {
        let query = Query::new("/v1/heartbeats").with("since", Some(&since)).with("until", Some(&until));
        let mut answer: Value = query.with("server", Some(server)).ask(door)?;
        Ok(answer["heartbeats"].as_array_mut().map(std::mem::take).unwrap_or_default())
    };
    Ok(servers.iter().map(|server| (server.name.clone(), of(&server.name))).collect())
}

/// What is in the log from a minute before an incident to a minute after it, and no more than [`LONGEST_BUNDLE`] entries.
fn around(door: &Door, incident: &Incident) -> Result<Vec<Value>> {
    let (since, until) = times(incident)?;
    let (mut entries, mut after) = (Vec::new(), None::<String>);
    while entries.len() < LONGEST_BUNDLE {
        let query = Query::new("/v1/log").with("oldest", Some("true")).with("limit", Some(&PAGE.to_string()));
        let query = query.with("since", Some(&since)).with("until", Some(&until)).with("after", after.as_deref());
        let page: Page = query.ask(door)?;
        entries.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(entries)
}

/// Tells what happened.
pub(crate) fn incidents(wanted: &Incidents) -> Result<ExitCode> {
    let door = client::door(&wanted.reach)?;
    if let Some(span) = wanted.summary {
        let summary: Summary = Query::new("/v1/incidents/summary").with("since", Some(span.since())).ask(&door)?;
        say(&if wanted.json {
            serde_json::to_string_pretty(&summary)? + "\n"
        } else {
            print::incidents::summary(&summary, &TimeZone::system())
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let query = Query::new("/v1/incidents").with("since", Some(&wanted.since)).with("about", wanted.about.as_deref());
    let mut answer: print::incidents::Answer = query.ask(&door)?;
    if let Some(id) = &wanted.id {
        answer.incidents.retain(|incident| incident.is_called(id));
        if answer.incidents.is_empty() {
            bail!("there is no incident {id} since {}: `standin incidents` lists them", wanted.since);
        }
    }
    if let (Some(file), [incident]) = (&wanted.bundle, &answer.incidents[..]) {
        let log = around(&door, incident)?;
        let told = print::incidents::render(&answer, true, &TimeZone::UTC, Style::default());
        let heartbeats = heartbeats(&door, incident)?;
        crate::bundle::write(file, &door, incident, &told, &log, heartbeats)?;
        say(&format!("{}\n", file.display()))?;
    } else if wanted.json {
        say(&(serde_json::to_string_pretty(&answer.incidents)? + "\n"))?;
    } else {
        let whole = wanted.id.is_some();
        say(&print::incidents::render(&answer, whole, &TimeZone::system(), Style::of_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}
