//! How others reach what this server holds, and what follows from it ([`crate::outside`]).

use std::{sync::Arc, time::Duration};

use model::{Instant, ServerName, event::Event};

use super::{Effects, Election, Phase};
use crate::outside::{self, Outlook};

/// The first hold-down; each further one is twice as long, up to the longest.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(1_800);

/// What is known of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Daylight {
    /// Since when somebody does not reach it, and since when most do not.
    missed: Option<Instant>,
    dark: Option<Instant>,
    /// Who does not, as was last told.
    told: Vec<ServerName>,
    /// Since when it is active here without a break.
    active: Option<Instant>,
    /// It is not held here before then.
    until: Option<Instant>,
    /// How long the last hold-down was.
    last: Option<Duration>,
    patience: Duration,
    /// When it was last looked at.
    looked: Instant,
    /// By what peers speak of it; made when first needed.
    keys: Option<Arc<[u64]>>,
}

impl Daylight {
    pub(super) fn is_held_down(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Whether it has been so for long enough, here.
    fn is_certain(&self, since: Option<Instant>, now: Instant) -> bool {
        self.certain_at(since).is_some_and(|at| now >= at)
    }

    fn certain_at(&self, since: Option<Instant>) -> Option<Instant> {
        since.zip(self.active).map(|(since, active)| since.max(active) + self.patience)
    }

    /// When something follows without news. What has not followed by then waits for news.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let certain = [self.missed, self.dark].into_iter().filter_map(|since| self.certain_at(since));
        self.until.into_iter().chain(certain).filter(|at| *at > self.looked).min()
    }
}

impl Election {
    /// Since when it is active here.
    pub(crate) fn active_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Active { .. } => Some(self.daylight.active.unwrap_or_default()),
            Phase::Backup | Phase::Preparing { .. } | Phase::Taking { .. } | Phase::Releasing { .. } => None,
        }
    }

    /// By what peers speak of it while `me` holds it; none while it doesn't.
    pub(crate) fn outside_keys(&mut self, me: &ServerName) -> Option<Arc<[u64]>> {
        self.active_since()?;
        let keys = || outside::keys(&self.name, &self.spec, me).collect();
        Some(self.daylight.keys.get_or_insert_with(keys).clone())
    }

    /// The configuration has changed.
    pub(super) fn forget_outside_keys(&mut self) {
        self.daylight.keys = None;
    }

    /// What the peers say now. `works`: our own probes say that the service does; where it does not, no path is to blame.
    pub(crate) fn note_outlook(&mut self, now: Instant, outlook: Outlook, works: bool, effects: &mut Effects) {
        let active = matches!(self.phase, Phase::Active { .. });
        let outlook = if active && works { outlook } else { Outlook::default() };
        let daylight = &mut self.daylight;
        let lasts = |is_so: bool, since: Option<Instant>| since.or(Some(now)).filter(|_| is_so);
        daylight.active = lasts(active, daylight.active);
        daylight.missed = lasts(!outlook.unseen_by.is_empty(), daylight.missed);
        daylight.dark = lasts(outlook.is_dark(), daylight.dark);
        daylight.until = daylight.until.filter(|until| now < *until);
        daylight.looked = now;
        // Long enough for everybody to have tried twice since it came here, and for our own probes to have failed first.
        let slowest = self.spec.monitors.iter().map(|monitor| (monitor.interval + monitor.timeout) * 2).max();
        daylight.patience = slowest.unwrap_or_default() + Duration::from_secs(1);
        let Outlook { seen_by, unseen_by } = outlook;
        let virtual_host = self.name.clone();
        if unseen_by.is_empty() {
            if !std::mem::take(&mut daylight.told).is_empty() && active {
                effects.record(Event::PathUp { virtual_host });
            }
        } else if daylight.is_certain(daylight.missed, now) && daylight.told != unseen_by {
            daylight.told.clone_from(&unseen_by);
            effects.record(Event::PathDown { virtual_host, unseen_by, seen_by });
        }
    }

    /// Whether most have not reached it for so long that another should hold it.
    pub(crate) fn is_dark(&self, now: Instant) -> bool {
        self.daylight.is_certain(self.daylight.dark, now) && !self.daylight.is_held_down(now)
    }

    /// Another holds it for a while.
    pub(crate) fn hold_down(&mut self, now: Instant, effects: &mut Effects) {
        let span = self.daylight.last.map_or(FIRST, |last| (last * 2).min(LONGEST));
        self.daylight.last = Some(span);
        self.daylight.until = Some(now + span);
        let for_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        effects.record(Event::HeldDown { virtual_host: self.name.clone(), for_ms });
    }

    /// An operator says that the path is mended.
    pub(crate) fn forgive(&mut self) {
        self.daylight.until = None;
        self.daylight.last = None;
    }
}
