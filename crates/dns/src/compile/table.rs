//! From a name's hash to its node, by one line of memory: a large zone is slow by what it waits for, not by what it does.
//!
//! Open addressing with linear probing. A slot holds half of the hash, which tells almost every other name from the one
//! that is looked for without a look at its node. Nothing is ever removed.
//!
//! Invariants: a power of two of slots, at most three quarters of them taken.
//!
//! Deliberately not here: names, and how they are hashed.

use super::NONE;

/// Slots of an empty table.
const FEWEST: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    /// [`NONE`]: the slot is free, and no search goes on beyond it.
    node: u32,
}

const FREE: Slot = Slot { tag: 0, node: NONE };

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    taken: usize,
}

impl Table {
    /// Room for so many names.
    pub(super) fn with_capacity(names: usize) -> Self {
        let slots = (names + names / 3 + 1).next_power_of_two().max(FEWEST);
        Self { slots: vec![FREE; slots], taken: 0 }
    }

    /// The node with this hash that is the one looked for.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut place = self.place(hash);
        loop {
            let slot = self.slots[place];
            if slot.node == NONE {
                return None;
            }
            if slot.tag == tag && is_it(slot.node) {
                return Some(slot.node);
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    /// Where the search for this hash begins.
    pub(super) fn address(&self, hash: u64) -> *const u8 {
        (&raw const self.slots[self.place(hash)]).cast()
    }

    /// Adds a node that is not in it. `hash_of` gives the hash of those that are: they move when there is no room left.
    pub(super) fn insert(&mut self, hash: u64, node: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.taken + 1) * 4 > self.slots.len() * 3 {
            let slots = vec![FREE; self.slots.len() * 2];
            let before = std::mem::replace(&mut self.slots, slots);
            for slot in before.into_iter().filter(|slot| slot.node != NONE) {
                self.put(hash_of(slot.node), slot.node);
            }
        }
        self.put(hash, node);
        self.taken += 1;
    }

    fn put(&mut self, hash: u64, node: u32) {
        let mut place = self.place(hash);
        while self.slots[place].node != NONE {
            place = (place + 1) & (self.slots.len() - 1);
        }
        self.slots[place] = Slot { tag: tag(hash), node };
    }

    fn place(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }
}

/// The half of a hash that does not choose the place.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the hashes, equal ones and such that meet in one place among them: who was added is found, with or
        /// without room from the beginning, and nobody else.
        #[test]
        fn finds_what_was_added_and_nothing_else(
            hashes in prop::collection::vec(prop_oneof![any::<u64>(), 0..4_u64, (0..4_u64).prop_map(|n| n << 32)], 0..200),
            room in prop_oneof![Just(0_usize), Just(200)],
        ) {
            let mut table = Table::with_capacity(room);
            for (node, hash) in (0..).zip(&hashes) {
                prop_assert_eq!(table.find(*hash, |other| other == node), None);
                table.insert(*hash, node, |node| hashes[node as usize]);
            }
            for (node, hash) in (0..).zip(&hashes) {
                prop_assert_eq!(table.find(*hash, |other| other == node), Some(node));
            }
            prop_assert!(table.taken * 4 <= table.slots.len() * 3);
        }
    }
}
