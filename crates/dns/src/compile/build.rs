//! From checked zones to nodes and blocks.

use std::{borrow::Borrow, collections::BTreeMap, sync::Arc};

use hickory_proto::rr::RecordType;
use model::config::{ClusterConfig, Ttl};

use super::{
    Alias, Followed, Link, NONE, Names, Node, Referral, Set, Sets, Use, ZoneInfo, Zones,
    block::{Block, Frame, Writer},
    hash,
    table::Table,
};
use crate::{
    name::{ancestors, is_below, is_wildcard, lower},
    wire::rtype,
    zone::{Follower, Owner, PoolUse, RecordSet, Zone},
};

/// Denials live no longer where a zone's answers follow health, in seconds: a name may have addresses again soon.
const DYNAMIC_DENIAL_TTL: u32 = 5;
/// No message holds more; the rest of a larger set could never be sent.
const LARGEST_BLOCK: usize = 65_535;

pub(super) fn build<Z: Borrow<Zone>>(zones: Vec<Z>, config: &ClusterConfig) -> Zones {
    let mut builder = Builder::new(Names::default(), Zones::of(Arc::default(), config));
    for (index, zone) in (0..).zip(&zones) {
        builder.apexes.insert(lower(&zone.borrow().origin), index);
    }
    let names: usize = zones.iter().map(|zone| zone.borrow().owners.len()).sum();
    builder.names.table = Table::with_capacity(names);
    builder.names.nodes.reserve(names);
    for zone in &zones {
        builder.apex(zone.borrow());
    }
    for (index, zone) in (0..).zip(zones) {
        builder.zone(zone.borrow(), index);
    }
    let Names { arena, nodes, sets, fixes, .. } = &mut builder.names;
    arena.shrink_to_fit();
    nodes.shrink_to_fit();
    sets.shrink_to_fit();
    fixes.shrink_to_fit();
    builder.finish()
}

/// What is made, in parts: first the names, and what they use.
pub(super) struct Builder {
    pub(super) names: Names,
    zones: Zones,
    /// Every apex in wire form, and its zone's number.
    pub(super) apexes: BTreeMap<Vec<u8>, u16>,
    /// Numbers of pool uses.
    uses: BTreeMap<(usize, Ttl), u32>,
}

impl Builder {
    /// To add to what there is; without apexes.
    pub(super) fn new(names: Names, zones: Zones) -> Self {
        let uses = zones.uses.iter().map(|used| (used.pool, used.ttl)).zip(0..).collect();
        Self { names, zones, apexes: BTreeMap::new(), uses }
    }

    pub(super) fn finish(self) -> Zones {
        Zones { names: Arc::new(self.names), ..self.zones }
    }

    /// The zone itself, with the node of its apex.
    fn apex(&mut self, zone: &Zone) {
        let name = lower(&zone.origin);
        let index = u16::try_from(self.names.zones.len()).expect("fewer than 65,536 zones");
        let apex = self.insert(&name, index);
        self.names.zones.push(ZoneInfo {
            name: zone.name.clone(),
            apex,
            apex_length: name.len(),
            denial: None,
            live_serial: zone.serial_from_cluster,
            parent_side: NONE,
        });
        self.names.highest = self.names.highest.min(ancestors(&name).count());
    }

    fn zone(&mut self, zone: &Zone, index: u16) {
        let apex = lower(&zone.origin);
        let mut cut: Option<&[u8]> = None;
        for owner in zone.owners.iter() {
            let name = owner.wire_name();
            let hidden = cut.is_some_and(|cut| is_below(name, cut)) || self.belongs_deeper(name, &apex);
            if hidden || !(name == apex || is_below(name, &apex)) {
                continue;
            }
            if (name == apex || !self.apexes.contains_key(name)) && self.owner(zone, owner, name, index) {
                cut = Some(name);
            }
        }
        self.denial(zone, &apex, index);
        zone.followers.iter().for_each(|follower| self.follower(follower, &apex, index));
        self.parent_sides(zone, &apex, index);
    }

    /// Records that follow a pool: their owner's node, be it there already or not.
    fn follower(&mut self, follower: &Follower, apex: &[u8], index: u16) {
        let name = &*follower.owner;
        if self.belongs_deeper(name, apex) || (self.apexes.contains_key(name) && name != apex) {
            return;
        }
        self.ancestors(name, apex, index);
        let cut = ancestors(name)
            .filter_map(|above| self.names.get(above))
            .any(|above| matches!(self.names.nodes[above as usize].link, Link::Referral(_) | Link::Tree(_)));
        let Some(pool) = self.zones.pools.index(&follower.pool).filter(|_| !cut) else { return };
        let node = self.insert(name, index);
        let number = narrow(self.zones.followers.len());
        self.zones.followers.push(Followed { pool, follower: follower.clone() });
        self.names.following.insert((node, follower.rtype.into()), number);
    }

    /// Whether `name` lies strictly below an apex of ours that is deeper than `apex`.
    pub(super) fn belongs_deeper(&self, name: &[u8], apex: &[u8]) -> bool {
        self.apexes.len() > 1
            && ancestors(name).take_while(|above| above.len() > apex.len()).any(|above| self.apexes.contains_key(above))
    }

    /// A name of the zone itself; true if it is a cut, below which nothing exists.
    pub(super) fn owner(&mut self, zone: &Zone, owner: Owner<'_>, name: &[u8], index: u16) -> bool {
        let apex_length = self.names.zones[usize::from(index)].apex_length;
        self.ancestors(name, &name[name.len() - apex_length..], index);
        let node = self.insert(name, index);
        let wildcard = is_wildcard(name);
        let at_apex = name.len() == apex_length;
        let link = if wildcard || at_apex { None } else { owner.set(RecordType::NS) };
        let link = match link {
            Some(servers) => self.delegate(zone, servers, name, apex_length),
            None => self.link(owner, name, apex_length, wildcard),
        };
        let cut = matches!(link, Link::Referral(_));
        let sets = owner.sets().filter(|set| !cut || set.code() == rtype::DS);
        let sets = self.sets(sets, Frame { owner: name, apex: apex_length, owner_known: !wildcard });
        let pool = owner.pool().filter(|_| !cut).map_or(NONE, |pool| self.pool(pool));
        let node = &mut self.names.nodes[node as usize];
        *node = Node { sets, pool, link, ..*node };
        matches!(link, Link::Referral(_) | Link::Tree(_))
    }

    /// What the zone says at the apex of a zone below it that is ours too: only DS is ever asked of it (RFC 4035 section
    /// 3.1.4.1), also where nobody has delegated that zone.
    fn parent_side(&mut self, owner: Option<Owner<'_>>, name: &[u8], apex: usize, index: u16, child: u16) {
        let frame = Frame { owner: name, apex, owner_known: true };
        let is_cut = owner.is_some_and(|owner| owner.set(RecordType::NS).is_some());
        let sets = owner.into_iter().flat_map(Owner::sets).filter(|set| !is_cut || set.code() == rtype::DS);
        let sets = self.sets(sets, frame);
        let link = owner.filter(|_| !is_cut).map_or(Link::Nowhere, |owner| self.link(owner, name, apex, false));
        let node = Node { sets, link, ..self.blank(name, index) };
        self.names.zones[usize::from(child)].parent_side = self.push(node);
    }

    /// The same for every zone right below this one; below a cut of this one, the cut is what it says.
    fn parent_sides(&mut self, zone: &Zone, apex: &[u8], index: u16) {
        let children = self.apexes.iter().filter(|(name, _)| is_below(name, apex) && !self.belongs_deeper(name, apex));
        for (name, child) in children.map(|(name, child)| (name.clone(), *child)).collect::<Vec<_>>() {
            // A zone below this one makes the names between them exist, delegated or not.
            match self.ancestors(&name, apex, index) {
                Some(cut) => self.names.zones[usize::from(child)].parent_side = cut,
                None => self.parent_side(zone.owners.find(&name), &name, apex.len(), index, child),
            }
        }
    }

    fn sets<'z>(&mut self, sets: impl Iterator<Item = RecordSet<'z>>, frame: Frame<'_>) -> Sets {
        let first = self.names.sets.len();
        for set in sets {
            let rtype = set.code();
            let frame = Frame { owner_known: frame.owner_known && rtype != rtype::CNAME, ..frame };
            let block = self.block(frame, rtype, set.ttl(), set.wire());
            self.names.sets.push(Set { rtype, block });
        }
        let count = u16::try_from(self.names.sets.len() - first).expect("there are 65,535 types");
        if count == 1 {
            Sets::One(self.names.sets.pop().expect("it was just pushed"))
        } else {
            Sets::Many(narrow(first), count)
        }
    }

    fn block<'d>(&mut self, frame: Frame<'_>, rtype: u16, ttl: u32, data: impl Iterator<Item = &'d [u8]>) -> Block {
        let mut writer = Writer::new(&mut self.names.arena, &mut self.names.fixes, frame);
        for data in data {
            if writer.length() > LARGEST_BLOCK {
                break;
            }
            writer.record(rtype, ttl, data);
        }
        writer.finish()
    }

    /// CNAME and DNAME. A wildcard DNAME leads nowhere (RFC 4592 section 4.4 leaves it undefined).
    fn link(&mut self, owner: Owner<'_>, name: &[u8], apex: usize, wildcard: bool) -> Link {
        if let Some(target) = first(owner, RecordType::CNAME) {
            let target = target.to_ascii_lowercase();
            let apex_name = &name[name.len() - apex..];
            let spelled =
                if target == apex_name || is_below(&target, apex_name) { target.len() - apex } else { target.len() };
            // A pointer to the root would be longer than the root.
            let spelled = if apex == 1 { target.len() } else { spelled };
            return Link::Alias(self.alias(&target, spelled));
        }
        match first(owner, RecordType::DNAME).filter(|_| !wildcard) {
            Some(target) => Link::Tree(self.alias(&target.to_ascii_lowercase(), target.len())),
            None => Link::Nowhere,
        }
    }

    fn alias(&mut self, target: &[u8], spelled: usize) -> u32 {
        let at = narrow(self.names.arena.len());
        self.names.arena.extend_from_slice(target);
        self.names.aliases.push(Alias { target: at, spelled });
        narrow(self.names.aliases.len() - 1)
    }

    /// NS records and glue: in-domain first, without which nobody gets further, then that of sibling domains and of the
    /// zone itself (RFC 9471 sections 2 and 3).
    fn delegate(&mut self, zone: &Zone, servers: RecordSet<'_>, name: &[u8], apex: usize) -> Link {
        let frame = Frame { owner: name, apex, owner_known: true };
        let apex = name[name.len() - apex..].to_vec();
        let glue: Vec<_> = servers
            .wire()
            .map(|target| {
                let target = target.to_ascii_lowercase();
                let in_domain = target == name || is_below(&target, name);
                let elsewhere =
                    !in_domain && (self.apexes.contains_key(&target) || self.belongs_deeper(&target, &apex));
                zone.owners.find(&target).filter(|_| !elsewhere).map(|owner| (in_domain, owner))
            })
            .collect();
        let mut writer = Writer::new(&mut self.names.arena, &mut self.names.fixes, frame);
        let places: Vec<_> = servers.wire().map(|data| writer.record(rtype::NS, servers.ttl(), data)).collect();
        let count = writer.records();
        let mut needed = count;
        for wanted in [true, false] {
            for (glue, place) in glue.iter().zip(&places) {
                let (Some((in_domain, owner)), Some(place)) = (glue, place) else { continue };
                for kind in [RecordType::A, RecordType::AAAA] {
                    let Some(set) = owner.set(kind).filter(|_| *in_domain == wanted) else { continue };
                    set.wire().for_each(|data| writer.glue(*place, kind.into(), set.ttl(), data));
                }
            }
            if wanted {
                needed = writer.records();
            }
        }
        self.names.referrals.push(Referral { block: writer.finish(), servers: count, needed });
        Link::Referral(narrow(self.names.referrals.len() - 1))
    }

    /// The SOA as denials carry it: its TTL is the smaller of its own and its last field (RFC 2308 section 5).
    fn denial(&mut self, zone: &Zone, apex: &[u8], index: u16) {
        let soa = zone.owners.find(apex).and_then(|owner| owner.set(RecordType::SOA));
        let Some((soa, ttl)) = soa.and_then(|set| Some((set.wire().next()?, set.ttl()))) else { return };
        let minimum = soa.last_chunk().map_or(0, |minimum| u32::from_be_bytes(*minimum));
        let dynamic = zone.owners.use_pools() || !zone.followers.is_empty();
        let ttl = ttl.min(minimum).min(if dynamic { DYNAMIC_DENIAL_TTL } else { u32::MAX });
        let frame = Frame { owner: apex, apex: apex.len(), owner_known: true };
        let block = self.block(frame, rtype::SOA, ttl, [soa].into_iter());
        self.names.zones[usize::from(index)].denial = Some(block);
    }

    fn pool(&mut self, pool: &PoolUse) -> u32 {
        let Some(index) = self.zones.pools.index(&pool.pool) else { return NONE };
        *self.uses.entry((index, pool.ttl)).or_insert_with(|| {
            self.zones.uses.push(Use { pool: index, ttl: pool.ttl });
            narrow(self.zones.uses.len() - 1)
        })
    }

    /// Makes every name from `apex` down to the one above `name` exist, unless a cut is in the way: that one then.
    fn ancestors(&mut self, name: &[u8], apex: &[u8], zone: u16) -> Option<u32> {
        // All names above one that exists do so too, and nothing below a cut does.
        let within = || ancestors(name).take_while(|above| above.len() >= apex.len());
        let missing = within().take_while(|above| self.names.get(above).is_none()).count();
        let lowest = within().nth(missing).and_then(|above| self.names.get(above));
        let is_cut = |node: u32| matches!(self.names.nodes[node as usize].link, Link::Referral(_) | Link::Tree(_));
        if let Some(cut) = lowest.filter(|node| is_cut(*node)) {
            return Some(cut);
        }
        for number in (0..missing).rev() {
            if let Some(above) = within().nth(number) {
                self.insert(above, zone);
            }
        }
        None
    }

    /// The node of `name`, made where there is none.
    fn insert(&mut self, name: &[u8], zone: u16) -> u32 {
        if let Some(index) = self.names.get(name) {
            return index;
        }
        let node = self.blank(name, zone);
        let index = self.push(node);
        let Names { table, nodes, arena, .. } = &mut self.names;
        let hash_of = |index: u32| {
            let node = &nodes[index as usize];
            hash(&arena[node.name as usize..][..usize::from(node.name_length)])
        };
        table.insert(hash(name), index, hash_of);
        self.names.deepest = self.names.deepest.max(ancestors(name).count());
        if let Some(above) = name.strip_prefix(b"\x01*").and_then(|above| self.names.get(above)) {
            self.names.nodes[above as usize].wildcard = index;
        }
        index
    }

    fn blank(&mut self, name: &[u8], zone: u16) -> Node {
        let at = narrow(self.names.arena.len());
        self.names.arena.extend_from_slice(name);
        let name_length = u8::try_from(name.len()).expect("a name of at most 255 bytes");
        Node { name: at, name_length, zone, sets: Sets::Many(0, 0), wildcard: NONE, pool: NONE, link: Link::Nowhere }
    }

    fn push(&mut self, node: Node) -> u32 {
        self.names.nodes.push(node);
        narrow(self.names.nodes.len() - 1)
    }
}

fn first(owner: Owner<'_>, kind: RecordType) -> Option<&[u8]> {
    owner.set(kind)?.wire().next()
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 4,294,967,296 of them")
}
