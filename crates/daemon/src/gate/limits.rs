//! How many connections there may be: of strangers altogether, of one stranger's address, and of members.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Strangers' connections at once.
const STRANGERS: usize = 256;
/// One stranger's connections at once.
const ONE_STRANGER: usize = 32;
/// Connections at once from members' addresses.
const MEMBERS: usize = 128;

#[derive(Clone, Debug, Default)]
pub(super) struct Limits(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    members: usize,
    strangers: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    limits: Limits,
    address: IpAddr,
    member: bool,
}

impl Limits {
    /// A place for one more connection, if there is one.
    pub(super) fn take(&self, address: IpAddr, member: bool) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if member {
            if counts.members >= MEMBERS {
                return None;
            }
            counts.members += 1;
        } else {
            let here = counts.by_address.get(&address).copied().unwrap_or(0);
            if counts.strangers >= STRANGERS || here >= ONE_STRANGER {
                return None;
            }
            counts.strangers += 1;
            counts.by_address.insert(address, here + 1);
        }
        Some(Place { limits: self.clone(), address, member })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.limits.0.lock().unwrap_or_else(PoisonError::into_inner);
        if self.member {
            counts.members -= 1;
            return;
        }
        counts.strangers -= 1;
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_keep_neither_members_nor_each_other_out() {
        let limits = Limits::default();
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let mut places: Vec<Place> = (0..ONE_STRANGER).map(|_| limits.take(address(1), false).unwrap()).collect();
        assert!(limits.take(address(1), false).is_none(), "one stranger has enough");
        let others = 2..=u8::try_from(STRANGERS / ONE_STRANGER).unwrap();
        places.extend(
            others
                .flat_map(|last| (0..ONE_STRANGER).map(move |_| last))
                .map(|last| limits.take(address(last), false).unwrap()),
        );
        assert!(limits.take(address(99), false).is_none(), "all strangers have enough");
        assert!(limits.take(address(1), true).is_some(), "a member comes in");
        places.truncate(1);
        assert!(limits.take(address(99), false).is_some());
        drop(places);
        assert!(limits.0.lock().unwrap().by_address.len() <= 1);
    }
}
