//! Why a name is answered as it is: the walk of [`crate::respond()`] once more, in words.
//!
//! For people alone: the answer shown is that of the walk itself ([`View::lookup`]); the words tell what leads to it.

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, Record, RecordType},
};
use model::api::Why;

use crate::{
    compile::{Found, Link, NONE, Node},
    name::wire,
    view::View,
    wire::{NameBuf, rtype},
    zone::record_line,
};

/// More aliases than the walk follows are not told either.
const MOST_STEPS: usize = 9;

impl View {
    /// The answer for a name and type as people write them, and what leads to it.
    ///
    /// # Errors
    /// What is wrong with the name or the type, in words.
    pub fn why(&self, name: &str, kind: &str) -> Result<Why, String> {
        let mut asked = Name::from_ascii(name).map_err(|error| format!("`{name}` is no domain name: {error}"))?;
        asked.set_fqdn(true);
        let word = kind.to_ascii_uppercase();
        let number = word.strip_prefix("TYPE").and_then(|number| number.parse::<u16>().ok()).map(RecordType::from);
        let Some(kind) = number.or_else(|| word.parse().ok()) else {
            return Err(format!("`{kind}` is no record type: write one such as A, AAAA, SRV or TYPE65280"));
        };
        let answer = self.lookup(&asked, kind, &mut 0);
        let mut why = Why {
            name: asked.to_ascii(),
            kind: kind.to_string(),
            rcode: rcode_word(answer.rcode),
            authoritative: answer.authoritative,
            steps: Vec::new(),
            pool: None,
            answer: lines(&answer.answers),
            authority: lines(&answer.authority),
            additional: lines(&answer.additional),
        };
        let mut next = Some(wire(&asked));
        while let Some(name) = next.take().filter(|_| why.steps.len() < MOST_STEPS) {
            let Some(name) = NameBuf::read(&name, 0) else { break };
            next = self.step_why(&name, kind, &mut why);
        }
        Ok(why)
    }

    /// One name; the next one, if this one is an alias.
    fn step_why(&self, name: &NameBuf, kind: RecordType, why: &mut Why) -> Option<Vec<u8>> {
        let asked = u16::from(kind);
        let spelled = spell(name.as_bytes());
        let (index, by) = match self.zones.find(name, asked) {
            Found::Outside => {
                why.steps.push(format!("{spelled} is in no zone of ours"));
                return None;
            }
            Found::Missing(index) => {
                let closest = spell(self.zones.name(self.zones.node(index)));
                why.steps.push(format!("{spelled} does not exist; the closest name that does is {closest}"));
                return None;
            }
            Found::Below(index) => return self.below_why(name, self.zones.node(index), why),
            Found::Exact(index) => (index, String::new()),
            Found::Wildcard(index) => {
                (index, format!(", by the wildcard {}", spell(self.zones.name(self.zones.node(index)))))
            }
        };
        let node = self.zones.node(index);
        match node.link {
            Link::Referral(_) if asked != rtype::DS => {
                why.steps.push(format!("{spelled} is delegated: its name servers are named"));
                None
            }
            Link::Alias(alias) if asked != rtype::CNAME && asked != rtype::ANY => {
                let target = NameBuf::read(self.zones.target(self.zones.alias(alias)), 0)?;
                why.steps.push(format!("{spelled} is an alias (CNAME) of {}{by}", spell(target.as_bytes())));
                Some(target.as_bytes().to_vec())
            }
            Link::Alias(_) | Link::Referral(_) | Link::Tree(_) | Link::Nowhere => {
                match self.zones.follower(index, asked).filter(|_| self.set_of(node, asked).is_none()) {
                    Some(follower) => {
                        let step =
                            format!("{spelled} has {kind} records that follow a pool, one for each member answered");
                        why.steps.push(step);
                        why.pool = Some(self.follower_why(follower));
                    }
                    None => self.data_why(&spelled, &by, node, kind, why),
                }
                None
            }
        }
    }

    fn below_why(&self, name: &NameBuf, node: &Node, why: &mut Why) -> Option<Vec<u8>> {
        let (spelled, above) = (spell(name.as_bytes()), self.zones.name(node));
        let Link::Tree(alias) = node.link else {
            why.steps.push(format!("{spelled} is below the delegation of {}", spell(above)));
            return None;
        };
        let target = NameBuf::read(self.zones.target(self.zones.alias(alias)), 0)?;
        let mut next = name.as_bytes()[..name.len() - above.len()].to_vec();
        next.extend_from_slice(target.as_bytes());
        why.steps.push(format!("{spelled} is below {}, a DNAME to {}", spell(above), spell(target.as_bytes())));
        Some(next)
    }

    fn set_of(&self, node: &Node, asked: u16) -> Option<u16> {
        let sets = self.zones.sets(node).iter().map(|set| set.rtype);
        sets.into_iter().find(|rtype| *rtype == asked || asked == rtype::ANY)
    }

    fn data_why(&self, spelled: &str, by: &str, node: &Node, kind: RecordType, why: &mut Why) {
        let asked = u16::from(kind);
        if node.pool != NONE && matches!(asked, rtype::A | rtype::AAAA | rtype::ANY) {
            let pool = self.pool_why(node.pool);
            why.steps.push(format!("{spelled} has the addresses of the pool {}{by}", pool.name));
            why.pool = Some(pool);
            return;
        }
        let sets = self.zones.sets(node);
        let has = self.set_of(node, asked).is_some();
        why.steps.push(match has {
            true => format!("{spelled} has records of type {kind}{by}"),
            false if sets.is_empty() && node.pool == NONE => {
                format!("{spelled} exists, because names below it do, and has no records")
            }
            false => format!("{spelled} exists and has no record of type {kind}{by}"),
        });
    }
}

fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record_line(record).unwrap_or_else(|| record.to_string())).collect()
}

fn spell(name: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut rest = name;
    while let Some((&length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let Some((label, after)) = after.split_at_checked(usize::from(length)) else { break };
        labels.push(label);
        rest = after;
    }
    crate::zone::print_name(labels.into_iter())
}

fn rcode_word(rcode: ResponseCode) -> String {
    match rcode {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => format!("{other:?}").to_ascii_uppercase(),
    }
}
