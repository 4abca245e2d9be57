//! What a parent must say of a zone, and what it does say: the delegation's name servers and their glue (RFC 1034 section
//! 4.2.2, RFC 9471).
//!
//! Invariant: addresses are compared only for names within the zone; all others are not the parent's to give.
//!
//! Deliberately not here: asking (`host`), finding the parent's servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{LowerName, Name, RData, Record, RecordType},
};

use crate::Zone;

/// A zone's name servers by their names, in lower case, with a final dot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delegation {
    /// With their addresses where those belong into the delegation, as glue.
    servers: BTreeMap<String, Option<BTreeSet<IpAddr>>>,
}

/// Why a reply holds no delegation.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoDelegation {
    /// It cannot be read.
    #[error("the reply is no DNS message")]
    Malformed,
    /// The server says no.
    #[error("it answers {0}")]
    Code(ResponseCode),
    /// The server has the zone itself, so that it shows no delegation.
    #[error("it serves the zone itself, and shows no delegation")]
    ServesZone,
    /// There is none.
    #[error("it delegates the zone to nobody")]
    None,
}

/// In what a parent's delegation is not what the zone says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Difference {
    /// A name server that the parent does not know.
    MissingServer(String),
    /// A name server that the zone does not know.
    ExtraServer(String),
    /// An address that the parent does not give.
    MissingGlue(String, IpAddr),
    /// An address that is not the name server's.
    ExtraGlue(String, IpAddr),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingServer(server) => write!(f, "it does not name {server}: add it to the delegation"),
            Self::ExtraServer(server) => write!(f, "it names {server}, which is no name server of the zone: remove it"),
            Self::MissingGlue(server, address) => write!(f, "it does not give {address} for {server}: add this glue"),
            Self::ExtraGlue(server, address) => {
                write!(f, "it gives {address} for {server}, which has no such address: remove this glue")
            }
        }
    }
}

impl Delegation {
    /// What a parent must say of this zone.
    pub fn of_zone(zone: &Zone) -> Self {
        let data = |name: &Name, kind| {
            let owner = zone.owners.get(&LowerName::new(name));
            owner.and_then(|owner| owner.set(kind)).map(|set| set.data()).unwrap_or_default()
        };
        let glue = |name: &Name| {
            let moves = zone.owners.get(&LowerName::new(name)).is_some_and(|owner| owner.pool().is_some());
            let records = [RecordType::A, RecordType::AAAA].into_iter().flat_map(|kind| data(name, kind));
            // The addresses of a pool are no glue: they come and go.
            (zone.origin.zone_of(name) && !moves).then(|| records.filter_map(|data| address(&data)).collect())
        };
        let servers = data(&zone.origin, RecordType::NS).into_iter().filter_map(|data| match data {
            RData::NS(target) => Some((text(&target.0), glue(&target.0))),
            _ => None,
        });
        Self { servers: servers.collect() }
    }

    /// The question for a parent's server.
    pub fn question(zone: &Zone, id: u16) -> Vec<u8> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(zone.origin.clone(), RecordType::NS));
        message.to_vec().expect("a message with one question can be written")
    }

    /// What the reply of a parent's server says of the zone.
    ///
    /// # Errors
    /// [`NoDelegation`].
    pub fn of_reply(zone: &Zone, reply: &[u8]) -> Result<Self, NoDelegation> {
        let message = Message::from_vec(reply).map_err(|_| NoDelegation::Malformed)?;
        let code = message.metadata.response_code;
        if code != ResponseCode::NoError {
            return Err(NoDelegation::Code(code));
        }
        if message.metadata.authoritative && !message.answers.is_empty() {
            return Err(NoDelegation::ServesZone);
        }
        let origin = text(&zone.origin);
        let glue = |name: &Name| {
            let same = |record: &&Record| text(&record.name) == text(name);
            let records = message.additionals.iter().filter(same);
            zone.origin.zone_of(name).then(|| records.filter_map(|record| address(&record.data)).collect())
        };
        let servers = message.authorities.iter().filter_map(|record| match &record.data {
            RData::NS(target) if text(&record.name) == origin => Some((text(&target.0), glue(&target.0))),
            _ => None,
        });
        let servers: BTreeMap<_, _> = servers.collect();
        if servers.is_empty() { Err(NoDelegation::None) } else { Ok(Self { servers }) }
    }

    /// In what `parent` differs from this, which is what it must be; in order.
    pub fn differences(&self, parent: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (server, addresses) in &self.servers {
            let Some(given) = parent.servers.get(server) else {
                found.push(Difference::MissingServer(server.clone()));
                continue;
            };
            let (Some(addresses), Some(given)) = (addresses, given) else { continue };
            let missing = addresses.difference(given);
            found.extend(missing.map(|address| Difference::MissingGlue(server.clone(), *address)));
            let extra = given.difference(addresses);
            found.extend(extra.map(|address| Difference::ExtraGlue(server.clone(), *address)));
        }
        let strangers = parent.servers.keys().filter(|server| !self.servers.contains_key(*server));
        found.extend(strangers.map(|server| Difference::ExtraServer(server.clone())));
        found.sort();
        found
    }
}

/// Asks a resolver: builds the question with an ID, and returns the reply; none where there is none.
pub type Resolver<'r> = dyn FnMut(&dyn Fn(u16) -> Vec<u8>) -> Option<Vec<u8>> + 'r;

/// Addresses of the servers of the zone's parent, the first of them, as a resolver finds them.
pub fn servers_of_parent(zone: &Zone, resolver: &mut Resolver<'_>) -> Vec<IpAddr> {
    const SERVERS: usize = 2;
    let mut ancestor = zone.origin.base_name();
    while !ancestor.is_root() {
        let Some(found) = resolve(&ancestor, RecordType::NS, resolver) else { return Vec::new() };
        let names = found.into_iter().filter_map(|data| match data {
            RData::NS(target) => Some(target.0),
            _ => None,
        });
        let names: Vec<Name> = names.take(SERVERS).collect();
        if !names.is_empty() {
            let addresses = names.iter().filter_map(|name| {
                let kinds = [RecordType::A, RecordType::AAAA].into_iter();
                kinds.filter_map(|kind| resolve(name, kind, resolver)?.iter().find_map(address)).next()
            });
            return addresses.collect();
        }
        ancestor = ancestor.base_name();
    }
    Vec::new()
}

/// The answer's data of one type; none where the resolver does not answer.
fn resolve(name: &Name, kind: RecordType, resolver: &mut Resolver<'_>) -> Option<Vec<RData>> {
    let build = |id| {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), kind));
        message.to_vec().expect("a message with one question can be written")
    };
    let message = Message::from_vec(&resolver(&build)?).ok()?;
    Some(message.answers.into_iter().filter(|record| record.record_type() == kind).map(|record| record.data).collect())
}

fn text(name: &Name) -> String {
    name.to_ascii().to_ascii_lowercase()
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}
