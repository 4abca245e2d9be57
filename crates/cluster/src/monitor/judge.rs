//! The thresholds of one monitor: what its probes find.
//!
//! Deliberately not here: what is in force instead ([`super::watch`]).

use std::{cmp::Ordering, time::Duration};

use model::{Instant, health::Verdict};

/// So long after its listener was closed a failed probe decides alone.
const FRESH: Duration = Duration::from_secs(1);

/// Counts results.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Judge {
    found: Verdict,
    /// The next result decides alone: nothing was tried yet, or something else than before is tried.
    first: bool,
    /// Results in a row that speak against the verdict, and what all of them bear out.
    contrary: u32,
    borne_out: Verdict,
    /// The kernel said then that a listener on its port was closed; nothing was heard from it since.
    closed: Option<Instant>,
}

impl Judge {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        Self { found: Verdict::Unknown, first: true, contrary: 0, borne_out: Verdict::Unknown, closed: None }
    }

    /// Something else is tried from now on: the verdict is kept until the first result, which decides alone.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { found: self.found, ..Self::new() };
    }

    /// It cannot be tried from here: nothing is known until the next result, which decides alone.
    pub(super) fn know_nothing(&mut self) {
        *self = Self::new();
    }

    /// The verdict.
    pub(super) fn found(&self) -> Verdict {
        self.found
    }

    /// Whether the last results speak against the verdict.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.contrary > 0
    }

    /// The kernel says that a listener was closed.
    pub(super) fn close(&mut self, now: Instant) {
        self.closed = Some(now);
    }

    /// Takes a result: up, degraded or down.
    pub(super) fn take(&mut self, now: Instant, says: Verdict, rise: u32, fall: u32) {
        let closed = self.closed.take().is_some_and(|since| now.since(since) <= FRESH) && says == Verdict::Down;
        let needed = self.count(says, rise, fall);
        if self.first || closed {
            (self.found, self.contrary) = (says, 0);
        } else if needed.is_some_and(|needed| self.contrary >= needed) {
            (self.found, self.contrary) = (self.borne_out, 0);
        }
        self.first = false;
    }

    /// Counts a result that speaks against the verdict; returns how many are needed.
    fn count(&mut self, says: Verdict, rise: u32, fall: u32) -> Option<u32> {
        let (needed, weaker): (_, fn(Verdict, Verdict) -> Verdict) = match says.cmp(&self.found) {
            Ordering::Equal => {
                self.contrary = 0;
                return None;
            }
            Ordering::Less => (fall, Ord::max),
            Ordering::Greater => (rise, Ord::min),
        };
        // What was counted on the other side of the verdict is void.
        let goes_on = self.contrary > 0 && says.cmp(&self.found) == self.borne_out.cmp(&self.found);
        (self.contrary, self.borne_out) =
            if goes_on { (self.contrary + 1, weaker(self.borne_out, says)) } else { (1, says) };
        Some(needed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Upper case: sure; lower case: in doubt.
    fn feed(judge: &mut Judge, rise: u32, fall: u32, results: &str) -> String {
        let mut words = String::new();
        for result in results.chars() {
            let says = match result {
                '+' => Verdict::Up,
                '~' => Verdict::Degraded,
                _ => Verdict::Down,
            };
            judge.take(Instant::BOOT, says, rise, fall);
            let word = match judge.found() {
                Verdict::Up => 'U',
                Verdict::Degraded => 'G',
                Verdict::Down => 'D',
                Verdict::Unknown => '?',
            };
            words.push(if judge.is_in_doubt() { word.to_ascii_lowercase() } else { word });
        }
        words
    }

    fn fed(rise: u32, fall: u32, results: &str) -> String {
        feed(&mut Judge::new(), rise, fall, results)
    }

    #[test]
    fn rise_and_fall() {
        assert_eq!(fed(2, 2, "+-+--+-++"), "UuUuDdDdU");
        assert_eq!(fed(3, 1, "+-+++"), "UDddU");
        assert_eq!(fed(1, 3, "---+---"), "DDDUuuD");
    }

    #[test]
    fn a_verdict_goes_as_far_as_every_result_of_the_streak_bears_out() {
        assert_eq!(fed(2, 2, "~~++~~--"), "GGgUuGgD");
        assert_eq!(fed(2, 2, "+-~--"), "UuGgD", "a failure and a degraded result: degraded at least");
        assert_eq!(fed(2, 2, "-+~++"), "DdGgU");
        assert_eq!(fed(2, 2, "~+-+-"), "Ggggg", "better and worse are no streak");
        assert_eq!(fed(3, 1, "+~-~~~"), "UGDddG", "`fall` counts anew at each level");
    }

    #[test]
    fn a_closed_listener_lets_one_failure_decide_while_the_news_is_fresh() {
        let closed = |after: Duration, results: &str| {
            let mut judge = Judge::new();
            feed(&mut judge, 2, 3, "+");
            judge.close(Instant::BOOT);
            let first = if results.starts_with('+') { Verdict::Up } else { Verdict::Down };
            judge.take(Instant::BOOT + after, first, 2, 3);
            (judge.found(), feed(&mut judge, 2, 3, &results[1..]))
        };
        assert_eq!(closed(FRESH, "--+-++"), (Verdict::Down, "DdDdU".into()), "and `rise` brings it back, as ever");
        assert_eq!(closed(FRESH + Duration::from_nanos(1), "---"), (Verdict::Up, "uD".into()), "old news");
        assert_eq!(closed(Duration::ZERO, "+---"), (Verdict::Up, "uuD".into()), "somebody listens there");
    }

    #[test]
    fn changed_thresholds_keep_the_verdict_and_something_else_decides_anew() {
        let mut judge = Judge::new();
        feed(&mut judge, 2, 2, "+");
        assert_eq!(feed(&mut judge, 2, 3, "--"), "uu");
        judge.begin_anew();
        assert_eq!(judge.found(), Verdict::Up, "kept until something is known");
        assert_eq!(feed(&mut judge, 2, 3, "-"), "D", "the first result decides alone");
    }

    proptest! {
        /// A verdict changes only after `rise` or `fall` equal results in a row.
        #[test]
        fn never_turns_early(rise in 1u32..5, fall in 1u32..5, results in prop::collection::vec(any::<bool>(), 1..60)) {
            let mut judge = Judge::new();
            let mut streak = 0u32;
            let mut last = None;
            for (index, up) in results.into_iter().enumerate() {
                streak = if last == Some(up) { streak + 1 } else { 1 };
                last = Some(up);
                let before = judge.found();
                feed(&mut judge, rise, fall, if up { "+" } else { "-" });
                if index > 0 && judge.found() != before {
                    prop_assert_eq!(streak, if up { rise } else { fall });
                }
                prop_assert_ne!(judge.found(), Verdict::Unknown);
            }
        }
    }
}
