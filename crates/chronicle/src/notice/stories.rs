//! The incidents as they are now, followed from one telling to the next although their ids may change: who was cut off knows of an
//! earlier entry than the others, and tells it when it is back.

use std::collections::{BTreeMap, BTreeSet};

use model::{Instant, digest::digest64, notice::Severity};

use super::{MOST_STORIES, Now};
use crate::incident::{Incident, Trouble};

/// Incidents that ended longer ago are not followed.
const KEPT_MS: u64 = 7 * 24 * 3_600_000;

/// One incident.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub incident: Incident,
    /// How much it matters, or did when it was worst.
    pub severity: Severity,
    /// Since when it is known here.
    pub seen: Instant,
    /// Since when it is known here to be over.
    pub over: Option<Instant>,
}

impl Story {
    /// What of it is worth an update.
    pub(super) fn content(&self) -> String {
        let incident = &self.incident;
        let mut words = vec![format!("{:?}", incident.trouble), self.severity.word().to_owned()];
        words.extend(incident.moves.iter().map(|moved| format!("{}>{}@{}", moved.virtual_host, moved.to, moved.at_ms)));
        words.push(if incident.ended_ms.is_some() { "over" } else { "open" }.to_owned());
        format!("{:016x}", digest64(&words.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// Everybody whom it names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let moves = self.incident.moves.iter();
        let moved = moves.flat_map(|it| [Some(&it.virtual_host), it.from.as_ref(), Some(&it.to)].into_iter().flatten());
        std::iter::once(&self.incident.subject).chain(moved).map(String::as_str)
    }
}

/// All that are followed.
#[derive(Debug, Default)]
pub(super) struct Stories {
    all: Vec<Story>,
    /// Which of them have a line of that millisecond: their numbers.
    lines: BTreeMap<u64, Vec<usize>>,
}

impl Stories {
    pub(super) fn all(&self) -> &[Story] {
        &self.all
    }

    /// What the log tells now.
    pub(super) fn tell(&mut self, now: Now, mut incidents: Vec<Incident>, unserved: &BTreeSet<&str>) {
        incidents.retain(|it| it.ended_ms.is_none_or(|ended| ended.saturating_add(KEPT_MS) >= now.wall_ms));
        incidents.drain(..incidents.len().saturating_sub(MOST_STORIES));
        let before = std::mem::take(self);
        for incident in incidents {
            let known = before.all.iter().find(|old| old.incident.id == incident.id);
            let known = known.or_else(|| before.all.iter().find(|old| has_line(&incident, &old.incident.id)));
            let severity = severity(&incident, unserved).max(known.map_or(Severity::Info, |old| old.severity));
            let over = incident.ended_ms.map(|_| known.and_then(|old| old.over).unwrap_or(now.at));
            for line in &incident.timeline {
                let stories = self.lines.entry(line.at_ms).or_default();
                if stories.last() != Some(&self.all.len()) {
                    stories.push(self.all.len());
                }
            }
            self.all.push(Story { severity, seen: known.map_or(now.at, |old| old.seen), over, incident });
        }
    }

    /// What is not over matters as much as what nobody serves because of it.
    pub(super) fn raise(&mut self, unserved: &BTreeSet<&str>) {
        for story in self.all.iter_mut().filter(|story| story.over.is_none()) {
            story.severity = story.severity.max(severity(&story.incident, unserved));
        }
    }

    /// The number of the story that an id means now.
    pub(super) fn owner(&self, id: &str) -> Option<usize> {
        let candidates = self.lines.get(&wall_ms(id)?)?;
        let exact = candidates.iter().find(|number| self.all[**number].incident.id == id);
        exact.or_else(|| candidates.iter().find(|number| has_line(&self.all[**number].incident, id))).copied()
    }
}

/// When the entry was noted that an incident's id names.
pub(super) fn wall_ms(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}

/// Whether an incident has the entry that an id names.
fn has_line(incident: &Incident, id: &str) -> bool {
    let mut parts = id.splitn(3, '-');
    let (at, server) = (parts.next().and_then(|at| at.parse::<u64>().ok()), parts.nth(1));
    let (Some(at), Some(server)) = (at, server) else { return false };
    incident.timeline.iter().any(|line| line.at_ms == at && line.server == server)
}

/// How much an incident matters, given which virtual hosts nobody serves.
pub(super) fn severity(incident: &Incident, unserved: &BTreeSet<&str>) -> Severity {
    let critical_if = |condition: bool| if condition { Severity::Critical } else { Severity::Warning };
    match incident.trouble {
        Trouble::Standby | Trouble::Stopped => Severity::Info,
        Trouble::SharedCause | Trouble::PathDown | Trouble::Refused => Severity::Critical,
        Trouble::ServiceDown => critical_if(incident.ended_ms.is_none() && unserved.contains(&*incident.subject)),
        Trouble::DaemonDied | Trouble::Died | Trouble::Hung | Trouble::CutOff => {
            critical_if(incident.ended_ms.is_none() && !unserved.is_empty())
        }
        Trouble::Degraded | Trouble::EndpointDown => Severity::Warning,
    }
}
