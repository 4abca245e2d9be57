//! A template read again of which little has changed: only the lines that differ are parsed, the records of the rest are those of
//! the zone as it was. Every check of the zone as a whole is made again, by the same code; where what has changed can be wrong by
//! itself alone, of what has changed.
//!
//! Invariant: what this gives is what [`load`](super::load) gives. Where that is not certain, because the difference has directives
//! or pseudo-records in it, or has a mistake, it gives nothing, and the whole is read.

use std::{collections::BTreeMap, ops::Range};

use model::config::ClusterConfig;

use super::{
    Refers, Zone, all_variables,
    check::{check_some, check_sorted},
    exchange::{Exchanged, Exchanges},
    records::{Records, Sorted},
    settle_soa,
    source::{Sources, Text},
    template::{LARGEST_FILE, MOST_RECORDS, Reader},
};
use crate::name;

/// So many bytes are compared at once in search of a difference.
const STRIDE: usize = 4096;
/// More directives, or entries of several lines, are not looked through.
const MOST_MARKS: usize = 10_000;
/// Differences beyond this part of the text are not worth it.
const LARGEST_PART: usize = 8;

/// How a template is cut: what must be known to read a part of it.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Its directives.
    pub(super) marks: Vec<Mark>,
    /// Its entries of several lines.
    pub(super) folded: Vec<Range<usize>>,
    /// It includes other files.
    pub(super) includes: bool,
    /// Bytes of names and data that nobody uses any more since the whole was read.
    pub(super) waste: usize,
}

/// It says nothing about the zone.
impl PartialEq for Layout {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A directive, and what holds after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// Where it begins.
    pub(super) at: usize,
    /// What relative names are relative to.
    pub(super) origin: Vec<u8>,
    /// `$TTL`.
    pub(super) ttl: Option<u32>,
}

/// Where two texts differ: whole lines of each.
struct Difference {
    before: Range<usize>,
    now: Range<usize>,
}

/// What [`load`](super::load) makes of the text `now`, where `zone` is what it made of `before` with the same variables and of what
/// of the configuration the zone [`Refers`] to; none where that takes reading the whole.
pub fn load_again(
    zone: &Zone,
    before: &str,
    now: &str,
    variables: &BTreeMap<String, String>,
    config: &ClusterConfig,
) -> Option<Zone> {
    let layout = &zone.layout;
    let few = layout.marks.len() <= MOST_MARKS && layout.folded.len() <= MOST_MARKS;
    if layout.includes || !few || now.len() > LARGEST_FILE {
        return None;
    }
    let difference = difference(before, now);
    let Difference { before: away, now: new } = &difference;
    if (away.len() + new.len()) * LARGEST_PART > now.len() || !begins_entry(&now[new.end..]) {
        return None;
    }
    let inside = |folded: &Range<usize>| folded.start < away.start && folded.end > away.start;
    if layout.folded.iter().any(inside) || layout.marks.iter().any(|mark| away.contains(&mark.at)) {
        return None;
    }
    let state = layout.marks.iter().take_while(|mark| mark.at < away.start).last().filter(|mark| mark.ttl.is_some())?;
    let all = all_variables(&zone.name, variables, config);
    let apex = name::lower(&zone.origin);
    let (old, _) = lines(&before[away.clone()], state, &apex, &all, config)?;
    let (fresh, folded) = lines(&now[new.clone()], state, &apex, &all, config)?;
    let exchanges = Exchanges::of(&old, &fresh);
    if exchanges.touch(&apex) {
        return None;
    }
    let Exchanged { owners, touched, waste, local } = exchanges.make(&zone.owners)?;
    let waste = layout.waste + waste;
    if owners.records.len() + owners.pools.len() > MOST_RECORDS
        || waste * LARGEST_PART > zone.owners.bytes.len() + STRIDE
    {
        return None;
    }
    let mut sources = Sources::default();
    sources.add("", Text::Borrowed(now));
    let followers: Vec<_> = zone.followers.iter().map(|one| one.moved(away.end, new.end)).collect();
    let followed = followers.iter().map(|one| one.owner.clone()).filter(|owner| *owner != apex).collect();
    let mut owners = if local {
        check_some(&apex, Sorted::of(owners.part(&touched)), &followed, &mut sources);
        owners
    } else {
        check_sorted(&apex, Sorted::from(owners), &followed, &mut sources)
    };
    super::follow::check(&followers, &owners, &mut sources);
    if sources.errors() > 0 {
        return None;
    }
    let serial_from_cluster = settle_soa(&apex, &mut owners, !followers.is_empty());
    let layout = layout.moved(&difference, folded, waste);
    let (name, origin, refers) = (zone.name.clone(), zone.origin.clone(), zone.refers.clone());
    Some(Zone { name, origin, serial_from_cluster, owners, followers, refers, layout })
}

impl Layout {
    /// The same of the new text, whose difference has these entries of several lines.
    fn moved(&self, difference: &Difference, folded: Vec<Range<usize>>, waste: usize) -> Self {
        let Difference { before, now } = difference;
        let at = |at: usize| if at < before.end { at } else { at - before.end + now.end };
        let marks = self.marks.iter().map(|mark| Mark { at: at(mark.at), ..mark.clone() }).collect();
        let split = self.folded.partition_point(|one| one.start < before.start);
        let others = self.folded[split..].iter().filter(|one| one.start >= before.end);
        let moved = |one: &Range<usize>| one.start - before.end + now.end..one.end - before.end + now.end;
        let new = folded.iter().map(|one| one.start + now.start..one.end + now.start);
        let folded = self.folded[..split].iter().cloned().chain(new).chain(others.map(moved)).collect();
        Self { marks, folded, includes: false, waste }
    }
}

/// The whole lines within which two texts differ.
fn difference(before: &str, now: &str) -> Difference {
    let (a, b) = (before.as_bytes(), now.as_bytes());
    let shorter = a.len().min(b.len());
    let mut start = 0;
    while start + STRIDE <= shorter && a[start..start + STRIDE] == b[start..start + STRIDE] {
        start += STRIDE;
    }
    start += a[start..].iter().zip(&b[start..]).take_while(|(a, b)| a == b).count();
    start = a[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let most = shorter - start;
    let (back_a, back_b) = (|back: usize| a.len() - back, |back: usize| b.len() - back);
    let mut same = 0;
    while same + STRIDE <= most && a[back_a(same + STRIDE)..back_a(same)] == b[back_b(same + STRIDE)..back_b(same)] {
        same += STRIDE;
    }
    let rest = a[..back_a(same)].iter().rev().zip(b[..back_b(same)].iter().rev()).take(most - same);
    same += rest.take_while(|(a, b)| a == b).count();
    let begins = |text: &[u8], at: usize| at == start || text[at - 1] == b'\n';
    if !(begins(a, back_a(same)) && begins(b, back_b(same))) {
        let newline = a[back_a(same)..].iter().position(|byte| *byte == b'\n');
        same = newline.map_or(0, |newline| same - newline - 1);
    }
    Difference { before: start..back_a(same), now: start..back_b(same) }
}

/// Whether what comes next does not go on with the owner of the record before. Directives leave that as it is.
fn begins_entry(rest: &str) -> bool {
    let says_nothing =
        |line: &&str| line.starts_with('$') || line.trim_start().is_empty() || line.trim_start().starts_with(';');
    let first = rest.split('\n').find(|line| !says_nothing(line));
    first.is_none_or(|line| !line.starts_with([' ', '\t', '\r', '(', ')']))
}

/// The records of some whole lines, and which of their entries take several; none where anything else is in them.
fn lines(
    text: &str,
    state: &Mark,
    apex: &[u8],
    variables: &BTreeMap<String, String>,
    config: &ClusterConfig,
) -> Option<(Records, Vec<Range<usize>>)> {
    let mut sources = Sources::default();
    let mut nothing = |_: &str| Err(String::new());
    let mut reader = Reader::new(apex, config, variables, &mut nothing, &mut sources);
    (reader.origin, reader.default_ttl) = (state.origin.clone(), state.ttl);
    reader.file("", Text::Borrowed(text));
    let plain = reader.layout.marks.is_empty() && reader.nameservers.is_none() && reader.refers == Refers::default();
    let (template, layout) = (reader.out, reader.layout);
    let alone = template.followers.is_empty() && template.records.uses_no_pool() && template.failed.is_empty();
    (plain && alone && sources.errors() == 0).then_some((template.records, layout.folded))
}
