//! What the answer to a question is, by RFC 1034 section 4.3.2, told naively from the text of a plain master file.

use std::collections::{BTreeMap, BTreeSet};

/// Records of one section: their text without the TTL, and the TTL.
pub(crate) type Section = BTreeMap<String, u32>;

/// One record in the words of a master file.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Lower case, ends in a dot.
    pub owner: String,
    pub ttl: u32,
    pub kind: String,
    /// One blank between fields; names in lower case.
    pub data: String,
}

impl Record {
    /// Reads `owner TTL IN type data`, which is how `standin zone render`, dig and kdig print.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (owner, ttl, class, kind) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let data = words.collect::<Vec<_>>().join(" ");
        let data = match kind {
            "TXT" | "CAA" => data,
            // Quotes around a value are the printer's choice (RFC 9460 appendix A.1).
            "HTTPS" | "SVCB" => data.replace('"', ""),
            _ => data.to_ascii_lowercase(),
        };
        (class == "IN").then_some(())?;
        Some(Self { owner: owner.to_ascii_lowercase(), ttl: ttl.parse().ok()?, kind: kind.to_owned(), data })
    }

    fn put_into(&self, section: &mut Section) {
        section.insert(self.to_string(), self.ttl);
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} {} {}", self.owner, self.kind, self.data)
    }
}

/// What a reply says, without what belongs to the transport.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Answer {
    /// The response code as dig writes it.
    pub status: String,
    /// AA.
    pub authoritative: bool,
    pub answer: Section,
    pub authority: Section,
    pub additional: Section,
}

/// A zone's records.
#[derive(Debug)]
pub(crate) struct Zone {
    /// The apex, in lower case.
    pub origin: String,
    pub records: Vec<Record>,
}

impl Zone {
    /// Reads a plain master file: a record a line, all fields given, SOA at the apex.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['$', ';']));
        let records: Vec<Record> = lines.map(|line| Record::parse(line).expect("a record")).collect();
        let apex = records.iter().find(|record| record.kind == "SOA").expect("a SOA");
        Self { origin: apex.owner.clone(), records }
    }

    /// Every owner with every type it has.
    pub(crate) fn sets(&self) -> BTreeSet<(String, String)> {
        self.records.iter().map(|record| (record.owner.clone(), record.kind.clone())).collect()
    }

    fn of<'a>(&'a self, owner: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.iter().filter(move |record| record.owner == owner && record.kind == kind)
    }

    /// The name itself or something below it is there.
    fn exists(&self, name: &str) -> bool {
        self.records.iter().any(|record| is_within(&record.owner, name))
    }

    /// The uppermost delegation at or above the name.
    fn cut(&self, name: &str) -> Option<&str> {
        let below_apex = self.records.iter().filter(|record| record.kind == "NS" && record.owner != self.origin);
        let above = below_apex.map(|record| record.owner.as_str()).filter(|owner| is_within(name, owner));
        above.min_by_key(|owner| owner.len())
    }

    /// Whose records the name has: its own, or those of the wildcard at its closest encloser (RFC 4592).
    fn source(&self, name: &str) -> Option<String> {
        if self.exists(name) {
            return Some(name.to_owned());
        }
        let mut encloser = name;
        while let Some((_, parent)) = encloser.split_once('.') {
            encloser = parent;
            if self.exists(encloser) {
                break;
            }
        }
        Some(format!("*.{encloser}")).filter(|wildcard| self.exists(wildcard))
    }

    /// The SOA of a negative answer, with the TTL of negative answers (RFC 2308 section 3).
    fn put_soa_into(&self, section: &mut Section) {
        for soa in self.of(&self.origin, "SOA") {
            let minimum = soa.data.split(' ').next_back().and_then(|word| word.parse().ok());
            Record { ttl: soa.ttl.min(minimum.expect("a number")), ..soa.clone() }.put_into(section);
        }
    }

    fn referral(&self, cut: &str) -> Answer {
        let mut answer = Answer { status: "NOERROR".to_owned(), ..Answer::default() };
        for server in self.of(cut, "NS") {
            server.put_into(&mut answer.authority);
            for kind in ["A", "AAAA"] {
                self.of(&server.data, kind).for_each(|glue| glue.put_into(&mut answer.additional));
            }
        }
        answer
    }

    /// The answer for a name within the zone, and where its alias leads.
    fn look_up(&self, name: &str, kind: &str) -> (Answer, Option<String>) {
        // DS is the one type that the upper side of a cut answers itself (RFC 4035 section 3.1.4.1).
        if let Some(cut) = self.cut(name).filter(|cut| kind != "DS" || *cut != name) {
            return (self.referral(cut), None);
        }
        let mut answer = Answer { status: "NOERROR".to_owned(), authoritative: true, ..Answer::default() };
        let Some(source) = self.source(name) else {
            answer.status = "NXDOMAIN".to_owned();
            self.put_soa_into(&mut answer.authority);
            return (answer, None);
        };
        let alias = self.of(&source, "CNAME").next().filter(|_| kind != "CNAME");
        let found = self.of(&source, kind).filter(|record| kind != "DS" || record.owner == name);
        for record in found.chain(alias) {
            Record { owner: name.to_owned(), ..record.clone() }.put_into(&mut answer.answer);
        }
        if answer.answer.is_empty() {
            self.put_soa_into(&mut answer.authority);
        }
        (answer, alias.map(|alias| alias.data.clone()))
    }
}

/// The answer of who serves these zones, aliases followed as far as the zones reach.
pub(crate) fn answer(zones: &[&Zone], name: &str, kind: &str) -> Answer {
    let closest = |name: &str| {
        let around = zones.iter().filter(|zone| is_within(name, &zone.origin));
        around.max_by_key(|zone| zone.origin.len())
    };
    let mut name = name.to_ascii_lowercase();
    let mut chain = Section::new();
    loop {
        let Some(zone) = closest(&name) else {
            let status = if chain.is_empty() { "REFUSED" } else { "NOERROR" };
            let authoritative = !chain.is_empty();
            return Answer { status: status.to_owned(), authoritative, answer: chain, ..Answer::default() };
        };
        let (mut found, alias) = zone.look_up(&name, kind);
        found.answer.append(&mut chain);
        let Some(target) = alias else { return found };
        (chain, name) = (found.answer, target);
    }
}

/// The name is `top` or below it.
fn is_within(name: &str, top: &str) -> bool {
    name == top || name.strip_suffix(top).is_some_and(|rest| rest.ends_with('.'))
}
