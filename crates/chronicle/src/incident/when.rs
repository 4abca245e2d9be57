//! When something happened, as far as anybody knows.
//!
//! Who fell silent did so after its last heartbeat and before the first one that was missed; a service failed between two
//! probes. Each witness narrows that down.

/// Not before, and not after, in milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct When {
    earliest: u64,
    latest: u64,
}

impl When {
    /// Exactly then.
    pub(super) const fn at(millis: u64) -> Self {
        Self { earliest: millis, latest: millis }
    }

    /// Not before one and not after the other.
    pub(super) fn between(earliest: u64, latest: u64) -> Self {
        Self { earliest, latest: latest.max(earliest) }
    }

    /// Then, give or take so much.
    pub(super) const fn around(millis: u64, within: u64) -> Self {
        Self { earliest: millis.saturating_sub(within), latest: millis.saturating_add(within) }
    }

    /// Not after.
    pub(super) const fn before(latest: u64) -> Self {
        Self { earliest: 0, latest }
    }

    /// What two witnesses of one event leave. Where they contradict each other, they saw two: the first one counts.
    pub(super) fn and(self, other: Self) -> Self {
        let (earliest, latest) = (self.earliest.max(other.earliest), self.latest.min(other.latest));
        match () {
            () if earliest <= latest => Self { earliest, latest },
            () if other.latest < self.earliest && other.earliest > 0 => other,
            () => self,
        }
    }

    /// Whether it may have happened by then.
    pub(super) const fn is_possible_by(self, millis: u64) -> bool {
        millis >= self.earliest
    }

    /// The best guess.
    pub(super) const fn middle(self) -> u64 {
        self.earliest + (self.latest - self.earliest) / 2
    }

    /// By how much that may be wrong.
    pub(super) const fn within(self) -> u64 {
        (self.latest - self.earliest).div_ceil(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_witness_narrows_it_down() {
        let silent = When::between(1_000, 1_050).and(When::between(1_001, 1_051));
        assert_eq!((silent.middle(), silent.within()), (1_025, 25));
        let refused = silent.and(When::before(1_011));
        assert_eq!((refused.middle(), refused.within()), (1_006, 5));
        assert_eq!(refused.and(When::before(900)), refused, "of something else");
        assert_eq!(When::at(2_000).and(When::around(1_500, 100)), When::around(1_500, 100), "the first of two faults");
        assert_eq!(When::around(1_500, 100).and(When::at(2_000)), When::around(1_500, 100));
    }
}
