//! A plan on a page: what would move and be answered, and the button that does it.

use askama::Template;
use axum::response::Response;

use super::{
    difference::{Line, lines, records},
    page::{Shell, html},
};
use crate::{admin::Failure, desk::api::Plan};

/// An object before and after.
struct Object {
    key: String,
    how: &'static str,
    lines: Vec<Line>,
}

/// A move in words.
struct Step {
    address: String,
    virtual_host: String,
    now: String,
    then: String,
}

/// Something with lines.
struct Changed {
    title: String,
    lines: Vec<Line>,
    more: usize,
}

#[derive(Template)]
#[template(path = "plan.html")]
pub(super) struct Page {
    shell: Shell,
    /// What is planned, in words.
    pub title: String,
    objects: Vec<Object>,
    steps: Vec<Step>,
    answers: Vec<Changed>,
    compared: usize,
    zones: Vec<Changed>,
    shares: Vec<(String, String, String)>,
    held: Vec<(String, String)>,
    /// What else to know.
    pub note: String,
    /// Whether an edit of the document is planned: it may be given a reason, and a time.
    pub edits: bool,
    /// Where the button leads, and with what.
    pub action: &'static str,
    pub fields: Vec<(&'static str, String)>,
    pub button: &'static str,
    pub dangerous: bool,
    /// Whether it cannot be undone, by itself or otherwise.
    pub for_good: bool,
    /// Where to turn back.
    pub back: String,
    /// The whole of what would be served.
    pub preview: Option<String>,
}

impl Page {
    /// With a plan; none where nothing can be foreseen.
    pub(super) fn new(shell: Shell, title: String, plan: Option<Plan>) -> Self {
        let plan = plan.unwrap_or(Plan {
            changes: Vec::new(),
            moves: Vec::new(),
            answers: Vec::new(),
            compared: 0,
            zones: Vec::new(),
            shares: Vec::new(),
            held: Vec::new(),
        });
        let nobody = |who: Option<String>| who.unwrap_or_else(|| "nobody".to_owned());
        let object = |change: crate::desk::api::ChangedObject| Object {
            key: change.key.to_string(),
            how: match (&change.before, &change.after) {
                (None, _) => "added",
                (_, None) => "removed",
                (Some(_), Some(_)) => "changed",
            },
            lines: lines(change.before.as_deref().unwrap_or_default(), change.after.as_deref().unwrap_or_default()),
        };
        let step = |one: crate::desk::api::Move| Step {
            address: one.address.to_string(),
            virtual_host: one.virtual_host,
            now: nobody(one.now),
            then: nobody(one.then),
        };
        let answer = |one: crate::desk::api::AnswerChange| Changed {
            title: format!("{} {}", one.name, one.kind),
            lines: records(&one.now, &one.then),
            more: 0,
        };
        let zone = |one: crate::desk::api::ZoneChange| Changed {
            title: one.zone,
            lines: records(&one.removed, &one.added),
            more: one.more,
        };
        let percent = |share: f64| format!("{share:.0} %");
        Self {
            shell,
            title,
            objects: plan.changes.into_iter().map(object).collect(),
            steps: plan.moves.into_iter().map(step).collect(),
            answers: plan.answers.into_iter().map(answer).collect(),
            compared: plan.compared,
            zones: plan.zones.into_iter().map(zone).collect(),
            shares: plan.shares.into_iter().map(|one| (one.server, percent(one.now), percent(one.then))).collect(),
            held: plan.held.into_iter().map(|one| (one.key.to_string(), one.because)).collect(),
            note: String::new(),
            edits: false,
            action: "",
            fields: Vec::new(),
            button: "Do it",
            dangerous: false,
            for_good: false,
            back: "/console/do".into(),
            preview: None,
        }
    }

    /// As an answer.
    pub(super) fn show(&self) -> Result<Response, Failure> {
        html(self)
    }
}
