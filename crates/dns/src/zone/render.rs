//! A zone as a plain master file that other servers load: nothing but RFC 1035 and RFC 3597.

use std::{fmt::Write as _, net::IpAddr};

use hickory_proto::rr::{LowerName, RData, Record, RecordType};
use model::PoolName;

use super::{
    Zone,
    rdata::{encode, print},
    shape::type_name,
    text::print_name,
};

impl Zone {
    /// Prints the zone, one record a line, every name absolute. `pools` gives the addresses of a pool as they should
    /// stand there; `serial` is the SOA's serial where that is the cluster's.
    pub fn render(&self, pools: &dyn Fn(&PoolName) -> Vec<IpAddr>, serial: u32) -> String {
        let mut out = format!("$ORIGIN {}\n", print_name(self.origin.iter()));
        // Servers such as NSD want the SOA first.
        let apex = LowerName::new(&self.origin);
        if let Some(soa) = self.owners.get(&apex).and_then(|owner| owner.sets.get(&RecordType::SOA)) {
            for data in &soa.data {
                line(&mut out, &apex, soa.ttl, &self.with_serial(data, serial));
            }
        }
        for (name, owner) in &self.owners {
            for (_, set) in owner.sets.iter().filter(|(rtype, _)| **rtype != RecordType::SOA) {
                for data in &set.data {
                    line(&mut out, name, set.ttl, data);
                }
            }
            let Some(used) = &owner.pool else { continue };
            let mut addresses = pools(&used.pool);
            addresses.sort_unstable();
            addresses.dedup();
            if addresses.is_empty() {
                writeln!(out, "; {} is the pool {}, which has no address", print_name(name.iter()), used.pool)
                    .expect("writing to a string cannot fail");
            }
            for address in addresses {
                let data = match address {
                    IpAddr::V4(address) => RData::A(address.into()),
                    IpAddr::V6(address) => RData::AAAA(address.into()),
                };
                line(&mut out, name, used.ttl.max, &data);
            }
        }
        for follower in &self.followers {
            for (member, well) in follower.well.iter().enumerate() {
                let Some((priority, weight)) = *well else { continue };
                let data = follower.data(member, priority, weight);
                let code = follower.rtype.into();
                let text = print(code, &data).expect("what was made from text can be printed");
                let (owner, rtype) = (print_name(follower.owner.iter()), type_name_or_number(code));
                writeln!(out, "{owner}\t{}\tIN\t{rtype}\t{text}", follower.ttl.max)
                    .expect("writing to a string cannot fail");
            }
        }
        out
    }

    /// The SOA as it is served.
    fn with_serial(&self, data: &RData, serial: u32) -> RData {
        match data {
            RData::SOA(soa) if self.serial_from_cluster => {
                let mut soa = soa.clone();
                soa.serial = serial;
                RData::SOA(soa)
            }
            other => other.clone(),
        }
    }
}

/// A record as a line of a master file, where its data has a text form.
pub(crate) fn record_line(record: &Record) -> Option<String> {
    let mut out = String::new();
    let code = record.data.record_type().into();
    let text = print(code, &encode(&record.data)?)?;
    let (owner, rtype) = (print_name(record.name.iter()), type_name_or_number(code));
    write!(out, "{owner}\t{}\tIN\t{rtype}\t{text}", record.ttl).expect("writing to a string cannot fail");
    Some(out)
}

fn line(out: &mut String, owner: &LowerName, ttl: u32, data: &RData) {
    let code = data.record_type().into();
    let wire = encode(data).expect("what was decoded can be encoded");
    let text = print(code, &wire).expect("what was read can be printed");
    writeln!(out, "{}\t{ttl}\tIN\t{}\t{text}", print_name(owner.iter()), type_name_or_number(code))
        .expect("writing to a string cannot fail");
}

/// Types whose data we print as `\#` go by number: other servers may not know the name either.
fn type_name_or_number(code: u16) -> String {
    if super::shape::shape_of(code).is_some() { type_name(code) } else { format!("TYPE{code}") }
}
