//! When we sent which sequence number, roughly: enough to tell whether an echo is recent.

use std::{collections::VecDeque, time::Duration};

use model::Instant;

/// The time that counts as recent is told apart in so many steps.
const STEPS: u32 = 64;

/// A short memory of our own sending.
#[derive(Debug)]
pub(super) struct Sent {
    horizon: Duration,
    /// By rising time: everything up to this sequence number had been sent by then.
    marks: VecDeque<(Instant, u64)>,
    highest: u64,
}

impl Sent {
    pub(super) fn new(horizon: Duration) -> Self {
        Self { horizon, marks: VecDeque::new(), highest: 0 }
    }

    /// From now on, recent means within `horizon`.
    pub(super) fn set_horizon(&mut self, horizon: Duration) {
        self.horizon = horizon;
    }

    /// Everything up to `sequence` has been sent.
    pub(super) fn note(&mut self, now: Instant, sequence: u64) {
        self.highest = sequence;
        if self.marks.back().is_none_or(|(at, _)| now.since(*at) >= self.horizon / STEPS) {
            self.marks.push_back((now, sequence));
        }
        while self.marks.get(1).is_some_and(|(at, _)| now.since(*at) >= self.horizon) {
            self.marks.pop_front();
        }
    }

    /// The last sequence number sent.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether we sent `sequence`, and not long ago.
    pub(super) fn is_recent(&self, now: Instant, sequence: u64) -> bool {
        let old = self.marks.iter().rev().find(|(at, _)| now.since(*at) >= self.horizon);
        sequence > old.map_or(0, |(_, sequence)| *sequence) && sequence <= self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_is_what_was_sent_within_the_horizon() {
        let mut sent = Sent::new(Duration::from_secs(2));
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        assert!(!sent.is_recent(at(0), 0), "nothing was sent");
        assert!(!sent.is_recent(at(0), 1), "nothing was sent");
        for sequence in 1..=200 {
            sent.note(at(sequence * 50), sequence);
        }
        assert!(sent.is_recent(at(10_000), 200));
        assert!(sent.is_recent(at(10_000), 165));
        assert!(!sent.is_recent(at(10_000), 201), "not yet sent");
        assert!(!sent.is_recent(at(10_000), 155));
        assert!(!sent.is_recent(at(12_100), 200), "long ago by now");
        assert!(sent.marks.len() <= STEPS as usize + 2);
    }
}
