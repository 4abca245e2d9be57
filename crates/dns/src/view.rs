//! A view: the compiled zones under the health of one moment.
//!
//! Invariants: immutable; shares the zones with every other view of the same configuration; building one touches pools
//! only, whatever the size of the zones.
//!
//! Deliberately not here: which view is in force (`daemon` swaps them whole).

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use model::{
    Health, PoolName, ZoneName,
    api::{PoolStatus, PoolWhy},
};

use crate::{
    compile::{Followed, Use, Zones},
    pool::{Evaluated, PoolState},
    ring::Ring,
    wire::{ExtendedError, HEADER, IN},
};

/// What a pool is answered with: each address with the name of its member; none: we do not know.
pub type AnswerSet = Option<BTreeMap<IpAddr, Arc<str>>>;

/// What is answered now. See [`crate::respond()`].
#[derive(Debug)]
pub struct View {
    pub(crate) zones: Arc<Zones>,
    pub(crate) serial: u32,
    identity: Box<[u8]>,
    evaluated: Vec<Evaluated>,
    /// For each use of a pool, its records, and why they are not what they might be.
    uses: Vec<(Records, Option<ExtendedError>)>,
    /// For each set that follows a pool, its records; none: we do not know.
    followers: Vec<Option<(Box<[u8]>, u16)>>,
}

/// A pool's records with some TTL.
#[derive(Debug)]
pub(crate) enum Records {
    /// IPv4 and IPv6.
    Rings([Ring; 2]),
    /// We do not know.
    Servfail,
}

impl View {
    /// The zones under `health`. `identity` is what this server calls itself (RFC 4892, RFC 5001); at most 255 bytes of
    /// it are told.
    pub fn build(zones: &Arc<Zones>, health: &Health, identity: &str) -> Self {
        let evaluated = zones.pools.evaluate(health);
        let records = |used: &Use| match &evaluated[used.pool].state {
            PoolState::Servfail => Records::Servfail,
            PoolState::Answers { answered, at_most } => {
                let ttl = used.ttl.after(evaluated[used.pool].calm);
                Records::Rings([false, true].map(|six| Ring::of(answered, six, ttl, *at_most)))
            }
        };
        let uses = zones.uses.iter().map(|used| (records(used), evaluated[used.pool].degraded())).collect();
        let followers = zones.followers.iter().map(|one| follow(zones, &evaluated[one.pool], one)).collect();
        let identity = &identity.as_bytes()[..identity.len().min(255)];
        Self { zones: zones.clone(), serial: health.serial, identity: identity.into(), evaluated, uses, followers }
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

    /// What is answered for the pools whose answers may be others than in `earlier`: all of them where that one is of another
    /// configuration.
    pub fn answers_since(&self, earlier: &Self) -> Vec<(PoolName, AnswerSet)> {
        let same_zones = Arc::ptr_eq(&self.zones, &earlier.zones);
        let is_same = |index: usize| same_zones && self.evaluated[index].state == earlier.evaluated[index].state;
        let changed = (0..self.evaluated.len()).filter(|index| !is_same(*index));
        changed.map(|index| self.zones.pools.answers(index, &self.evaluated[index])).collect()
    }

    /// What this server calls itself, where it may tell.
    pub(crate) fn identity(&self) -> Option<&[u8]> {
        Some(&*self.identity).filter(|identity| self.zones.tell_identity && !identity.is_empty())
    }

    /// A pool's part in an answer.
    pub(crate) fn pool_why(&self, used: u32) -> PoolWhy {
        let used = self.zones.uses[used as usize];
        self.zones.pools.why(used.pool, &self.evaluated[used.pool], used.ttl)
    }

    /// The part of the pool that a set of records follows.
    pub(crate) fn follower_why(&self, follower: u32) -> PoolWhy {
        let one = &self.zones.followers[follower as usize];
        self.zones.pools.why(one.pool, &self.evaluated[one.pool], one.follower.ttl)
    }

    /// The records of a set that follows a pool, owned by the question's name, and how many; none: we do not know. With
    /// them why they are not what they might be.
    pub(crate) fn followed(&self, follower: u32) -> (Option<(&[u8], u16)>, Option<ExtendedError>) {
        let records = self.followers[follower as usize].as_ref().map(|(bytes, records)| (&**bytes, *records));
        (records, self.evaluated[self.zones.followers[follower as usize].pool].degraded())
    }

    pub(crate) fn records(&self, used: u32) -> (&Records, Option<ExtendedError>) {
        let (records, degraded) = &self.uses[used as usize];
        (records, *degraded)
    }
}

/// One record for each member that is offered.
fn follow(zones: &Zones, evaluated: &Evaluated, one: &Followed) -> Option<(Box<[u8]>, u16)> {
    let (mut bytes, mut records) = (Vec::new(), 0);
    for offered in zones.pools.offered(one.pool, evaluated)? {
        let data = one.follower.data(offered.member, offered.priority, offered.weight);
        for field in [0xC000 | HEADER as u16, one.follower.rtype.into(), IN] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(&one.follower.ttl.after(evaluated.calm).to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(data.len()).expect("names and parameters were checked").to_be_bytes());
        bytes.extend_from_slice(&data);
        records += 1;
    }
    Some((bytes.into(), records))
}
