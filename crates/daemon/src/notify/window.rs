//! What of the cluster's log matters for notifications: the last [`MOST`] entries of which incidents are made, or that say what was
//! told, in the order of the log. Older ones are let go.
//!
//! Entries come in the order of their arrival, which is another one; so the stories are told anew where something came.

use std::{collections::BTreeMap, io, sync::Arc};

use chronicle::{
    Entry, Position, Query,
    incident::{Incident, KINDS, Teller},
    notice::Record,
};

use crate::cluster_log::{Log, Order};

/// Entries kept.
const MOST: usize = 5_000;

/// See above.
pub(super) struct Window {
    entries: BTreeMap<Position, Arc<Entry>>,
    /// Entries that had arrived in the log when it was last looked at.
    arrivals: u64,
    /// The log has older ones.
    cut: bool,
}

/// What is new.
#[derive(Default)]
pub(super) struct News {
    /// What was told, and when, in milliseconds since 1970.
    pub records: Vec<(Record, u64)>,
    /// All stories, and from when on they are whole; none where there is no news of them.
    pub stories: Option<(Vec<Incident>, u64)>,
}

impl Window {
    /// The window as it is now, read anew where there is none, or where more has come than the log remembers the arrival of.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn follow(window: Option<Self>, log: &Log) -> io::Result<(Self, News)> {
        let heartbeat_ms = u64::try_from(log.heartbeat.as_millis()).unwrap_or(u64::MAX);
        if let Some(mut window) = window {
            let arrived = log.arrived(window.arrivals);
            if !arrived.missed {
                window.arrivals = arrived.count;
                let news = window.add(arrived.entries, heartbeat_ms);
                return Ok((window, news));
            }
        }
        // First how many there are, then what is there: nothing falls between.
        let arrivals = log.arrived(u64::MAX).count;
        let kinds = KINDS.iter().chain(&Record::KINDS).map(|kind| (*kind).to_owned()).collect();
        let found = log.search(&Query { kinds, ..Query::default() }, Order::Newest, MOST)?;
        let mut window = Self { entries: BTreeMap::new(), arrivals, cut: found.next.is_some() };
        let mut news = window.add(found.entries, heartbeat_ms);
        news.stories.get_or_insert_with(|| window.stories(heartbeat_ms));
        Ok((window, news))
    }

    fn add(&mut self, entries: Vec<Arc<Entry>>, heartbeat_ms: u64) -> News {
        let (mut records, mut more) = (Vec::new(), false);
        for entry in entries {
            let story = KINDS.contains(&entry.kind());
            let record = Record::of(&entry);
            if story || record.is_some() {
                records.extend(record.map(|record| (record, entry.stamp.wall_ms)));
                more |= self.entries.insert(entry.position(), entry).is_none() && story;
            }
        }
        while self.entries.len() > MOST {
            self.entries.pop_first();
            self.cut = true;
        }
        News { records, stories: more.then(|| self.stories(heartbeat_ms)) }
    }

    /// All stories. Where older entries are gone, those that begin in the first quarter may be pieces of others.
    fn stories(&self, heartbeat_ms: u64) -> (Vec<Incident>, u64) {
        let mut teller = Teller::new(heartbeat_ms);
        self.entries.values().filter(|entry| KINDS.contains(&entry.kind())).for_each(|entry| teller.hear(entry));
        let edge = self.entries.keys().nth(self.entries.len() / 4).filter(|_| self.cut);
        (teller.finish(), edge.map_or(0, |edge| edge.stamp.wall_ms))
    }
}
