//! Rotation: which of a pool's records an answer holds, and which comes first.
//!
//! Everything is written out when the view is built. An answer is one slice of a ring's bytes, and each begins where the
//! schedule says, so that answering costs the same whatever the policy is. Equal shares go round: each answer begins one
//! further. Unequal ones follow a smooth sequence (each step takes whose turn is most overdue) as long as the weights'
//! sum, so that shares are exact over each round of it, and no member comes in bursts.
//!
//! Invariants: an answer has each record once; the first record is a member's in proportion to its weight, whatever the
//! number of its addresses; where answers are shorter than the ring, those that follow are who comes next in the sequence.
//!
//! Deliberately not here: who is in the ring ([`crate::pool`]).

use std::net::IpAddr;

use crate::{
    pool::Answered,
    wire::{HEADER, IN, rtype},
};

/// The longest sequence. Weights whose reduced sum is larger are rounded, none to nothing.
const LONGEST: u64 = 4096;
/// Records written out for short answers of unequal shares; beyond that those that follow go by the ring's order.
const MOST_WINDOWED: usize = 1 << 16;

/// Records of one family in rotation, owned by the question's name.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    bytes: Box<[u8]>,
    /// Where answers begin, one after the other; empty: at each record in turn.
    starts: Box<[u32]>,
    /// How many records there are.
    records: u16,
    /// How many go into one answer.
    at_most: u16,
    /// Bytes of one record.
    size: usize,
}

impl Ring {
    /// The records of one family.
    pub(crate) fn of(answered: &[Answered], six: bool, ttl: u32, at_most: usize) -> Self {
        let of_family = |one: &&Answered| one.address.is_ipv6() == six;
        let count = answered.iter().filter(of_family).count();
        if count == 0 {
            return Self::default();
        }
        let (at_most, size) = (at_most.min(count), if six { 28 } else { 16 });
        let mut bytes = Vec::with_capacity(2 * count * size);
        answered.iter().filter(of_family).for_each(|one| write(&one.address, ttl, &mut bytes));
        let mut starts = Vec::new();
        let sequence = sequence(answered.iter().filter(of_family));
        if at_most < count && at_most * sequence.len() <= MOST_WINDOWED && !sequence.is_empty() {
            let records = std::mem::take(&mut bytes);
            for window in windows(&sequence, count, at_most) {
                starts.push(narrow(bytes.len()));
                window.iter().for_each(|index| bytes.extend_from_slice(&records[index * size..][..size]));
            }
        } else {
            // Twice over: whatever the first record is, those that follow stand behind it.
            bytes.extend_from_within(..);
            starts.extend(sequence.iter().map(|index| narrow(index * size)));
        }
        let short = |count: usize| u16::try_from(count).expect("a pool of fewer than 65,536 addresses");
        Self { bytes: bytes.into(), starts: starts.into(), records: short(count), at_most: short(at_most), size }
    }

    /// The records of the answer number `turn`, in wire form, and how many.
    pub(crate) fn turn(&self, turn: u16) -> (&[u8], u16) {
        let start = match (self.starts.len(), self.records) {
            (_, 0) => return (&[], 0),
            (0, records) => usize::from(turn % records) * self.size,
            (length, _) => self.starts[usize::from(turn) % length] as usize,
        };
        (&self.bytes[start..start + usize::from(self.at_most) * self.size], self.at_most)
    }
}

fn write(address: &IpAddr, ttl: u32, bytes: &mut Vec<u8>) {
    let (kind, octets) = match address {
        IpAddr::V4(four) => (rtype::A, &four.octets()[..]),
        IpAddr::V6(six) => (rtype::AAAA, &six.octets()[..]),
    };
    for field in [0xC000 | HEADER as u16, kind, IN] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    bytes.extend_from_slice(&ttl.to_be_bytes());
    bytes.extend_from_slice(&(octets.len() as u16).to_be_bytes());
    bytes.extend_from_slice(octets);
}

/// Who comes first in each answer, by index; empty where all shares are equal. A member's addresses share its weight.
fn sequence<'a>(answered: impl Iterator<Item = &'a Answered> + Clone) -> Vec<usize> {
    let siblings = |one: &Answered| answered.clone().filter(|other| other.member == one.member).count() as u64;
    let equal = |mut shares: Box<dyn Iterator<Item = u64> + '_>| {
        let first = shares.next();
        shares.all(|share| Some(share) == first)
    };
    // The usual case, and quick: one address a member, one weight for all.
    let plain = answered.clone().zip(answered.clone().skip(1)).all(|(one, next)| one.member != next.member)
        && equal(Box::new(answered.clone().map(|one| u64::from(one.weight))));
    if plain {
        return Vec::new();
    }
    let common = answered.clone().map(siblings).fold(1, |a, b| a / gcd(a, b) * b);
    let shares: Vec<u64> = answered.clone().map(|one| u64::from(one.weight) * common / siblings(one)).collect();
    if equal(Box::new(shares.iter().copied())) { Vec::new() } else { smooth(&reduced(shares)) }
}

/// The same proportions in small numbers.
fn reduced(mut shares: Vec<u64>) -> Vec<u64> {
    let common = shares.iter().copied().fold(0, gcd).max(1);
    shares.iter_mut().for_each(|share| *share /= common);
    let total: u64 = shares.iter().sum();
    if total > LONGEST {
        shares.iter_mut().for_each(|share| *share = ((*share * LONGEST + total / 2) / total).max(1));
    }
    shares
}

/// Each index as often as its share says, as evenly as can be.
fn smooth(shares: &[u64]) -> Vec<usize> {
    let total: u64 = shares.iter().sum();
    let mut credit = vec![0_i64; shares.len()];
    let step = |_| {
        credit.iter_mut().zip(shares).for_each(|(credit, share)| *credit += share.cast_signed());
        let most = credit.iter().copied().max()?;
        let next = credit.iter().position(|credit| *credit == most)?;
        credit[next] -= total.cast_signed();
        Some(next)
    };
    (0..total).map_while(step).collect()
}

/// For each place of the sequence, taken as a circle, the first `length` different indices from there on.
fn windows(sequence: &[usize], count: usize, length: usize) -> Vec<Vec<usize>> {
    // Backwards, each index moves to the front of those met so far. Once round to have met them all.
    let mut recent: Vec<usize> = Vec::with_capacity(count);
    let mut windows = Vec::with_capacity(sequence.len());
    for place in (0..sequence.len()).rev().chain((0..sequence.len()).rev()) {
        let index = sequence[place];
        recent.retain(|other| *other != index);
        recent.insert(0, index);
        if windows.len() == sequence.len() {
            windows.clear();
        }
        windows.push(recent[..length.min(recent.len())].to_vec());
    }
    windows.reverse();
    windows
}

/// The greatest common divisor.
pub(crate) fn gcd<N: Copy + PartialEq + Default + std::ops::Rem<Output = N>>(a: N, b: N) -> N {
    if b == N::default() { a } else { gcd(b, a % b) }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a ring below 4 GiB")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Members by their number, each with so many addresses and that weight.
    fn members(of: &[(u8, u16)]) -> Vec<Answered> {
        let mut answered = Vec::new();
        for (member, (addresses, weight)) in of.iter().enumerate() {
            for address in 0..*addresses {
                let address = IpAddr::from([10, 0, u8::try_from(member).unwrap(), address]);
                answered.push(Answered { address, member: u16::try_from(member).unwrap(), weight: (*weight).into() });
            }
        }
        answered
    }

    /// The members of each record of an answer.
    fn answer(ring: &Ring, turn: u16) -> Vec<(usize, u8)> {
        let (bytes, count) = ring.turn(turn);
        assert_eq!(bytes.len(), usize::from(count) * 16);
        bytes.chunks(16).map(|record| (usize::from(record[14]), record[15])).collect()
    }

    #[test]
    fn equal_shares_go_round() {
        let ring = Ring::of(&members(&[(1, 1), (1, 1), (1, 1)]), false, 5, 2);
        let firsts: Vec<_> = (0..4).map(|turn| answer(&ring, turn)).collect();
        assert_eq!(firsts, [[(0, 0), (1, 0)], [(1, 0), (2, 0)], [(2, 0), (0, 0)], [(0, 0), (1, 0)]]);
    }

    #[test]
    fn the_heavy_one_does_not_come_in_bursts() {
        assert_eq!(smooth(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(windows(&[0, 0, 1, 0, 2], 3, 2), [[0, 1], [0, 1], [1, 0], [0, 2], [2, 0]]);
    }

    proptest! {
        /// Over many queries each member's share of first places is its weight's, within 3 %; no answer has one twice.
        #[test]
        fn shares_are_those_of_the_weights(
            of in prop::collection::vec((1u8..4, 1u16..100), 1..8),
            at_most in 1usize..12,
        ) {
            let ring = Ring::of(&members(&of), false, 5, at_most);
            let mut firsts = vec![0_u32; of.len()];
            let queries = 60_000_u16;
            for turn in 0..queries {
                let mut answer = answer(&ring, turn);
                firsts[answer[0].0] += 1;
                answer.sort_unstable();
                prop_assert!(answer.windows(2).all(|pair| pair[0] != pair[1]), "{answer:?}");
            }
            let total: u32 = of.iter().map(|(_, weight)| u32::from(*weight)).sum();
            for (index, (_, weight)) in of.iter().enumerate() {
                let share = f64::from(firsts[index]) / f64::from(queries);
                let wanted = f64::from(*weight) / f64::from(total);
                prop_assert!((share - wanted).abs() <= 0.03 * wanted.max(0.03), "{index}: {share} instead of {wanted}");
            }
        }

        /// With equal weights, short answers contain every member equally often.
        #[test]
        fn short_answers_are_fair(count in 1usize..12, at_most in 1usize..12) {
            let ring = Ring::of(&members(&vec![(1, 1); count]), false, 5, at_most);
            let mut seen = vec![0_u32; count];
            for turn in 0..u16::try_from(count * 100).unwrap() {
                answer(&ring, turn).iter().for_each(|(member, _)| seen[*member] += 1);
            }
            prop_assert!(seen.iter().all(|times| *times == seen[0]), "{seen:?}");
        }
    }
}
