//! `SRV-POOL`, `HTTPS-POOL` and `SVCB-POOL`: records that follow a pool, one for each member that is answered.
//!
//! Each member needs a name of its own that such a record can point to. The pattern gives it (`*.hosts`: the member's name
//! in the place of the asterisk), and the member's addresses are put there as plain A and AAAA records. Priorities follow
//! the order of a failover pool, an SRV record's weight that of a weighted one; hints (RFC 9460 section 7.3) are the
//! member's addresses.
//!
//! Deliberately not here: who is answered (`View`).

use std::{collections::BTreeMap, net::IpAddr};

use hickory_proto::rr::{
    LowerName, RData, RecordType,
    rdata::{A, AAAA},
};
use model::{
    PoolName,
    config::{Policy, Pool, Ttl},
};

use super::{
    Owner, params,
    source::{Complaint, Place, Sources},
    template::{Reader, Record, Wrong},
    text,
    token::Token,
};
use crate::compile::block::wire;

/// `OWNER SRV-POOL pool port *.names`, or `OWNER HTTPS-POOL pool *.names parameters...`, of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Follower {
    /// Whose records they are; no wildcard.
    pub owner: LowerName,
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
pub(super) fn following(word: &Token) -> Option<RecordType> {
    FOLLOWING.iter().find(|(name, _)| word.is(name)).map(|(_, rtype)| *rtype)
}

impl Reader<'_> {
    /// One of the three pseudo-records. `ttl` is the record's own; plain records that go with it have that, else `$TTL`.
    pub(super) fn follow(
        &mut self,
        owner: &LowerName,
        rtype: RecordType,
        ttl: (Option<u32>, u32),
        word: &Token,
        words: &[Token],
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
        if owner.is_wildcard() {
            return Err((line, Complaint::new(format!("{} cannot belong to a wildcard", word.text))));
        }
        let (pool, settings) = self.pool_called(name)?;
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
            let spelled = Token { text: pattern.text.replacen('*', member.name(), 1), ..pattern.clone() };
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
        self.out.followers.push(Follower { owner: owner.clone(), rtype, pool, ttl, members, well, place: line });
        Ok(())
    }

    /// The pool of that name.
    fn pool_called(&self, name: &Token) -> Result<(PoolName, Pool), Wrong> {
        let found = self.config.pools.get_key_value(&PoolName::new(&name.text));
        found.map(|(name, pool)| (name.clone(), pool.clone())).ok_or_else(|| self.no_pool(name))
    }

    /// A member's own name in wire form; its addresses are put there, once.
    fn member(&mut self, token: &Token, addresses: &[IpAddr], ttl: u32) -> Result<Vec<u8>, Wrong> {
        let place = token.place;
        let name = text::name(token, &self.origin).map_err(|complaint| (place, complaint))?;
        if !self.apex.zone_of(&name) {
            let message = format!("{} is out of the zone: its addresses cannot be given here", name.to_ascii());
            return Err((place, Complaint::new(message)));
        }
        let owner = LowerName::new(&name);
        if self.out.members.insert(owner.clone()) {
            for address in addresses {
                let data = match address {
                    IpAddr::V4(address) => RData::A(A(*address)),
                    IpAddr::V6(address) => RData::AAAA(AAAA(*address)),
                };
                self.push(Record { owner: owner.clone(), ttl, data, place, target: place })?;
            }
        }
        Ok(wire(&name))
    }
}

/// The parameters with the member's addresses as hints.
fn hinted(parameters: &[Token], addresses: &[IpAddr], pattern: &Token) -> Vec<Token> {
    let hint = |key: &str, six: bool| {
        let list: Vec<_> = addresses.iter().filter(|one| one.is_ipv6() == six).map(ToString::to_string).collect();
        let token = Token { text: format!("{key}={}", list.join(",")), quoted: false, place: pattern.place };
        (!list.is_empty()).then_some(token)
    };
    parameters.iter().cloned().chain(hint("ipv4hint", false)).chain(hint("ipv6hint", true)).collect()
}

/// What stands beside them at their owners.
pub(super) fn check(followers: &[Follower], owners: &BTreeMap<LowerName, Owner>, sources: &mut Sources) {
    for (index, follower) in followers.iter().enumerate() {
        let Follower { owner, rtype, place, .. } = follower;
        let sets = owners.get(owner).map(|owner| &owner.sets);
        let has = |rtype: &RecordType| sets.is_some_and(|sets| sets.contains_key(rtype));
        if has(&RecordType::CNAME) {
            sources.error(
                *place,
                Complaint::new(format!("{owner} has a CNAME, which stands alone (RFC 2181 section 10.1)")),
            );
        } else if has(rtype) {
            let message = format!("{owner} has {rtype} records of its own beside those of the pool");
            sources.error(*place, Complaint::new(message).help("keep one of the two"));
        } else if followers[..index].iter().any(|other| other.owner == *owner && other.rtype == *rtype) {
            sources.error(*place, Complaint::new(format!("the {rtype} records of {owner} follow a pool already")));
        }
    }
}
