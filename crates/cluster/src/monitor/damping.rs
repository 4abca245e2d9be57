//! Flap damping after RFC 2439 section 4.2: each failure adds to a penalty that halves with each half-life. Above one
//! threshold the monitor is suppressed, at a lower one it is reused.
//!
//! Invariants: the penalty never exceeds twice the threshold of suppression, so that nobody is suppressed for ever; within
//! a half-life it falls in a straight line, so that integers are enough and every server computes the same.

use std::time::Duration;

use model::{Instant, config::Damping, health::Verdict};

/// One failure.
const FAILURE: u64 = 1_000;

/// What one monitor has earned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Penalty {
    at: Instant,
    sum: u64,
    until: Option<Instant>,
}

impl Penalty {
    /// It has become worse: down, or degraded.
    pub(super) fn add(&mut self, now: Instant, verdict: Verdict, damping: Damping) {
        let added = match verdict {
            Verdict::Down => FAILURE,
            Verdict::Degraded => FAILURE / 2,
            Verdict::Unknown | Verdict::Up => 0,
        };
        let suppress = FAILURE * u64::from(damping.suppress);
        self.sum = (decayed(self.sum, now.since(self.at), damping.half_life) + added).min(2 * suppress);
        self.at = now;
        if self.sum > suppress || self.until.is_some() {
            self.until = Some(now + time_to(self.sum, FAILURE * u64::from(damping.reuse), damping.half_life));
        }
    }

    /// Until when it is suppressed; none: it is not.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Time has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        self.until = self.until.filter(|until| now < *until);
    }
}

/// What is left of `sum` after `span`.
fn decayed(sum: u64, span: Duration, half_life: Duration) -> u64 {
    let (span, half_life) = (span.as_nanos(), half_life.as_nanos().max(1));
    let halves = u32::try_from(span / half_life).unwrap_or(u32::MAX);
    let sum = sum.checked_shr(halves).unwrap_or(0);
    let forgotten = u128::from(sum) * (span % half_life) / (2 * half_life);
    sum - u64::try_from(forgotten).expect("at most half of it")
}

/// How long it takes until `goal`, above 0, is left of `sum`.
fn time_to(mut sum: u64, goal: u64, half_life: Duration) -> Duration {
    let mut span = Duration::ZERO;
    while sum / 2 >= goal {
        sum /= 2;
        span += half_life;
    }
    let over = u128::from(sum.saturating_sub(goal)) * 2 * half_life.as_nanos() / u128::from(sum.max(1));
    span + Duration::from_nanos(u64::try_from(over).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAMPING: Damping = Damping { half_life: Duration::from_secs(60), suppress: 3, reuse: 1 };

    fn at(seconds: u64) -> Instant {
        Instant::BOOT + Duration::from_secs(seconds)
    }

    #[test]
    fn the_fourth_failure_in_a_row_is_one_too_many() {
        let mut penalty = Penalty::default();
        for second in [0, 2, 4] {
            penalty.add(at(second), Verdict::Down, DAMPING);
            assert_eq!(penalty.until(), None);
        }
        penalty.add(at(6), Verdict::Down, DAMPING);
        // From 3.9 to 1.95 in a half-life, and on to 1 in almost another one.
        let until = penalty.until().unwrap();
        assert!((at(120)..at(125)).contains(&until), "{until:?}");
        penalty.expire(until - Duration::from_nanos(1));
        assert_eq!(penalty.until(), Some(until));
        penalty.expire(until);
        assert_eq!(penalty.until(), None);
    }

    #[test]
    fn rare_failures_never_add_up() {
        let mut penalty = Penalty::default();
        for round in 0..1_000 {
            penalty.add(at(round * 30), Verdict::Down, DAMPING);
            assert!(penalty.until().is_none_or(|_| round > 3), "{round}");
        }
        assert!(penalty.until().is_some(), "one every half minute is 4 in the end");
        let mut penalty = Penalty::default();
        for round in 0..1_000 {
            penalty.add(at(round * 60), Verdict::Down, DAMPING);
        }
        assert_eq!(penalty.until(), None, "one a minute is 2");
    }

    #[test]
    fn the_longest_suppression_is_bounded() {
        let mut penalty = Penalty::default();
        for second in 0..10_000 {
            penalty.add(at(second), Verdict::Down, DAMPING);
        }
        let longest = penalty.until().unwrap().since(at(9_999));
        assert_eq!(longest, Duration::from_secs(120 + 40), "from 6 to 1: two half-lives and a third of one");
    }

    proptest! {
        #[test]
        fn time_to_is_when_the_goal_is_reached(sum in 1u64..200_000, goal in 1u64..100_000, seconds in 1u64..3_600) {
            let half_life = Duration::from_secs(seconds);
            let span = time_to(sum, goal, half_life);
            prop_assert!(decayed(sum, span, half_life) <= goal.max(1) + 1);
            if span > Duration::from_secs(1) {
                prop_assert!(decayed(sum, span - Duration::from_secs(1), half_life) + 1 >= goal);
            }
        }

        #[test]
        fn decay_is_monotonic(sum in 0u64..1_000_000, a in 0u64..10_000, b in 0u64..10_000) {
            let half_life = Duration::from_secs(60);
            let (early, late) = (Duration::from_secs(a.min(b)), Duration::from_secs(a.max(b)));
            prop_assert!(decayed(sum, late, half_life) <= decayed(sum, early, half_life));
        }
    }
}
