//! Which sequence numbers of a run were seen.

/// Sequence numbers that are remembered one by one; older ones count as seen.
pub(super) const WINDOW: u64 = 1024;

/// A sliding window, as IPsec has it (RFC 4303 section 3.4.3).
#[derive(Clone, Debug)]
pub(super) struct Window {
    highest: u64,
    /// Bit `sequence % WINDOW` tells whether it was seen, for the `WINDOW` numbers that end with `highest`.
    seen: [u64; (WINDOW / 64) as usize],
}

/// What a sequence number is to the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Above all that were seen.
    Ahead,
    /// Overtaken by others, not seen.
    Late,
    /// Seen, or too old to tell.
    Seen,
}

impl Window {
    /// Begins with a run's first datagram. What came before it counts as seen: it may be an old recording.
    pub(super) fn starting_at(sequence: u64) -> Self {
        Self { highest: sequence, seen: [u64::MAX; (WINDOW / 64) as usize] }
    }

    /// The highest number seen.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    pub(super) fn place(&self, sequence: u64) -> Place {
        if sequence > self.highest {
            Place::Ahead
        } else if self.highest - sequence >= WINDOW || self.bit(sequence) {
            Place::Seen
        } else {
            Place::Late
        }
    }

    /// Notes a number whose place is not [`Place::Seen`].
    pub(super) fn mark(&mut self, sequence: u64) {
        if sequence > self.highest {
            if sequence - self.highest >= WINDOW {
                self.seen = [0; (WINDOW / 64) as usize];
            } else {
                for skipped in self.highest + 1..sequence {
                    self.set(skipped, false);
                }
            }
            self.highest = sequence;
        }
        self.set(sequence, true);
    }

    fn bit(&self, sequence: u64) -> bool {
        let bit = sequence % WINDOW;
        self.seen[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }

    fn set(&mut self, sequence: u64, on: bool) {
        let bit = sequence % WINDOW;
        let (word, mask) = (&mut self.seen[(bit / 64) as usize], 1 << (bit % 64));
        if on { *word |= mask } else { *word &= !mask }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The window agrees with a plain set of everything that was ever seen.
        #[test]
        fn tells_what_a_set_tells(start in 1u64..5_000, steps in prop::collection::vec((0u64..40, any::<bool>()), 1..400)) {
            let mut window = Window::starting_at(start);
            let mut seen: BTreeSet<u64> = (0..=start).collect();
            let mut highest = start;
            for (step, jump) in steps {
                let sequence = if jump { highest + step * step } else { highest.saturating_sub(step * 40) };
                let expected = if seen.contains(&sequence) || highest.saturating_sub(sequence) >= WINDOW {
                    Place::Seen
                } else if sequence > highest {
                    Place::Ahead
                } else {
                    Place::Late
                };
                prop_assert_eq!(window.place(sequence), expected);
                if expected != Place::Seen {
                    window.mark(sequence);
                    seen.insert(sequence);
                    highest = highest.max(sequence);
                }
                prop_assert_eq!(window.highest(), highest);
            }
        }
    }
}
