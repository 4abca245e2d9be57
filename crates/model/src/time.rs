//! Our own instant: nanoseconds of CLOCK_BOOTTIME, so that a suspended machine's clock does not stand still.
//!
//! Spans are `std::time::Duration`. Where the number comes from is `host::clock`'s business alone; the simulator makes
//! its own. Wall-clock time exists for display only and never reaches a decision.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// A point in time on this machine, in nanoseconds since it booted. Not comparable between machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The machine's boot.
    pub const BOOT: Self = Self(0);

    /// From nanoseconds since boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero where `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        // 584 years of nanoseconds fit; a span beyond that means "never".
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let start = Instant::from_nanos(5);
        assert_eq!(start - Duration::from_secs(1), Instant::BOOT);
        assert_eq!(start + Duration::MAX, Instant::from_nanos(u64::MAX));
        assert_eq!(Instant::BOOT.since(start), Duration::ZERO);
        assert_eq!((start + Duration::from_millis(50)).since(start), Duration::from_millis(50));
    }
}
