//! When leases are renewed, and what follows for their end. Pure.
//!
//! *The law.* A process that dies has renewed no lease after its death, so the kernel ends each at most [`LEASE`] after
//! that, plus 1.25 s of its own batching and a [`TICK`]: together no more than 3.3 s, however many addresses there are and
//! however seldom they are renewed. How often that is decides how much a daemon that lives may be held up before it loses
//! them: see the tests.

use std::time::Duration;

use model::Instant;

use super::LEASE;

/// The kernel looks for ended leases when the next one ends, rounded up to a whole second (`round_jiffies_up`), a quarter of a
/// second late at most (`ADDRCONF_TIMER_FUZZ`).
#[cfg(test)]
const BATCHING: Duration = Duration::from_millis(1_250);

/// The kernel's clock for leases: two ticks where it ticks a hundred times a second.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// Nothing is left of a process that has died after that.
#[cfg(test)]
const BOUND: Duration = Duration::from_millis(3_300);

/// From the beginning of one renewal to the next: three may fail.
const RENEWAL: Duration = Duration::from_millis(500);

/// The same where there are more IPv6 addresses than [`MANY`]: each renewal of one takes the kernel through the interface's
/// multicast groups, of which every address has one (`ipv6_mc_up`), so that their cost grows with the square of their
/// number. This costs none of the bound, only some of the patience with a machine that stands still.
const SELDOM: Duration = Duration::from_secs(1);
const MANY: usize = 32;

/// When a renewal has failed, or may not be made, it is tried again so soon.
pub(super) const SOON: Duration = Duration::from_millis(100);

/// A lease of this age may have run out before a renewal reaches the kernel.
pub(super) const TOO_OLD: Duration = LEASE.saturating_sub(TICK.saturating_mul(5));

/// The last renewal of all leases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Just before the kernel was asked.
    pub(super) begun: Instant,
    pub(super) succeeded: bool,
}

impl Round {
    /// Whether it is time for the next one, with so many IPv6 addresses.
    pub(super) fn is_over(self, now: Instant, six: usize) -> bool {
        !self.succeeded || now >= self.begun + period(six)
    }

    /// When to look again whether it is time: what could not be done when it was due is tried again soon.
    pub(super) fn next(self, now: Instant, six: usize) -> Instant {
        if self.is_over(now, six) { now + SOON } else { self.begun + period(six) }
    }
}

fn period(six: usize) -> Duration {
    if six > MANY { SELDOM } else { RENEWAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: [usize; 6] = [0, 1, MANY, MANY + 1, 100, 1_000];

    /// How long the kernel takes for a renewal of so many: more than was ever measured.
    fn effort(six: usize) -> Duration {
        Duration::from_micros(100) * u32::try_from(six).unwrap()
    }

    /// When renewals reach the kernel, at the latest, in ten seconds of a daemon that fails `failures` times after each
    /// success.
    fn renewals(six: usize, failures: u32) -> Vec<Instant> {
        let mut round = Round { begun: Instant::BOOT, succeeded: true };
        let (mut reached, mut failed, mut now) = (vec![Instant::BOOT], 0, Instant::BOOT);
        while now < Instant::BOOT + Duration::from_secs(10) {
            if round.is_over(now, six) {
                failed = if failed == failures { 0 } else { failed + 1 };
                round = Round { begun: now, succeeded: failed == 0 };
                now = now + effort(six);
                reached.extend(round.succeeded.then_some(now));
            }
            now = round.next(now, six);
        }
        reached
    }

    #[test]
    fn whenever_a_daemon_dies_its_addresses_are_gone_within_the_bound() {
        for six in COUNTS {
            let renewals = renewals(six, 0);
            for death in (0..9_000).map(|ms| Instant::BOOT + Duration::from_millis(ms)) {
                let last = renewals.iter().copied().filter(|renewal| *renewal <= death).max().expect("the first");
                let gone = last + LEASE + BATCHING + TICK;
                assert!(gone.since(death) <= BOUND, "{six} addresses: {:?} after {death:?}", gone.since(death));
                // And it is not removed from under a daemon that lives.
                assert!(death.since(last) < TOO_OLD, "{six} addresses: not renewed for {:?}", death.since(last));
            }
        }
    }

    #[test]
    fn some_renewals_may_fail_before_an_address_is_lost() {
        for six in COUNTS {
            let gap = |failures| renewals(six, failures).windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap();
            assert!(gap(3) < TOO_OLD, "{six} addresses: {:?}", gap(3));
            assert!(gap(20) >= TOO_OLD, "{six} addresses: or this test sees nothing");
        }
    }
}
