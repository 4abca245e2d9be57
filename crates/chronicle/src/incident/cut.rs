//! Who is cut off, though others take it for dead, or it takes the others for dead.

use super::{
    LONGEST, Trouble, answers,
    story::{Story, Subject, Witness},
    teller::{SIGNS_MS, Teller},
    when::When,
};
use crate::entry::Entry;

impl Teller {
    /// Two servers that each take the other for dead both live, and the network between them is broken. Cut off is whom more of the
    /// others do not hear; where that does not tell, who does not hear more of them.
    pub(super) fn reconcile(&mut self, entry: &Entry, by: &str, server: &str) {
        let is = |one: &str, other: &str| self.accusations.iter().any(|(_, by, of)| by == one && of == other);
        if !is(server, by) {
            return;
        }
        let weight = |name: &str| {
            let unheard = self.accusations.iter().filter(|(_, _, of)| of == name).count();
            let deaf = self.accusations.iter().filter(|(_, by, _)| by == name).count();
            (unheard, deaf)
        };
        let (cut, well) = if weight(by) > weight(server) { (by, server) } else { (server, by) };
        self.cut_off(entry, cut, &format!("heard by {well}"));
    }

    /// A server says that it hears nobody, or too few.
    pub(super) fn isolated(&mut self, entry: &Entry, by: &str) {
        self.cut_off(entry, by, "isolated");
    }

    /// Who is cut off has not heard the others die, but itself cut off: what it said of them a moment ago belongs to that.
    fn cut_off(&mut self, entry: &Entry, server: &str, what: &str) {
        let (now, heard) = (entry.stamp.wall_ms, format!("heard by {server}"));
        let is_its_own = |story: &Story| {
            !story.open.is_empty()
                && story.open.iter().all(|what| *what == heard)
                && story.incident.moves.is_empty()
                && now <= story.declared_ms.saturating_add(SIGNS_MS)
        };
        let (own, open): (Vec<Story>, Vec<Story>) = std::mem::take(&mut self.open).into_iter().partition(is_its_own);
        self.open = open;
        let began = own.iter().map(|story| story.began).reduce(When::and).unwrap_or(When::at(now));
        let subject = Subject::Server(server.to_owned());
        self.fault(entry, subject.clone(), Trouble::CutOff, (began, Witness::Others), what);
        let Some(story) = self.open.iter_mut().find(|story| story.subject == subject) else { return };
        let incident = &mut story.incident;
        for one in own {
            incident.timeline.extend(one.incident.timeline);
            answers::merge(&mut incident.answers, one.incident.answers);
            incident.also_known_as.push(one.incident.id);
        }
        incident.timeline.sort_by_key(|line| line.at_ms);
        // Of an entry that began a story of its own there are two lines.
        incident.timeline.dedup();
        incident.timeline.truncate(LONGEST);
    }

    pub(super) fn is_isolated(&self, server: &str) -> bool {
        let alone =
            |story: &Story| story.subject == Subject::Server(server.to_owned()) && story.open.contains("isolated");
        self.open.iter().any(alone)
    }
}
