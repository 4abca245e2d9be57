//! The data plane: one query in, one reply out (RFC 1034 section 4.3.2).
//!
//! [`respond`] answers every plain query; what it defers, [`View::answer_any`] answers, and both take the same walk
//! ([`compose`]) over the same nodes: there is one truth.
//!
//! Invariants: no allocation, no lock, no system call; answers are minimal, hold whole records only, keep the letter case
//! of the question, and never grow beyond what the client and the configuration take. TC says that something needed was
//! left out.
//!
//! Deliberately not here: messages of other shapes ([`crate::lookup`]), sockets (`host`).

use std::net::IpAddr;

use model::config::RateLimit;

use crate::{
    compile::{
        Found, Link, NONE, Node, Set,
        block::{APEX, Block, OWNER},
    },
    cookie,
    limit::{Kind, Limiter, Verdict},
    view::{Records, View},
    wire::{self, CLASSIC_UDP, Edns, HEADER, NameBuf, Other, Placed, Query, Reply, Section, extended, rcode, rtype},
};

/// What became of a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// So many bytes of the buffer are the reply.
    Reply(usize),
    /// Not a plain query: [`View::answer_any`] knows what to do.
    Defer,
    /// Deserves no reply: it is a response itself, or shorter than a header.
    Drop,
    /// Would get a reply, but there have been too many of that kind to its network ([`Limiter`]).
    Limited,
}

/// Who asks, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// Where the query says that it comes from.
    pub address: IpAddr,
    /// Microseconds since 1970 by this machine's clock, as good as it is: for cookies and rate limiting alone.
    pub now: u64,
}

/// At no particular time: cookies are made for 1970 then.
impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self { address, now: 0 }
    }
}

/// At most so many aliases are followed; who gets that far asks again for the last one.
const MAX_ALIASES: usize = 8;

/// Answers a UDP datagram. `out` must hold what the configuration allows, and 512 bytes at least. `turn` counts the
/// answers of pools, one half for each family: give each thread its own.
///
/// ```
/// # use std::{net::IpAddr, sync::Arc};
/// # use dns::{Outcome, View};
/// fn serve(view: &Arc<View>, client: IpAddr, query: &[u8], turn: &mut u32) -> Option<Vec<u8>> {
///     let mut out = [0; 4096];
///     match dns::respond(view, client, query, &mut out, turn) {
///         Outcome::Reply(length) => Some(out[..length].to_vec()),
///         Outcome::Defer | Outcome::Drop | Outcome::Limited => None,
///     }
/// }
/// ```
pub fn respond(view: &View, client: impl Into<Client>, query: &[u8], out: &mut [u8], turn: &mut u32) -> Outcome {
    answer(view, client.into(), query, out, turn, None)
}

/// The same within the limits of the configuration, as `limiter` counts. What it defers has been counted too.
pub fn respond_limited(
    view: &View,
    client: Client,
    query: &[u8],
    out: &mut [u8],
    turn: &mut u32,
    limiter: &mut Limiter,
) -> Outcome {
    let limits = view.zones.rate_limit.as_ref().map(|limit| (limit, limiter));
    answer(view, client, query, out, turn, limits)
}

#[inline]
fn answer(
    view: &View,
    client: Client,
    query: &[u8],
    out: &mut [u8],
    turn: &mut u32,
    limits: Option<(&RateLimit, &mut Limiter)>,
) -> Outcome {
    let query = match wire::plain_query(query) {
        Ok(query) => query,
        Err(Other::Odd) => {
            let count =
                |(limit, limiter): (&_, &mut Limiter)| limiter.count(limit, client.address, Kind::Error, client.now);
            return if limits.map_or(Verdict::Send, count) == Verdict::Send {
                Outcome::Defer
            } else {
                Outcome::Limited
            };
        }
        Err(Other::NoQuery) => return Outcome::Drop,
    };
    let size = udp_limit(view, query.edns.map(|edns| edns.size));
    let (cookie, shown) = cookie_for(view, client, query.edns);
    let reply = Reply::to(query.message, query.end, query.edns, cookie, size, out);
    let Some(mut reply) = reply else { return Outcome::Defer };
    compose(view, &query, &mut reply, turn);
    if let Some((limit, limiter)) = limits.filter(|_| !shown) {
        match limiter.count(limit, client.address, kind_of(&reply), client.now) {
            Verdict::Send => {}
            Verdict::Slip => slip(&mut reply, cookie.is_some()),
            Verdict::Drop => return Outcome::Limited,
        }
    }
    Outcome::Reply(reply.finish(view.zones.max_udp_size, None))
}

/// The cookie that a client gets, if it speaks of cookies and we do; and whether it has shown a good one.
pub(crate) fn cookie_for(view: &View, client: Client, edns: Option<Edns>) -> (Option<[u8; cookie::WHOLE]>, bool) {
    let cookie = edns.and_then(|edns| edns.cookie);
    let Some((secret, cookie)) = view.zones.cookies.as_ref().zip(cookie) else { return (None, false) };
    let seconds = client.now / 1_000_000;
    let (whole, shown) = secret.answer(&cookie, client.address, seconds as u32);
    (Some(whole), shown)
}

fn kind_of(reply: &Reply<'_>) -> Kind {
    match reply.rcode {
        rcode::NOERROR if reply.count(Section::Answer) > 0 => Kind::Answer,
        rcode::NOERROR if !reply.authoritative => Kind::Referral,
        rcode::NOERROR | rcode::NXDOMAIN => Kind::Denial,
        _ => Kind::Error,
    }
}

/// Makes a reply short, so that a true client comes back: with the cookie that it gets (RFC 7873 section 5.2.3), else by
/// TCP.
fn slip(reply: &mut Reply<'_>, cookie: bool) {
    reply.clear();
    reply.authoritative = false;
    reply.extended = None;
    (reply.rcode, reply.truncated) = if cookie { (rcode::BADCOOKIE, false) } else { (rcode::NOERROR, true) };
}

/// The largest UDP reply to a client that offers `size` bytes (RFC 6891 sections 6.2.3 to 6.2.5).
pub(crate) fn udp_limit(view: &View, size: Option<u16>) -> usize {
    let ceiling = usize::from(view.zones.max_udp_size).max(CLASSIC_UDP);
    size.map_or(CLASSIC_UDP, |size| usize::from(size).clamp(CLASSIC_UDP, ceiling))
}

/// Writes answer, authority and additional records, response code, AA and TC.
pub(crate) fn compose(view: &View, query: &Query<'_>, reply: &mut Reply<'_>, turn: &mut u32) {
    let mut walk = Walk { view, reply, turn, rtype: query.rtype, spot: Spot::question(query.name.len()), aliases: 0 };
    let mut seen = [NONE; MAX_ALIASES];
    let mut next = walk.step(&query.name, &mut seen);
    while let Some(name) = next {
        next = walk.step(&name, &mut seen);
    }
}

/// Where the current name stands in the reply: spelled out at first, then, for an alias, ended by a pointer.
#[derive(Clone, Copy)]
struct Spot {
    at: usize,
    length: usize,
    /// How many bytes are spelled out.
    spelled: usize,
    /// Where the rest is.
    rest: usize,
}

impl Spot {
    fn question(length: usize) -> Self {
        Self { at: HEADER, length, spelled: length, rest: 0 }
    }

    /// The last `length` bytes of the name, which begin a label.
    fn suffix(&self, length: usize) -> Self {
        let tail = self.length - self.spelled;
        if length > tail {
            Self { at: self.at + self.length - length, length, spelled: length - tail, rest: self.rest }
        } else {
            Self { at: self.rest + tail - length, ..Self::question(length) }
        }
    }

    /// A pointer to it.
    fn pointer(&self) -> u16 {
        0xC000 | self.suffix(self.length).at as u16
    }
}

struct Walk<'a, 'r> {
    view: &'a View,
    reply: &'a mut Reply<'r>,
    turn: &'a mut u32,
    rtype: u16,
    spot: Spot,
    /// How many were followed.
    aliases: usize,
}

impl Walk<'_, '_> {
    /// Answers for one name; the next one, if this one is an alias of a name that may be ours.
    fn step(&mut self, name: &NameBuf, seen: &mut [u32; MAX_ALIASES]) -> Option<NameBuf> {
        let zones = &*self.view.zones;
        let found = zones.find(name, self.rtype);
        let (index, exact) = match found {
            Found::Outside => {
                if self.aliases == 0 {
                    self.reply.rcode = rcode::REFUSED;
                    self.reply.extended = Some(extended::NOT_AUTHORITATIVE);
                }
                return None;
            }
            Found::Exact(index) => (index, true),
            Found::Wildcard(index) => (index, false),
            Found::Below(index) => return self.below(name, zones.node(index)),
            Found::Missing(index) => {
                self.reply.rcode = rcode::NXDOMAIN;
                self.deny(zones.node(index));
                return None;
            }
        };
        let node = zones.node(index);
        match node.link {
            Link::Referral(_) if self.rtype != rtype::DS => {
                self.refer(node);
                None
            }
            Link::Alias(alias) if self.rtype != rtype::CNAME && self.rtype != rtype::ANY => {
                self.follow(name, node, alias, index, seen)
            }
            Link::Alias(_) | Link::Referral(_) | Link::Tree(_) | Link::Nowhere => {
                self.data(index, exact);
                None
            }
        }
    }

    /// The records asked for, or NODATA.
    fn data(&mut self, index: u32, exact: bool) {
        let node = self.view.zones.node(index);
        self.authoritative();
        let sets = self.view.zones.sets(node);
        if node.pool != NONE && matches!(self.rtype, rtype::A | rtype::AAAA | rtype::ANY) && self.pool(node.pool) {
            return;
        }
        // RFC 8482 section 4.1: ANY gets one set, it need not be more.
        match sets.iter().find(|set| set.rtype == self.rtype || self.rtype == rtype::ANY) {
            Some(set) => {
                let usual = exact && self.aliases == 0;
                self.set(Section::Answer, node, set, usual);
            }
            None if self.follows(index) => {}
            None => self.deny(node),
        }
    }

    /// A pool's records of the type asked for; false if it has none now.
    fn pool(&mut self, used: u32) -> bool {
        let (records, degraded) = self.view.records(used);
        self.reply.extended = degraded;
        let rings = match records {
            Records::Rings(rings) => rings,
            Records::Servfail => {
                self.fail();
                return true;
            }
        };
        // One half of `turn` for each family: pairs of A and AAAA queries would else always start at the same records.
        let halves = [*self.turn as u16, (*self.turn >> 16) as u16];
        let families = match self.rtype {
            rtype::A => 0..1,
            rtype::AAAA => 1..2,
            _ => 0..2,
        };
        for family in families {
            let (bytes, records) = rings[family].turn(halves[family]);
            if records == 0 {
                continue;
            }
            let next = u32::from(halves[family].wrapping_add(1)) << (16 * family);
            *self.turn = (*self.turn & (0xFFFF_0000 >> (16 * family))) | next;
            let placed = self.reply.put(Section::Answer, bytes, records);
            self.reply.truncated |= placed.records < records;
            if self.aliases > 0 {
                self.reply.set_owners(placed.start, placed.records, self.spot.pointer());
            }
            return true;
        }
        false
    }

    /// Records that follow a pool; false if there are none of the type asked for now.
    fn follows(&mut self, index: u32) -> bool {
        let Some(follower) = self.view.zones.follower(index, self.rtype) else { return false };
        let (records, degraded) = self.view.followed(follower);
        self.reply.extended = degraded;
        let Some((bytes, records)) = records else {
            self.fail();
            return true;
        };
        let placed = self.reply.put(Section::Answer, bytes, records);
        self.reply.truncated |= placed.records < records;
        if self.aliases > 0 {
            self.reply.set_owners(placed.start, placed.records, self.spot.pointer());
        }
        records > 0
    }

    /// We do not know: resolvers ask another server.
    fn fail(&mut self) {
        self.reply.clear();
        self.reply.rcode = rcode::SERVFAIL;
        self.reply.authoritative = false;
    }

    /// A CNAME record, and the name that it leads to.
    fn follow(
        &mut self,
        name: &NameBuf,
        node: &Node,
        alias: u32,
        index: u32,
        seen: &mut [u32; MAX_ALIASES],
    ) -> Option<NameBuf> {
        self.authoritative();
        let zones = &*self.view.zones;
        let alias = zones.alias(alias);
        let target = NameBuf::read(zones.target(alias), 0)?;
        // A wildcard may stand for any name first, and then once more for its own target.
        let step = index << 1 | u32::from(target.as_bytes() == name.as_bytes());
        if self.aliases == MAX_ALIASES || seen[..self.aliases].contains(&step) {
            return None;
        }
        let set = zones.sets(node).iter().find(|set| set.rtype == rtype::CNAME)?;
        let placed = self.set(Section::Answer, node, set, false);
        if placed.records == 0 {
            return None;
        }
        let rest = self.spot.suffix(zones.zone(node).apex_length).at;
        self.spot = Spot { at: placed.start + 12, length: target.len(), spelled: alias.spelled, rest };
        seen[self.aliases] = step;
        self.aliases += 1;
        Some(target)
    }

    /// A name below a delegation or a DNAME.
    fn below(&mut self, name: &NameBuf, node: &Node) -> Option<NameBuf> {
        match node.link {
            Link::Tree(alias) => self.substitute(name, node, alias),
            Link::Referral(_) | Link::Alias(_) | Link::Nowhere => {
                self.refer(node);
                None
            }
        }
    }

    /// RFC 6672 section 3.2: the DNAME, a CNAME made from it, and the name that it leads to.
    fn substitute(&mut self, name: &NameBuf, node: &Node, alias: u32) -> Option<NameBuf> {
        self.authoritative();
        let zones = &*self.view.zones;
        let owner_length = zones.name(node).len();
        let set = zones.sets(node).iter().find(|set| set.rtype == rtype::DNAME)?;
        let whole = self.spot;
        if self.aliases == MAX_ALIASES {
            return None;
        }
        self.spot = whole.suffix(owner_length);
        let placed = self.set(Section::Answer, node, set, false);
        self.spot = whole;
        if placed.records == 0 {
            return None;
        }
        let target = NameBuf::read(zones.target(zones.alias(alias)), 0)?;
        let prefix = &name.as_bytes()[..name.len() - owner_length];
        let length = prefix.len() + target.len();
        let mut record = [0; 12 + 255];
        let Some(data) = record.get_mut(12..12 + length) else {
            self.reply.rcode = rcode::YXDOMAIN;
            return None;
        };
        data[..prefix.len()].copy_from_slice(prefix);
        data[prefix.len()..].copy_from_slice(target.as_bytes());
        let ttl = &zones.bytes(&set.block)[6..10];
        record[..2].copy_from_slice(&whole.pointer().to_be_bytes());
        record[2..6].copy_from_slice(&[0, rtype::CNAME as u8, 0, 1]);
        record[6..10].copy_from_slice(ttl);
        record[10..12].copy_from_slice(&(length as u16).to_be_bytes());
        let placed = self.reply.put(Section::Answer, &record[..12 + length], 1);
        self.reply.truncated |= placed.records == 0;
        if placed.records == 0 || matches!(self.rtype, rtype::CNAME | rtype::ANY) {
            return None;
        }
        self.spot = Spot { at: placed.start + 12, ..Spot::question(length) };
        self.aliases += 1;
        NameBuf::read(&record, 12)
    }

    /// A referral: the name servers of a delegation, and glue. No AA, unless the first name of the answer was ours.
    fn refer(&mut self, node: &Node) {
        let Link::Referral(referral) = node.link else { return };
        let zones = &*self.view.zones;
        let referral = zones.referral(referral);
        let owner = self.spot.suffix(zones.name(node).len()).pointer();
        let block = referral.block;
        let placed = self.reply.put(Section::Authority, zones.bytes(&block), block.records);
        self.relocate(node, &block, placed, owner);
        self.reply.set_owners(placed.start, placed.records.min(referral.servers), owner);
        self.reply.move_to_additional(placed.records.saturating_sub(referral.servers));
        self.reply.truncated |= placed.records < referral.needed;
    }

    /// NODATA or NXDOMAIN: the SOA of the node's zone (RFC 2308 section 2).
    fn deny(&mut self, node: &Node) {
        self.authoritative();
        let zone = self.view.zones.zone(node);
        let Some(block) = zone.denial else { return };
        let set = Set { rtype: rtype::SOA, block };
        let whole = self.spot;
        self.spot = whole.suffix(zone.apex_length);
        self.set(Section::Authority, node, &set, false);
        self.spot = whole;
    }

    /// Copies a set. In the usual place, right behind a question for its own owner, it is right as it stands.
    fn set(&mut self, section: Section, node: &Node, set: &Set, usual: bool) -> Placed {
        let zones = &*self.view.zones;
        let block = set.block;
        let placed = self.reply.put(section, zones.bytes(&block), block.records);
        self.reply.truncated |= placed.records < block.records;
        if !usual {
            let owner = self.spot.pointer();
            self.relocate(node, &block, placed, owner);
            self.reply.set_owners(placed.start, placed.records, owner);
        }
        if set.rtype == rtype::SOA && placed.records == block.records && zones.zone(node).live_serial {
            // Five numbers end an SOA (RFC 1035 section 3.3.13), the serial first.
            self.reply.set_u32(placed.start + placed.length - 20, self.view.serial);
        }
        placed
    }

    /// Writes the pointers of a block for the place where it stands.
    fn relocate(&mut self, node: &Node, block: &Block, placed: Placed, owner: u16) {
        let zones = &*self.view.zones;
        let apex = zones.zone(node).apex_length;
        for fix in zones.fixes(block) {
            let at = fix.at as usize;
            if at >= placed.length {
                return;
            }
            let pointer = match fix.to {
                OWNER => owner,
                APEX => self.spot.suffix(apex).pointer(),
                offset => 0xC000 | (placed.start as u16 + offset),
            };
            self.reply.set_u16(placed.start + at, pointer);
        }
    }

    /// AA is about the first name of the answer (RFC 1035 section 4.1.1).
    fn authoritative(&mut self) {
        self.reply.authoritative = true;
    }
}
