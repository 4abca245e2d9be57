//! Records as they are collected from a template, and sorted: a few arrays, whatever the zone's size.
//!
//! Names and data lie in one run of bytes; everything else holds numbers that say where. A zone of a million names so
//! takes tens of bytes a record and a handful of allocations.
//!
//! Invariants: names are in lower-case wire form; data is in wire form, uncompressed, behind two bytes that say how long
//! it is. Once [`Sorted`], owners stand in canonical order, a record set's records in the order of the template.

use std::ops::Range;

use super::{
    PoolUse,
    owners::{Entry, NONE, Owners, Set},
    source::Place,
};
use crate::name;

/// Stands for `POOL` in the place of a record's type, which it sorts before (RFC 6895 section 3.1 reserves it).
pub(super) const POOL: u16 = 0;

/// One record, and where its parts were written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Where its owner's name begins.
    pub(super) owner: u32,
    /// Its type, or [`POOL`].
    pub(super) rtype: u16,
    /// Its TTL in seconds.
    pub(super) ttl: u32,
    /// Where its data begins; of [`POOL`], which pool use.
    pub(super) data: u32,
    /// Where the type and the data stand.
    pub(super) place: Place,
    /// Where the name stands that the data points to.
    pub(super) target: Place,
}

/// Records in the order of the template.
#[derive(Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    list: Vec<Record>,
    pools: Vec<PoolUse>,
    /// The name added last: most records have the owner of the one before.
    last_owner: Option<Range<usize>>,
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("texts are limited to less than 4 GiB")
}

impl Records {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Keeps a name, which may be in any letter case.
    fn owner(&mut self, owner: &[u8]) -> u32 {
        if let Some(last) = &self.last_owner
            && self.bytes[last.clone()].eq_ignore_ascii_case(owner)
        {
            return narrow(last.start);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(owner);
        self.bytes[start..].make_ascii_lowercase();
        self.last_owner = Some(start..self.bytes.len());
        narrow(start)
    }

    /// Adds a record.
    pub(super) fn push(&mut self, owner: &[u8], rtype: u16, ttl: u32, data: &[u8], place: Place, target: Place) {
        let owner = self.owner(owner);
        let length = u16::try_from(data.len()).expect("the reader refuses longer data");
        let start = narrow(self.bytes.len());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(data);
        self.list.push(Record { owner, rtype, ttl, data: start, place, target });
    }

    /// No name's addresses are a pool's.
    pub(super) fn uses_no_pool(&self) -> bool {
        self.pools.is_empty()
    }

    /// Each record: its owner, type, TTL and data, in the order of the template.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u16, u32, &[u8])> {
        let owner = |record: &Record| name::first(&self.bytes[record.owner as usize..]);
        self.list.iter().map(move |record| (owner(record), record.rtype, record.ttl, data_at(&self.bytes, record.data)))
    }

    /// Adds the use of a pool.
    pub(super) fn push_pool(&mut self, owner: &[u8], pool: PoolUse, place: Place) {
        let (owner, ttl, data) = (self.owner(owner), pool.ttl.max, narrow(self.pools.len()));
        self.pools.push(pool);
        self.list.push(Record { owner, rtype: POOL, ttl, data, place, target: place });
    }

    /// In canonical order, by owner and type. Every owner ends with the same `common` bytes.
    pub(super) fn sort(mut self, common: usize) -> Sorted {
        let bytes = &self.bytes;
        let owner = |record: &Record| name::first(&bytes[record.owner as usize..]);
        let mut order: Vec<(u64, u32)> = Vec::with_capacity(self.list.len());
        let mut last = None;
        for (index, record) in (0..).zip(&self.list) {
            let key = match last {
                Some((before, key)) if before == record.owner => key,
                _ => name::sort_key(owner(record), common),
            };
            last = Some((record.owner, key));
            order.push((key, index));
        }
        let list = &self.list;
        order.sort_unstable_by(|(key, index), (other_key, other_index)| {
            key.cmp(other_key).then_with(|| {
                let (a, b) = (&list[*index as usize], &list[*other_index as usize]);
                let names = if a.owner == b.owner { None } else { Some(name::compare(owner(a), owner(b))) };
                names.unwrap_or(std::cmp::Ordering::Equal).then(a.rtype.cmp(&b.rtype)).then(index.cmp(other_index))
            })
        });
        self.list = order.iter().map(|(_, index)| list[*index as usize]).collect();
        drop(order);
        Sorted::of(self)
    }
}

/// Records of one owner and type.
#[derive(Clone, Copy)]
pub(super) struct RecordsOf<'s> {
    sorted: &'s Sorted,
    set: usize,
}

/// Records in canonical order. Behind the last owner and the last set stands one more, which says where they end.
pub(super) struct Sorted {
    bytes: Vec<u8>,
    list: Vec<Record>,
    pools: Vec<PoolUse>,
    owners: Vec<Entry>,
    sets: Vec<Set>,
}

impl Sorted {
    pub(super) fn of(records: Records) -> Self {
        let Records { bytes, list, pools, .. } = records;
        let mut this = Self { bytes, list, pools, owners: Vec::new(), sets: Vec::new() };
        for index in 0..this.list.len() {
            let record = this.list[index];
            let same_owner = this
                .owners
                .last()
                .is_some_and(|last| last.name == record.owner || this.name_at(last.name) == this.name_at(record.owner));
            if !same_owner {
                this.owners.push(Entry { name: record.owner, first_set: narrow(this.sets.len()), pool: NONE });
            }
            if !same_owner || this.sets.last().is_none_or(|last| last.rtype != record.rtype) {
                this.sets.push(Set { rtype: record.rtype, ttl: record.ttl, first: narrow(index) });
            }
        }
        this.owners.push(Entry { name: 0, first_set: narrow(this.sets.len()), pool: NONE });
        this.sets.push(Set { rtype: POOL, ttl: 0, first: narrow(this.list.len()) });
        this
    }

    fn name_at(&self, at: u32) -> &[u8] {
        name::first(&self.bytes[at as usize..])
    }

    /// How many owners there are.
    pub(super) fn len(&self) -> usize {
        self.owners.len() - 1
    }

    /// The name of the owner number `index`.
    pub(super) fn name(&self, index: usize) -> &[u8] {
        self.name_at(self.owners[index].name)
    }

    /// The owner's number, or else that of the one behind which it would stand.
    pub(super) fn position(&self, name: &[u8]) -> Result<usize, usize> {
        self.owners[..self.len()].binary_search_by(|entry| name::compare(self.name_at(entry.name), name))
    }

    /// The record sets of an owner, by type.
    pub(super) fn sets(&self, index: usize) -> impl Iterator<Item = RecordsOf<'_>> + Clone {
        let ends = self.owners[index].first_set as usize..self.owners[index + 1].first_set as usize;
        ends.map(|set| RecordsOf { sorted: self, set })
    }

    /// The records of one type.
    pub(super) fn set(&self, index: usize, rtype: u16) -> Option<RecordsOf<'_>> {
        self.sets(index).find(|set| set.rtype() == rtype)
    }

    /// Whether an owner has records of that type.
    pub(super) fn has(&self, index: usize, rtype: u16) -> bool {
        self.set(index, rtype).is_some()
    }

    /// A record's data.
    pub(super) fn data(&self, record: &Record) -> &[u8] {
        data_at(&self.bytes, record.data)
    }

    /// Every record, in order.
    pub(super) fn records(&self) -> &[Record] {
        &self.list
    }

    /// What is left when all has been checked.
    pub(super) fn into_owners(self) -> Owners {
        let Self { bytes, list, pools, mut owners, sets } = self;
        let (mut kept, mut records) = (Vec::with_capacity(sets.len()), Vec::with_capacity(list.len()));
        let mut owner = 0;
        for (index, set) in sets.iter().enumerate() {
            if owners[owner].first_set as usize == index {
                owners[owner].first_set = narrow(kept.len());
                owner += 1;
            }
            let end = sets.get(index + 1).map_or(list.len(), |next| next.first as usize);
            let data = list[set.first as usize..end].iter().map(|record| record.data);
            if set.rtype == POOL && index + 1 < sets.len() {
                owners[owner - 1].pool = list[set.first as usize].data;
            } else {
                kept.push(Set { first: narrow(records.len()), ..*set });
                records.extend(data);
            }
        }
        Owners::of(bytes, owners, kept, records, pools)
    }
}

/// Records that nothing is wrong with: nobody will ask where they stand.
impl From<Owners> for Sorted {
    fn from(owners: Owners) -> Self {
        let place = Place::default();
        let mut list = Vec::with_capacity(owners.records.len() + owners.pools.len());
        for (index, owner) in owners.iter().enumerate() {
            let entry = owners.entries[index];
            let record = |rtype, ttl, data| Record { owner: entry.name, rtype, ttl, data, place, target: place };
            list.extend(owner.pool().map(|pool| record(POOL, pool.ttl.max, entry.pool)));
            let after = owners.entries[index + 1];
            for set in entry.first_set as usize..after.first_set as usize {
                let (ttl, records) = owners.records_of(set);
                list.extend(records.iter().map(|data| record(owners.sets[set].rtype, ttl, *data)));
            }
        }
        Self::of(Records { bytes: owners.bytes, list, pools: owners.pools, last_owner: None })
    }
}

/// The data that begins at `at`, behind its length.
pub(super) fn data_at(bytes: &[u8], at: u32) -> &[u8] {
    let (length, rest) = bytes[at as usize..].split_first_chunk::<2>().expect("data stands behind its length");
    &rest[..usize::from(u16::from_be_bytes(*length))]
}

impl<'s> RecordsOf<'s> {
    /// Their type, or [`POOL`].
    pub(super) fn rtype(self) -> u16 {
        self.sorted.sets[self.set].rtype
    }

    /// The records, at least one.
    pub(super) fn records(self) -> &'s [Record] {
        let [this, next] = [0, 1].map(|more| self.sorted.sets[self.set + more].first as usize);
        &self.sorted.list[this..next]
    }

    /// The first of them.
    pub(super) fn first(self) -> &'s Record {
        &self.records()[0]
    }
}
