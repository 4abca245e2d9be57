//! Zones compiled again of which little has changed: nothing of the names where only pools or settings have; where few names
//! have, a copy with these written anew.
//!
//! Invariant: answers are those of zones compiled from the beginning. Where that takes more than writing names anew (one has
//! gone, an apex has changed, or there are delegations, whose glue stands in more than one place), there is nothing, and all is
//! compiled.

use std::sync::Arc;

use model::config::ClusterConfig;

use super::{Followed, Names, Use, Zones, build::Builder};
use crate::{
    name::lower,
    wire::rtype,
    zone::{Owner, Zone},
};

/// More names are not written one by one.
const MOST_NAMES: usize = 1_000;
/// Room for what is written.
const ROOM: usize = 1 << 16;

pub(super) fn build(before: &Zones, were: &[Arc<Zone>], zones: &[Arc<Zone>], config: &ClusterConfig) -> Option<Zones> {
    if were.len() != zones.len() || !were.iter().zip(zones).all(|(was, now)| is_alike(was, now)) {
        return None;
    }
    let mut next = Zones::of(before.names.clone(), config);
    let pool = |index: usize| next.pools.index(before.pools.called(index));
    let uses = before.uses.iter().map(|used| Some(Use { pool: pool(used.pool)?, ..*used }));
    let followers = before.followers.iter().map(|one| Some(Followed { pool: pool(one.pool)?, ..one.clone() }));
    let (uses, followers) = (uses.collect::<Option<_>>()?, followers.collect::<Option<_>>()?);
    (next.uses, next.followers) = (uses, followers);
    let mut changed = Vec::new();
    for (number, (was, now)) in (0..).zip(were.iter().zip(zones)) {
        if !Arc::ptr_eq(was, now) {
            changed.extend(difference(was, now)?.into_iter().map(|owner| (number, owner)));
        }
    }
    if changed.is_empty() {
        return Some(next);
    }
    if !before.names.referrals.is_empty() || changed.len() > MOST_NAMES {
        return None;
    }
    let mut builder = Builder::new(before.names.with_room(), next);
    builder.apexes = (0..).zip(zones).map(|(number, zone)| (lower(&zone.origin), number)).collect();
    for (number, owner) in changed {
        let (zone, name) = (&zones[usize::from(number)], owner.wire_name());
        if builder.apexes.contains_key(name) || builder.belongs_deeper(name, &lower(&zone.origin)) {
            return None;
        }
        builder.owner(zone, owner, name, number);
    }
    let names = &mut builder.names;
    names.added += names.arena.len() - before.names.arena.len();
    if names.added > before.names.arena.len() / 4 + ROOM {
        return None;
    }
    Some(builder.finish())
}

/// Whether nothing but records can be different.
fn is_alike(was: &Zone, now: &Zone) -> bool {
    let followers = || was.followers.iter().zip(&now.followers).all(|(was, now)| was.is_like(now));
    was.name == now.name
        && was.origin == now.origin
        && was.serial_from_cluster == now.serial_from_cluster
        && was.owners.use_pools() == now.owners.use_pools()
        && was.followers.len() == now.followers.len()
        && followers()
}

/// The owners whose records are others, or that were not there; none where one has gone, or where one is or was a cut.
fn difference<'z>(was: &Zone, now: &'z Zone) -> Option<Vec<Owner<'z>>> {
    let mut changed = Vec::new();
    let mut old = was.owners.iter().peekable();
    let grown = now.owners.are_more_of(&was.owners);
    for owner in now.owners.iter() {
        if grown && old.next_if(|old| owner.stands_as(*old)).is_some() {
            continue;
        }
        let before = old.next_if(|old| old.wire_name() == owner.wire_name());
        if before != Some(owner) {
            let is_cut = |owner: &Owner<'_>| owner.sets().any(|set| matches!(set.code(), rtype::NS | rtype::DNAME));
            if is_cut(&owner) || before.as_ref().is_some_and(is_cut) || changed.len() > MOST_NAMES {
                return None;
            }
            changed.push(owner);
        }
    }
    old.next().is_none().then_some(changed)
}

impl Names {
    /// The same, to add to.
    fn with_room(&self) -> Self {
        let Self { zones, deepest, highest, added, .. } = self;
        let mut copy =
            Self { zones: zones.clone(), deepest: *deepest, highest: *highest, added: *added, ..Self::default() };
        copy.arena = with_room(&self.arena, ROOM);
        copy.nodes = with_room(&self.nodes, MOST_NAMES);
        copy.sets = with_room(&self.sets, MOST_NAMES);
        copy.fixes = with_room(&self.fixes, MOST_NAMES);
        copy.table = self.table.clone();
        copy.aliases = self.aliases.clone();
        copy.following = self.following.clone();
        copy
    }
}

fn with_room<T: Clone>(list: &[T], room: usize) -> Vec<T> {
    let mut copy = Vec::with_capacity(list.len() + room);
    copy.extend_from_slice(list);
    copy
}
