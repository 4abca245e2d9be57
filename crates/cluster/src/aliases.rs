//! What the kernel has of our virtual addresses, as far as it has confirmed.
//!
//! Every address that is, or may be, on this machine is here. An address that is not here is confirmed absent.
//!
//! Invariants: an address is `Present` or gone only by the kernel's word. A removal that fails is tried again for ever:
//! until it succeeds the address counts as held.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use model::{Instant, net::InterfaceIndex, report::AddressOutcome};

/// How long the kernel may take to answer a wish for an address. It answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between a failed, or unanswered, removal and the next: doubled each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// An address on its way in, here, or on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Alias {
    /// Asked for.
    Adding { since: Instant },
    /// Confirmed.
    Present,
    /// Removal asked for.
    Removing { retry: Instant, delay: Duration },
}

/// What an outcome means to the virtual host that has the address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Nothing new.
    Nothing,
    /// The address is there: asked for, or put back after somebody else had deleted it.
    Confirmed {
        /// Somebody else had deleted it.
        restored: bool,
    },
    /// The kernel does not want it.
    Refused(Arc<str>),
    /// It was there, its lease ran out, and it is gone.
    Lost,
}

/// Every virtual address that is, or may be, on this machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Aliases {
    desired: BTreeMap<IpAddr, InterfaceIndex>,
    states: BTreeMap<IpAddr, Alias>,
    /// The kernel must be told again although the wish is the same.
    reassert: bool,
}

impl Aliases {
    /// What should be there from now on. Returns it where the kernel must be told.
    pub(crate) fn desire(
        &mut self,
        now: Instant,
        desired: BTreeMap<IpAddr, InterfaceIndex>,
    ) -> Option<BTreeMap<IpAddr, InterfaceIndex>> {
        for address in desired.keys() {
            match self.states.get(address) {
                Some(Alias::Adding { .. } | Alias::Present) => {}
                Some(Alias::Removing { .. }) | None => {
                    self.states.insert(*address, Alias::Adding { since: now });
                }
            }
        }
        for (address, alias) in &mut self.states {
            match alias {
                Alias::Adding { .. } | Alias::Present if !desired.contains_key(address) => {
                    *alias = Alias::Removing { retry: now + RETRY.0, delay: RETRY.0 };
                }
                Alias::Adding { .. } | Alias::Present | Alias::Removing { .. } => {}
            }
        }
        let changed = self.desired != desired;
        self.desired = desired;
        (std::mem::take(&mut self.reassert) || changed).then(|| self.desired.clone())
    }

    /// The interface that an address was last wished on.
    pub(crate) fn interface(&self, address: IpAddr) -> Option<InterfaceIndex> {
        self.desired.get(&address).copied()
    }

    /// Whether the kernel has confirmed it, and it is still wished for.
    pub(crate) fn is_present(&self, address: IpAddr) -> bool {
        self.states.get(&address) == Some(&Alias::Present)
    }

    /// Whether its removal has been asked for and not been confirmed.
    pub(crate) fn is_leaving(&self, address: IpAddr) -> bool {
        matches!(self.states.get(&address), Some(Alias::Removing { .. }))
    }

    /// Takes the kernel's word.
    pub(crate) fn take(&mut self, now: Instant, address: IpAddr, outcome: &AddressOutcome) -> News {
        let Some(alias) = self.states.get_mut(&address) else { return News::Nothing };
        match (*alias, outcome) {
            (Alias::Adding { .. }, AddressOutcome::Present) => {
                *alias = Alias::Present;
                News::Confirmed { restored: false }
            }
            (Alias::Present, AddressOutcome::Present) => News::Confirmed { restored: false },
            (Alias::Adding { .. } | Alias::Present, AddressOutcome::Restored) => {
                *alias = Alias::Present;
                News::Confirmed { restored: true }
            }
            (Alias::Adding { .. }, AddressOutcome::Absent) => News::Nothing,
            (Alias::Present, AddressOutcome::Absent) => {
                *alias = Alias::Adding { since: now };
                self.reassert = true;
                News::Nothing
            }
            (Alias::Adding { .. } | Alias::Present, AddressOutcome::Failed(reason)) => News::Refused(reason.clone()),
            // Until it is no longer wished for it counts as on its way in, which it is not: whoever hears this lets go.
            (Alias::Adding { .. } | Alias::Present, AddressOutcome::Lost) => {
                *alias = Alias::Adding { since: now };
                News::Lost
            }
            (Alias::Removing { .. }, AddressOutcome::Absent | AddressOutcome::Lost) => {
                self.states.remove(&address);
                News::Nothing
            }
            // Words about the earlier wish: the answer to the newest is still to come.
            (Alias::Removing { .. }, AddressOutcome::Present | AddressOutcome::Restored) => News::Nothing,
            // The retry is set already.
            (Alias::Removing { .. }, AddressOutcome::Failed(_)) => News::Nothing,
        }
    }

    /// Time has passed. Returns the addresses that the kernel was too slow to confirm.
    pub(crate) fn expire(&mut self, now: Instant) -> BTreeSet<IpAddr> {
        let mut overdue = BTreeSet::new();
        for (address, alias) in &mut self.states {
            match alias {
                Alias::Adding { since } if now >= *since + PATIENCE => {
                    overdue.insert(*address);
                }
                Alias::Removing { retry, delay } if now >= *retry => {
                    *delay = (*delay * 2).min(RETRY.1);
                    *retry = now + *delay;
                    self.reassert = true;
                }
                Alias::Adding { .. } | Alias::Present | Alias::Removing { .. } => {}
            }
        }
        overdue
    }

    /// When `expire` has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let due = |alias: &Alias| match alias {
            Alias::Adding { since } => Some(*since + PATIENCE),
            Alias::Present => None,
            Alias::Removing { retry, .. } => Some(*retry),
        };
        self.states.values().filter_map(due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn one() -> (IpAddr, BTreeMap<IpAddr, InterfaceIndex>) {
        let address: IpAddr = "10.77.0.101".parse().unwrap();
        (address, BTreeMap::from([(address, InterfaceIndex(1))]))
    }

    #[test]
    fn only_the_kernels_word_makes_it_present_or_absent() {
        let (address, wish) = one();
        let mut aliases = Aliases::default();
        assert_eq!(aliases.desire(at(0), wish.clone()), Some(wish.clone()));
        assert_eq!(aliases.desire(at(1), wish), None, "told once");
        assert!(!aliases.is_present(address));
        assert_eq!(aliases.take(at(2), address, &AddressOutcome::Present), News::Confirmed { restored: false });
        assert!(aliases.is_present(address));
        assert_eq!(aliases.desire(at(3), BTreeMap::new()), Some(BTreeMap::new()));
        assert!(!aliases.is_present(address) && aliases.is_leaving(address));
        assert_eq!(aliases.take(at(4), address, &AddressOutcome::Present), News::Nothing, "late word");
        assert!(aliases.is_leaving(address));
        aliases.take(at(5), address, &AddressOutcome::Absent);
        assert!(!aliases.is_leaving(address));
        assert_eq!(aliases.next_deadline(), None);
    }

    #[test]
    fn a_failed_removal_is_tried_again_and_again() {
        let (address, wish) = one();
        let mut aliases = Aliases::default();
        aliases.desire(at(0), wish);
        aliases.desire(at(0), BTreeMap::new());
        for expected in [200, 600, 1_400, 3_000, 6_200, 11_200, 16_200] {
            aliases.take(at(expected - 1), address, &AddressOutcome::Failed("busy".into()));
            assert_eq!(aliases.desire(at(expected - 1), BTreeMap::new()), None);
            assert_eq!(aliases.next_deadline(), Some(at(expected)));
            aliases.expire(at(expected));
            assert_eq!(aliases.desire(at(expected), BTreeMap::new()), Some(BTreeMap::new()));
            assert!(aliases.is_leaving(address));
        }
    }

    #[test]
    fn a_silent_kernel_counts_as_refusing() {
        let (address, wish) = one();
        let mut aliases = Aliases::default();
        aliases.desire(at(0), wish);
        assert_eq!(aliases.next_deadline(), Some(at(2_000)));
        assert_eq!(aliases.expire(at(1_999)), BTreeSet::new());
        assert_eq!(aliases.expire(at(2_000)), BTreeSet::from([address]));
    }

    #[test]
    fn what_lost_its_lease_is_gone_by_the_kernels_word_alone() {
        let (address, wish) = one();
        let mut aliases = Aliases::default();
        aliases.desire(at(0), wish);
        aliases.take(at(1), address, &AddressOutcome::Present);
        assert_eq!(aliases.take(at(2), address, &AddressOutcome::Lost), News::Lost);
        assert!(!aliases.is_present(address));
        assert_eq!(aliases.desire(at(2), BTreeMap::new()), Some(BTreeMap::new()));
        assert!(aliases.is_leaving(address));
        aliases.take(at(3), address, &AddressOutcome::Absent);
        assert!(!aliases.is_leaving(address));
    }

    #[test]
    fn a_lease_that_ends_while_the_address_is_removed_means_that_it_is_gone() {
        let (address, wish) = one();
        let mut aliases = Aliases::default();
        aliases.desire(at(0), wish);
        aliases.take(at(1), address, &AddressOutcome::Present);
        aliases.desire(at(2), BTreeMap::new());
        assert_eq!(aliases.take(at(3), address, &AddressOutcome::Lost), News::Nothing);
        assert!(!aliases.is_leaving(address));
        assert_eq!(aliases.take(at(4), address, &AddressOutcome::Absent), News::Nothing);
    }

    #[test]
    fn what_vanished_is_asked_for_again() {
        let (address, wish) = one();
        let mut aliases = Aliases::default();
        aliases.desire(at(0), wish.clone());
        aliases.take(at(1), address, &AddressOutcome::Present);
        aliases.take(at(2), address, &AddressOutcome::Absent);
        assert!(!aliases.is_present(address));
        assert_eq!(aliases.desire(at(2), wish.clone()), Some(wish));
        assert_eq!(aliases.take(at(3), address, &AddressOutcome::Restored), News::Confirmed { restored: true });
        assert!(aliases.is_present(address));
    }
}
