//! Checks of the zone as a whole: what no single record shows.
//!
//! Mistakes of single records are known by now. Where they may have hidden what a check misses, the check is silent:
//! one slip, one error.

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::rr::{LowerName, Name, RData, RecordType};

use super::{
    Owner, PoolUse, RecordSet,
    rdata::canonical,
    shape::type_name,
    source::{Complaint, Place, Sources},
    target::Targets,
    template::{PoolRecord, Record, Template},
};

/// Everything about the zone, by owner and type.
pub(super) struct Index<'t> {
    /// The apex.
    pub(super) apex: LowerName,
    /// What was read.
    pub(super) template: &'t Template,
    /// The owners in canonical order.
    pub(super) owners: BTreeMap<LowerName, Here<'t>>,
    /// Names that exist because something below them does.
    pub(super) between: BTreeSet<LowerName>,
    /// Names that NS records point to.
    name_servers: BTreeSet<LowerName>,
}

/// What one owner has.
#[derive(Default)]
pub(super) struct Here<'t> {
    /// Its records by type.
    pub(super) sets: BTreeMap<RecordType, Vec<&'t Record>>,
    /// Its pools.
    pub(super) pools: Vec<&'t PoolRecord>,
    /// The delegation or DNAME above it, if any.
    pub(super) under: Option<LowerName>,
}

impl Here<'_> {
    /// Whether there is a record of that type.
    pub(super) fn has(&self, rtype: RecordType) -> bool {
        self.sets.contains_key(&rtype)
    }

    /// Whether it has addresses, its own or a pool's.
    pub(super) fn has_addresses(&self) -> bool {
        self.has(RecordType::A) || self.has(RecordType::AAAA) || !self.pools.is_empty()
    }
}

/// The owners of a template that passes every check; records what does not pass.
pub(super) fn check(apex: &Name, template: &Template, sources: &mut Sources) -> BTreeMap<LowerName, Owner> {
    let index = Index::new(apex, template);
    index.check_apex(sources);
    for (owner, here) in &index.owners {
        index.check_alone(owner, here, sources);
        check_sets(owner, here, sources);
        check_pools(owner, here, sources);
        index.check_cut(owner, here, sources);
    }
    Targets::new(&index).check(sources);
    index.owners.into_iter().map(|(owner, here)| (owner, finished(&here))).collect()
}

impl<'t> Index<'t> {
    fn new(apex: &Name, template: &'t Template) -> Self {
        let apex = LowerName::new(apex);
        let mut owners: BTreeMap<LowerName, Here<'t>> = BTreeMap::new();
        for record in &template.records {
            let here = owners.entry(record.owner.clone()).or_default();
            here.sets.entry(record.data.record_type()).or_default().push(record);
        }
        for pool in &template.pools {
            owners.entry(pool.owner.clone()).or_default().pools.push(pool);
        }
        for follower in &template.followers {
            owners.entry(follower.owner.clone()).or_default();
        }
        let mut between = BTreeSet::new();
        for owner in owners.keys() {
            let mut above = owner.base_name();
            while apex.zone_of(&above) && above != apex && between.insert(above.clone()) {
                above = above.base_name();
            }
        }
        // In canonical order a name stands right before everything below it.
        let mut cut: Option<LowerName> = None;
        for (owner, here) in &mut owners {
            cut = cut.filter(|cut| cut.zone_of(owner));
            here.under.clone_from(&cut);
            let is_cut = (here.has(RecordType::NS) && *owner != apex) || here.has(RecordType::DNAME);
            if cut.is_none() && is_cut {
                cut = Some(owner.clone());
            }
        }
        let name_servers = template.records.iter().filter_map(|record| match &record.data {
            RData::NS(target) => Some(LowerName::new(&target.0)),
            _ => None,
        });
        Self { apex, template, owners, between, name_servers: name_servers.collect() }
    }

    /// Whether a record of that owner may have been lost to a mistake.
    pub(super) fn may_be_lost(&self, owner: &LowerName, sources: &Sources) -> bool {
        sources.incomplete || self.template.failed.contains(owner)
    }

    /// Exactly one SOA, at the apex; name servers there (RFC 1035 section 5.2).
    fn check_apex(&self, sources: &mut Sources) {
        let apex = self.owners.get(&self.apex);
        let soa = apex.and_then(|here| here.sets.get(&RecordType::SOA)).map_or(&[][..], Vec::as_slice);
        let lost = self.may_be_lost(&self.apex, sources);
        let first_line = Place::default();
        match soa {
            [] if !lost => {
                let complaint = Complaint::new(format!("the zone {} has no SOA record", self.apex))
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
        if !lost && !apex.is_some_and(|here| here.has(RecordType::NS)) {
            let place = soa.first().map_or(first_line, |soa| soa.place);
            let complaint = Complaint::new(format!("the zone {} has no NS record at its apex", self.apex))
                .help("write `@ NAMESERVERS ns1=HOST ns2=HOST`, hosts being virtual hosts or servers");
            sources.error(place, complaint);
        }
        for (owner, here) in self.owners.iter().filter(|(owner, _)| **owner != self.apex) {
            for soa in here.sets.get(&RecordType::SOA).into_iter().flatten() {
                let message = format!("a SOA belongs at the apex {}, not at {owner}", self.apex);
                sources.error(soa.place, Complaint::new(message));
            }
        }
    }

    /// CNAME alone at its owner (RFC 1034 section 3.6.2), DNAME once (RFC 6672 section 2.3).
    fn check_alone(&self, owner: &LowerName, here: &Here<'_>, sources: &mut Sources) {
        if let Some([cname, others @ ..]) = here.sets.get(&RecordType::CNAME).map(Vec::as_slice) {
            for other in others.iter().filter(|other| other.data != cname.data) {
                let message = format!("{owner} already is a CNAME in {}", sources.name_of(cname.place, other.place));
                sources.error(other.place, Complaint::new(message).help("a name has one canonical name"));
            }
            let beside = here.sets.iter().find(|(rtype, _)| **rtype != RecordType::CNAME);
            let beside = beside.map(|(rtype, set)| (type_name((*rtype).into()), set[0].place));
            if let Some((rtype, place)) =
                beside.or_else(|| here.pools.first().map(|pool| ("POOL".to_owned(), pool.place)))
            {
                let place = sources.name_of(place, cname.place);
                let mut complaint =
                    Complaint::new(format!("a CNAME stands alone, but {owner} also has {rtype} in {place}"));
                if *owner == self.apex {
                    complaint =
                        complaint.help("the apex has SOA and NS: give it addresses with `@ POOL name` or A and AAAA");
                }
                sources.error(cname.place, complaint);
            }
        }
        let Some([dname, others @ ..]) = here.sets.get(&RecordType::DNAME).map(Vec::as_slice) else { return };
        for other in others.iter().filter(|other| other.data != dname.data) {
            let message = format!("{owner} already has a DNAME in {}", sources.name_of(dname.place, other.place));
            sources.error(other.place, Complaint::new(message));
        }
        if *owner != self.apex && here.has(RecordType::NS) {
            let message = format!("{owner} has NS records too: a name is delegated or renamed, not both");
            sources.error(dname.place, Complaint::new(message));
        }
    }

    /// Nothing but glue at and below a delegation; nothing below a DNAME.
    fn check_cut(&self, owner: &LowerName, here: &Here<'_>, sources: &mut Sources) {
        let is_cut = *owner != self.apex && here.has(RecordType::NS);
        let wildcard = owner.iter().next().is_some_and(|label| label == b"*");
        for rtype in [RecordType::NS, RecordType::DNAME] {
            if let Some(set) = here.sets.get(&rtype).filter(|_| wildcard) {
                let message = format!("{} at the wildcard {owner} means nothing certain", type_name(rtype.into()));
                sources.error(set[0].place, Complaint::new(message).help("RFC 4592 sections 4.2 and 4.4"));
            }
        }
        let Some(cut) = here.under.as_ref().or_else(|| is_cut.then_some(owner)) else { return };
        let (by, delegated) = match self.owners[cut].sets.get(&RecordType::NS).filter(|_| *cut != self.apex) {
            Some(set) => (set[0].place, true),
            None => (self.owners[cut].sets[&RecordType::DNAME][0].place, false),
        };
        let glue = delegated && self.name_servers.contains(owner);
        let wrong = |rtype: RecordType| match rtype {
            RecordType::A | RecordType::AAAA => !glue,
            RecordType::NS | RecordType::DS => cut != owner,
            // A DNAME beside the NS has its own error.
            RecordType::DNAME => cut != owner,
            _ => true,
        };
        let records = here.sets.iter().filter(|(rtype, _)| wrong(**rtype)).flat_map(|(_, set)| set.iter());
        let places = records.map(|record| (record.place, type_name(record.data.record_type().into())));
        let pools = here.pools.iter().map(|pool| (pool.place, "POOL".to_owned()));
        for (place, rtype) in places.chain(pools).collect::<Vec<_>>() {
            let line = sources.name_of(by, place);
            let message = if !delegated {
                format!("{owner} is below {cut}, which a DNAME in {line} renames with all below it")
            } else if cut == owner {
                format!("{owner} is delegated in {line}: its {rtype} belongs in the delegated zone")
            } else {
                format!("{owner} is below {cut}, which is delegated in {line}: only glue stands here")
            };
            sources.error(place, Complaint::new(message));
        }
    }
}

/// No record twice; one TTL for a set (RFC 2181 sections 5 and 5.2).
fn check_sets(owner: &LowerName, here: &Here<'_>, sources: &mut Sources) {
    for (rtype, set) in &here.sets {
        if *rtype == RecordType::SOA {
            continue;
        }
        let first = set[0];
        let mut seen: BTreeMap<Vec<u8>, Place> = BTreeMap::new();
        for record in set {
            let bytes = canonical(&record.data);
            if let Some(before) = seen.get(&bytes) {
                let message = format!("this record is already in {}", sources.name_of(*before, record.place));
                sources.error(record.place, Complaint::new(message));
                continue;
            }
            seen.insert(bytes, record.place);
            if record.ttl != first.ttl {
                let line = sources.name_of(first.place, record.place);
                let rtype = type_name((*rtype).into());
                let message = format!("TTL {} here, but {} for {owner} {rtype} in {line}", record.ttl, first.ttl);
                let complaint =
                    Complaint::new(message).help("the records of one name and type share one TTL (RFC 2181)");
                sources.error(record.place, complaint);
            }
        }
    }
}

/// One pool, and no addresses or CNAME beside it.
fn check_pools(owner: &LowerName, here: &Here<'_>, sources: &mut Sources) {
    let [pool, others @ ..] = here.pools.as_slice() else { return };
    for other in others {
        let message = format!("{owner} already has a POOL in {}", sources.name_of(pool.place, other.place));
        sources.error(other.place, Complaint::new(message).help("make one pool of all the members"));
    }
    for rtype in [RecordType::A, RecordType::AAAA] {
        if let Some(set) = here.sets.get(&rtype) {
            let line = sources.name_of(set[0].place, pool.place);
            let message = format!("{owner} has a POOL, but also {} in {line}", type_name(rtype.into()));
            let complaint =
                Complaint::new(message).help("a pool gives the name all its addresses: make that host a member");
            sources.error(pool.place, complaint);
        }
    }
}

fn finished(here: &Here<'_>) -> Owner {
    let sets = here.sets.iter().map(|(rtype, set)| {
        (*rtype, RecordSet { ttl: set[0].ttl, data: set.iter().map(|record| record.data.clone()).collect() })
    });
    let pool = here.pools.first().map(|pool| PoolUse { pool: pool.pool.clone(), ttl: pool.ttl });
    Owner { sets: sets.collect(), pool }
}
