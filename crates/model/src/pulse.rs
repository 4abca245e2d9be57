//! Does the driver hang? The guardian's judgement of its pulse (design section 5). Pure: the simulator's guardians run it,
//! too.
//!
//! *A hang* is a pulse older than 60 % of the detection time. Whoever looks much later than that was late itself: the whole
//! machine may have stood still, so the daemon gets a fifth of the detection time to show that it lives. A hang that is
//! found in time leaves three tenths of the detection time at least to remove the addresses before peers take them.
//!
//! Deliberately not here: clocks and memory (`host::guardian`), and what follows.

use std::time::Duration;

/// The longest pause between two beats of a driver that lives, as a part of the detection time: one in so many.
pub const BEATS: u32 = 5;

/// What a look at the pulse tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Nothing is wrong yet: look again so much later.
    LookAgain(Duration),
    /// The driver hangs.
    Hangs,
}

/// Who watches one run of a daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PulseWatch {
    /// The beat that is pardoned for its age, and until when.
    pardon: Option<(Duration, Duration)>,
}

impl PulseWatch {
    /// A look at `now`: the last beat was at `beat`, both on a clock that stands still while the machine is suspended.
    pub fn look(&mut self, now: Duration, beat: Duration, detection: Duration) -> Finding {
        let due = beat + detection * 3 / 5;
        let pardoned = self.pardon.filter(|(pardoned, _)| *pardoned == beat).map(|(_, until)| until);
        let deadline = pardoned.unwrap_or(due);
        if now < deadline {
            Finding::LookAgain(deadline - now)
        } else if pardoned.is_some() || now < due + detection / 10 {
            Finding::Hangs
        } else {
            let patience = detection / BEATS;
            self.pardon = Some((beat, now + patience));
            Finding::LookAgain(patience)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETECTION: Duration = Duration::from_millis(150);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn who_beats_is_left_alone_and_who_does_not_hangs_after_sixty_percent() {
        let mut watch = PulseWatch::default();
        for beat in [1_000, 1_030, 1_060] {
            assert_eq!(watch.look(ms(beat + 10), ms(beat), DETECTION), Finding::LookAgain(ms(80)));
        }
        assert_eq!(watch.look(ms(1_149), ms(1_060), DETECTION), Finding::LookAgain(ms(1)));
        assert_eq!(watch.look(ms(1_150), ms(1_060), DETECTION), Finding::Hangs);
    }

    #[test]
    fn who_looks_late_gives_the_daemon_one_chance() {
        let mut watch = PulseWatch::default();
        assert_eq!(watch.look(ms(5_000), ms(1_000), DETECTION), Finding::LookAgain(ms(30)));
        assert_eq!(watch.look(ms(5_010), ms(1_000), DETECTION), Finding::LookAgain(ms(20)));
        assert_eq!(watch.look(ms(5_030), ms(5_020), DETECTION), Finding::LookAgain(ms(80)), "it lives");
        assert_eq!(watch.look(ms(9_000), ms(5_020), DETECTION), Finding::LookAgain(ms(30)));
        assert_eq!(watch.look(ms(9_900), ms(5_020), DETECTION), Finding::Hangs, "one chance, however late");
    }

    #[test]
    fn a_hang_is_found_before_peers_take_by_themselves() {
        for detection in [20, 40, 150, 800].map(ms) {
            let beat = ms(1_000);
            let mut watch = PulseWatch::default();
            let mut now = beat;
            while let Finding::LookAgain(after) = watch.look(now, beat, detection) {
                assert!(!after.is_zero());
                now += after;
            }
            assert_eq!(now - beat, detection * 3 / 5);
        }
    }
}
