//! Makes stories of entries, one after the other.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::{
    Incident, LINGER_MS, MOST_OPEN, Trouble,
    hands::{Hand, Orphan},
    story::{Story, Subject, Witness},
    when::When,
};
use crate::entry::Entry;

/// Signs of a fault, such as a server that is overdue, wait so long for the fault that they are a sign of.
pub(super) const SIGNS_MS: u64 = 2_000;
/// Answers that changed so shortly before a fault was noted changed because of it.
const ANSWERS_MS: u64 = 300;
/// Signs that wait; the oldest are forgotten.
pub(super) const MOST_SIGNS: usize = 64;

/// Tells stories.
#[derive(Debug)]
pub struct Teller {
    pub(super) heartbeat_ms: u64,
    pub(super) open: Vec<Story>,
    closed: Vec<Incident>,
    pub(super) hands: BTreeMap<String, Hand>,
    signs: VecDeque<Entry>,
    pub(super) orphans: VecDeque<Orphan>,
    /// Who has lately taken whom for dead, and when.
    pub(super) accusations: Vec<(u64, String, String)>,
}

impl Teller {
    /// `heartbeat_ms` is the interval between heartbeats: a server that was last heard at some moment died in the interval
    /// after it, in the middle of it for want of better knowledge.
    pub fn new(heartbeat_ms: u64) -> Self {
        Self {
            heartbeat_ms,
            open: Vec::new(),
            closed: Vec::new(),
            hands: BTreeMap::new(),
            signs: VecDeque::new(),
            orphans: VecDeque::new(),
            accusations: Vec::new(),
        }
    }

    /// The stories, the oldest first.
    pub fn finish(mut self) -> Vec<Incident> {
        let mut all = std::mem::take(&mut self.closed);
        all.extend(self.open.into_iter().map(Story::into_incident));
        all.sort_by(|one, other| (one.began_ms, &one.id).cmp(&(other.began_ms, &other.id)));
        all
    }

    /// The next entry, in the order of the log.
    pub fn hear(&mut self, entry: &Entry) {
        let now = entry.stamp.wall_ms;
        self.lay_down(now);
        let (by, server) = (entry.stream.server.to_string(), entry.text("server").to_owned());
        let at = When::at(now);
        match entry.kind() {
            "peer-suspected" | "holder-answers" | "one-way-loss" => self.sign(entry),
            "peer-refused" => self.refused(entry, server),
            "peer-recovered" | "one-way-healed" => {
                self.signs.retain(|sign| sign.stream.server.as_str() != by || sign.text("server") != server);
            }
            "peer-dead" => self.dead(entry, &by, server),
            "peer-left" => self.left(entry, server),
            "daemon-ended" => self.ended(entry, by),
            "resigning" => self.fault(entry, Subject::Server(by), Trouble::Stopped, (at, Witness::Itself), "left"),
            "overslept" => self.overslept(entry, by),
            "isolated" => self.isolated(entry, &by),
            "rejoined" => self.mended(entry, &Subject::Server(by), "isolated", at),
            "listened" => self.mended(entry, &Subject::Server(by), "left", at),
            "peer-alive" => {
                self.mended(entry, &Subject::Server(server.clone()), &format!("heard by {by}"), at);
                self.mended(entry, &Subject::Server(server), "left", at);
            }
            "standby" => self.standby(entry, server),
            "monitor-changed" => self.monitor(entry, by),
            "endpoint-changed" => self.endpoint(entry, by),
            "shared-fault" => {
                self.fault(entry, Subject::Everything, Trouble::SharedCause, (at, Witness::Others), &by);
            }
            "shared-fault-over" => self.mended(entry, &Subject::Everything, &by, at),
            "path-down" | "held-down" | "holder-unreachable" => {
                let host = entry.text("virtual_host").to_owned();
                self.fault(entry, Subject::Path(host), Trouble::PathDown, (at, Witness::Others), "unseen");
            }
            "path-up" => self.mended(entry, &Subject::Path(entry.text("virtual_host").to_owned()), "unseen", at),
            "take-failed" => {
                let subject = Subject::Service { virtual_host: entry.text("virtual_host").to_owned(), server: by };
                self.fault(entry, subject.clone(), Trouble::Refused, (at, Witness::Others), "refused");
                self.mended(entry, &subject, "refused", at);
            }
            "target-changed" | "taking" | "active" | "releasing" | "released" => self.moves(entry, &by),
            "answers-changed" => self.answers(entry),
            _ => {}
        }
    }

    /// Stories that ended long enough ago are closed.
    fn lay_down(&mut self, now: u64) {
        let over = |story: &Story| story.is_past(now, LINGER_MS);
        let (over, open): (Vec<Story>, Vec<Story>) = std::mem::take(&mut self.open).into_iter().partition(over);
        self.open = open;
        self.closed.extend(over.into_iter().map(Story::into_incident));
        while self.signs.front().is_some_and(|sign| now > sign.stamp.wall_ms.saturating_add(SIGNS_MS)) {
            self.signs.pop_front();
        }
        while self.orphans.front().is_some_and(|orphan| now > orphan.entry.stamp.wall_ms.saturating_add(SIGNS_MS)) {
            self.orphans.pop_front();
        }
    }

    fn sign(&mut self, entry: &Entry) {
        if self.signs.len() == MOST_SIGNS {
            self.signs.pop_front();
        }
        self.signs.push_back(entry.clone());
    }

    /// Something is wrong with a subject from a time on, until `what` is mended.
    pub(super) fn fault(
        &mut self,
        entry: &Entry,
        subject: Subject,
        trouble: Trouble,
        began: (When, Witness),
        what: &str,
    ) {
        let at = match self.open.iter().position(|story| story.subject == subject) {
            Some(at) => at,
            None => self.begin(entry, subject, trouble, began.0),
        };
        let story = &mut self.open[at];
        story.worsen(entry, trouble, what);
        story.learn(entry.stamp.wall_ms, began.0, began.1);
        story.write(entry);
    }

    fn begin(&mut self, entry: &Entry, subject: Subject, trouble: Trouble, began: When) -> usize {
        if self.open.len() == MOST_OPEN {
            let oldest = self.open.remove(0);
            self.closed.push(oldest.into_incident());
        }
        let mut story = Story::new(entry, subject, trouble, began);
        let mut names = vec![story.subject.name()];
        if let Subject::Server(server) = &story.subject {
            names.extend(self.held_by(server));
        }
        let now = entry.stamp.wall_ms;
        let belongs = |sign: &Entry| match (sign.kind(), &story.subject) {
            // Not what changed before it began: that was for another reason.
            ("answers-changed", _) => {
                let at_ms = sign.stamp.wall_ms.saturating_sub(sign.number("ago_ms").unwrap_or(0));
                let lately = now <= sign.stamp.wall_ms + ANSWERS_MS;
                // Who has lost its link lets go, and answers less, a moment before it knows that it is cut off.
                let its_own = trouble == Trouble::CutOff
                    && names.first().is_some_and(|name| *name == sign.stream.server.as_str());
                let because = lately || members(sign).iter().any(|name| names.contains(name));
                lately && its_own || began.is_possible_by(at_ms) && because
            }
            (_, Subject::Server(name)) => sign.text("server") == name,
            (_, Subject::Service { virtual_host, .. } | Subject::Path(virtual_host)) => {
                sign.text("virtual_host") == virtual_host
            }
            (_, Subject::Endpoint(_) | Subject::Everything) => false,
        };
        let (signs, others): (Vec<_>, Vec<_>) = self.signs.iter().cloned().partition(belongs);
        self.signs = others.into();
        for sign in &signs {
            match sign.kind() {
                "answers-changed" => story.answered(sign),
                "peer-refused" => {
                    story.learn(now, When::before(sign.stamp.wall_ms), Witness::Others);
                    story.write(sign);
                }
                _ => story.write(sign),
            }
        }
        self.adopt(&mut story);
        self.open.push(story);
        self.open.len() - 1
    }

    /// What was wrong with a subject is not any more.
    fn mended(&mut self, entry: &Entry, subject: &Subject, what: &str, when: When) {
        let Some(story) = self.open.iter_mut().find(|story| story.subject == *subject) else { return };
        if !story.open.remove(what) {
            return;
        }
        story.write(entry);
        if story.open.is_empty() {
            story.end(entry, when);
        }
    }

    /// A peer was silent for the detection time. It died after its last heartbeat and before the next one was due.
    fn dead(&mut self, entry: &Entry, by: &str, server: String) {
        let heard = entry.stamp.wall_ms.saturating_sub(entry.number("silent_ms").unwrap_or(0));
        let began = When::between(heard, heard.saturating_add(self.heartbeat_ms));
        let alone = Subject::Server(by.to_owned());
        if self.is_isolated(by) {
            // Who is alone does not hear the others; it is as good a witness of when that began.
            if let Some(story) = self.open.iter_mut().find(|story| story.subject == alone) {
                story.learn(entry.stamp.wall_ms, began, Witness::Others);
                story.write(entry);
            }
            return;
        }
        self.accusations.retain(|(at, ..)| entry.stamp.wall_ms <= at.saturating_add(SIGNS_MS));
        self.accusations.push((entry.stamp.wall_ms, by.to_owned(), server.clone()));
        let what = format!("heard by {by}");
        self.fault(entry, Subject::Server(server.clone()), Trouble::Died, (began, Witness::Others), &what);
        self.reconcile(entry, by, &server);
    }

    /// A machine says that nobody listens there any more: whoever did is gone by then.
    fn refused(&mut self, entry: &Entry, server: String) {
        let (now, subject) = (entry.stamp.wall_ms, Subject::Server(server));
        match self.open.iter_mut().find(|story| story.subject == subject && !story.open.is_empty()) {
            Some(story) => {
                story.learn(now, When::before(now), Witness::Others);
                story.write(entry);
            }
            None => self.sign(entry),
        }
    }

    /// A peer said goodbye, or its guardian did in its place.
    fn left(&mut self, entry: &Entry, server: String) {
        let now = entry.stamp.wall_ms;
        let planned = entry.fields.get("planned").and_then(Value::as_bool).unwrap_or(true);
        let (trouble, began) = if planned {
            (Trouble::Stopped, When::at(now))
        } else {
            self.let_go(&server, now);
            let silent = entry.number("silent_ms").unwrap_or(0);
            (Trouble::DaemonDied, When::between(now.saturating_sub(silent), now))
        };
        self.fault(entry, Subject::Server(server), trouble, (began, Witness::Others), "left");
    }

    /// A server's daemon had ended without having been told to, and runs again.
    fn ended(&mut self, entry: &Entry, by: String) {
        let ago = |field: &str| entry.number(field).map(|ago| entry.stamp.wall_ms.saturating_sub(ago));
        let trouble = if entry.text("how") == "hung" { Trouble::Hung } else { Trouble::DaemonDied };
        let ended = ago("ended_ms").unwrap_or(entry.stamp.wall_ms);
        let began = When::around(ended, entry.number("within_ms").unwrap_or(0));
        let subject = Subject::Server(by.clone());
        self.fault(entry, subject.clone(), trouble, (began, Witness::Itself), "left");
        let story = self.open.iter_mut().find(|story| story.subject == subject);
        if let Some((story, released)) = story.zip(ago("released_ms")) {
            story.released(&by, released);
        }
    }

    /// A server slept from some moment after its last heartbeat on.
    fn overslept(&mut self, entry: &Entry, by: String) {
        let now = entry.stamp.wall_ms;
        let spoke = now.saturating_sub(entry.number("slept_ms").unwrap_or(0));
        let began = When::between(spoke, spoke.saturating_add(self.heartbeat_ms));
        // Its peers may have found it dead long ago.
        let at = self.open.iter().position(|story| story.subject == Subject::Server(by.clone()));
        let began = at.map_or(began, |at| self.open[at].began.and(began));
        self.fault(entry, Subject::Server(by.clone()), Trouble::Hung, (began, Witness::Itself), "slept");
        self.mended(entry, &Subject::Server(by), "slept", When::at(now));
    }

    fn standby(&mut self, entry: &Entry, server: String) {
        let (subject, at) = (Subject::Server(server), When::at(entry.stamp.wall_ms));
        if entry.fields.get("on").and_then(Value::as_bool) == Some(true) {
            self.fault(entry, subject, Trouble::Standby, (at, Witness::Itself), "standby");
        } else {
            self.mended(entry, &subject, "standby", at);
        }
    }

    fn monitor(&mut self, entry: &Entry, by: String) {
        let Some(monitor) = entry.fields.get("monitor") else { return };
        let name = |field: &str| monitor.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (virtual_host, what) = (name("virtual_host"), format!("monitor {}", name("monitor")));
        if virtual_host.is_empty() {
            // An endpoint's: `endpoint-changed` says what all servers find together, and this one since when.
            return self.sign(entry);
        }
        let counts = entry.fields.get("counts").and_then(Value::as_bool).unwrap_or(true);
        let stays = (counts && self.held_by(&by).contains(&virtual_host.as_str())).then(|| virtual_host.clone());
        let (subject, when) = (Subject::Service { virtual_host, server: by }, found(entry));
        match entry.text("verdict") {
            "down" => {
                self.fault(entry, subject.clone(), Trouble::ServiceDown, (when, Witness::Others), &what);
                // Until it moves.
                let story = self.open.iter_mut().find(|story| story.subject == subject);
                story.into_iter().for_each(|story| story.incident.stayed = stays.clone());
            }
            "degraded" => self.fault(entry, subject, Trouble::Degraded, (when, Witness::Others), &what),
            "up" => self.mended(entry, &subject, &what, when),
            _ => {}
        }
    }

    fn endpoint(&mut self, entry: &Entry, by: String) {
        let (name, down) = (entry.text("endpoint").to_owned(), entry.text("verdict") == "down");
        let of_it = |sign: &&Entry| {
            let endpoint =
                sign.fields.get("monitor").and_then(|monitor| monitor.get("endpoint")).and_then(Value::as_str);
            endpoint == Some(&name) && (sign.text("verdict") == "down") == down
        };
        let witnessed = self.signs.iter().filter(of_it).map(found).reduce(When::and);
        let when = witnessed.unwrap_or(When::at(entry.stamp.wall_ms));
        // Who is cut off from its peers may be cut off from endpoints, too.
        let alone =
            |story: &Story| story.incident.trouble == Trouble::CutOff && story.subject == Subject::Server(by.clone());
        if let Some(story) = self.open.iter_mut().find(|story| alone(story)).filter(|_| down) {
            return story.write(entry);
        }
        let (subject, what) = (Subject::Endpoint(name), format!("found by {by}"));
        match entry.text("verdict") {
            "down" => self.fault(entry, subject, Trouble::EndpointDown, (when, Witness::Others), &what),
            "up" | "degraded" => self.mended(entry, &subject, &what, when),
            _ => {}
        }
    }

    /// What clients are answered has changed: for what moved or failed, or for what happened last.
    fn answers(&mut self, entry: &Entry) {
        let (now, names) = (entry.stamp.wall_ms, members(entry));
        let concerned = self.open.iter().rposition(|story| story.concerns(&names));
        let lately = |story: &&Story| now <= story.touched_ms.saturating_add(SIGNS_MS);
        let last = || self.open.iter().filter(lately).map(|story| story.touched_ms).max();
        let story = concerned.or_else(|| last().and_then(|at| self.open.iter().rposition(|one| one.touched_ms == at)));
        match story {
            Some(at) => self.open[at].answered(entry),
            None => self.sign(entry),
        }
    }
}

/// Since when a monitor has been as it is found.
fn found(entry: &Entry) -> When {
    let since = entry.number("since_ms").unwrap_or(0);
    When::around(entry.stamp.wall_ms.saturating_sub(since), entry.number("within_ms").unwrap_or(0))
}

/// Whose addresses came into answers, or went out of them.
fn members(entry: &Entry) -> Vec<&str> {
    let names = entry.fields.get("members").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}
