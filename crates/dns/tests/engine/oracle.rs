//! RFC 1034 section 4.3.2 written down naively over the zones' own maps: slow, plain, and independent of the engine.

use std::collections::{BTreeMap, BTreeSet};

use dns::{Zone, zone::PoolUse};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType, rdata::CNAME};

use crate::support::sorted;

/// What a reply should say; sections as sorted lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) rcode: String,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
}

/// A zone as maps of hickory's types.
pub(crate) struct Plain {
    origin: Name,
    owners: BTreeMap<LowerName, Owner>,
}

#[derive(Default)]
struct Owner {
    sets: BTreeMap<RecordType, RecordSet>,
    pool: Option<PoolUse>,
}

#[derive(Clone)]
struct RecordSet {
    ttl: u32,
    data: Vec<RData>,
}

impl Plain {
    pub(crate) fn of(zone: &Zone) -> Self {
        let owner = |owner: dns::zone::Owner<'_>| Owner {
            sets: owner.sets().map(|set| (set.rtype(), RecordSet { ttl: set.ttl(), data: set.data() })).collect(),
            pool: owner.pool().cloned(),
        };
        let owners = zone.owners.iter().map(|each| (each.name(), owner(each))).collect();
        Self { origin: zone.origin.clone(), owners }
    }
}

/// The addresses that a pool answers, or none for SERVFAIL.
pub(crate) type PoolAnswers<'a> = &'a dyn Fn(&str) -> Option<Vec<std::net::IpAddr>>;

pub(crate) struct Oracle<'a> {
    pub(crate) zones: &'a [Plain],
    pub(crate) pools: PoolAnswers<'a>,
    pub(crate) serial: u32,
}

struct Sections {
    rcode: &'static str,
    authoritative: bool,
    answers: Vec<Record>,
    authority: Vec<Record>,
    additional: Vec<Record>,
}

enum Next {
    Done,
    Servfail,
    Alias(Name),
}

/// `Name::num_labels` leaves a wildcard's asterisk out.
fn labels(name: &Name) -> usize {
    name.iter().count()
}

fn is_wildcard(name: &Name) -> bool {
    name.iter().next() == Some(b"*")
}

/// Whether an owner is delegated. A wildcard's NS records are data (RFC 4592 section 4.2 leaves it open).
fn is_cut(zone: &Plain, name: &Name, owner: &Owner) -> bool {
    *name != zone.origin && !is_wildcard(name) && owner.sets.contains_key(&RecordType::NS)
}

impl Oracle<'_> {
    pub(crate) fn answer(&self, qname: &Name, kind: RecordType) -> Expected {
        let mut sections = Sections {
            rcode: "No Error",
            authoritative: false,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
        };
        let mut current = qname.to_lowercase();
        let mut seen = BTreeSet::new();
        for link in 0..=8 {
            let Some(zone) = self.zone_for(&current, kind) else {
                if link == 0 {
                    sections.rcode = "Query Refused";
                }
                break;
            };
            match self.step(zone, &current, kind, link, &mut seen, &mut sections) {
                Next::Done => break,
                Next::Servfail => return Expected { rcode: "Server Failure".into(), ..Expected::default() },
                Next::Alias(target) => current = target.to_lowercase(),
            }
        }
        Expected {
            rcode: sections.rcode.into(),
            authoritative: sections.authoritative,
            answers: sorted(&sections.answers),
            authority: sorted(&sections.authority),
            additional: sorted(&sections.additional),
        }
    }

    fn zone_for(&self, name: &Name, kind: RecordType) -> Option<&Plain> {
        let enclosing = |strictly: bool| {
            self.zones
                .iter()
                .filter(|zone| zone.origin.zone_of(name) && !(strictly && zone.origin == *name))
                .max_by_key(|zone| labels(&zone.origin))
        };
        // RFC 4035 section 3.1.4.1: DS is the parent's.
        let parent = enclosing(true).filter(|_| kind == RecordType::DS);
        let child = enclosing(false)?;
        if child.origin == *name { parent.or(Some(child)) } else { Some(child) }
    }

    fn step(
        &self,
        zone: &Plain,
        name: &Name,
        kind: RecordType,
        link: usize,
        seen: &mut BTreeSet<(Name, bool)>,
        out: &mut Sections,
    ) -> Next {
        if let Some((above, owner)) = self.cut_above(zone, name) {
            if let Some(set) = owner.sets.get(&RecordType::DNAME).filter(|_| !is_cut(zone, &above, owner)) {
                return self.substitute(set, &above, name, kind, link, out);
            }
            self.refer(zone, &above, owner, out);
            return Next::Done;
        }
        if let Some(owner) = zone.owners.get(&LowerName::from(name))
            && is_cut(zone, name, owner)
            && kind != RecordType::DS
        {
            self.refer(zone, name, owner, out);
            return Next::Done;
        }
        out.authoritative = true;
        let Some((owner_name, owner)) = self.owner(zone, name) else {
            out.rcode = "Non-Existent Domain";
            self.deny(zone, out);
            return Next::Done;
        };
        self.data(zone, &owner_name, owner, name, kind, link, seen, out)
    }

    /// The first delegation or DNAME on the way from the apex down to above `name`.
    fn cut_above<'a>(&self, zone: &'a Plain, name: &Name) -> Option<(Name, &'a Owner)> {
        (labels(&zone.origin)..labels(name)).map(|count| name.trim_to(count)).find_map(|above| {
            let owner = zone.owners.get(&LowerName::from(&above))?;
            let tree = owner.sets.contains_key(&RecordType::DNAME) && !is_wildcard(&above);
            (tree || is_cut(zone, &above, owner)).then_some((above, owner))
        })
    }

    /// The owner or the wildcard that stands for it; an empty owner for an empty non-terminal; none for NXDOMAIN.
    fn owner<'a>(&'a self, zone: &'a Plain, name: &Name) -> Option<(Name, Option<&'a Owner>)> {
        if self.exists(zone, name) {
            return Some((name.clone(), zone.owners.get(&LowerName::from(name))));
        }
        let mut encloser = name.base_name();
        while !self.exists(zone, &encloser) {
            encloser = encloser.base_name();
        }
        let wildcard = encloser.prepend_label("*").ok()?;
        self.exists(zone, &wildcard).then(|| (wildcard.clone(), zone.owners.get(&LowerName::from(&wildcard))))
    }

    fn exists(&self, zone: &Plain, name: &Name) -> bool {
        zone.origin == *name
            || zone.owners.keys().any(|owner| name.zone_of(owner))
            || self.zones.iter().any(|other| name.zone_of(&other.origin) && zone.origin.zone_of(name))
    }

    #[expect(clippy::too_many_arguments, reason = "a walk's whole state, once")]
    fn data(
        &self,
        zone: &Plain,
        owner_name: &Name,
        owner: Option<&Owner>,
        name: &Name,
        kind: RecordType,
        link: usize,
        seen: &mut BTreeSet<(Name, bool)>,
        out: &mut Sections,
    ) -> Next {
        let empty = Owner::default();
        let owner = owner.unwrap_or(&empty);
        // At a cut only the parent's DS is data.
        let at_cut = is_cut(zone, owner_name, owner);
        if let Some(alias) = owner.sets.get(&RecordType::CNAME)
            && kind != RecordType::CNAME
            && kind != RecordType::ANY
        {
            let RData::CNAME(target) = &alias.data[0] else { unreachable!() };
            // Once more for its own target, as a wildcard may.
            if link == 8 || !seen.insert((owner_name.clone(), target.0.to_lowercase() == *name)) {
                return Next::Done;
            }
            push(&mut out.answers, name, alias);
            return Next::Alias(target.0.clone());
        }
        if let Some(pool) = owner.pool.as_ref().filter(|_| !at_cut) {
            let Some(addresses) = (self.pools)(pool.pool.as_str()) else {
                if [RecordType::A, RecordType::AAAA, RecordType::ANY].contains(&kind) {
                    return Next::Servfail;
                }
                return self.set(zone, owner, name, kind, out);
            };
            let family = |four: bool| {
                let of = addresses.iter().filter(move |address| address.is_ipv4() == four);
                of.map(|address| Record::from_rdata(name.clone(), pool.ttl.max, RData::from(*address)))
                    .collect::<Vec<_>>()
            };
            let records = match kind {
                RecordType::A => family(true),
                RecordType::AAAA => family(false),
                RecordType::ANY if family(true).is_empty() => family(false),
                RecordType::ANY => family(true),
                _ => Vec::new(),
            };
            if !records.is_empty() {
                out.answers.extend(records);
                return Next::Done;
            }
        }
        self.set(zone, owner, name, kind, out)
    }

    fn set(&self, zone: &Plain, owner: &Owner, name: &Name, kind: RecordType, out: &mut Sections) -> Next {
        let found = if kind == RecordType::ANY {
            owner.sets.iter().min_by_key(|(kind, _)| u16::from(**kind)).map(|(_, set)| set)
        } else {
            owner.sets.get(&kind)
        };
        match found {
            Some(set) => push(&mut out.answers, name, &self.live(set)),
            None => self.deny(zone, out),
        }
        Next::Done
    }

    /// A set with the cluster's serial, where it is an SOA.
    fn live(&self, set: &RecordSet) -> RecordSet {
        let mut set = set.clone();
        if let RData::SOA(soa) = &mut set.data[0] {
            soa.serial = self.serial;
        }
        set
    }

    fn deny(&self, zone: &Plain, out: &mut Sections) {
        let Some(set) =
            zone.owners.get(&LowerName::from(&zone.origin)).and_then(|apex| apex.sets.get(&RecordType::SOA))
        else {
            return;
        };
        let mut set = self.live(set);
        let RData::SOA(soa) = &set.data[0] else { unreachable!() };
        let pools = zone.owners.values().any(|owner| owner.pool.is_some());
        set.ttl = set.ttl.min(soa.minimum).min(if pools { 5 } else { u32::MAX });
        push(&mut out.authority, &zone.origin, &set);
    }

    fn refer(&self, zone: &Plain, cut: &Name, owner: &Owner, out: &mut Sections) {
        let servers = &owner.sets[&RecordType::NS];
        push(&mut out.authority, cut, servers);
        for server in &servers.data {
            let RData::NS(target) = server else { unreachable!() };
            let target = target.0.to_lowercase();
            let ours = self.zone_for(&target, RecordType::A).is_some_and(|closest| closest.origin == zone.origin);
            let Some(glue) = zone.owners.get(&LowerName::from(&target)).filter(|_| ours || cut.zone_of(&target)) else {
                continue;
            };
            for kind in [RecordType::A, RecordType::AAAA] {
                glue.sets.get(&kind).into_iter().for_each(|set| push(&mut out.additional, &target, set));
            }
        }
    }

    fn substitute(
        &self,
        set: &RecordSet,
        above: &Name,
        name: &Name,
        kind: RecordType,
        link: usize,
        out: &mut Sections,
    ) -> Next {
        out.authoritative = true;
        if link == 8 {
            return Next::Done;
        }
        push(&mut out.answers, above, set);
        let RData::Unknown { rdata, .. } = &set.data[0] else { unreachable!() };
        let mut target = Name::root();
        let mut bytes = &rdata.anything[..];
        while bytes[0] != 0 {
            let (label, rest) = bytes[1..].split_at(usize::from(bytes[0]));
            target = target.append_label(label).unwrap();
            bytes = rest;
        }
        let prefix: Vec<_> = name.iter().take(labels(name) - labels(above)).collect();
        let mut whole = Name::from_labels(prefix).unwrap();
        whole.set_fqdn(false);
        let whole = whole.append_domain(&target);
        match whole {
            Ok(whole) => {
                let alias = RecordSet { ttl: set.ttl, data: vec![RData::CNAME(CNAME(whole.clone()))] };
                push(&mut out.answers, name, &alias);
                if kind == RecordType::CNAME || kind == RecordType::ANY { Next::Done } else { Next::Alias(whole) }
            }
            Err(_) => {
                out.rcode = "Name should not exist";
                Next::Done
            }
        }
    }
}

fn push(section: &mut Vec<Record>, owner: &Name, set: &RecordSet) {
    section.extend(set.data.iter().map(|data| Record::from_rdata(owner.clone(), set.ttl, data.clone())));
}
