//! Refused datagrams: counted always, told at a limited rate.

use std::{collections::BTreeMap, time::Duration};

use model::{
    Instant,
    event::{Event, Refusal},
    net::Origin,
};

use crate::Effects;

/// At most one event per reason in this time.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Counts by reason.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Refusal, Count>);

#[derive(Debug)]
struct Count {
    unreported: u64,
    from: Origin,
    reported: Instant,
}

impl Refusals {
    /// Notes one; tells at once if nothing was told for a while.
    pub(super) fn note(&mut self, now: Instant, from: Origin, reason: Refusal, effects: &mut Effects) {
        match self.0.get_mut(&reason) {
            None => {
                self.0.insert(reason, Count { unreported: 0, from, reported: now });
                effects.record(Event::DatagramsRefused { from, reason, count: 1 });
            }
            Some(count) => {
                count.unreported += 1;
                count.from = from;
                count.report(now, reason, effects);
            }
        }
    }

    /// Tells what has waited long enough.
    pub(super) fn expire(&mut self, now: Instant, effects: &mut Effects) {
        for (reason, count) in &mut self.0 {
            count.report(now, *reason, effects);
        }
    }

    /// When there is something to tell.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.0.values().filter(|count| count.unreported > 0);
        waiting.map(|count| count.reported + REPORT_EVERY).min()
    }
}

impl Count {
    fn report(&mut self, now: Instant, reason: Refusal, effects: &mut Effects) {
        if self.unreported > 0 && now >= self.reported + REPORT_EVERY {
            effects.record(Event::DatagramsRefused { from: self.from, reason, count: self.unreported });
            self.unreported = 0;
            self.reported = now;
        }
    }
}
