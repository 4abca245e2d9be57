//! Where records point to: names in the zone must exist, have addresses where addresses are needed, and be no aliases.

use model::nearest;

use super::{
    check::Index,
    records::Record,
    shape::type_name,
    source::{Complaint, Sources},
    text::{print_name, show},
};
use crate::{name, wire::rtype};

/// In zones of more names nobody looks for what may have been meant: each mistake would look at all of them.
const MOST_CANDIDATES: usize = 50_000;

/// Checks targets.
pub(super) struct Targets<'i, 't> {
    index: &'i Index<'t>,
    /// A wildcard had a mistake: it might have matched anything.
    lost_wildcard: bool,
}

/// What a name is in this zone; numbers are owners.
enum Found {
    /// Somebody else's.
    Outside,
    /// Delegated, by the owner of the NS records; what stands here for it is glue.
    Delegated(usize, Option<usize>),
    /// Below a DNAME.
    Renamed,
    /// It, or the wildcard that covers it, owns records.
    Owner(usize),
    /// An empty non-terminal.
    Between,
    /// No such name.
    Nothing,
}

impl<'i, 't> Targets<'i, 't> {
    /// For this zone.
    pub(super) fn new(index: &'i Index<'t>) -> Self {
        let lost_wildcard = index.failed.iter().any(|name| name::is_wildcard(name));
        Self { index, lost_wildcard }
    }

    /// Checks every record that points somewhere.
    pub(super) fn check(&self, sources: &mut Sources<'_>) {
        // What is below a cut is glue, or has its own error.
        for owner in (0..self.index.sorted.len()).filter(|owner| self.index.under[*owner].is_none()) {
            for record in self.index.sorted.sets(owner).flat_map(|set| set.records()) {
                if let Some(target) = self.target_of(record)
                    && let Some(complaint) = self.complaint(owner, record, &target, sources)
                {
                    sources.error(record.target, complaint);
                }
            }
        }
        self.check_loops(sources);
    }

    fn complaint(&self, owner: usize, record: &Record, target: &[u8], sources: &Sources<'_>) -> Option<Complaint> {
        if self.lost_wildcard || self.index.may_be_lost(target, sources) {
            return None;
        }
        let Index { apex, sorted, .. } = self.index;
        let found = self.find(target);
        let (word, shown) = (type_name(record.rtype), || show(target));
        // RFC 2181 section 10.3 for NS and MX, RFC 2782 for SRV: the target has addresses and is no alias.
        let needs_address = matches!(record.rtype, rtype::NS | rtype::MX | rtype::SRV);
        match found {
            Found::Outside | Found::Renamed => None,
            Found::Delegated(cut, glue) => {
                let needs_glue = record.rtype == rtype::NS && (cut == owner || sorted.name(owner) == *apex);
                let has_glue = glue.is_some_and(|glue| self.index.has_addresses(glue));
                (needs_glue && !has_glue).then(|| {
                    let cut = show(sorted.name(cut));
                    let message =
                        format!("the name server {} is below {cut}, so its addresses must stand here", shown());
                    Complaint::new(message).help("add A or AAAA records for it (glue)")
                })
            }
            Found::Owner(here) if needs_address && sorted.has(here, rtype::CNAME) => {
                let complaint = Complaint::new(format!("{word} points to {}, which is a CNAME", shown()));
                Some(complaint.help(format!("{word} needs a name with addresses of its own (RFC 2181 section 10.3)")))
            }
            Found::Owner(here) if needs_address && !self.index.has_addresses(here) => {
                let message = format!("{word} points to {}, which has no address", shown());
                Some(Complaint::new(message).help("give it A, AAAA or POOL"))
            }
            Found::Owner(here) if record.rtype == rtype::NS && sorted.name(here) != target => {
                let wildcard = show(sorted.name(here));
                let message = format!("the name server {} has addresses by the wildcard {wildcard} only", shown());
                Some(Complaint::new(message).help("give it A or AAAA records of its own"))
            }
            Found::Owner(_) => None,
            Found::Between => Some(Complaint::new(format!("{word} points to {}, which has no records", shown()))),
            Found::Nothing => Some(self.missing(&word, record, target, sources)),
        }
    }

    fn missing(&self, word: &str, record: &Record, target: &[u8], sources: &Sources<'_>) -> Complaint {
        let complaint = Complaint::new(format!("{word} points to {}, but the zone has no such name", show(target)));
        let Index { apex, sorted, .. } = self.index;
        let written = sources.written(record.target);
        let depth = name::labels(apex).count();
        let relative = |name: &[u8]| {
            let own = name::labels(name).count() - depth;
            print_name(name::labels(name).take(own)).trim_end_matches('.').to_owned()
        };
        let candidates = if sorted.len() > MOST_CANDIDATES { 0 } else { sorted.len() };
        let names = (0..candidates).map(|owner| sorted.name(owner)).filter(|name| !name::is_wildcard(name));
        let known: Vec<String> = names.map(relative).collect();
        match nearest(&relative(target), known.iter().map(String::as_str).filter(|name| name.len() > 1)) {
            Some(known) => complaint.help(format!("did you mean `{known}`?")),
            None if written.contains('.') && !written.ends_with('.') => {
                complaint.help(format!("a name without a final dot is relative: did you mean `{written}.`?"))
            }
            None => complaint,
        }
    }

    /// The name's place in the zone, wildcards included (RFC 4592 section 3.3).
    fn find(&self, name: &[u8]) -> Found {
        let Index { apex, sorted, under, .. } = self.index;
        if !name::is_within(name, apex) {
            return Found::Outside;
        }
        let place = sorted.position(name);
        // In canonical order a cut above the name is the owner before it, or is above that one too.
        let (Ok(before) | Err(before)) = place.map_err(|next| next.saturating_sub(1));
        if before >= sorted.len() {
            return Found::Nothing;
        }
        let is_cut = |owner: usize| self.index.is_delegated(owner) || sorted.has(owner, rtype::DNAME);
        let above = under[before].map(|cut| cut as usize).or_else(|| is_cut(before).then_some(before));
        if let Some(cut) = above.filter(|cut| name::is_within(name, sorted.name(*cut))) {
            if self.index.is_delegated(cut) {
                return Found::Delegated(cut, place.ok());
            }
            if sorted.name(cut) != name {
                return Found::Renamed;
            }
        }
        let next = match place {
            Ok(owner) => return Found::Owner(owner),
            Err(next) => (next < sorted.len()).then(|| sorted.name(next)),
        };
        if next.is_some_and(|next| name::is_below(next, name)) {
            return Found::Between;
        }
        // The closest encloser is what the name has in common with its neighbours (RFC 4592 section 3.3.1).
        let neighbours = next.into_iter().chain([sorted.name(before)]);
        let encloser = neighbours.map(|other| name::common_labels(other, name)).max().unwrap_or(0);
        let mut wildcard = b"\x01*".to_vec();
        wildcard.extend_from_slice(name::suffix(name, encloser));
        sorted.position(&wildcard).map_or(Found::Nothing, Found::Owner)
    }

    /// CNAMEs that lead in a circle answer nobody.
    fn check_loops(&self, sources: &mut Sources<'_>) {
        let sorted = &self.index.sorted;
        // Which walk came by an owner first: meeting one's own steps again is a circle.
        let mut walks = vec![usize::MAX; sorted.len()];
        for start in (0..sorted.len()).filter(|owner| sorted.has(*owner, rtype::CNAME)) {
            let mut path = Vec::new();
            let mut next = Some(start);
            while let Some(owner) = next {
                let before = std::mem::replace(&mut walks[owner], start);
                if before == start {
                    let circle = path.iter().skip_while(|seen| **seen != owner).chain([&owner]);
                    let circle: Vec<String> = circle.map(|owner| show(sorted.name(*owner))).collect();
                    let record = sorted.set(owner, rtype::CNAME).expect("only a CNAME leads on").first();
                    let message = format!("this CNAME leads back to itself: {}", circle.join(" -> "));
                    sources.error(record.target, Complaint::new(message));
                }
                if before != usize::MAX {
                    break;
                }
                next = self.next_alias(owner).inspect(|_| path.push(owner));
            }
        }
    }

    /// The owner that answers for the target of `owner`'s CNAME.
    fn next_alias(&self, owner: usize) -> Option<usize> {
        let cname = self.index.sorted.set(owner, rtype::CNAME)?.first();
        match self.find(&self.target_of(cname)?) {
            Found::Owner(next) => Some(next),
            Found::Outside | Found::Delegated(..) | Found::Renamed | Found::Between | Found::Nothing => None,
        }
    }

    /// The name that the record points to and whose existence matters, in lower case.
    fn target_of(&self, record: &Record) -> Option<Vec<u8>> {
        let before = match record.rtype {
            rtype::NS | rtype::CNAME => 0,
            rtype::MX | rtype::SVCB | rtype::HTTPS => 2,
            rtype::SRV => 6,
            _ => return None,
        };
        let target = name::first(&self.index.sorted.data(record)[before..]);
        // MX and SRV to the root say "none here" (RFC 7505, RFC 2782); SVCB to the root means the owner.
        (target.len() > 1).then(|| target.to_ascii_lowercase())
    }
}
