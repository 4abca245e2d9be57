//! The most frequent of many, in fixed memory: Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in
//! Data Streams" (space-saving).
//!
//! Whoever has no slot takes that of the least frequent one, and takes over its count, which is from then on known to be wrong by so
//! much. Invariant: of N things counted in k slots, each that came more than N/k times has a slot.

use std::hash::{BuildHasher, Hash};

use foldhash::quality::SeedableRandomState;

/// Counts of the most frequent ones.
pub struct Top<K> {
    hashes: Box<[u64]>,
    counts: Box<[u64]>,
    /// How much of the count may be others'.
    others: Box<[u64]>,
    keys: Box<[K]>,
    used: usize,
    hasher: SeedableRandomState,
}

impl<K: Copy + Eq + Hash + Slot> Top<K> {
    /// With so many slots, at least one.
    pub(crate) fn new(slots: usize, hasher: SeedableRandomState) -> Self {
        let slots = slots.max(1);
        let numbers = || vec![0; slots].into();
        let keys = vec![K::EMPTY; slots].into();
        Self { hashes: numbers(), counts: numbers(), others: numbers(), keys, used: 0, hasher }
    }

    /// Counts a key, so many times.
    pub(crate) fn add(&mut self, key: &K, more: u64) {
        let hash = self.hasher.hash_one(key);
        let known = self.hashes[..self.used].iter().zip(&self.keys).position(|(other, at)| *other == hash && at == key);
        if let Some(at) = known {
            self.counts[at] = self.counts[at].saturating_add(more);
            return;
        }
        let (at, before) = if self.used < self.keys.len() {
            self.used += 1;
            (self.used - 1, 0)
        } else {
            let least = self.counts.iter().copied().enumerate().min_by_key(|(_, count)| *count);
            least.unwrap_or_default()
        };
        self.hashes[at] = hash;
        self.counts[at] = before.saturating_add(more);
        self.others[at] = before;
        self.keys[at] = *key;
    }

    /// What is counted, in no order, and how often each came at least.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        let counts = self.counts.iter().zip(&self.others).map(|(count, others)| count - others);
        self.keys[..self.used].iter().zip(counts)
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.counts.fill(0);
    }
}

/// What a slot is filled with before it is used.
pub trait Slot {
    /// Anything.
    const EMPTY: Self;
}

impl Slot for std::net::IpAddr {
    const EMPTY: Self = Self::V4(std::net::Ipv4Addr::UNSPECIFIED);
}

impl Slot for super::Asked {
    const EMPTY: Self = Self { length: 0, bytes: [0; 255] };
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        net::{IpAddr, Ipv4Addr},
    };

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Who is frequent is never missed, and nobody is counted too often.
        #[test]
        fn heavy_hitters_have_a_slot(keys in proptest::collection::vec((0..40_u32, 1..5_u64), 0..600), slots in 1..12_usize, heavy in 0..40_u32, times in 0..300) {
            let hasher = SeedableRandomState::with_seed(3, foldhash::SharedSeed::global_fixed());
            let mut top = Top::<IpAddr>::new(slots, hasher);
            let mut truth = BTreeMap::<IpAddr, u64>::new();
            let mut keys = keys;
            for at in 0..times as usize {
                keys.insert((at * 7) % (keys.len() + 1), (heavy, 1));
            }
            for (key, more) in keys {
                let key = Ipv4Addr::from_bits(key).into();
                top.add(&key, more);
                *truth.entry(key).or_default() += more;
            }
            let all: u64 = truth.values().sum();
            let kept: BTreeMap<IpAddr, u64> = top.iter().map(|(key, count)| (*key, count)).collect();
            prop_assert!(kept.len() <= slots);
            for (key, count) in &truth {
                prop_assert!(*count * slots as u64 <= all || kept.contains_key(key), "{} came {} of {}", key, count, all);
            }
            for (key, least) in &kept {
                prop_assert!(*least <= truth[key]);
            }
            if truth.len() <= slots {
                prop_assert_eq!(kept, truth);
            }
        }
    }
}
