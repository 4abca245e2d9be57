//! What is asked most, by whom, and what is answered: counted as replies go out, in fixed memory.
//!
//! A [`Sheet`] takes replies; whoever has it reads and clears it, so that time is not its business. Counts are [`Top`]'s: what is frequent
//! is there, and no count is above the truth.
//!
//! Invariants: noting a reply allocates nothing and never panics, whatever its bytes; names differ by letter case in nothing.

mod top;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::quality::SeedableRandomState;
use hickory_proto::rr::Name;

pub use self::top::{Slot, Top};
use crate::wire::{HEADER, IN, rtype, u16_at};

/// Names, clients and addresses that a sheet counts, of each: 48 KiB together.
pub const SLOTS: usize = 128;
/// Records of a reply that are looked at until one has an address: aliases come first.
const RECORDS: u16 = 10;

/// A name that was asked for, in wire form and lower case.
#[derive(Clone, Copy)]
pub struct Asked {
    length: u8,
    bytes: [u8; 255],
}

impl Asked {
    /// The name of a message's question, and where the question's type stands.
    fn read(message: &[u8]) -> Option<(Self, usize)> {
        let mut end = HEADER;
        loop {
            let label = usize::from(*message.get(end)?);
            end += 1 + label;
            if label == 0 {
                break;
            }
            if label > 63 {
                return None;
            }
        }
        let name = message.get(HEADER..end)?;
        let mut this = Self { length: 0, bytes: [0; 255] };
        this.length = u8::try_from(name.len()).ok()?;
        let bytes = this.bytes.get_mut(..name.len())?;
        bytes.copy_from_slice(name);
        // Length bytes are below 64 and so never look like letters.
        bytes.make_ascii_lowercase();
        Some((this, end))
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Asked {}

impl std::hash::Hash for Asked {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// As people write it, without the dot at its end.
impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<&[u8]> = match self.as_bytes() {
            [] | [0] => Vec::new(),
            name => crate::name::labels(name).collect(),
        };
        let name = Name::from_labels(labels).unwrap_or_default().to_ascii();
        f.write_str(name.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or("."))
    }
}

/// Counts of a while.
pub struct Sheet {
    /// Names that were asked for.
    pub names: Top<Asked>,
    /// Who asked.
    pub clients: Top<IpAddr>,
    /// The address that was offered first.
    pub addresses: Top<IpAddr>,
    /// Replies noted.
    pub replies: u64,
}

impl Sheet {
    /// An empty one. `seed` is random, so that nobody can make names meet on purpose.
    pub fn new(seed: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(seed, foldhash::SharedSeed::global_fixed());
        let (names, clients) = (Top::new(SLOTS, hasher.clone()), Top::new(SLOTS, hasher.clone()));
        Self { names, clients, addresses: Top::new(SLOTS, hasher), replies: 0 }
    }

    /// Notes a reply to a client, which stands for `weight` of them.
    pub fn note(&mut self, client: IpAddr, reply: &[u8], weight: u64) {
        self.replies = self.replies.saturating_add(weight);
        self.clients.add(&client, weight);
        if u16_at(reply, 4) != Some(1) {
            return;
        }
        let Some((name, end)) = Asked::read(reply) else { return };
        self.names.add(&name, weight);
        if let Some(address) = first_address(reply, end + 4) {
            self.addresses.add(&address, weight);
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.names.clear();
        self.clients.clear();
        self.addresses.clear();
        self.replies = 0;
    }
}

impl std::fmt::Debug for Sheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sheet").field("replies", &self.replies).finish_non_exhaustive()
    }
}

/// The address of the answer section's first record of one, the section beginning `at`.
fn first_address(reply: &[u8], mut at: usize) -> Option<IpAddr> {
    for _ in 0..u16_at(reply, 6)?.min(RECORDS) {
        // Owner: labels, ended by the root or a pointer.
        loop {
            let label = usize::from(*reply.get(at)?);
            if label > 63 {
                at += 2;
                break;
            }
            at += 1 + label;
            if label == 0 {
                break;
            }
        }
        let (kind, class, length) = (u16_at(reply, at)?, u16_at(reply, at + 2)?, usize::from(u16_at(reply, at + 8)?));
        let data = reply.get(at + 10..at + 10 + length)?;
        match (class, kind) {
            (IN, rtype::A) => return <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
            (IN, rtype::AAAA) => return <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
            _ => at += 10 + length,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An alias of a name with one address.
    fn reply() -> Vec<u8> {
        let mut reply = vec![0, 1, 0x84, 0, 0, 1, 0, 2, 0, 0, 0, 0];
        reply.extend(b"\x03wWw\x01A\x00\x00\x01\x00\x01");
        reply.extend(b"\xC0\x0C\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04\x01b\xC0\x10");
        reply.extend(b"\x01b\xC0\x10\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0A\x4D\x00\x65");
        reply
    }

    fn counted<K: std::fmt::Display>(top: impl Iterator<Item = (K, u64)>) -> Vec<(String, u64)> {
        top.map(|(key, count)| (key.to_string(), count)).collect()
    }

    #[test]
    fn a_reply_is_counted_by_name_client_and_first_address() {
        let mut sheet = Sheet::new(7);
        sheet.note("192.0.2.1".parse().unwrap(), &reply(), 16);
        let mut lower = reply();
        lower[12..19].make_ascii_lowercase();
        sheet.note("192.0.2.1".parse().unwrap(), &lower, 1);
        sheet.note("2001:db8::1".parse().unwrap(), &[0, 1, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1);
        assert_eq!(counted(sheet.names.iter()), [("www.a".to_owned(), 17)]);
        assert_eq!(counted(sheet.addresses.iter()), [("10.77.0.101".to_owned(), 17)]);
        assert_eq!(counted(sheet.clients.iter()), [("192.0.2.1".to_owned(), 17), ("2001:db8::1".to_owned(), 1)]);
        assert_eq!(sheet.replies, 18);
        sheet.clear();
        assert!(sheet.names.iter().next().is_none() && sheet.replies == 0);
    }

    #[test]
    fn the_root_is_a_dot() {
        let mut sheet = Sheet::new(7);
        sheet.note("192.0.2.1".parse().unwrap(), &[0, 1, 0x80, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1], 1);
        assert_eq!(counted(sheet.names.iter()), [(".".to_owned(), 1)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), cut in 0..80_usize, question in any::<bool>()) {
            let mut sheet = Sheet::new(7);
            sheet.note("192.0.2.1".parse().unwrap(), &bytes, 1);
            let mut whole = reply();
            whole.truncate(cut);
            if question {
                bytes.splice(0..0, reply()[..12].iter().copied());
            }
            sheet.note("192.0.2.1".parse().unwrap(), &whole, 1);
            sheet.note("192.0.2.1".parse().unwrap(), &bytes, 1);
            sheet.names.iter().for_each(|(name, _)| drop(name.to_string()));
        }
    }
}
