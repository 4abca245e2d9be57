//! One story while it is told.

use std::collections::BTreeSet;

use super::{Incident, LONGEST, Line, Move, Trouble, answers, when::When};
use crate::entry::Entry;

/// What was witnessed so long after a fault was declared is another turn of the same story.
const TURN_MS: u64 = 2_000;
/// Ids that a story may have on servers that know less of it.
const MOST_IDS: usize = 16;
/// Who says so late that its addresses were gone then does not speak of these moves.
const RELEASE_MS: u64 = 5_000;

/// What a story is about. Two faults of one subject at the same time are one story.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Subject {
    Server(String),
    Service { virtual_host: String, server: String },
    Path(String),
    Endpoint(String),
    Everything,
}

impl Subject {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Server(name) | Self::Path(name) | Self::Endpoint(name) => name,
            Self::Service { virtual_host, .. } => virtual_host,
            Self::Everything => "everything",
        }
    }
}

/// Who says when something began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Witness {
    /// Whom it happened to: it knows best.
    Itself,
    /// Others, who saw what followed from it.
    Others,
}

/// Since when nobody served a virtual host that moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Since {
    /// Since the fault: who died says nothing of having let go.
    Fault,
    /// Since then: it was let go, or ceased to answer.
    Known(When),
    Unknown,
}

/// A story that is being told.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) subject: Subject,
    pub(super) incident: Incident,
    /// What is wrong with the subject still, by who says so and of what: over when empty.
    pub(super) open: BTreeSet<String>,
    /// When it was declared, not began.
    pub(super) declared_ms: u64,
    /// The last line's time.
    pub(super) touched_ms: u64,
    pub(super) began: When,
    /// When the entry was noted that ended it.
    over_ms: u64,
    /// For each move.
    since: Vec<Since>,
}

impl Story {
    pub(super) fn new(entry: &Entry, subject: Subject, trouble: Trouble, began: When) -> Self {
        let incident = Incident {
            id: id(entry),
            also_known_as: Vec::new(),
            cause: sentence(trouble, &subject, entry),
            subject: subject.name().to_owned(),
            trouble,
            began_ms: began.middle(),
            began_within_ms: began.within(),
            ended_ms: None,
            ended_within_ms: 0,
            ended_by: None,
            moves: Vec::new(),
            stayed: None,
            answers: Vec::new(),
            timeline: Vec::new(),
            more: 0,
        };
        let (open, declared_ms) = (BTreeSet::new(), entry.stamp.wall_ms);
        Self { subject, incident, open, declared_ms, touched_ms: declared_ms, began, over_ms: 0, since: Vec::new() }
    }

    /// Somebody else has noted that something is wrong with the subject.
    pub(super) fn worsen(&mut self, entry: &Entry, trouble: Trouble, what: &str) {
        self.open.insert(what.to_owned());
        let own = id(entry);
        let incident = &mut self.incident;
        (incident.ended_ms, incident.ended_within_ms, incident.ended_by) = (None, 0, None);
        if !incident.is_called(&own) && incident.also_known_as.len() < MOST_IDS {
            incident.also_known_as.push(own);
        }
        let worse = joined(incident.trouble, trouble);
        if worse != incident.trouble {
            incident.trouble = worse;
            incident.cause = sentence(worse, &self.subject, entry);
        }
    }

    /// Another witness of the beginning. What happens long after it was declared is another turn of the same story.
    pub(super) fn learn(&mut self, now_ms: u64, began: When, witness: Witness) {
        if now_ms > self.declared_ms.saturating_add(TURN_MS) && witness == Witness::Others {
            return;
        }
        self.began = match witness {
            Witness::Itself if began.middle() <= self.declared_ms => began,
            Witness::Itself => self.began,
            Witness::Others => self.began.and(began),
        };
    }

    /// Over since then.
    pub(super) fn end(&mut self, entry: &Entry, ended: When) {
        self.incident.ended_ms = Some(ended.middle());
        self.incident.ended_within_ms = ended.within();
        self.over_ms = entry.stamp.wall_ms;
        self.incident.ended_by = Some(format!("{}: {}", entry.stream.server, entry.message));
    }

    /// Whether it is over, and was noted to be so `linger` milliseconds before.
    pub(super) fn is_past(&self, now_ms: u64, linger: u64) -> bool {
        self.incident.ended_ms.is_some() && now_ms > self.over_ms.saturating_add(linger)
    }

    /// Whether a virtual host that changes hands now for the first time was lost with the fault.
    pub(super) fn has_lost(&self, host: &str) -> bool {
        let first = !self.incident.moves.iter().any(|moved| moved.virtual_host == host);
        match self.incident.trouble {
            Trouble::Died | Trouble::Hung | Trouble::CutOff | Trouble::ServiceDown | Trouble::PathDown => first,
            Trouble::SharedCause
            | Trouble::EndpointDown
            | Trouble::Refused
            | Trouble::Standby
            | Trouble::Stopped
            | Trouble::Degraded
            | Trouble::DaemonDied => false,
        }
    }

    pub(super) fn moved(&mut self, moved: Move, since: Since) {
        self.incident.moves.push(moved);
        self.since.push(since);
    }

    /// The last move of a virtual host from a server, where it is not known since when nobody served it.
    pub(super) fn unknown_gap(&mut self, host: &str, from: &str) -> Option<&mut Since> {
        let moves = self.incident.moves.iter().zip(&mut self.since).rev();
        let mut of_it = moves.filter(|(moved, _)| moved.virtual_host == host && moved.from.as_deref() == Some(from));
        of_it.next().map(|(_, since)| since).filter(|since| **since == Since::Unknown)
    }

    /// A server says when its addresses were gone.
    pub(super) fn released(&mut self, server: &str, at_ms: u64) {
        for (moved, since) in self.incident.moves.iter().zip(&mut self.since) {
            if moved.from.as_deref() == Some(server) && moved.at_ms.abs_diff(at_ms) < RELEASE_MS {
                *since = Since::Known(When::at(at_ms));
            }
        }
    }

    /// Whether it is about one of these names, or one of them moved in it.
    pub(super) fn concerns(&self, names: &[&str]) -> bool {
        names.contains(&self.subject.name())
            || self.incident.moves.iter().any(|moved| names.contains(&moved.virtual_host.as_str()))
    }

    /// What clients are answered has changed.
    pub(super) fn answered(&mut self, entry: &Entry) {
        if answers::note(&mut self.incident.answers, entry) {
            self.write(entry);
        }
    }

    pub(super) fn write(&mut self, entry: &Entry) {
        self.touched_ms = entry.stamp.wall_ms;
        let line = Line {
            at_ms: entry.stamp.wall_ms,
            server: entry.stream.server.to_string(),
            level: entry.level,
            message: entry.message.clone(),
        };
        let timeline = &mut self.incident.timeline;
        match () {
            // What begins a story and ends it at once.
            () if timeline.last() == Some(&line) => {}
            () if timeline.len() == LONGEST => self.incident.more += 1,
            () => timeline.push(line),
        }
    }

    /// As far as it is known.
    pub(super) fn into_incident(self) -> Incident {
        let Self { mut incident, began, since, .. } = self;
        (incident.began_ms, incident.began_within_ms) = (began.middle(), began.within());
        incident.stayed = incident.stayed.filter(|_| incident.moves.is_empty());
        for (moved, since) in incident.moves.iter_mut().zip(since) {
            let from = match since {
                Since::Fault => began,
                Since::Known(when) => when,
                Since::Unknown => continue,
            };
            // Of two clocks the later one may tell of the cause.
            moved.gap_ms = Some(moved.at_ms.saturating_sub(from.middle()));
            moved.gap_within_ms = from.within();
        }
        incident
    }
}

fn id(entry: &Entry) -> String {
    format!("{}-{}-{}", entry.stamp.wall_ms, entry.sequence, entry.stream.server)
}

/// What was wrong, now that this is known, too: what a server says of itself explains what its peers saw.
const fn joined(before: Trouble, now: Trouble) -> Trouble {
    match (before, now) {
        (Trouble::Died, Trouble::Hung | Trouble::CutOff | Trouble::Stopped | Trouble::DaemonDied) => now,
        (Trouble::DaemonDied, Trouble::Hung | Trouble::Stopped) => now,
        (Trouble::Degraded, Trouble::ServiceDown) => now,
        (
            Trouble::Standby,
            Trouble::Died | Trouble::Hung | Trouble::CutOff | Trouble::Stopped | Trouble::DaemonDied,
        ) => now,
        _ => before,
    }
}

fn sentence(trouble: Trouble, subject: &Subject, entry: &Entry) -> String {
    let name = subject.name();
    match trouble {
        Trouble::Standby => format!("{name} was put on standby"),
        Trouble::Stopped => format!("{name} was stopped"),
        Trouble::DaemonDied => format!("the daemon of {name} ended by itself: its guardian handed over"),
        Trouble::Died => format!("{name} died: no peer heard it any more"),
        Trouble::Hung if entry.kind() == "daemon-ended" => {
            format!("the daemon of {name} hung: its guardian killed it and handed over")
        }
        Trouble::Hung => format!("{name} did not run for a while"),
        Trouble::CutOff => format!("{name} was cut off from its peers"),
        Trouble::Degraded
        | Trouble::SharedCause
        | Trouble::ServiceDown
        | Trouble::EndpointDown
        | Trouble::PathDown
        | Trouble::Refused => entry.message.clone(),
    }
}
