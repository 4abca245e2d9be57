//! The small clocks of one virtual host: when to announce again, how long a server has been steady, when a refused address
//! may be tried again.

use std::{sync::Arc, time::Duration};

use model::{Instant, health::Verdict, net::MacAddress};

/// Announcements after the first, counted from the one before: at 50 ms, 200 ms, 1 s and 3 s, then every minute.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_secs(60),
];

/// When a held virtual host is announced on its link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Announcements {
    begun: Instant,
    made: usize,
    next: Instant,
}

/// A rival on the wire is answered anew no more often: what has just begun goes on for longer anyway.
const DEFENCE: Duration = Duration::from_secs(1);

impl Announcements {
    /// The first is due at once.
    pub(crate) fn begin(now: Instant) -> Self {
        Self { begun: now, made: 0, next: now }
    }

    /// Somebody else has announced the address: ours has to be the last word.
    pub(crate) fn defend(&mut self, now: Instant) {
        if now.since(self.begun) >= DEFENCE {
            *self = Self::begin(now);
        }
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Whether the next is the first: it must not wait.
    pub(crate) fn is_first(&self) -> bool {
        self.made == 0
    }

    /// One was made.
    pub(crate) fn made(&mut self, now: Instant) {
        self.next = now + PAUSES[self.made.min(PAUSES.len() - 1)];
        self.made += 1;
    }

    /// The next has to wait for others to be made first.
    pub(crate) fn postpone(&mut self, until: Instant) {
        self.next = until;
    }
}

/// Who was last seen on the wire with an address of ours: told again only after a pause, or where it is another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sightings(Option<(Instant, MacAddress)>);

impl Sightings {
    const PAUSE: Duration = Duration::from_secs(10);

    /// One more. Returns whether it is worth telling.
    pub(crate) fn is_news(&mut self, now: Instant, mac: MacAddress) -> bool {
        let told = self.0.is_some_and(|(told, last)| last == mac && now.since(told) < Self::PAUSE);
        if !told {
            self.0 = Some((now, mac));
        }
        !told
    }
}

/// Since when this server has been able to hold a virtual host, as healthy as it is now, and whether it has said so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Steadiness {
    since: Instant,
    eligible: bool,
    health: Vec<Verdict>,
    told: Option<u64>,
}

impl Steadiness {
    /// Not eligible yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, eligible: false, health: Vec::new(), told: None }
    }

    /// How things are. Any change begins a new span.
    pub(crate) fn update(&mut self, now: Instant, eligible: bool, health: Vec<Verdict>) {
        if eligible != self.eligible || health != self.health {
            *self = Self { since: now, eligible, health, told: None };
        }
    }

    /// Everything that is so now has been told, with the datagrams up to this sequence number.
    pub(crate) fn tell(&mut self, sequence: u64) {
        self.told.get_or_insert(sequence);
    }

    /// The sequence number that it was first told with; none where it has not been told.
    pub(crate) fn told(&self) -> Option<u64> {
        self.told
    }

    /// Since when.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }
}

/// After a refusal by the kernel: not able for 1 s, doubled with each further refusal up to 30 s.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Backoff {
    delay: Option<Duration>,
    refusal: Option<(Instant, Arc<str>)>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    /// The kernel has refused.
    pub(crate) fn fail(&mut self, now: Instant, reason: Arc<str>) {
        let delay = self.delay.map_or(Self::FIRST, |delay| (delay * 2).min(Self::LONGEST));
        self.delay = Some(delay);
        self.refusal = Some((now + delay, reason));
    }

    /// The kernel has accepted: the next refusal counts as the first again.
    pub(crate) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// Time has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.refusal.as_ref().is_some_and(|(until, _)| now >= *until) {
            self.refusal = None;
        }
    }

    /// The refusal in force.
    pub(crate) fn refusal(&self) -> Option<&Arc<str>> {
        self.refusal.as_ref().map(|(_, reason)| reason)
    }

    /// Until when.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.refusal.as_ref().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn announcements_follow_the_schedule() {
        let mut announcements = Announcements::begin(at(0));
        let mut times = Vec::new();
        for _ in 0..8 {
            let now = announcements.next();
            times.push(now.as_nanos() / 1_000_000);
            announcements.made(now);
        }
        assert_eq!(times, [0, 50, 200, 1_000, 3_000, 63_000, 123_000, 183_000]);
    }

    #[test]
    fn a_rival_is_answered_once_a_second_and_after_its_last_word() {
        let mut announcements = Announcements::begin(at(0));
        let mut times = Vec::new();
        for ms in 0..10_000 {
            if ms % 10 == 0 && (4_000..6_500).contains(&ms) {
                announcements.defend(at(ms));
            }
            if announcements.next() <= at(ms) {
                announcements.made(at(ms));
                times.push(ms);
            }
        }
        assert_eq!(times[..5], [0, 50, 200, 1_000, 3_000]);
        assert_eq!(times[5..13], [4_000, 4_050, 4_200, 5_000, 5_050, 5_200, 6_000, 6_050]);
        assert_eq!(times[13..], [6_200, 7_000, 9_000]);
    }

    #[test]
    fn any_change_begins_a_new_span() {
        let mut steadiness = Steadiness::new(at(0));
        steadiness.update(at(10), true, vec![Verdict::Up]);
        steadiness.tell(7);
        steadiness.update(at(20), true, vec![Verdict::Up]);
        steadiness.tell(8);
        assert_eq!((steadiness.since(), steadiness.told()), (at(10), Some(7)));
        steadiness.update(at(30), true, vec![Verdict::Down]);
        steadiness.update(at(40), true, vec![Verdict::Up]);
        assert_eq!((steadiness.since(), steadiness.told()), (at(40), None));
    }

    #[test]
    fn back_off_doubles_up_to_thirty_seconds_and_starts_anew_after_success() {
        let mut backoff = Backoff::default();
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            backoff.fail(at(0), "no such device".into());
            assert_eq!(backoff.until(), Some(at(expected * 1_000)));
            backoff.expire(at(expected * 1_000));
            assert_eq!(backoff.refusal(), None);
        }
        backoff.succeed();
        backoff.fail(at(0), "no such device".into());
        assert_eq!(backoff.until(), Some(at(1_000)));
    }
}
