//! Incidents: what belongs together in the cluster's log, as stories; a list, and one with everything that was noted of it.

use std::sync::Arc;

use askama::Template;
use axum::{Extension, extract::State, response::Response};
use chronicle::{
    Query,
    incident::{Incident, PoolAnswers, span, within},
};
use model::access::Action;

use super::{
    cluster::Word,
    forms::Asked,
    page::{Shell, html},
};
use crate::{
    access::Who,
    admin::{Admin, Failure, log::time},
    cluster_log::wall_ms,
};

/// Stories on a page.
const SHOWN: usize = 100;

/// A story, for a page.
struct Story {
    id: String,
    subject: String,
    trouble: &'static str,
    cause: String,
    began: String,
    /// By how much that may be wrong.
    within: String,
    /// A word and its tone: over, planned, or not over.
    state: (&'static str, &'static str),
    /// How it ended, and after how long.
    over: Option<(String, String)>,
    moves: Vec<Moved>,
    answers: Vec<Pool>,
    lines: Vec<Told>,
    more: u64,
}

struct Moved {
    virtual_host: String,
    from: String,
    to: String,
    gap: Option<String>,
    cause: String,
}

/// A pool's answers: before, and each change with its time after the beginning.
struct Pool {
    name: String,
    before: String,
    fewer: Option<String>,
    changes: Vec<(String, String, String)>,
    more: u64,
}

struct Told {
    time: String,
    /// Milliseconds after the beginning, with its sign.
    after: String,
    by: String,
    level: Word,
    message: String,
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct Page {
    shell: Shell,
    stories: Vec<Story>,
    /// The last seven days in a few lines; none where one story is shown, or those about something.
    summary: Vec<String>,
    about: String,
    /// One story, whole.
    one: bool,
    /// The longest time that an address was served by nobody.
    longest: Option<String>,
    open: usize,
    more: bool,
}

/// `GET /console/incidents`, or with `id` one of them.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(who): Extension<Who>,
    Extension(shell): Extension<Shell>,
    Asked(asked): Asked,
) -> Result<Response, Failure> {
    who.may(&admin, Action::ReadEvents)?;
    let about = asked.get("about").trim().to_owned();
    let query = Query { about: (!about.is_empty()).then(|| about.clone()), ..Query::default() };
    let (mut incidents, more) = admin.stories(&query).await?;
    let id = asked.given("id");
    if let Some(id) = id {
        incidents.retain(|incident| incident.is_called(id));
        if incidents.is_empty() {
            return Err(Failure::Missing("There is no such incident in the last seven days.".to_owned()));
        }
    }
    let summary = if id.is_none() && about.is_empty() {
        let minute = |millis: u64| time(millis).get(..16).unwrap_or_default().replace('T', " ");
        admin.summary(&query).await?.lines(&minute)
    } else {
        Vec::new()
    };
    let longest = incidents.iter().filter_map(Incident::longest_gap_ms).max().map(span);
    let open = incidents.iter().filter(|incident| incident.ended_ms.is_none()).count();
    let stories = incidents.iter().rev().take(SHOWN).map(Story::of).collect();
    html(&Page { shell, stories, summary, about, one: id.is_some(), longest, open, more })
}

impl Story {
    fn of(incident: &Incident) -> Self {
        let planned = incident.trouble.is_planned();
        let state = match (incident.ended_ms, planned) {
            (Some(_), _) => ("over", "good"),
            (None, true) => ("planned, not over", "warn"),
            (None, false) => ("not over", "bad"),
        };
        let over = incident.ended_ms.map(|ended| {
            (span(ended.saturating_sub(incident.began_ms)), incident.ended_by.clone().unwrap_or_default())
        });
        let moved = |moved: &chronicle::incident::Move| Moved {
            virtual_host: moved.virtual_host.clone(),
            from: moved.from.clone().unwrap_or_default(),
            to: moved.to.clone(),
            gap: moved.gap_ms.map(|gap| span(gap) + &within(moved.gap_within_ms)),
            cause: moved.cause.clone(),
        };
        let told = |line: &chronicle::incident::Line| Told {
            time: time(line.at_ms),
            after: format!("{:+}", i128::from(line.at_ms) - i128::from(incident.began_ms)),
            by: line.server.clone(),
            level: Word::of(super::journal::LEVELS[line.level as usize]),
            message: line.message.clone(),
        };
        Self {
            id: incident.id.clone(),
            subject: incident.subject.clone(),
            trouble: incident.trouble.word(),
            cause: incident.cause.clone(),
            began: time(incident.began_ms),
            within: within(incident.began_within_ms),
            state,
            over,
            moves: incident.moves.iter().map(moved).collect(),
            answers: incident.answers.iter().map(|pool| Pool::of(incident, pool)).collect(),
            lines: incident.timeline.iter().map(told).collect(),
            more: incident.more,
        }
    }
}

impl Pool {
    fn of(incident: &Incident, pool: &PoolAnswers) -> Self {
        let after = |at_ms: u64| {
            let sign = if at_ms < incident.began_ms { "-" } else { "+" };
            sign.to_owned() + &span(at_ms.abs_diff(incident.began_ms))
        };
        let last = pool.changes.last().map_or(incident.began_ms, |change| change.at_ms);
        let fewer = pool.fewer_ms(incident.ended_ms.unwrap_or_else(wall_ms).max(last));
        let changes = pool.changes.iter();
        Self {
            name: pool.pool.clone(),
            before: pool.before.to_string(),
            fewer: (fewer > 0).then(|| span(fewer)),
            changes: changes
                .map(|change| (after(change.at_ms), change.answers.to_string(), change.server.clone()))
                .collect(),
            more: pool.more,
        }
    }
}
