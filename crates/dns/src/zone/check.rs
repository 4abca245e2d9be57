//! Checks of the zone as a whole: what no single record shows.
//!
//! Mistakes of single records are known by now. Where they may have hidden what a check misses, the check is silent:
//! one slip, one error.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    owners::Owners,
    rdata::{canonical, same},
    records::{POOL, RecordsOf, Sorted},
    shape::type_name,
    source::{Complaint, Place, Sources},
    target::Targets,
    template::Template,
    text::show,
};
use crate::{name, wire::rtype};

/// Sets of more records are compared by a map of their data, smaller ones each with each.
const FEW: usize = 16;

/// Everything about the zone, by owner and type.
pub(super) struct Index<'t> {
    /// The apex.
    pub(super) apex: &'t [u8],
    /// Owners of records that had a mistake.
    pub(super) failed: &'t BTreeSet<Vec<u8>>,
    /// The records.
    pub(super) sorted: Sorted,
    /// For each owner the delegation or DNAME above it, if any.
    pub(super) under: Vec<Option<u32>>,
    /// Names that NS records point to.
    name_servers: BTreeSet<Vec<u8>>,
}

/// The owners of a template that passes every check; records what does not pass.
pub(super) fn check(apex: &[u8], template: Template, sources: &mut Sources<'_>) -> Owners {
    check_sorted(apex, template.records.sort(apex.len()), &template.failed, sources)
}

/// The same of records that are in order already.
pub(super) fn check_sorted(
    apex: &[u8],
    sorted: Sorted,
    failed: &BTreeSet<Vec<u8>>,
    sources: &mut Sources<'_>,
) -> Owners {
    let index = Index::new(apex, sorted, failed);
    index.check_apex(sources);
    for owner in 0..index.sorted.len() {
        index.check_alone(owner, sources);
        index.check_sets(owner, sources);
        index.check_pools(owner, sources);
        index.check_cut(owner, sources);
    }
    Targets::new(&index).check(sources);
    index.sorted.into_owners()
}

/// Of owners that are no cuts, below none, and that nobody points to in another way than before: what can be wrong with each
/// by itself.
pub(super) fn check_some(apex: &[u8], sorted: Sorted, failed: &BTreeSet<Vec<u8>>, sources: &mut Sources<'_>) {
    let index = Index::new(apex, sorted, failed);
    for owner in 0..index.sorted.len() {
        index.check_alone(owner, sources);
        index.check_sets(owner, sources);
        index.check_pools(owner, sources);
    }
}

impl<'t> Index<'t> {
    fn new(apex: &'t [u8], sorted: Sorted, failed: &'t BTreeSet<Vec<u8>>) -> Self {
        // In canonical order a name stands right before everything below it.
        let mut cut: Option<u32> = None;
        let mut under = Vec::with_capacity(sorted.len());
        for owner in 0..sorted.len() {
            cut = cut.filter(|cut| name::is_below(sorted.name(owner), sorted.name(*cut as usize)));
            under.push(cut);
            let is_cut =
                (sorted.has(owner, rtype::NS) && sorted.name(owner) != apex) || sorted.has(owner, rtype::DNAME);
            if cut.is_none() && is_cut {
                cut = Some(u32::try_from(owner).expect("records are numbered in 32 bits"));
            }
        }
        let targets = sorted.records().iter().filter(|record| record.rtype == rtype::NS);
        let name_servers = targets.map(|record| sorted.data(record).to_ascii_lowercase()).collect();
        Self { apex, failed, sorted, under, name_servers }
    }

    /// Whether an owner has addresses, its own or a pool's.
    pub(super) fn has_addresses(&self, owner: usize) -> bool {
        [rtype::A, rtype::AAAA, POOL].iter().any(|rtype| self.sorted.has(owner, *rtype))
    }

    /// Whether an owner is delegated.
    pub(super) fn is_delegated(&self, owner: usize) -> bool {
        self.sorted.has(owner, rtype::NS) && self.sorted.name(owner) != self.apex
    }

    /// Whether a record of that owner may have been lost to a mistake.
    pub(super) fn may_be_lost(&self, owner: &[u8], sources: &Sources<'_>) -> bool {
        sources.incomplete || self.failed.contains(owner)
    }

    /// Exactly one SOA, at the apex; name servers there (RFC 1035 section 5.2).
    fn check_apex(&self, sources: &mut Sources<'_>) {
        let apex = self.sorted.position(self.apex).ok();
        let soa = apex.and_then(|apex| self.sorted.set(apex, rtype::SOA)).map_or(&[][..], RecordsOf::records);
        let lost = self.may_be_lost(self.apex, sources);
        let first_line = Place::default();
        match soa {
            [] if !lost => {
                let complaint = Complaint::new(format!("the zone {} has no SOA record", show(self.apex)))
                    .help("begin with `@ SOA ns1 hostmaster 0 1h 15m 1w 5`; serial 0 is the cluster's");
                sources.error(first_line, complaint);
            }
            [first, others @ ..] => {
                for other in others {
                    let message =
                        format!("the zone already has its SOA in {}", sources.name_of(first.place, other.place));
                    sources.error(other.place, Complaint::new(message));
                }
            }
            [] => {}
        }
        if !lost && !apex.is_some_and(|apex| self.sorted.has(apex, rtype::NS)) {
            let place = soa.first().map_or(first_line, |soa| soa.place);
            let complaint = Complaint::new(format!("the zone {} has no NS record at its apex", show(self.apex)))
                .help("write `@ NAMESERVERS ns1=HOST ns2=HOST`, hosts being virtual hosts or servers");
            sources.error(place, complaint);
        }
        for owner in (0..self.sorted.len()).filter(|owner| Some(*owner) != apex) {
            for soa in self.sorted.set(owner, rtype::SOA).into_iter().flat_map(RecordsOf::records) {
                let name = self.sorted.name(owner);
                let message = format!("a SOA belongs at the apex {}, not at {}", show(self.apex), show(name));
                sources.error(soa.place, Complaint::new(message));
            }
        }
    }

    /// CNAME alone at its owner (RFC 1034 section 3.6.2), DNAME once (RFC 6672 section 2.3).
    fn check_alone(&self, owner: usize, sources: &mut Sources<'_>) {
        if let Some(cnames) = self.sorted.set(owner, rtype::CNAME) {
            self.check_cname(owner, cnames, sources);
        }
        let Some(dnames) = self.sorted.set(owner, rtype::DNAME) else { return };
        let (name, dname) = (self.sorted.name(owner), dnames.first());
        for other in dnames.records().iter().filter(|other| !self.are_same(dname, other)) {
            let line = sources.name_of(dname.place, other.place);
            sources.error(other.place, Complaint::new(format!("{} already has a DNAME in {line}", show(name))));
        }
        if self.is_delegated(owner) {
            let message = format!("{} has NS records too: a name is delegated or renamed, not both", show(name));
            sources.error(dname.place, Complaint::new(message));
        }
    }

    fn check_cname(&self, owner: usize, cnames: RecordsOf<'_>, sources: &mut Sources<'_>) {
        let (name, cname) = (self.sorted.name(owner), cnames.first());
        for other in cnames.records().iter().filter(|other| !self.are_same(cname, other)) {
            let message = format!("{} already is a CNAME in {}", show(name), sources.name_of(cname.place, other.place));
            sources.error(other.place, Complaint::new(message).help("a name has one canonical name"));
        }
        let others = || self.sorted.sets(owner).filter(|set| set.rtype() != rtype::CNAME);
        let beside = others().find(|set| set.rtype() != POOL).or_else(|| others().next());
        let Some(beside) = beside else { return };
        let word = word(beside.rtype());
        let place = sources.name_of(beside.first().place, cname.place);
        let mut complaint =
            Complaint::new(format!("a CNAME stands alone, but {} also has {word} in {place}", show(name)));
        if name == self.apex {
            complaint = complaint.help("the apex has SOA and NS: give it addresses with `@ POOL name` or A and AAAA");
        }
        sources.error(cname.place, complaint);
    }

    fn are_same(&self, a: &super::records::Record, b: &super::records::Record) -> bool {
        same(a.rtype, self.sorted.data(a), self.sorted.data(b))
    }

    /// Nothing but glue at and below a delegation; nothing below a DNAME.
    fn check_cut(&self, owner: usize, sources: &mut Sources<'_>) {
        let name = self.sorted.name(owner);
        if name::is_wildcard(name) {
            for set in [rtype::NS, rtype::DNAME].iter().filter_map(|rtype| self.sorted.set(owner, *rtype)) {
                let message = format!("{} at the wildcard {} means nothing certain", word(set.rtype()), show(name));
                sources.error(set.first().place, Complaint::new(message).help("RFC 4592 sections 4.2 and 4.4"));
            }
        }
        let under = self.under[owner].map(|cut| cut as usize);
        let Some(cut) = under.or_else(|| self.is_delegated(owner).then_some(owner)) else { return };
        let delegated = self.is_delegated(cut);
        let by = self.sorted.set(cut, if delegated { rtype::NS } else { rtype::DNAME });
        let by = by.expect("a cut has one or the other").first().place;
        let glue = delegated && self.name_servers.contains(name);
        let wrong = |rtype: u16| match rtype {
            rtype::A | rtype::AAAA => !glue,
            // A DNAME beside the NS has its own error.
            rtype::NS | rtype::DS | rtype::DNAME => cut != owner,
            _ => true,
        };
        for set in self.sorted.sets(owner).filter(|set| wrong(set.rtype())) {
            for record in set.records() {
                let line = sources.name_of(by, record.place);
                let (name, cut_name, rtype) = (show(name), show(self.sorted.name(cut)), word(set.rtype()));
                let message = if !delegated {
                    format!("{name} is below {cut_name}, which a DNAME in {line} renames with all below it")
                } else if cut == owner {
                    format!("{name} is delegated in {line}: its {rtype} belongs in the delegated zone")
                } else {
                    format!("{name} is below {cut_name}, which is delegated in {line}: only glue stands here")
                };
                sources.error(record.place, Complaint::new(message));
            }
        }
    }

    /// No record twice; one TTL for a set (RFC 2181 sections 5 and 5.2).
    fn check_sets(&self, owner: usize, sources: &mut Sources<'_>) {
        let sets = self.sorted.sets(owner).filter(|set| !matches!(set.rtype(), rtype::SOA | POOL));
        for set in sets.filter(|set| set.records().len() > 1) {
            let records = set.records();
            let mut seen: BTreeMap<Vec<u8>, Place> = BTreeMap::new();
            for (number, record) in records.iter().enumerate() {
                let before = if records.len() > FEW {
                    let bytes = canonical(set.rtype(), self.sorted.data(record));
                    let before = seen.get(&bytes).copied();
                    seen.entry(bytes).or_insert(record.place);
                    before
                } else {
                    records[..number].iter().find(|before| self.are_same(before, record)).map(|before| before.place)
                };
                if let Some(before) = before {
                    let message = format!("this record is already in {}", sources.name_of(before, record.place));
                    sources.error(record.place, Complaint::new(message));
                } else if record.ttl != set.first().ttl {
                    let line = sources.name_of(set.first().place, record.place);
                    let (name, rtype) = (show(self.sorted.name(owner)), word(set.rtype()));
                    let message =
                        format!("TTL {} here, but {} for {name} {rtype} in {line}", record.ttl, set.first().ttl);
                    let complaint =
                        Complaint::new(message).help("the records of one name and type share one TTL (RFC 2181)");
                    sources.error(record.place, complaint);
                }
            }
        }
    }

    /// One pool, and no addresses or CNAME beside it.
    fn check_pools(&self, owner: usize, sources: &mut Sources<'_>) {
        let Some(pools) = self.sorted.set(owner, POOL) else { return };
        let (name, pool) = (show(self.sorted.name(owner)), pools.first());
        for other in &pools.records()[1..] {
            let message = format!("{name} already has a POOL in {}", sources.name_of(pool.place, other.place));
            sources.error(other.place, Complaint::new(message).help("make one pool of all the members"));
        }
        for set in [rtype::A, rtype::AAAA].iter().filter_map(|rtype| self.sorted.set(owner, *rtype)) {
            let line = sources.name_of(set.first().place, pool.place);
            let message = format!("{name} has a POOL, but also {} in {line}", word(set.rtype()));
            let complaint =
                Complaint::new(message).help("a pool gives the name all its addresses: make that host a member");
            sources.error(pool.place, complaint);
        }
    }
}

/// What a set is called.
fn word(rtype: u16) -> String {
    if rtype == POOL { "POOL".to_owned() } else { type_name(rtype) }
}
