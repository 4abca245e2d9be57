//! Zone templates: master files (RFC 1035 section 5) with `${variables}` and two pseudo-records, `POOL` and `NAMESERVERS`.
//!
//! A [`Zone`] is what a template says once every directive is carried out and every check has passed. Invariants: exactly
//! one SOA and at least one NS at the apex; every owner is in the zone; a CNAME is alone at its owner; the records of one
//! set are different and share a TTL; a name with a [`PoolUse`] has no A, AAAA or CNAME of its own.
//!
//! Deliberately not here: which addresses of a pool are answered (`View`), wire format of answers, reading files (the
//! caller brings the text and a way to get included ones).

use std::collections::BTreeMap;

use hickory_proto::rr::{LowerName, Name, RData, RecordType};
use model::{PoolName, ZoneName};

/// A checked zone.
#[derive(Clone, PartialEq, Debug)]
pub struct Zone {
    /// As configured: lower case, without the final dot.
    pub name: ZoneName,
    /// The apex, fully qualified.
    pub origin: Name,
    /// The template's SOA serial is 0: the serial served is the cluster's.
    pub serial_from_cluster: bool,
    /// Every name that owns records, in the canonical order of RFC 4034 section 6.1: an owner stands right before all
    /// names below it. Empty non-terminals own nothing and are not listed.
    pub owners: BTreeMap<LowerName, Owner>,
}

/// What one name owns.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Owner {
    /// Its record sets by type. A and AAAA are absent where `pool` is set.
    pub sets: BTreeMap<RecordType, RecordSet>,
    /// Its A and AAAA records are those of a pool.
    pub pool: Option<PoolUse>,
}

/// The records of one name and type, at least one.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordSet {
    /// Seconds that caches may keep it (RFC 2181 section 5.2: one TTL for the whole set).
    pub ttl: u32,
    /// The data, in the order of the template; all different.
    pub data: Vec<RData>,
}

/// `NAME POOL pool` of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolUse {
    /// Which pool; it exists in the cluster's configuration.
    pub pool: PoolName,
    /// Seconds that caches may keep its addresses: the record's own TTL, else the pool's.
    pub ttl: u32,
}
