//! Zones compiled once: every name a node, every record set a block of bytes ready to be copied.
//!
//! A name is found by one look into a hash table keyed by its lower-cased wire form; a name that does not exist, by one
//! more for each label up to its closest encloser (RFC 4592 section 3.3.1), from no deeper than the deepest name that
//! exists. The table is only ever looked into, never walked, and its seed is fixed: the names are the operator's.
//!
//! Invariants: every ancestor of a node up to its apex is a node (empty non-terminals, RFC 8020); nothing below a
//! delegation or a DNAME is one; a node belongs to the closest zone that encloses it. Nothing changes after `compile`.
//!
//! Deliberately not here: pools' addresses, which change ([`crate::view`]); the shape of replies ([`crate::respond()`]).

mod again;
pub(crate) mod block;
mod build;
mod table;

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use foldhash::quality::FixedState;
use model::{
    ZoneName,
    config::{ClusterConfig, RateLimit, Ttl},
};

use self::{
    block::{Block, Fix},
    table::Table,
};
use crate::{
    cookie::CookieSecrets,
    pool::Pools,
    wire::{NameBuf, rtype},
    zone::{Follower, Zone},
};

/// All zones of a configuration, compiled. Immutable; shared by every [`crate::View`].
#[derive(Debug)]
pub struct Zones {
    names: Arc<Names>,
    pub(crate) pools: Pools,
    /// Each pair of a pool and a TTL that some name uses.
    pub(crate) uses: Vec<Use>,
    /// Records that follow pools, and at which node and type they stand.
    pub(crate) followers: Vec<Followed>,
    /// No UDP reply is larger.
    pub(crate) max_udp_size: u16,
    /// Whether we tell our identity (RFC 4892, RFC 5001).
    pub(crate) tell_identity: bool,
    /// How many replies a network gets.
    pub(crate) rate_limit: Option<RateLimit>,
    /// What DNS cookies are made with; none: no cookies.
    pub(crate) cookies: Option<CookieSecrets>,
}

/// What templates alone say: it stays as it is when pools or settings change.
#[derive(Clone, Debug)]
struct Names {
    /// Names and blocks.
    arena: Vec<u8>,
    fixes: Vec<Fix>,
    nodes: Vec<Node>,
    sets: Vec<Set>,
    table: Table,
    zones: Vec<ZoneInfo>,
    aliases: Vec<Alias>,
    referrals: Vec<Referral>,
    following: BTreeMap<(u32, u16), u32>,
    /// Labels of the deepest node and of the highest apex.
    deepest: usize,
    highest: usize,
    /// Bytes that were added to those of a whole reading.
    added: usize,
}

/// Stands for "there is none" in an index.
pub(crate) const NONE: u32 = u32::MAX;

/// A name. All of it, and its records' place, in one line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Node {
    name: u32,
    name_length: u8,
    pub(crate) zone: u16,
    sets: Sets,
    /// The node of `*` below this name.
    wildcard: u32,
    /// Index into [`Zones::uses`]: this name's A and AAAA records are a pool's.
    pub(crate) pool: u32,
    pub(crate) link: Link,
}

const _: () = assert!(size_of::<Node>() == 64);

/// Whether a name leads elsewhere. The numbers are indices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    /// No.
    Nowhere,
    /// CNAME: to another name.
    Alias(u32),
    /// DNAME: what is below leads below another name.
    Tree(u32),
    /// Delegation: to other name servers.
    Referral(u32),
}

/// A name's record sets. Most names have one, which stands here so that nothing else need be looked at.
#[derive(Clone, Copy, Debug)]
enum Sets {
    One(Set),
    /// So many from this index on.
    Many(u32, u16),
}

/// The records of one type at a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    pub(crate) rtype: u16,
    pub(crate) block: Block,
}

/// The target of a CNAME or DNAME.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alias {
    target: u32,
    /// How many bytes of the target a CNAME's data spells out; the rest, if any, is a pointer to the apex.
    pub(crate) spelled: usize,
}

/// What a delegation answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referral {
    /// NS records, then glue.
    pub(crate) block: Block,
    /// How many NS records.
    pub(crate) servers: u16,
    /// How many records without which nobody gets further: name servers and their in-domain glue (RFC 9471 section 3).
    pub(crate) needed: u16,
}

/// A zone.
#[derive(Clone, Debug)]
pub(crate) struct ZoneInfo {
    name: ZoneName,
    apex: u32,
    /// Length of its apex in wire form.
    pub(crate) apex_length: usize,
    /// The SOA as denials carry it (RFC 2308 section 3).
    pub(crate) denial: Option<Block>,
    /// The serial that is served is the cluster's.
    pub(crate) live_serial: bool,
    /// What the zone above says of this one's apex, if that is ours too: a node of its own, or the cut above.
    parent_side: u32,
}

/// A pool as the names of some TTL use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Use {
    pub(crate) pool: usize,
    pub(crate) ttl: Ttl,
}

/// Records that follow a pool, one a member.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) pool: usize,
    pub(crate) follower: Follower,
}

/// Where a name leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// Out of our zones.
    Outside,
    /// To a node of that name.
    Exact(u32),
    /// To the wildcard that stands for it.
    Wildcard(u32),
    /// Below this delegation or DNAME.
    Below(u32),
    /// To nothing; this is its closest encloser.
    Missing(u32),
}

impl Zones {
    /// Compiles checked zones. Zones may lie one below another; a name belongs to the closest that encloses it.
    pub fn compile<Z: Borrow<Zone>>(zones: Vec<Z>, config: &ClusterConfig) -> Self {
        build::build(zones, config)
    }

    /// The same where these zones were made of `were`, and most of what is in them has stayed: what has is not compiled again.
    pub fn compile_again(&self, were: &[Arc<Zone>], zones: &[Arc<Zone>], config: &ClusterConfig) -> Self {
        again::build(self, were, zones, config).unwrap_or_else(|| Self::compile(zones.to_vec(), config))
    }

    /// With DNS cookies (RFC 7873), which every server that has these secrets makes and knows.
    pub fn with_cookies(mut self, secrets: impl Into<CookieSecrets>) -> Self {
        self.cookies = Some(secrets.into());
        self
    }

    /// Without any use of a pool.
    fn of(names: Arc<Names>, config: &ClusterConfig) -> Self {
        Self {
            names,
            pools: Pools::of(config),
            uses: Vec::new(),
            followers: Vec::new(),
            max_udp_size: config.dns.max_udp_size,
            tell_identity: config.dns.identity,
            rate_limit: config.dns.rate_limit.clone(),
            cookies: None,
        }
    }

    /// The zones' names.
    pub fn names(&self) -> impl Iterator<Item = &ZoneName> {
        self.names.zones.iter().map(|zone| &zone.name)
    }

    /// How many names exist, empty non-terminals included.
    pub fn len(&self) -> usize {
        self.names.nodes.len()
    }

    /// Whether there is no name at all.
    pub fn is_empty(&self) -> bool {
        self.names.nodes.is_empty()
    }

    /// Walks a name down to where RFC 1034 section 4.3.2 leaves it. DS is asked of the parent's side of a zone cut
    /// (RFC 4035 section 3.1.4.1), all else of the child's.
    pub(crate) fn find(&self, name: &NameBuf, asked: u16) -> Found {
        let all = name.labels();
        if all < self.names.highest {
            return Found::Outside;
        }
        if all <= self.names.deepest
            && let Some(index) = self.names.get(name.as_bytes())
        {
            let node = &self.names.nodes[index as usize];
            let parent_side = self.names.zones[usize::from(node.zone)].parent_side;
            let at_cut =
                asked == rtype::DS && parent_side != NONE && self.names.zones[usize::from(node.zone)].apex == index;
            return match at_cut {
                true if self.names.nodes[parent_side as usize].name_length < node.name_length => {
                    Found::Below(parent_side)
                }
                true => Found::Exact(parent_side),
                false => Found::Exact(index),
            };
        }
        let mut labels = all.saturating_sub(1).min(self.names.deepest);
        while labels >= self.names.highest {
            if let Some(index) = self.names.get(name.suffix(labels)) {
                let node = &self.names.nodes[index as usize];
                return match node.link {
                    Link::Referral(_) | Link::Tree(_) => Found::Below(index),
                    Link::Nowhere | Link::Alias(_) if node.wildcard != NONE => Found::Wildcard(node.wildcard),
                    Link::Nowhere | Link::Alias(_) => Found::Missing(index),
                };
            }
            if labels == 0 {
                break;
            }
            labels -= 1;
        }
        Found::Outside
    }

    /// Where the search for a name with this hash begins.
    pub(crate) fn slot_address(&self, hash: u64) -> *const u8 {
        self.names.table.address(hash)
    }

    /// The node that a name with this hash most likely has.
    pub(crate) fn likely(&self, hash: u64) -> Option<u32> {
        self.names.table.find(hash, |_| true)
    }

    pub(crate) fn hash_of(&self, name: &NameBuf) -> u64 {
        hash(name.as_bytes())
    }

    /// A node's name, and its records where there is one set of them: it usually stands right behind the name.
    pub(crate) fn entry(&self, node: &Node) -> &[u8] {
        let start = node.name as usize;
        let end = match &node.sets {
            Sets::One(set) => (set.block.start + set.block.length) as usize,
            Sets::Many(..) => start + usize::from(node.name_length),
        };
        self.names.arena.get(start..end).unwrap_or_default()
    }

    /// A node's name, in lower-case wire form.
    pub(crate) fn name(&self, node: &Node) -> &[u8] {
        self.names.name(node)
    }

    pub(crate) fn node(&self, index: u32) -> &Node {
        &self.names.nodes[index as usize]
    }

    pub(crate) fn zone(&self, node: &Node) -> &ZoneInfo {
        &self.names.zones[usize::from(node.zone)]
    }

    /// A node's record sets, in the order of their types' numbers.
    pub(crate) fn sets<'a>(&'a self, node: &'a Node) -> &'a [Set] {
        match &node.sets {
            Sets::One(set) => std::slice::from_ref(set),
            Sets::Many(first, count) => &self.names.sets[*first as usize..][..usize::from(*count)],
        }
    }

    /// The records of that type at a node that follow a pool; of any type, where ANY is asked for.
    pub(crate) fn follower(&self, node: u32, asked: u16) -> Option<u32> {
        let types = if asked == rtype::ANY { (node, 0)..=(node, u16::MAX) } else { (node, asked)..=(node, asked) };
        self.names.following.range(types).next().map(|(_, follower)| *follower)
    }

    /// A block's bytes.
    pub(crate) fn bytes(&self, block: &Block) -> &[u8] {
        &self.names.arena[block.start as usize..][..block.length as usize]
    }

    /// A block's pointers.
    pub(crate) fn fixes(&self, block: &Block) -> &[Fix] {
        &self.names.fixes[block.first_fix as usize..][..usize::from(block.fixes)]
    }

    pub(crate) fn alias(&self, index: u32) -> &Alias {
        &self.names.aliases[index as usize]
    }

    /// An alias's target in wire form, from its first byte on to the end of everything: names end themselves.
    pub(crate) fn target(&self, alias: &Alias) -> &[u8] {
        &self.names.arena[alias.target as usize..]
    }

    pub(crate) fn referral(&self, index: u32) -> &Referral {
        &self.names.referrals[index as usize]
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            arena: Vec::new(),
            fixes: Vec::new(),
            nodes: Vec::new(),
            sets: Vec::new(),
            table: Table::with_capacity(0),
            zones: Vec::new(),
            aliases: Vec::new(),
            referrals: Vec::new(),
            following: BTreeMap::new(),
            deepest: 0,
            highest: usize::MAX,
            added: 0,
        }
    }
}

impl Names {
    /// The node of a lower-cased name.
    fn get(&self, name: &[u8]) -> Option<u32> {
        self.table.find(hash(name), |index| self.name(&self.nodes[index as usize]) == name)
    }

    /// A node's name, in lower-case wire form.
    fn name(&self, node: &Node) -> &[u8] {
        &self.arena[node.name as usize..][..usize::from(node.name_length)]
    }
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(name);
    hasher.finish()
}
