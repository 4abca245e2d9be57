//! A zone as a plain master file that other servers load: nothing but RFC 1035 and RFC 3597.

use std::{borrow::Cow, fmt::Write as _, net::IpAddr};

use hickory_proto::rr::{Record, RecordType};
use model::PoolName;

use super::{
    Zone,
    owners::encode,
    rdata::print,
    shape::type_name,
    text::{print_name, show},
};
use crate::{name, wire::rtype};

impl Zone {
    /// Prints the zone, one record a line, every name absolute. `pools` gives the addresses of a pool as they should
    /// stand there; `serial` is the SOA's serial where that is the cluster's.
    pub fn render(&self, pools: &dyn Fn(&PoolName) -> Vec<IpAddr>, serial: u32) -> String {
        let mut out = format!("$ORIGIN {}\n", print_name(self.origin.iter()));
        // Servers such as NSD want the SOA first.
        let apex = name::lower(&self.origin);
        if let Some(soa) = self.owners.find(&apex).and_then(|owner| owner.set(RecordType::SOA)) {
            for data in soa.wire() {
                line(&mut out, &apex, soa.ttl(), soa.code(), &self.with_serial(data, serial));
            }
        }
        for owner in self.owners.iter() {
            let name = owner.wire_name();
            for set in owner.sets().filter(|set| set.code() != rtype::SOA) {
                for data in set.wire() {
                    line(&mut out, name, set.ttl(), set.code(), data);
                }
            }
            let Some(used) = owner.pool() else { continue };
            let mut addresses = pools(&used.pool);
            addresses.sort_unstable();
            addresses.dedup();
            if addresses.is_empty() {
                writeln!(out, "; {} is the pool {}, which has no address", show(name), used.pool)
                    .expect("writing to a string cannot fail");
            }
            for address in addresses {
                match address {
                    IpAddr::V4(address) => line(&mut out, name, used.ttl.max, rtype::A, &address.octets()),
                    IpAddr::V6(address) => line(&mut out, name, used.ttl.max, rtype::AAAA, &address.octets()),
                }
            }
        }
        for follower in &self.followers {
            for (member, well) in follower.well.iter().enumerate() {
                let Some((priority, weight)) = *well else { continue };
                let data = follower.data(member, priority, weight);
                line(&mut out, &follower.owner, follower.ttl.max, follower.rtype.into(), &data);
            }
        }
        out
    }

    /// The SOA as it is served.
    fn with_serial<'d>(&self, data: &'d [u8], serial: u32) -> Cow<'d, [u8]> {
        if !self.serial_from_cluster {
            return data.into();
        }
        let mut data = data.to_vec();
        // Five numbers end an SOA (RFC 1035 section 3.3.13), the serial first.
        if let Some(numbers) = data.last_chunk_mut::<20>() {
            numbers[..4].copy_from_slice(&serial.to_be_bytes());
        }
        data.into()
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

fn line(out: &mut String, owner: &[u8], ttl: u32, code: u16, data: &[u8]) {
    let text = print(code, data).expect("what was read can be printed");
    writeln!(out, "{}\t{ttl}\tIN\t{}\t{text}", show(owner), type_name_or_number(code))
        .expect("writing to a string cannot fail");
}

/// Types whose data we print as `\#` go by number: other servers may not know the name either.
fn type_name_or_number(code: u16) -> String {
    if super::shape::shape_of(code).is_some() { type_name(code) } else { format!("TYPE{code}") }
}
