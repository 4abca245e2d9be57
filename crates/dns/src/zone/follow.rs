//! `SRV-POOL`, `HTTPS-POOL` and `SVCB-POOL`: records that follow a pool, one for each member that is answered.
//!
//! Each member needs a name of its own that such a record can point to. The pattern gives it (`*.hosts`: the member's name
//! in the place of the asterisk), and the member's addresses are put there as plain A and AAAA records. Priorities follow
//! the order of a failover pool, an SRV record's weight that of a weighted one; hints (RFC 9460 section 7.3) are the
//! member's addresses.
//!
//! Deliberately not here: who is answered (`View`).

use std::net::IpAddr;

use hickory_proto::rr::RecordType;
use model::{
    PoolName,
    config::{Policy, Pool, Ttl},
};

use super::{
    owners::Owners,
    params,
    source::{Complaint, Place, Sources},
    template::{Reader, Wrong},
    text,
    token::Token,
};
use crate::{name, wire::rtype};

/// `OWNER SRV-POOL pool port *.names`, or `OWNER HTTPS-POOL pool *.names parameters...`, of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Follower {
    /// Whose records they are, in lower-case wire form; no wildcard.
    pub(crate) owner: Vec<u8>,
    /// SRV, HTTPS or SVCB.
    pub rtype: RecordType,
    /// Which pool; it exists in the cluster's configuration.
    pub pool: PoolName,
    /// Seconds that caches may keep them: the record's own TTL, else the pool's.
    pub ttl: Ttl,
    /// For each member of the pool the record's data behind the priority, and in SRV behind the weight.
    pub members: Vec<Vec<u8>>,
    /// Each member's priority and weight while all are up; none: it only helps out.
    pub well: Vec<Option<(u16, u16)>>,
    place: Place,
}

impl Follower {
    /// The same where the text behind `end` has moved from there to `to`.
    pub(super) fn moved(&self, end: usize, to: usize) -> Self {
        let place = if self.place.source == 0 { self.place.moved(end, to) } else { self.place };
        Self { place, ..self.clone() }
    }

    /// Whether it is answered alike, wherever it stands in its text.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        *self == Self { place: self.place, ..other.clone() }
    }

    /// A member's data in wire form.
    pub(crate) fn data(&self, member: usize, priority: u16, weight: u16) -> Vec<u8> {
        let mut data = priority.to_be_bytes().to_vec();
        if self.rtype == RecordType::SRV {
            data.extend_from_slice(&weight.to_be_bytes());
        }
        data.extend_from_slice(&self.members[member]);
        data
    }
}

/// The record types that can follow a pool, by the pseudo-record's name.
const FOLLOWING: [(&str, RecordType); 3] =
    [("SRV-POOL", RecordType::SRV), ("HTTPS-POOL", RecordType::HTTPS), ("SVCB-POOL", RecordType::SVCB)];

/// What follows a pool under this name.
pub(super) fn following(word: &Token<'_>) -> Option<RecordType> {
    FOLLOWING.iter().find(|(name, _)| word.is(name)).map(|(_, rtype)| *rtype)
}

impl Reader<'_, '_> {
    /// One of the three pseudo-records. `ttl` is the record's own; plain records that go with it have that, else `$TTL`.
    pub(super) fn follow(
        &mut self,
        owner: &[u8],
        rtype: RecordType,
        ttl: (Option<u32>, u32),
        word: &Token<'_>,
        words: &[Token<'_>],
    ) -> Result<(), Wrong> {
        let line = words.last().map_or(word.place, |last| word.place.to(last.place));
        let srv = rtype == RecordType::SRV;
        let (name, port, pattern, parameters) = match words {
            [name, port, pattern] if srv => (name, Some(port), pattern, &[][..]),
            [name, pattern, parameters @ ..] if !srv => (name, None, pattern, parameters),
            _ => {
                let form = if srv { "SRV-POOL pool port *.names" } else { "HTTPS-POOL pool *.names [parameters]" };
                return Err((line, Complaint::new(format!("{} is written `{form}`", word.text))));
            }
        };
        if name::is_wildcard(owner) {
            return Err((line, Complaint::new(format!("{} cannot belong to a wildcard", word.text))));
        }
        let (pool, settings) = self.pool_called(name)?;
        self.refers.pools.insert(pool.clone());
        let port = port.map(|port| text::number(&port.text, 65_535).map_err(|complaint| (port.place, complaint)));
        let port = port.transpose()?.and_then(|port| u16::try_from(port).ok());
        if !pattern.text.starts_with("*.") && pattern.text != "*" {
            let complaint = Complaint::new(format!("`{}` gives the members no names", pattern.text));
            return Err((pattern.place, complaint.help("write a name that begins with `*`, such as `*.hosts`")));
        }
        let given =
            parameters.iter().find(|word| word.text.starts_with("ipv4hint") || word.text.starts_with("ipv6hint"));
        if let Some(given) = given {
            let complaint = Complaint::new("the hints are the members' own addresses");
            return Err((given.place, complaint.help("leave it out")));
        }
        let mut members = Vec::new();
        for member in &settings.members {
            let addresses = self.config.addresses_of(member);
            let spelled = Token { text: pattern.text.replacen('*', member.name(), 1).into(), ..pattern.clone() };
            let target = self.member(&spelled, &addresses, ttl.1)?;
            let mut data = port.map(u16::to_be_bytes).into_iter().flatten().collect::<Vec<u8>>();
            data.extend_from_slice(&target);
            if !srv {
                params::put(&hinted(parameters, &addresses, pattern), &mut data)?;
            }
            members.push(data);
        }
        let ttl = ttl.0.map_or(settings.ttl, Ttl::fixed);
        let well = (1..).zip(0..members.len()).map(|(place, member)| match &settings.policy {
            Policy::RoundRobin => Some((1, 1)),
            Policy::Weighted(weights) => {
                weights.get(member).copied().filter(|weight| *weight > 0).map(|weight| (1, weight))
            }
            Policy::Failover => Some((place, 0)),
        });
        let well = well.collect();
        self.out.followers.push(Follower { owner: owner.to_vec(), rtype, pool, ttl, members, well, place: line });
        Ok(())
    }

    /// The pool of that name.
    fn pool_called(&self, name: &Token<'_>) -> Result<(PoolName, Pool), Wrong> {
        let found = self.config.pools.get_key_value(&PoolName::new(&name.text));
        found.map(|(name, pool)| (name.clone(), pool.clone())).ok_or_else(|| self.no_pool(name))
    }

    /// A member's own name in wire form; its addresses are put there, once.
    fn member(&mut self, token: &Token<'_>, addresses: &[IpAddr], ttl: u32) -> Result<Vec<u8>, Wrong> {
        let place = token.place;
        let name = self.name(token)?;
        let lower = name.to_ascii_lowercase();
        if !name::is_within(&lower, self.apex) {
            let message = format!("{} is out of the zone: its addresses cannot be given here", text::show(&name));
            return Err((place, Complaint::new(message)));
        }
        if self.out.members.insert(lower) {
            for address in addresses {
                match address {
                    IpAddr::V4(address) => self.push(&name, rtype::A, ttl, &address.octets(), (place, place))?,
                    IpAddr::V6(address) => self.push(&name, rtype::AAAA, ttl, &address.octets(), (place, place))?,
                }
            }
        }
        Ok(name)
    }
}

/// The parameters with the member's addresses as hints.
fn hinted<'t>(parameters: &[Token<'t>], addresses: &[IpAddr], pattern: &Token<'_>) -> Vec<Token<'t>> {
    let hint = |key: &str, six: bool| {
        let list: Vec<_> = addresses.iter().filter(|one| one.is_ipv6() == six).map(ToString::to_string).collect();
        let token = Token { text: format!("{key}={}", list.join(",")).into(), quoted: false, place: pattern.place };
        (!list.is_empty()).then_some(token)
    };
    parameters.iter().cloned().chain(hint("ipv4hint", false)).chain(hint("ipv6hint", true)).collect()
}

/// What stands beside them at their owners.
pub(super) fn check(followers: &[Follower], owners: &Owners, sources: &mut Sources<'_>) {
    for (index, follower) in followers.iter().enumerate() {
        let Follower { owner, rtype, place, .. } = follower;
        let there = owners.find(owner);
        let has = |rtype: &RecordType| there.is_some_and(|there| there.set(*rtype).is_some());
        let owner = text::show(owner);
        if has(&RecordType::CNAME) {
            sources.error(
                *place,
                Complaint::new(format!("{owner} has a CNAME, which stands alone (RFC 2181 section 10.1)")),
            );
        } else if has(rtype) {
            let message = format!("{owner} has {rtype} records of its own beside those of the pool");
            sources.error(*place, Complaint::new(message).help("keep one of the two"));
        } else if followers[..index].iter().any(|other| other.owner == follower.owner && other.rtype == *rtype) {
            sources.error(*place, Complaint::new(format!("the {rtype} records of {owner} follow a pool already")));
        }
    }
}
