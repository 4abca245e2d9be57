//! Records of a zone exchanged for others: what has stayed is copied in runs, and nobody looks at it.
//!
//! Invariant: the owners that come of it are those of the whole text read, if that has no mistake. Whether it has one is for
//! [`check`](super::check) to say: of all owners, or of those that are others now alone, where that will do ([`Exchanged::local`]).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    owners::{Entry, NONE, Owner, Owners, Set},
    records::{POOL, Records, data_at},
};
use crate::{name, wire::rtype};

/// Records of these types point to names, or say what a name is: what is right elsewhere depends on them.
const FAR_REACHING: [u16; 8] =
    [rtype::NS, rtype::DNAME, rtype::CNAME, rtype::SOA, rtype::MX, rtype::SRV, rtype::SVCB, rtype::HTTPS];

/// The records of an owner and type that a difference takes away, and those that it puts in their place.
#[derive(Default)]
pub(super) struct Exchange {
    away: Vec<Vec<u8>>,
    new: Vec<(u32, Vec<u8>)>,
}

/// By owner, in canonical order, and type.
pub(super) struct Exchanges(BTreeMap<Canonical, BTreeMap<u16, Exchange>>);

/// A name in the canonical order.
#[derive(PartialEq, Eq)]
struct Canonical(Vec<u8>);

impl Ord for Canonical {
    fn cmp(&self, other: &Self) -> Ordering {
        name::compare(&self.0, &other.0)
    }
}

impl PartialOrd for Canonical {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What comes of it.
pub(super) struct Exchanged {
    /// All owners.
    pub(super) owners: Owners,
    /// The numbers of those that are others now.
    pub(super) touched: Vec<usize>,
    /// Bytes that nobody uses any more.
    pub(super) waste: usize,
    /// Nothing that was right elsewhere can be wrong now.
    pub(super) local: bool,
}

impl Exchanges {
    /// The records of the lines that went, and of those that came.
    pub(super) fn of(old: &Records, fresh: &Records) -> Self {
        let mut all: BTreeMap<Canonical, BTreeMap<u16, Exchange>> = BTreeMap::new();
        for (owner, rtype, _, data) in old.iter() {
            let sets = all.entry(Canonical(owner.to_vec())).or_default();
            sets.entry(rtype).or_default().away.push(data.to_vec());
        }
        for (owner, rtype, ttl, data) in fresh.iter() {
            let sets = all.entry(Canonical(owner.to_vec())).or_default();
            sets.entry(rtype).or_default().new.push((ttl, data.to_vec()));
        }
        Self(all)
    }

    /// Whether they are about that owner.
    pub(super) fn touch(&self, owner: &[u8]) -> bool {
        self.0.keys().any(|name| name.0 == owner)
    }

    /// The owners with these exchanged; none where the lines did not make what stands there, or disagree about a TTL.
    pub(super) fn make(&self, before: &Owners) -> Option<Exchanged> {
        let mut writer = Writer::new(before);
        let mut next = 0;
        for (name, sets) in &self.0 {
            let place = before.position(&name.0);
            let (Ok(end) | Err(end)) = place;
            writer.keep(next..end);
            next = end + usize::from(place.is_ok());
            writer.exchange(&name.0, place.ok().map(|index| before.owner(index)), sets)?;
        }
        writer.keep(next..before.len());
        Some(writer.finish())
    }
}

/// Owners that are being written.
struct Writer<'o> {
    before: &'o Owners,
    now: Owners,
    touched: Vec<usize>,
    waste: usize,
    local: bool,
    /// A name has come.
    grown: bool,
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("texts are limited to less than 4 GiB")
}

impl<'o> Writer<'o> {
    fn new(before: &'o Owners) -> Self {
        const ROOM: usize = 4096;
        let mut now = Owners { pools: before.pools.clone(), ..Owners::default() };
        now.bytes.reserve_exact(before.bytes.len() + ROOM);
        now.bytes.extend_from_slice(&before.bytes);
        now.entries.reserve_exact(before.entries.len() + ROOM);
        now.sets.reserve_exact(before.sets.len() + ROOM);
        now.records.reserve_exact(before.records.len() + ROOM);
        Self { before, now, touched: Vec::new(), waste: 0, local: true, grown: false }
    }

    /// Owners as they were; where their sets and records stand has moved.
    fn keep(&mut self, owners: Range<usize>) {
        let Owners { entries, sets, records, .. } = self.before;
        let (Some(first), Some(last)) = (entries.get(owners.start), entries.get(owners.end)) else { return };
        let (first_set, last_set) = (first.first_set as usize, last.first_set as usize);
        let moved = narrow(self.now.sets.len()).wrapping_sub(first.first_set);
        let entry = |entry: &Entry| Entry { first_set: entry.first_set.wrapping_add(moved), ..*entry };
        self.now.entries.extend(entries[owners].iter().map(entry));
        let (first, last) = (sets[first_set].first, sets[last_set].first);
        let moved = narrow(self.now.records.len()).wrapping_sub(first);
        let set = |set: &Set| Set { first: set.first.wrapping_add(moved), ..*set };
        self.now.sets.extend(sets[first_set..last_set].iter().map(set));
        self.now.records.extend_from_slice(&records[first as usize..last as usize]);
    }

    /// One owner, which may be new, with some of its sets exchanged.
    fn exchange(&mut self, name: &[u8], owner: Option<Owner<'o>>, exchanges: &BTreeMap<u16, Exchange>) -> Option<()> {
        let (at, pool) = match owner {
            Some(owner) => {
                let Entry { name, pool, .. } = self.before.entries[owner.index()];
                (name, pool)
            }
            None => (self.write(name)?, NONE),
        };
        let first_set = self.now.sets.len();
        let there = owner.map_or(0..0, |owner| {
            let [this, next] = [0, 1].map(|more| self.before.entries[owner.index() + more].first_set as usize);
            this..next
        });
        let known = || self.before.sets[there.clone()].iter().map(|set| set.rtype);
        let types: BTreeSet<u16> = known().chain(exchanges.keys().copied()).collect();
        let had_addresses = known().any(is_address);
        for rtype in types {
            let set = there.clone().find(|set| self.before.sets[*set].rtype == rtype);
            let (ttl, records) = set.map_or((0, &[][..]), |set| self.before.records_of(set));
            match exchanges.get(&rtype) {
                Some(exchange) => self.set(rtype, ttl, records, exchange)?,
                None => self.put(rtype, ttl, records),
            }
        }
        let is_there = self.now.sets.len() > first_set || pool != NONE;
        if is_there {
            self.touched.push(self.now.entries.len());
            self.now.entries.push(Entry { name: at, first_set: narrow(first_set), pool });
        } else {
            self.waste += name.len();
        }
        let lost_addresses = had_addresses && !self.now.sets[first_set..].iter().any(|set| is_address(set.rtype));
        let reaches_far = exchanges.keys().any(|rtype| FAR_REACHING.contains(rtype));
        self.grown |= owner.is_none();
        self.local &= is_there && !lost_addresses && !reaches_far && !name::is_wildcard(name);
        Some(())
    }

    /// A set of the owner that is being written, with some of its records exchanged.
    fn set(&mut self, rtype: u16, ttl: u32, there: &[u32], exchange: &Exchange) -> Option<()> {
        let data = |at: &u32| data_at(&self.before.bytes, *at);
        // The lines stood together, and so do the records of a set that they made.
        let run = match &exchange.away[..] {
            [] if there.is_empty() => 0..0,
            [] => return None,
            away => {
                let first = there.iter().position(|record| data(record) == away[0])?;
                let run = first..first + away.len();
                let same = there.get(run.clone())?.iter().zip(away).all(|(record, away)| data(record) == away);
                same.then_some(run)?
            }
        };
        self.waste += there[run.clone()].iter().map(|record| 2 + data(record).len()).sum::<usize>();
        let mut records = there[..run.start].to_vec();
        for (_, data) in &exchange.new {
            let length = u16::try_from(data.len()).ok()?;
            records.push(self.write(&[&length.to_be_bytes()[..], data].concat())?);
        }
        records.extend_from_slice(&there[run.end..]);
        let stays = there.len() > run.len();
        let mut ttls = exchange.new.iter().map(|(ttl, _)| *ttl).chain(stays.then_some(ttl));
        let ttl = ttls.next().unwrap_or(ttl);
        // RFC 2181 section 5.2: a mistake, to be told by whoever reads the whole.
        ttls.all(|other| other == ttl).then_some(())?;
        self.put(rtype, ttl, &records);
        Some(())
    }

    fn put(&mut self, rtype: u16, ttl: u32, records: &[u32]) {
        if !records.is_empty() {
            self.now.sets.push(Set { rtype, ttl, first: narrow(self.now.records.len()) });
            self.now.records.extend_from_slice(records);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Option<u32> {
        let at = u32::try_from(self.now.bytes.len()).ok()?;
        self.now.bytes.extend_from_slice(bytes);
        Some(at)
    }

    fn finish(mut self) -> Exchanged {
        let Owners { entries, sets, records, .. } = &mut self.now;
        entries.push(Entry { name: 0, first_set: narrow(sets.len()), pool: NONE });
        sets.push(Set { rtype: POOL, ttl: 0, first: narrow(records.len()) });
        let cuts = sets.iter().filter(|set| matches!(set.rtype, rtype::NS | rtype::DNAME)).count();
        // The apex's NS alone. Where there are wildcards, a name that has come may hide one from what pointed to it.
        let (now, local) = (self.now, self.local && cuts == 1);
        let local = local && !(self.grown && now.iter().any(|owner| name::is_wildcard(owner.wire_name())));
        Exchanged { owners: now, touched: self.touched, waste: self.waste, local }
    }
}

const fn is_address(rtype: u16) -> bool {
    matches!(rtype, rtype::A | rtype::AAAA)
}
