//! Makes stories of entries, one after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Incident, LINGER_MS, LONGEST, Line, MOST_OPEN, Move, Trouble};
use crate::entry::Entry;

/// Signs of a fault, such as a server that is overdue, wait so long for the fault that they are a sign of.
const SIGNS_MS: u64 = 2_000;
/// Signs that wait; the oldest are forgotten.
const MOST_SIGNS: usize = 64;

/// What a story is about. Two faults of one subject at the same time are one story.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Subject {
    Server(String),
    Service { virtual_host: String, server: String },
    Path(String),
    Endpoint(String),
    Everything,
}

/// A story that is being told.
#[derive(Debug)]
struct Story {
    subject: Subject,
    incident: Incident,
    /// What is wrong with the subject still, by who says so and of what: over when empty.
    open: BTreeSet<String>,
    /// When it was declared, not began.
    declared_ms: u64,
}

impl Story {
    /// Since when nobody has served a virtual host that changes hands for the first time: who died says nothing of having let go.
    fn fault_ms(&self, host: &str) -> Option<u64> {
        let first = !self.incident.moves.iter().any(|moved| moved.virtual_host == host);
        match self.incident.trouble {
            Trouble::Died | Trouble::Hung | Trouble::CutOff | Trouble::ServiceDown | Trouble::PathDown => {
                first.then_some(self.incident.began_ms)
            }
            Trouble::SharedCause | Trouble::EndpointDown | Trouble::Refused | Trouble::Standby | Trouble::Stopped => {
                None
            }
        }
    }
}

/// A change of hands under way.
#[derive(Debug, Default)]
struct Hand {
    /// Who had it last.
    holder: Option<String>,
    /// When it was given up.
    released_ms: Option<u64>,
    /// Why it is being taken, by whom.
    taking: Option<(String, String)>,
}

/// A change of hands, or a step of one, that belongs to no story yet: its cause may be noted a moment later.
#[derive(Debug)]
struct Orphan {
    entry: Entry,
    holder: Option<String>,
    moved: Option<Move>,
}

/// Tells stories.
#[derive(Debug)]
pub struct Teller {
    heartbeat_ms: u64,
    open: Vec<Story>,
    closed: Vec<Incident>,
    hands: BTreeMap<String, Hand>,
    signs: VecDeque<Entry>,
    orphans: VecDeque<Orphan>,
}

impl Teller {
    /// `heartbeat_ms` is the interval between heartbeats: a server that was last heard at some moment died in the interval
    /// after it, in the middle of it for want of better knowledge.
    pub fn new(heartbeat_ms: u64) -> Self {
        let (signs, orphans) = (VecDeque::new(), VecDeque::new());
        Self { heartbeat_ms, open: Vec::new(), closed: Vec::new(), hands: BTreeMap::new(), signs, orphans }
    }

    /// The stories, the oldest first.
    pub fn finish(mut self) -> Vec<Incident> {
        let mut all = std::mem::take(&mut self.closed);
        all.extend(self.open.into_iter().map(|story| story.incident));
        all.sort_by(|one, other| (one.began_ms, &one.id).cmp(&(other.began_ms, &other.id)));
        all
    }

    /// The next entry, in the order of the log.
    pub fn hear(&mut self, entry: &Entry) {
        let now = entry.stamp.wall_ms;
        self.lay_down(now);
        let by = entry.stream.server.to_string();
        let server = entry.text("server").to_owned();
        match entry.kind() {
            "peer-suspected" | "holder-answers" | "one-way-loss" => self.sign(entry),
            "peer-recovered" | "one-way-healed" => {
                self.signs.retain(|sign| sign.stream.server.as_str() != by || sign.text("server") != server);
            }
            "peer-dead" if self.is_isolated(&by) => self.note(entry, &Subject::Server(by)),
            "peer-dead" => {
                let silent = entry.number("silent_ms").unwrap_or(0);
                let began = now.saturating_sub(silent.saturating_sub(self.heartbeat_ms / 2));
                self.fault(entry, Subject::Server(server), Trouble::Died, began, &format!("heard by {by}"));
            }
            "peer-left" => self.fault(entry, Subject::Server(server), Trouble::Stopped, now, "left"),
            "resigning" => self.fault(entry, Subject::Server(by), Trouble::Stopped, now, "left"),
            "overslept" => {
                let began = now.saturating_sub(entry.number("slept_ms").unwrap_or(0));
                self.fault(entry, Subject::Server(by.clone()), Trouble::Hung, began, "slept");
                self.mended(entry, &Subject::Server(by), "slept");
            }
            "isolated" => self.isolated(entry, &by),
            "rejoined" => self.mended(entry, &Subject::Server(by), "isolated"),
            "listened" => self.mended(entry, &Subject::Server(by), "left"),
            "peer-alive" => {
                self.mended(entry, &Subject::Server(server.clone()), &format!("heard by {by}"));
                self.mended(entry, &Subject::Server(server), "left");
            }
            "standby" => self.standby(entry, server),
            "monitor-changed" => self.monitor(entry, by),
            "endpoint-changed" => self.endpoint(entry, by),
            "shared-fault" => self.fault(entry, Subject::Everything, Trouble::SharedCause, now, &by),
            "shared-fault-over" => self.mended(entry, &Subject::Everything, &by),
            "path-down" | "held-down" | "holder-unreachable" => {
                let host = entry.text("virtual_host").to_owned();
                self.fault(entry, Subject::Path(host), Trouble::PathDown, now, "unseen");
            }
            "path-up" => self.mended(entry, &Subject::Path(entry.text("virtual_host").to_owned()), "unseen"),
            "take-failed" => {
                let subject = Subject::Service { virtual_host: entry.text("virtual_host").to_owned(), server: by };
                self.fault(entry, subject.clone(), Trouble::Refused, now, "refused");
                self.mended(entry, &subject, "refused");
            }
            "target-changed" | "taking" | "active" | "releasing" | "released" => self.moves(entry, &by),
            _ => {}
        }
    }

    /// Stories that ended long enough ago are closed.
    fn lay_down(&mut self, now: u64) {
        let over = |story: &Story| story.incident.ended_ms.is_some_and(|ended| now > ended.saturating_add(LINGER_MS));
        let (over, open): (Vec<Story>, Vec<Story>) = std::mem::take(&mut self.open).into_iter().partition(over);
        self.open = open;
        self.closed.extend(over.into_iter().map(|story| story.incident));
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

    /// Something is wrong with a subject from now on, until `what` is mended.
    fn fault(&mut self, entry: &Entry, subject: Subject, trouble: Trouble, began: u64, what: &str) {
        let at = match self.open.iter().position(|story| story.subject == subject) {
            Some(at) => at,
            None => self.begin(entry, subject, trouble, began),
        };
        let story = &mut self.open[at];
        story.open.insert(what.to_owned());
        let incident = &mut story.incident;
        (incident.ended_ms, incident.ended_by) = (None, None);
        let worse = joined(incident.trouble, trouble);
        if worse != incident.trouble {
            incident.trouble = worse;
            incident.cause = sentence(worse, &story.subject, &entry.message);
        }
        // What others find out later may have begun earlier; what happens long after is another turn of the same story.
        if began < incident.began_ms && entry.stamp.wall_ms <= story.declared_ms.saturating_add(SIGNS_MS) {
            incident.began_ms = began;
        }
        write(incident, entry);
    }

    fn begin(&mut self, entry: &Entry, subject: Subject, trouble: Trouble, began: u64) -> usize {
        if self.open.len() == MOST_OPEN {
            let oldest = self.open.remove(0);
            self.closed.push(oldest.incident);
        }
        let name = match &subject {
            Subject::Server(name) | Subject::Path(name) | Subject::Endpoint(name) => name.clone(),
            Subject::Service { virtual_host, .. } => virtual_host.clone(),
            Subject::Everything => "everything".to_owned(),
        };
        let mut incident = Incident {
            id: format!("{}-{}-{}", entry.stamp.wall_ms, entry.sequence, entry.stream.server),
            cause: sentence(trouble, &subject, &entry.message),
            subject: name,
            trouble,
            began_ms: began,
            ended_ms: None,
            ended_by: None,
            moves: Vec::new(),
            timeline: Vec::new(),
            more: 0,
        };
        let belongs = |sign: &Entry| match &subject {
            Subject::Server(name) => sign.text("server") == name,
            Subject::Service { virtual_host, .. } | Subject::Path(virtual_host) => {
                sign.text("virtual_host") == virtual_host
            }
            Subject::Endpoint(_) | Subject::Everything => false,
        };
        let (signs, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.signs).into_iter().partition(belongs);
        self.signs = others;
        signs.iter().for_each(|sign| write(&mut incident, sign));
        self.adopt(&subject, &mut incident);
        let declared_ms = entry.stamp.wall_ms;
        self.open.push(Story { subject, incident, open: BTreeSet::new(), declared_ms });
        self.open.len() - 1
    }

    /// What a server had and another took a moment before its stop, or its death, was noted.
    fn adopt(&mut self, subject: &Subject, incident: &mut Incident) {
        let Subject::Server(server) = subject else { return };
        let was_its = |orphan: &Orphan| {
            let cause = orphan.moved.as_ref().map_or(orphan.entry.text("cause"), |moved| &moved.cause);
            orphan.holder.as_ref() == Some(server) && matches!(cause, "server-dead" | "server-left" | "standby")
        };
        let (its, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.orphans).into_iter().partition(was_its);
        self.orphans = others;
        for orphan in its {
            write(incident, &orphan.entry);
            incident.moves.extend(orphan.moved);
        }
    }

    /// What was wrong with a subject is not any more.
    fn mended(&mut self, entry: &Entry, subject: &Subject, what: &str) {
        let Some(story) = self.open.iter_mut().find(|story| story.subject == *subject) else { return };
        if !story.open.remove(what) {
            return;
        }
        write(&mut story.incident, entry);
        if story.open.is_empty() {
            story.incident.ended_ms = Some(entry.stamp.wall_ms);
            story.incident.ended_by = Some(format!("{}: {}", entry.stream.server, entry.message));
        }
    }

    /// Who is alone has not heard the others die, but itself cut off: what it said of them a moment ago belongs to that.
    fn isolated(&mut self, entry: &Entry, by: &str) {
        let (now, heard) = (entry.stamp.wall_ms, format!("heard by {by}"));
        let is_its_own = |story: &Story| {
            story.open.iter().all(|what| *what == heard)
                && story.incident.moves.is_empty()
                && now <= story.declared_ms.saturating_add(SIGNS_MS)
        };
        let (own, open): (Vec<Story>, Vec<Story>) = std::mem::take(&mut self.open).into_iter().partition(is_its_own);
        self.open = open;
        self.fault(entry, Subject::Server(by.to_owned()), Trouble::CutOff, now, "isolated");
        let Some(story) = self.open.iter_mut().find(|story| story.subject == Subject::Server(by.to_owned())) else {
            return;
        };
        let lines = own.into_iter().flat_map(|story| story.incident.timeline);
        let timeline = &mut story.incident.timeline;
        timeline.extend(lines);
        timeline.sort_by_key(|line| line.at_ms);
        timeline.truncate(LONGEST);
    }

    fn is_isolated(&self, server: &str) -> bool {
        let alone =
            |story: &Story| story.subject == Subject::Server(server.to_owned()) && story.open.contains("isolated");
        self.open.iter().any(alone)
    }

    /// One more line of a story that is being told.
    fn note(&mut self, entry: &Entry, subject: &Subject) {
        if let Some(story) = self.open.iter_mut().find(|story| story.subject == *subject) {
            write(&mut story.incident, entry);
        }
    }

    fn standby(&mut self, entry: &Entry, server: String) {
        let subject = Subject::Server(server);
        if entry.fields.get("on").and_then(serde_json::Value::as_bool) == Some(true) {
            self.fault(entry, subject, Trouble::Standby, entry.stamp.wall_ms, "standby");
        } else {
            self.mended(entry, &subject, "standby");
        }
    }

    fn monitor(&mut self, entry: &Entry, by: String) {
        let Some(monitor) = entry.fields.get("monitor") else { return };
        let name = |field: &str| monitor.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let (virtual_host, what) = (name("virtual_host"), format!("monitor {}", name("monitor")));
        if virtual_host.is_empty() {
            // An endpoint's: `endpoint-changed` says what all servers find together.
            return;
        }
        let subject = Subject::Service { virtual_host, server: by };
        match entry.text("verdict") {
            "down" => self.fault(entry, subject, Trouble::ServiceDown, entry.stamp.wall_ms, &what),
            "up" | "degraded" => self.mended(entry, &subject, &what),
            _ => {}
        }
    }

    fn endpoint(&mut self, entry: &Entry, by: String) {
        let subject = Subject::Endpoint(entry.text("endpoint").to_owned());
        let what = format!("found by {by}");
        match entry.text("verdict") {
            "down" => self.fault(entry, subject, Trouble::EndpointDown, entry.stamp.wall_ms, &what),
            "up" | "degraded" => self.mended(entry, &subject, &what),
            _ => {}
        }
    }

    /// A virtual host changes hands, or is about to.
    fn moves(&mut self, entry: &Entry, by: &str) {
        let (host, now) = (entry.text("virtual_host").to_owned(), entry.stamp.wall_ms);
        let hand = self.hands.entry(host.clone()).or_default();
        match entry.kind() {
            "taking" => {
                hand.taking = Some((by.to_owned(), entry.text("cause").to_owned()));
                // A taking by whom it had fallen to before is no change of hands.
                if hand.holder.as_deref() == Some(by) {
                    hand.released_ms = hand.released_ms.or(Some(now));
                }
            }
            "released" if hand.holder.as_deref().is_none_or(|holder| holder == by) => {
                (hand.holder, hand.released_ms) = (Some(by.to_owned()), Some(now));
            }
            // The next one has it already: noted in the same millisecond, and in the log behind its effect.
            "released" => self.close_gap(&host, by, now),
            _ => {}
        }
        let hand = self.hands.entry(host.clone()).or_default();
        let holder = hand.holder.clone();
        let released = hand.released_ms;
        let taking = (entry.kind() == "active").then(|| {
            let cause = hand.taking.take().filter(|(who, _)| who == by).map(|(_, cause)| cause).unwrap_or_default();
            (hand.holder, hand.released_ms) = (Some(by.to_owned()), None);
            cause
        });
        let story = self.story_of(&host, holder.as_deref(), by);
        let moved = taking.map(|cause| Move {
            gap_ms: story
                .and_then(|at| self.open[at].fault_ms(&host))
                .or(released)
                .map(|began| now.saturating_sub(began)),
            virtual_host: host,
            from: holder.clone().filter(|holder| holder != by),
            to: by.to_owned(),
            at_ms: now,
            cause,
        });
        match story {
            Some(at) => {
                write(&mut self.open[at].incident, entry);
                self.open[at].incident.moves.extend(moved);
            }
            None => {
                if self.orphans.len() == MOST_SIGNS {
                    self.orphans.pop_front();
                }
                self.orphans.push_back(Orphan { entry: entry.clone(), holder, moved });
            }
        }
    }

    /// A move whose gap was not known, because it was given up "after" it was taken.
    fn close_gap(&mut self, host: &str, by: &str, now: u64) {
        let moves = self.open.iter_mut().flat_map(|story| story.incident.moves.iter_mut());
        let last = moves.filter(|moved| moved.virtual_host == host && moved.from.as_deref() == Some(by)).last();
        if let Some(moved) = last.filter(|moved| moved.gap_ms.is_none()) {
            moved.gap_ms = Some(moved.at_ms.saturating_sub(now));
        }
    }

    /// Which story a change of hands belongs to: that of its service, of its path, of the server that had it, or one in which
    /// it has moved already and moves back. The last told first.
    fn story_of(&self, host: &str, holder: Option<&str>, by: &str) -> Option<usize> {
        let of = |fits: &dyn Fn(&Story) -> bool| self.open.iter().rposition(fits);
        let is_service = |story: &Story| matches!(&story.subject, Subject::Service { virtual_host, server } if virtual_host == host && (Some(server.as_str()) == holder || server == by));
        let is_path = |story: &Story| matches!(&story.subject, Subject::Path(path) if path == host);
        let is_server =
            |story: &Story| matches!(&story.subject, Subject::Server(server) if Some(server.as_str()) == holder);
        let moved = |story: &Story| story.incident.moves.iter().any(|moved| moved.virtual_host == host);
        of(&is_service).or_else(|| of(&is_path)).or_else(|| of(&is_server)).or_else(|| of(&moved))
    }
}

fn write(incident: &mut Incident, entry: &Entry) {
    if incident.timeline.len() == LONGEST {
        incident.more += 1;
        return;
    }
    incident.timeline.push(Line {
        at_ms: entry.stamp.wall_ms,
        server: entry.stream.server.to_string(),
        level: entry.level,
        message: entry.message.clone(),
    });
}

/// What was wrong, now that this is known, too: what a server says of itself explains what its peers saw.
const fn joined(before: Trouble, now: Trouble) -> Trouble {
    match (before, now) {
        (Trouble::Died, Trouble::Hung | Trouble::CutOff | Trouble::Stopped) => now,
        (Trouble::Standby, Trouble::Died | Trouble::Hung | Trouble::CutOff | Trouble::Stopped) => now,
        _ => before,
    }
}

fn sentence(trouble: Trouble, subject: &Subject, message: &str) -> String {
    let name = match subject {
        Subject::Server(name) | Subject::Path(name) | Subject::Endpoint(name) => name.clone(),
        Subject::Service { virtual_host, server } => format!("{virtual_host} on {server}"),
        Subject::Everything => "everything".to_owned(),
    };
    match trouble {
        Trouble::Standby => format!("{name} was put on standby"),
        Trouble::Stopped => format!("{name} was stopped"),
        Trouble::Died => format!("{name} died: no peer heard it any more"),
        Trouble::Hung => format!("{name} did not run for a while"),
        Trouble::CutOff => format!("{name} was cut off from its peers"),
        Trouble::SharedCause | Trouble::ServiceDown | Trouble::EndpointDown | Trouble::PathDown | Trouble::Refused => {
            message.to_owned()
        }
    }
}
