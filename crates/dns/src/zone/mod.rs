//! Zone templates: master files (RFC 1035 section 5) with `${variables}` and pseudo-records: `POOL`, `NAMESERVERS`, and
//! `SRV-POOL`, `HTTPS-POOL`, `SVCB-POOL`.
//!
//! A [`Zone`] is what a template says once every directive is carried out and every check has passed. Invariants: exactly
//! one SOA and at least one NS at the apex; every owner is in the zone; a CNAME is alone at its owner; the records of one
//! set are different and share a TTL; a name with a [`PoolUse`] has no A, AAAA or CNAME of its own.
//!
//! Deliberately not here: which addresses of a pool are answered (`View`), wire format of answers, reading files (the
//! caller brings the text and a way to get included ones).

mod check;
mod follow;
mod generate;
mod params;
mod pseudo;
mod rdata;
mod render;
mod shape;
mod source;
mod target;
mod template;
mod text;
mod token;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::follow::Follower;
pub(crate) use self::{render::record_line, text::print_name};
use hickory_proto::rr::{LowerName, Name, RData, RecordType};
use model::{
    PoolName, ZoneName,
    config::{ClusterConfig, Ttl},
    diagnostic::Diagnostic,
};

use self::{
    source::{Complaint, Place, Sources},
    template::Reader,
    token::Token,
};

/// The largest negative TTL in seconds of a zone that uses pools: an answer "no such address" must not outlive the
/// outage that it came from.
pub const LARGEST_NEGATIVE_TTL: u32 = 5;

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
    /// Records that follow a pool; their owners need not be among `owners`.
    pub followers: Vec<Follower>,
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
    /// Seconds that caches may keep its addresses: the record's own TTL, else the pool's, be it elastic.
    pub ttl: Ttl,
}

/// Reads the template `text` of the zone `origin` and checks it.
///
/// `file` names the template in messages; `variables` are the zone's own, beside `${zone}` and `${cluster}`, which they
/// may replace; `include` gets the text of a file that `$INCLUDE` names, or says why it cannot.
///
/// A zone that uses pools gets its SOA's last field, the negative TTL of RFC 2308, lowered to
/// [`LARGEST_NEGATIVE_TTL`]. A serial of 0 stands for the cluster's.
///
/// # Errors
///
/// Every mistake that was found, at its file, line and column, in the order of the texts.
pub fn load(
    origin: &ZoneName,
    file: &str,
    text: &str,
    variables: &BTreeMap<String, String>,
    config: &ClusterConfig,
    include: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Zone, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let absolute = Token { text: format!("{origin}."), quoted: true, place: Place::default() };
    let apex = match text::name(&absolute, &Name::root()) {
        Ok(apex) => apex.to_lowercase(),
        Err(complaint) => {
            sources.add(file, text);
            sources.error(Place::default(), Complaint::new(format!("the zone's name: {}", complaint.message)));
            return Err(sources.into_errors());
        }
    };
    let mut all = BTreeMap::from([
        ("cluster".to_owned(), config.name.to_string()),
        ("zone".to_owned(), origin.as_str().to_owned()),
    ]);
    all.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut reader = Reader::new(&apex, config, &all, include, &mut sources);
    reader.file(file, text);
    let template = reader.out;
    let mut owners = check::check(&apex, &template, &mut sources);
    follow::check(&template.followers, &owners, &mut sources);
    if sources.errors() > 0 {
        return Err(sources.into_errors());
    }
    let followers = template.followers;
    let serial_from_cluster = settle_soa(&apex, &mut owners, !followers.is_empty());
    Ok(Zone { name: origin.clone(), origin: apex, serial_from_cluster, owners, followers })
}

/// Lowers the negative TTL where the zone uses pools; says whether the serial is the cluster's.
fn settle_soa(apex: &Name, owners: &mut BTreeMap<LowerName, Owner>, follows: bool) -> bool {
    let uses_pools = follows || owners.values().any(|owner| owner.pool.is_some());
    let set = owners.get_mut(&LowerName::new(apex)).and_then(|owner| owner.sets.get_mut(&RecordType::SOA));
    let Some(RData::SOA(soa)) = set.and_then(|set| set.data.first_mut()) else { return false };
    if uses_pools {
        soa.minimum = soa.minimum.min(LARGEST_NEGATIVE_TTL);
    }
    soa.serial == 0
}
