//! Zone templates: master files (RFC 1035 section 5) with `${variables}` and pseudo-records: `POOL`, `NAMESERVERS`, and
//! `SRV-POOL`, `HTTPS-POOL`, `SVCB-POOL`.
//!
//! A [`Zone`] is what a template says once every directive is carried out and every check has passed. Invariants: exactly
//! one SOA and at least one NS at the apex; every owner is in the zone; a CNAME is alone at its owner; the records of one
//! set are different and share a TTL; a name with a [`PoolUse`] has no A, AAAA or CNAME of its own.
//!
//! Deliberately not here: which addresses of a pool are answered (`View`), wire format of answers, reading files (the
//! caller brings the text and a way to get included ones).

mod again;
mod check;
mod exchange;
mod follow;
mod generate;
mod location;
mod owners;
mod params;
mod pseudo;
mod rdata;
mod records;
mod render;
mod shape;
mod source;
mod target;
mod template;
mod text;
mod token;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::rr::{Name, RecordType};
use model::{
    PoolName, ZoneName,
    config::{ClusterConfig, Ttl},
    diagnostic::Diagnostic,
};

use self::{
    source::{Complaint, Place, Sources, Text},
    template::Reader,
    token::Token,
};
use crate::name;

pub use self::{
    again::{Layout, load_again},
    follow::Follower,
    owners::{Owner, Owners, RecordSet},
};
pub(crate) use self::{render::record_line, text::print_name};

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
    /// Every name that owns records.
    pub owners: Owners,
    /// Records that follow a pool; their owners need not be among `owners`.
    pub followers: Vec<Follower>,
    /// What of the cluster's configuration it was made of.
    pub refers: Refers,
    /// How its template is cut.
    pub layout: Layout,
}

/// What of the cluster's configuration a template refers to: a zone need not be read again when something else changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Refers {
    /// Pools, by POOL and the records that follow one.
    pub pools: BTreeSet<PoolName>,
    /// Virtual hosts or servers, by NAMESERVERS.
    pub hosts: BTreeSet<String>,
    /// Every server, by NAMESERVERS without names.
    pub every_server: bool,
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
    let absolute = Token { text: format!("{origin}.").into(), quoted: true, place: Place::default() };
    let mut apex = Vec::new();
    if let Err(complaint) = text::name(&absolute, b"\0", &mut apex) {
        sources.add(file, Text::Borrowed(text));
        sources.error(Place::default(), Complaint::new(format!("the zone's name: {}", complaint.message)));
        return Err(sources.into_errors());
    }
    apex.make_ascii_lowercase();
    let all = all_variables(origin, variables, config);
    let mut reader = Reader::new(&apex, config, &all, include, &mut sources);
    reader.file(file, Text::Borrowed(text));
    let (mut template, refers, layout) = (reader.out, reader.refers, reader.layout);
    let followers = std::mem::take(&mut template.followers);
    // They exist, though nothing else need stand there.
    template.failed.extend(followers.iter().map(|one| one.owner.clone()).filter(|owner| *owner != apex));
    let mut owners = check::check(&apex, template, &mut sources);
    follow::check(&followers, &owners, &mut sources);
    if sources.errors() > 0 {
        return Err(sources.into_errors());
    }
    let serial_from_cluster = settle_soa(&apex, &mut owners, !followers.is_empty());
    let labels = Name::from_labels(name::labels(&apex)).expect("a name that was just read");
    Ok(Zone { name: origin.clone(), origin: labels, serial_from_cluster, owners, followers, refers, layout })
}

/// The zone's own variables, and those that every zone has.
fn all_variables(
    origin: &ZoneName,
    variables: &BTreeMap<String, String>,
    config: &ClusterConfig,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        ("cluster".to_owned(), config.name.to_string()),
        ("zone".to_owned(), origin.as_str().to_owned()),
    ]);
    all.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
    all
}

/// Lowers the negative TTL where the zone uses pools; says whether the serial is the cluster's.
fn settle_soa(apex: &[u8], owners: &mut Owners, follows: bool) -> bool {
    if follows || owners.use_pools() {
        owners.lower_negative_ttl(apex, LARGEST_NEGATIVE_TTL);
    }
    let soa = owners.find(apex).and_then(|owner| owner.set(RecordType::SOA));
    let serial = soa.and_then(|soa| soa.wire().next()?.last_chunk::<20>()?.first_chunk::<4>());
    serial == Some(&[0; 4])
}
