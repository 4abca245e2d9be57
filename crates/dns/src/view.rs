//! A view: the compiled zones under the health of one moment.
//!
//! Invariants: immutable; shares the zones with every other view of the same configuration; building one touches pools
//! only, whatever the size of the zones.
//!
//! Deliberately not here: which view is in force (`daemon` swaps them whole).

use std::{net::IpAddr, sync::Arc};

use model::{Health, ZoneName, api::PoolStatus};

use crate::{
    compile::Zones,
    pool::{Evaluated, PoolState},
    wire::{ExtendedError, HEADER, IN, rtype},
};

/// What is answered now. See [`crate::respond()`].
#[derive(Debug)]
pub struct View {
    pub(crate) zones: Arc<Zones>,
    pub(crate) serial: u32,
    identity: Box<[u8]>,
    evaluated: Vec<Evaluated>,
    /// For each use of a pool, its records, and why they are not what they might be.
    uses: Vec<(Records, Option<ExtendedError>)>,
}

/// A pool's records with some TTL.
#[derive(Debug)]
pub(crate) enum Records {
    /// IPv4 and IPv6.
    Rings([Ring; 2]),
    /// We do not know.
    Servfail,
}

/// Records of one family in rotation, owned by the question's name.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    /// All records, twice over: whatever the first one is, those that follow stand behind it.
    bytes: Box<[u8]>,
    /// How many records there are.
    records: u16,
    /// How many go into one answer.
    at_most: u16,
    /// Bytes of one record.
    size: usize,
}

impl View {
    /// The zones under `health`. `identity` is what this server calls itself (RFC 4892, RFC 5001); at most 255 bytes of
    /// it are told.
    pub fn build(zones: &Arc<Zones>, health: &Health, identity: &str) -> Self {
        let evaluated = zones.pools.evaluate(health);
        let records = |state: &PoolState, ttl| match state {
            PoolState::Servfail => Records::Servfail,
            PoolState::Answers { addresses, at_most } => Records::Rings([
                Ring::of(addresses.iter().filter(|address| address.is_ipv4()), ttl, *at_most),
                Ring::of(addresses.iter().filter(|address| address.is_ipv6()), ttl, *at_most),
            ]),
        };
        let used = |pool: &Evaluated, ttl| (records(&pool.state, ttl), pool.degraded());
        let uses = zones.uses.iter().map(|each| used(&evaluated[each.pool], each.ttl)).collect();
        let identity = &identity.as_bytes()[..identity.len().min(255)];
        Self { zones: zones.clone(), serial: health.serial, identity: identity.into(), evaluated, uses }
    }

    /// The serial in the SOA of every zone that asks for the cluster's.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// The zones served.
    pub fn zone_names(&self) -> impl Iterator<Item = &ZoneName> {
        self.zones.names()
    }

    /// Every pool: who is answered, and why.
    pub fn pools(&self) -> Vec<PoolStatus> {
        self.zones.pools.status(&self.evaluated)
    }

    /// What this server calls itself, where it may tell.
    pub(crate) fn identity(&self) -> Option<&[u8]> {
        Some(&*self.identity).filter(|identity| self.zones.tell_identity && !identity.is_empty())
    }

    pub(crate) fn records(&self, used: u32) -> (&Records, Option<ExtendedError>) {
        let (records, degraded) = &self.uses[used as usize];
        (records, *degraded)
    }
}

impl Ring {
    fn of<'a>(addresses: impl Iterator<Item = &'a IpAddr> + Clone, ttl: u32, at_most: usize) -> Self {
        let records = addresses.clone().count();
        let size = addresses.clone().next().map_or(0, |first| if first.is_ipv4() { 16 } else { 28 });
        let mut bytes = Vec::with_capacity(2 * records * size);
        for address in addresses {
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
        bytes.extend_from_within(..);
        let narrow = |count: usize| u16::try_from(count).expect("a pool of fewer than 65,536 addresses");
        Self { bytes: bytes.into(), records: narrow(records), at_most: narrow(at_most.min(records)), size }
    }

    /// The records of the answer number `turn`, in wire form, and how many. Each answer starts one further.
    pub(crate) fn turn(&self, turn: u16) -> (&[u8], u16) {
        if self.records == 0 {
            return (&[], 0);
        }
        let first = usize::from(turn % self.records) * self.size;
        (&self.bytes[first..first + usize::from(self.at_most) * self.size], self.at_most)
    }
}
