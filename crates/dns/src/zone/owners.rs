//! What the names of a zone own, compact: a few arrays, whatever the zone's size, and views into them.

use hickory_proto::{
    rr::{LowerName, Name, RData, RecordType, rdata::NULL},
    serialize::binary::{BinDecoder, BinEncodable, BinEncoder, NameEncoding, Restrict},
};

use super::{
    PoolUse,
    records::{Records, data_at},
    source::Place,
};
use crate::name;

/// Stands for "no pool".
pub(super) const NONE: u32 = u32::MAX;

/// An owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// Where its name begins.
    pub(super) name: u32,
    /// Its first record set; its last one stands before the next owner's first.
    pub(super) first_set: u32,
    /// Its pool's number.
    pub(super) pool: u32,
}

/// A record set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Set {
    /// The type.
    pub(super) rtype: u16,
    /// The TTL.
    pub(super) ttl: u32,
    /// Its first record; its last one stands before the next set's first.
    pub(super) first: u32,
}

/// Every name of a zone that owns records, in the canonical order of RFC 4034 section 6.1: an owner stands right before
/// all names below it. Empty non-terminals own nothing and are not listed.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    pub(super) bytes: Vec<u8>,
    /// One more than there are, as are the sets.
    pub(super) entries: Vec<Entry>,
    pub(super) sets: Vec<Set>,
    /// Where each record's data begins.
    pub(super) records: Vec<u32>,
    pub(super) pools: Vec<PoolUse>,
}

/// What one name owns.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'z> {
    owners: &'z Owners,
    index: usize,
}

/// The records of one name and type, at least one.
#[derive(Clone, Copy, Debug)]
pub struct RecordSet<'z> {
    owners: &'z Owners,
    index: usize,
}

impl Owners {
    pub(super) fn of(
        bytes: Vec<u8>,
        entries: Vec<Entry>,
        sets: Vec<Set>,
        records: Vec<u32>,
        pools: Vec<PoolUse>,
    ) -> Self {
        Self { bytes, entries, sets, records, pools }
    }

    /// Records and pool uses in any order, all at or below `apex`, unchecked: for who has no template. The TTL of a set is
    /// that of its first record.
    pub fn from_records(
        apex: &Name,
        records: impl IntoIterator<Item = (Name, u32, RData)>,
        pools: impl IntoIterator<Item = (Name, PoolUse)>,
    ) -> Self {
        let (mut all, place) = (Records::default(), Place::default());
        for (owner, ttl, data) in records {
            if let Some(wire) = encode(&data) {
                all.push(&name::wire(&owner), data.record_type().into(), ttl, &wire, place, place);
            }
        }
        for (owner, pool) in pools {
            all.push_pool(&name::wire(&owner), pool, place);
        }
        all.sort(name::wire(apex).len()).into_owners()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Owner<'_>> {
        (0..self.len()).map(|index| Owner { owners: self, index })
    }

    /// What `name` owns.
    pub fn get(&self, name: &LowerName) -> Option<Owner<'_>> {
        self.find(&name::lower(name))
    }

    /// The same for a name in lower-case wire form.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Owner<'_>> {
        self.position(name).ok().map(|index| self.owner(index))
    }

    /// The number of a name in lower-case wire form, or else that of the one before which it would stand.
    pub(super) fn position(&self, name: &[u8]) -> Result<usize, usize> {
        let order = |entry: &Entry| name::compare(name::first(&self.bytes[entry.name as usize..]), name);
        self.entries[..self.len()].binary_search_by(order)
    }

    /// The owner of that number.
    pub(super) fn owner(&self, index: usize) -> Owner<'_> {
        Owner { owners: self, index }
    }

    /// The TTL and the records of the set of that number.
    pub(super) fn records_of(&self, set: usize) -> (u32, &[u32]) {
        let [this, next] = [set, set + 1].map(|set| self.sets[set]);
        (this.ttl, &self.records[this.first as usize..next.first as usize])
    }

    /// The owners of these numbers, which grow, with all their records.
    pub(super) fn part(&self, numbers: &[usize]) -> Records {
        let (mut part, place) = (Records::default(), Place::default());
        for owner in numbers.iter().map(|number| self.owner(*number)) {
            if let Some(pool) = owner.pool() {
                part.push_pool(owner.wire_name(), pool.clone(), place);
            }
            for set in owner.sets() {
                set.wire().for_each(|data| part.push(owner.wire_name(), set.code(), set.ttl(), data, place, place));
            }
        }
        part
    }

    /// Whether any name's addresses are a pool's.
    pub(crate) fn use_pools(&self) -> bool {
        !self.pools.is_empty()
    }

    /// Whether these were made of `other` by adding to it: what stands in the same place is the same.
    pub(crate) fn are_more_of(&self, other: &Self) -> bool {
        self.pools == other.pools && self.bytes.starts_with(&other.bytes)
    }

    /// The last four bytes of the first SOA there is, at the apex: its negative TTL.
    pub(super) fn lower_negative_ttl(&mut self, apex: &[u8], most: u32) {
        let Some(set) = self.find(apex).and_then(|owner| owner.set(RecordType::SOA)) else { return };
        let first = self.records[self.sets[set.index].first as usize];
        let end = first as usize + 2 + data_at(&self.bytes, first).len();
        let Some(field) = self.bytes[..end].last_chunk_mut::<4>() else { return };
        *field = u32::from_be_bytes(*field).min(most).to_be_bytes();
    }
}

impl PartialEq for Owners {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}

impl<'z> Owner<'z> {
    /// Its number among them.
    pub(super) fn index(self) -> usize {
        self.index
    }

    /// The name in lower-case wire form.
    pub(crate) fn wire_name(self) -> &'z [u8] {
        name::first(&self.owners.bytes[self.owners.entries[self.index].name as usize..])
    }

    /// The name.
    pub fn name(self) -> LowerName {
        let labels = Name::from_labels(name::labels(self.wire_name()));
        LowerName::from(labels.expect("every name was checked when it was read"))
    }

    /// Its record sets by type. A and AAAA are absent where it has a pool.
    pub fn sets(self) -> impl Iterator<Item = RecordSet<'z>> + Clone {
        let entries = &self.owners.entries[self.index..];
        let owners = self.owners;
        (entries[0].first_set as usize..entries[1].first_set as usize).map(move |index| RecordSet { owners, index })
    }

    /// Its records of one type.
    pub fn set(self, rtype: RecordType) -> Option<RecordSet<'z>> {
        self.sets().find(|set| set.code() == u16::from(rtype))
    }

    /// Whether it is `other` because it stands where that does, of whose owners these are made by adding.
    pub(crate) fn stands_as(self, other: Self) -> bool {
        let [this, that] = [self, other].map(|owner| owner.owners.entries[owner.index]);
        let sets = |owner: Self| owner.sets().map(RecordSet::stand);
        (this.name, this.pool) == (that.name, that.pool) && sets(self).eq(sets(other))
    }

    /// Its A and AAAA records are those of a pool.
    pub fn pool(self) -> Option<&'z PoolUse> {
        self.owners.pools.get(self.owners.entries[self.index].pool as usize)
    }
}

impl PartialEq for Owner<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.wire_name() == other.wire_name() && self.pool() == other.pool() && self.sets().eq(other.sets())
    }
}

impl<'z> RecordSet<'z> {
    /// The type.
    pub fn rtype(self) -> RecordType {
        self.code().into()
    }

    /// The type's number.
    pub(crate) fn code(self) -> u16 {
        self.owners.sets[self.index].rtype
    }

    /// Seconds that caches may keep it (RFC 2181 section 5.2: one TTL for the whole set).
    pub fn ttl(self) -> u32 {
        self.owners.sets[self.index].ttl
    }

    /// Its type, its TTL, and where its records stand.
    fn stand(self) -> (u16, (u32, &'z [u32])) {
        (self.code(), self.owners.records_of(self.index))
    }

    /// The records' data in wire form, uncompressed, in the order of the template; all different.
    pub fn wire(self) -> impl Iterator<Item = &'z [u8]> + Clone {
        let sets = &self.owners.sets[self.index..];
        let owners = self.owners;
        owners.records[sets[0].first as usize..sets[1].first as usize].iter().map(|at| data_at(&owners.bytes, *at))
    }

    /// The same as hickory's types, for comparing and printing.
    pub fn data(self) -> Vec<RData> {
        self.wire().map(|wire| decode(self.rtype(), wire)).collect()
    }
}

impl PartialEq for RecordSet<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code() && self.ttl() == other.ttl() && self.wire().eq(other.wire())
    }
}

/// hickory's reading of `wire`, or the bytes as they are where its reading would say something else.
fn decode(rtype: RecordType, wire: &[u8]) -> RData {
    let length = Restrict::new(u16::try_from(wire.len()).expect("data that a record holds"));
    let decoded = RData::read(&mut BinDecoder::new(wire), rtype, length).ok();
    let same = decoded.filter(|decoded| encode(decoded).is_some_and(|again| again == wire));
    same.unwrap_or_else(|| RData::Unknown { code: rtype, rdata: NULL::with(wire.to_vec()) })
}

/// The data's bytes, names uncompressed (RFC 3597 section 4); none where it cannot be encoded.
pub(super) fn encode(data: &RData) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    let mut encoder = BinEncoder::new(&mut wire);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).ok()?;
    Some(wire)
}
