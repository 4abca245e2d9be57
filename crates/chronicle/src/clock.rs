//! The hybrid logical clock (Kulkarni et al., 2014): near to wall time, and never against cause and effect.
//!
//! A wall clock that is set back does not set the stamps back: they stand still in milliseconds and count, until the
//! wall has caught up. A peer whose wall clock is far ahead does not carry everybody along: see [`DRIFT_MS`].

use serde::{Deserialize, Serialize};

/// How far ahead of the own wall clock an observed stamp may be, in milliseconds.
pub const DRIFT_MS: u64 = 60_000;

/// When something was noted: comparable over all servers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970, UTC.
    pub wall_ms: u64,
    /// Tells apart what has the same milliseconds.
    pub count: u32,
}

impl Stamp {
    /// The next stamp at the same milliseconds, or, after four thousand million of them, a millisecond later.
    fn next(self) -> Self {
        match self.count.checked_add(1) {
            Some(count) => Self { count, ..self },
            None => Self { wall_ms: self.wall_ms.saturating_add(1), count: 0 },
        }
    }
}

/// A stamp is so far in the future that it was not followed: the entry is still good, its server's clock is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a stamp is {ahead_ms} ms ahead of this server's clock, at most {DRIFT_MS} ms are followed: set the servers' clocks"
)]
pub struct TooFarAhead {
    /// By how many milliseconds.
    pub ahead_ms: u64,
}

/// Gives stamps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    last: Stamp,
}

impl Clock {
    /// A clock that continues after `last`, the latest stamp that this server gave before it was restarted.
    pub fn after(last: Stamp) -> Self {
        Self { last }
    }

    /// The stamp of something that happens here at `wall_ms`: later than all that were given and followed before.
    pub fn tick(&mut self, wall_ms: u64) -> Stamp {
        let wall = Stamp { wall_ms, count: 0 };
        self.last = if wall > self.last { wall } else { self.last.next() };
        self.last
    }

    /// Whether the last stamp is so far ahead of `wall_ms` that the wall clock must have been set back: stamps would stand
    /// still until it has caught up. Whoever gives them had better begin a new stream, with a new clock.
    pub fn is_stuck(&self, wall_ms: u64) -> bool {
        self.last.wall_ms > wall_ms.saturating_add(DRIFT_MS)
    }

    /// The last stamp that was given or followed.
    pub const fn last(&self) -> Stamp {
        self.last
    }

    /// Takes note of another server's stamp at `wall_ms`: stamps given from now on are later.
    ///
    /// # Errors
    /// When the stamp is more than [`DRIFT_MS`] ahead of `wall_ms`. The clock is unchanged then.
    pub fn observe(&mut self, other: Stamp, wall_ms: u64) -> Result<(), TooFarAhead> {
        let ahead_ms = other.wall_ms.saturating_sub(wall_ms);
        if ahead_ms > DRIFT_MS {
            return Err(TooFarAhead { ahead_ms });
        }
        self.last = self.last.max(other);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stamps_grow_whatever_the_wall_clock_does(walls in proptest::collection::vec(0..50_u64, 1..60)) {
            let mut clock = Clock::default();
            let stamps: Vec<Stamp> = walls.into_iter().map(|wall| clock.tick(wall)).collect();
            prop_assert!(stamps.is_sorted_by(|one, next| one < next));
        }

        #[test]
        fn an_effect_is_later_than_its_cause(cause_wall in 0..200_000_u64, effect_wall in 0..200_000_u64) {
            let cause = Clock::default().tick(cause_wall);
            let mut clock = Clock::default();
            let followed = clock.observe(cause, effect_wall);
            prop_assert_eq!(followed.is_ok(), cause_wall <= effect_wall + DRIFT_MS);
            prop_assert!(followed.is_err() || clock.tick(effect_wall) > cause);
        }
    }

    #[test]
    fn a_clock_far_ahead_is_not_followed() {
        let mut clock = Clock::default();
        let far = Stamp { wall_ms: 1_000 + DRIFT_MS + 1, count: 0 };
        assert_eq!(clock.observe(far, 1_000), Err(TooFarAhead { ahead_ms: DRIFT_MS + 1 }));
        assert_eq!(clock.tick(1_000), Stamp { wall_ms: 1_000, count: 0 });
    }

    #[test]
    fn a_clock_that_was_set_back_is_noticed() {
        let clock = Clock::after(Stamp { wall_ms: 100_000, count: 0 });
        assert!(!clock.is_stuck(100_000 - DRIFT_MS));
        assert!(clock.is_stuck(99_999 - DRIFT_MS));
    }

    #[test]
    fn a_full_count_goes_on_in_the_next_millisecond() {
        let mut clock = Clock::after(Stamp { wall_ms: 7, count: u32::MAX });
        assert_eq!(clock.tick(7), Stamp { wall_ms: 8, count: 0 });
    }
}
