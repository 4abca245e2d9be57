//! Who has which virtual host: changes of hands, and to which story they belong.

use std::collections::VecDeque;

use super::{
    Move,
    story::{Since, Story, Subject},
    teller::{MOST_SIGNS, Teller},
    when::When,
};
use crate::entry::Entry;

/// A change of hands under way.
#[derive(Debug, Default)]
pub(super) struct Hand {
    /// Who had it last.
    pub(super) holder: Option<String>,
    /// When it was given up.
    released: Option<When>,
    /// The machine of a dead holder had it until it was released.
    answered: bool,
    /// Why it is being taken, by whom.
    taking: Option<(String, String)>,
}

/// A change of hands, or a step of one, that belongs to no story yet: its cause may be noted a moment later.
#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) entry: Entry,
    holder: Option<String>,
    moved: Option<(Move, Since)>,
}

impl Teller {
    /// A virtual host changes hands, or is about to.
    pub(super) fn moves(&mut self, entry: &Entry, by: &str) {
        let (host, now) = (entry.text("virtual_host").to_owned(), entry.stamp.wall_ms);
        let pause = self.heartbeat_ms / 4;
        let hand = self.hands.entry(host.clone()).or_default();
        match entry.kind() {
            "taking" => {
                hand.taking = Some((by.to_owned(), entry.text("cause").to_owned()));
                if let Some(unanswered) = entry.number("unanswered_ms") {
                    (hand.released, hand.answered) = (Some(When::around(now.saturating_sub(unanswered), pause)), true);
                } else if hand.holder.as_deref() == Some(by) {
                    // A taking by whom it had fallen to before is no change of hands.
                    hand.released = hand.released.or(Some(When::at(now)));
                }
            }
            "released" if hand.holder.as_deref().is_none_or(|holder| holder == by) => {
                (hand.holder, hand.released) = (Some(by.to_owned()), Some(When::at(now)));
            }
            // The next one has it already: noted in the same millisecond, and in the log behind its effect.
            "released" => self.close_gap(&host, by, now),
            _ => {}
        }
        let hand = self.hands.entry(host.clone()).or_default();
        let (holder, released, answered) = (hand.holder.clone(), hand.released, hand.answered);
        let taken = (entry.kind() == "active").then(|| {
            let cause = hand.taking.take().filter(|(who, _)| who == by).map(|(_, cause)| cause).unwrap_or_default();
            (hand.holder, hand.released, hand.answered) = (Some(by.to_owned()), None, false);
            cause
        });
        let story = self.story_of(&host, holder.as_deref(), by);
        let moved = taken.map(|cause| {
            let since = match released {
                Some(when) if answered => Since::Known(when),
                _ if story.is_some_and(|at| self.open[at].has_lost(&host)) => Since::Fault,
                Some(when) => Since::Known(when),
                None => Since::Unknown,
            };
            let from = holder.clone().filter(|holder| holder != by);
            let (to, at_ms) = (by.to_owned(), now);
            (Move { virtual_host: host, from, to, at_ms, gap_ms: None, gap_within_ms: 0, cause }, since)
        });
        match story {
            Some(at) => {
                self.open[at].write(entry);
                if let Some((moved, since)) = moved {
                    self.open[at].moved(moved, since);
                }
            }
            None => {
                if self.orphans.len() == MOST_SIGNS {
                    self.orphans.pop_front();
                }
                self.orphans.push_back(Orphan { entry: entry.clone(), holder, moved });
            }
        }
    }

    /// A server's guardian says that it has nothing any more.
    pub(super) fn let_go(&mut self, server: &str, now: u64) {
        for hand in self.hands.values_mut().filter(|hand| hand.holder.as_deref() == Some(server)) {
            hand.released = hand.released.or(Some(When::at(now)));
        }
    }

    /// What a server has.
    pub(super) fn held_by(&self, server: &str) -> Vec<&str> {
        let its = self.hands.iter().filter(|(_, hand)| hand.holder.as_deref() == Some(server));
        its.map(|(host, _)| host.as_str()).collect()
    }

    /// A move whose gap was not known, because it was given up "after" it was taken.
    fn close_gap(&mut self, host: &str, by: &str, now: u64) {
        if let Some(since) = self.open.iter_mut().filter_map(|story| story.unknown_gap(host, by)).last() {
            *since = Since::Known(When::at(now));
        }
    }

    /// What a server had and another took a moment before its stop, or its death, was noted.
    pub(super) fn adopt(&mut self, story: &mut Story) {
        let Subject::Server(server) = &story.subject else { return };
        let was_its = |orphan: &Orphan| {
            let cause = orphan.moved.as_ref().map_or(orphan.entry.text("cause"), |(moved, _)| &moved.cause);
            orphan.holder.as_ref() == Some(server) && matches!(cause, "server-dead" | "server-left" | "standby")
        };
        let (its, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.orphans).into_iter().partition(was_its);
        self.orphans = others;
        for orphan in its {
            story.write(&orphan.entry);
            if let Some((moved, since)) = orphan.moved {
                let lost = since == Since::Unknown && story.has_lost(&moved.virtual_host);
                story.moved(moved, if lost { Since::Fault } else { since });
            }
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
