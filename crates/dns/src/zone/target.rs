//! Where records point to: names in the zone must exist, have addresses where addresses are needed, and be no aliases.

use std::collections::BTreeMap;

use hickory_proto::rr::{LowerName, Name, RData, RecordType};
use model::nearest;

use super::{
    check::{Here, Index},
    shape::type_name,
    source::{Complaint, Sources},
    template::Record,
};

/// Checks targets.
pub(super) struct Targets<'i, 't> {
    index: &'i Index<'t>,
    /// A wildcard had a mistake: it might have matched anything.
    lost_wildcard: bool,
}

/// What a name is in this zone.
enum Found<'i, 't> {
    /// Somebody else's.
    Outside,
    /// Delegated, by the owner of the NS records; what stands here for it is glue.
    Delegated(&'i LowerName, Option<&'i Here<'t>>),
    /// Below a DNAME.
    Renamed,
    /// It, or the wildcard that covers it, owns records.
    Owner(&'i LowerName, &'i Here<'t>),
    /// An empty non-terminal.
    Between,
    /// No such name.
    Nothing,
}

impl<'i, 't> Targets<'i, 't> {
    /// For this zone.
    pub(super) fn new(index: &'i Index<'t>) -> Self {
        let lost_wildcard = index.template.failed.iter().any(is_wildcard);
        Self { index, lost_wildcard }
    }

    /// Checks every record that points somewhere.
    pub(super) fn check(&self, sources: &mut Sources) {
        for (owner, here) in &self.index.owners {
            // What is below a cut is glue, or has its own error.
            if here.under.is_some() {
                continue;
            }
            for record in here.sets.values().flatten() {
                if let Some(target) = target_of(&record.data)
                    && let Some(complaint) = self.complaint(owner, record, &target, sources)
                {
                    sources.error(record.target, complaint);
                }
            }
        }
        self.check_loops(sources);
    }

    fn complaint(
        &self,
        owner: &LowerName,
        record: &Record,
        target: &LowerName,
        sources: &Sources,
    ) -> Option<Complaint> {
        if self.lost_wildcard || self.index.may_be_lost(target, sources) {
            return None;
        }
        let rtype = record.data.record_type();
        let word = type_name(rtype.into());
        // RFC 2181 section 10.3 for NS and MX, RFC 2782 for SRV: the target has addresses and is no alias.
        let needs_address = matches!(rtype, RecordType::NS | RecordType::MX | RecordType::SRV);
        match self.find(target) {
            Found::Outside | Found::Renamed => None,
            Found::Delegated(cut, glue) => {
                let needs_glue = rtype == RecordType::NS && (cut == owner || *owner == self.index.apex);
                let has_glue = glue.is_some_and(Here::has_addresses);
                (needs_glue && !has_glue).then(|| {
                    Complaint::new(format!("the name server {target} is below {cut}, so its addresses must stand here"))
                        .help("add A or AAAA records for it (glue)")
                })
            }
            Found::Owner(_, here) if needs_address && here.has(RecordType::CNAME) => {
                let complaint = Complaint::new(format!("{word} points to {target}, which is a CNAME"));
                Some(complaint.help(format!("{word} needs a name with addresses of its own (RFC 2181 section 10.3)")))
            }
            Found::Owner(_, here) if needs_address && !here.has_addresses() => {
                let message = format!("{word} points to {target}, which has no address");
                Some(Complaint::new(message).help("give it A, AAAA or POOL"))
            }
            Found::Owner(found, _) if rtype == RecordType::NS && found != target => {
                let message = format!("the name server {target} has addresses by the wildcard {found} only");
                Some(Complaint::new(message).help("give it A or AAAA records of its own"))
            }
            Found::Owner(..) => None,
            Found::Between => Some(Complaint::new(format!("{word} points to {target}, which has no records"))),
            Found::Nothing => Some(self.missing(&word, record, target, sources)),
        }
    }

    fn missing(&self, word: &str, record: &Record, target: &LowerName, sources: &Sources) -> Complaint {
        let complaint = Complaint::new(format!("{word} points to {target}, but the zone has no such name"));
        let written = sources.written(record.target);
        let relative = |name: &LowerName| {
            let depth = self.index.apex.iter().count();
            Name::from_labels(name.iter().take(name.iter().count() - depth)).ok().map(|name| {
                let text = name.to_ascii();
                text.trim_end_matches('.').to_owned()
            })
        };
        let known: Vec<String> =
            self.index.owners.keys().filter(|name| !is_wildcard(name)).filter_map(relative).collect();
        let wrong = relative(target).unwrap_or_default();
        match nearest(&wrong, known.iter().map(String::as_str).filter(|name| name.len() > 1)) {
            Some(known) => complaint.help(format!("did you mean `{known}`?")),
            None if written.contains('.') && !written.ends_with('.') => {
                complaint.help(format!("a name without a final dot is relative: did you mean `{written}.`?"))
            }
            None => complaint,
        }
    }

    /// The name's place in the zone, wildcards included (RFC 4592 section 3.3).
    fn find(&self, name: &LowerName) -> Found<'i, 't> {
        let Index { apex, owners, between, .. } = self.index;
        if !apex.zone_of(name) {
            return Found::Outside;
        }
        let mut closest = None;
        let mut above = name.clone();
        let mut found = Found::Nothing;
        loop {
            if let Some((owner, here)) = owners.get_key_value(&above) {
                if here.has(RecordType::NS) && owner != apex {
                    found = Found::Delegated(owner, owners.get(name));
                } else if here.has(RecordType::DNAME) && owner != name {
                    found = Found::Renamed;
                }
                closest = closest.or(Some(above.clone()));
            } else if between.contains(&above) {
                closest = closest.or(Some(above.clone()));
            }
            if above == *apex {
                break;
            }
            above = above.base_name();
        }
        if !matches!(found, Found::Nothing) {
            return found;
        }
        if let Some((owner, here)) = owners.get_key_value(name) {
            return Found::Owner(owner, here);
        }
        if between.contains(name) {
            return Found::Between;
        }
        let wildcard = closest.and_then(|closest| closest.prepend_label("*").ok());
        match wildcard.and_then(|wildcard| owners.get_key_value(&LowerName::new(&wildcard))) {
            Some((owner, here)) => Found::Owner(owner, here),
            None => Found::Nothing,
        }
    }

    /// CNAMEs that lead in a circle answer nobody.
    fn check_loops(&self, sources: &mut Sources) {
        // Which walk came by an owner first: meeting one's own steps again is a circle.
        let mut walks: BTreeMap<&LowerName, usize> = BTreeMap::new();
        for (walk, start) in self.index.owners.keys().enumerate() {
            let mut path: Vec<&LowerName> = Vec::new();
            let mut next = Some(start);
            while let Some(owner) = next {
                if let Some(before) = walks.insert(owner, walk) {
                    if before == walk {
                        let circle = path.iter().skip_while(|seen| **seen != owner).chain([&owner]);
                        let circle: Vec<String> = circle.map(ToString::to_string).collect();
                        let record = self.index.owners[owner].sets[&RecordType::CNAME][0];
                        let message = format!("this CNAME leads back to itself: {}", circle.join(" -> "));
                        sources.error(record.target, Complaint::new(message));
                    }
                    break;
                }
                next = self.next_alias(owner).inspect(|_| path.push(owner));
            }
        }
    }

    /// The owner that answers for the target of `owner`'s CNAME.
    fn next_alias(&self, owner: &LowerName) -> Option<&'i LowerName> {
        let cname = self.index.owners.get(owner)?.sets.get(&RecordType::CNAME)?.first()?;
        match self.find(&target_of(&cname.data)?) {
            Found::Owner(next, _) => Some(next),
            Found::Outside | Found::Delegated(..) | Found::Renamed | Found::Between | Found::Nothing => None,
        }
    }
}

fn is_wildcard(name: &LowerName) -> bool {
    name.iter().next().is_some_and(|label| label == b"*")
}

/// The name that the record points to and whose existence matters.
fn target_of(data: &RData) -> Option<LowerName> {
    let name = match data {
        RData::NS(target) => &target.0,
        RData::CNAME(target) => &target.0,
        RData::MX(mx) => &mx.exchange,
        RData::SRV(srv) => &srv.target,
        RData::SVCB(service) => &service.target_name,
        RData::HTTPS(service) => &service.0.target_name,
        _ => return None,
    };
    // MX and SRV to the root say "none here" (RFC 7505, RFC 2782); SVCB to the root means the owner.
    (!name.is_root()).then(|| LowerName::new(name))
}
