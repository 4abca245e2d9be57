//! Records as they stand in replies, made once: everything that follows the question, ready to be copied.
//!
//! A block is written for the usual case: the question's name is the records' owner, and the block follows the question.
//! Then every compression pointer (RFC 1035 section 4.1.4) in it is right as it stands. For all other places ([`Fix`])
//! says which pointers must be written anew: for wildcards, aliases, referrals and denials.
//!
//! Invariants: every owner is a pointer of two bytes; names are compressed only in the types of RFC 1035, as RFC 3597
//! section 4 demands; no pointer reaches beyond the first 16,384 bytes of a message.

use crate::{
    name,
    wire::{HEADER, IN, rtype},
};

/// A block's bytes in the arena, and its pointers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub(crate) start: u32,
    pub(crate) length: u32,
    pub(crate) first_fix: u32,
    pub(crate) fixes: u16,
    pub(crate) records: u16,
}

/// A pointer that depends on where the block and the name stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fix {
    /// Where the pointer is, from the block's beginning.
    pub(crate) at: u32,
    /// What it points at: [`OWNER`], [`APEX`], or so many bytes from the block's beginning.
    pub(crate) to: u16,
}

/// Points at the block's owner.
pub(crate) const OWNER: u16 = u16::MAX;
/// Points at the zone's apex.
pub(crate) const APEX: u16 = u16::MAX - 1;

/// Names that begin later in a block are no targets: the block may stand behind up to 6 KiB of aliases.
const FARTHEST: usize = 0x2800;
/// Names of one block that later ones are compared with: enough for any real set, and bounded for absurd ones.
const KNOWN: usize = 64;

/// The largest TTL (RFC 2181 section 8).
const MAX_TTL: u32 = i32::MAX.cast_unsigned();

/// Where the names of a block stand in the usual case.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// The owner, in lower-case wire form.
    pub(crate) owner: &'a [u8],
    /// Length of the zone's apex in wire form.
    pub(crate) apex: usize,
    /// Whether names may point at the owner. Not below a wildcard, whose place the question's name takes, and not in an
    /// alias, whose target must be the apex or spelled out so that the records that follow can point into it.
    pub(crate) owner_known: bool,
}

/// A block being written.
pub(crate) struct Writer<'a> {
    arena: &'a mut Vec<u8>,
    fixes: &'a mut Vec<Fix>,
    frame: Frame<'a>,
    start: usize,
    first_fix: usize,
    records: u16,
    known: Vec<(Vec<u8>, u16)>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(arena: &'a mut Vec<u8>, fixes: &'a mut Vec<Fix>, frame: Frame<'a>) -> Self {
        let (start, first_fix) = (arena.len(), fixes.len());
        Self { arena, fixes, frame, start, first_fix, records: 0, known: Vec::new() }
    }

    /// Appends a record of the block's owner. Returns where the name in its data, if there is one that may be compressed,
    /// can be pointed at.
    pub(crate) fn record(&mut self, rtype: u16, ttl: u32, data: &[u8]) -> Option<u16> {
        self.arena.extend_from_slice(&(0xC000 | HEADER as u16).to_be_bytes());
        self.record_of(rtype, ttl, data)
    }

    /// Appends a record of another owner: a name in the data of an earlier record, as [`Self::record`] returned it.
    pub(crate) fn glue(&mut self, owner: u16, rtype: u16, ttl: u32, data: &[u8]) {
        self.pointer(owner);
        self.record_of(rtype, ttl, data);
    }

    fn record_of(&mut self, rtype: u16, ttl: u32, data: &[u8]) -> Option<u16> {
        let mut head = [0; 10];
        head[..2].copy_from_slice(&rtype.to_be_bytes());
        head[2..4].copy_from_slice(&IN.to_be_bytes());
        head[4..8].copy_from_slice(&ttl.min(MAX_TTL).to_be_bytes());
        self.arena.extend_from_slice(&head);
        let begin = self.arena.len();
        let place = self.data(rtype, data);
        let length = u16::try_from(self.arena.len() - begin).expect("data is at most 65,535 bytes, also uncompressed");
        self.arena[begin - 2..begin].copy_from_slice(&length.to_be_bytes());
        self.records += 1;
        place
    }

    /// Names are compressed where RFC 1035 itself has the type.
    fn data(&mut self, rtype: u16, data: &[u8]) -> Option<u16> {
        match rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => self.name(data),
            rtype::MX => {
                let (preference, exchange) = data.split_at(2);
                self.arena.extend_from_slice(preference);
                self.name(exchange)
            }
            rtype::SOA => {
                let mname = name::first(data);
                let rname = name::first(&data[mname.len()..]);
                self.name(mname);
                self.name(rname);
                self.arena.extend_from_slice(&data[mname.len() + rname.len()..]);
                None
            }
            _ => {
                self.arena.extend_from_slice(data);
                None
            }
        }
    }

    /// Writes a name as short as it can be, and says where it can be pointed at.
    fn name(&mut self, spelled: &[u8]) -> Option<u16> {
        let lower = spelled.to_ascii_lowercase();
        let begin = self.arena.len() - self.start;
        let place = self.target(&lower).or_else(|| u16::try_from(begin).ok().filter(|_| begin < FARTHEST));
        let mut at = 0;
        while lower[at] != 0 {
            let rest = &lower[at..];
            if let Some(target) = self.target(rest) {
                self.pointer(target);
                return place;
            }
            let here = self.arena.len() - self.start;
            if here < FARTHEST && self.known.len() < KNOWN {
                self.known.push((rest.to_vec(), here as u16));
            }
            let next = at + 1 + usize::from(lower[at]);
            self.arena.extend_from_slice(&spelled[at..next]);
            at = next;
        }
        self.arena.push(0);
        place
    }

    /// What a pointer may point at instead of spelling `name`.
    fn target(&self, name: &[u8]) -> Option<u16> {
        let apex = &self.frame.owner[self.frame.owner.len() - self.frame.apex..];
        if name == apex {
            return Some(APEX);
        }
        if self.frame.owner_known && name == self.frame.owner {
            return Some(OWNER);
        }
        self.known.iter().find(|(known, _)| known == name).map(|(_, at)| *at)
    }

    fn pointer(&mut self, to: u16) {
        let at = u32::try_from(self.arena.len() - self.start).expect("a block below 4 GiB");
        let owner = self.frame.owner.len();
        let usual = match to {
            OWNER => HEADER,
            APEX => HEADER + owner - self.frame.apex,
            offset => HEADER + owner + 4 + usize::from(offset),
        };
        self.fixes.push(Fix { at, to });
        self.arena.extend_from_slice(&(0xC000 | usual as u16).to_be_bytes());
    }

    /// How many bytes it has so far.
    pub(crate) fn length(&self) -> usize {
        self.arena.len() - self.start
    }

    /// How many records it has so far.
    pub(crate) fn records(&self) -> u16 {
        self.records
    }

    pub(crate) fn finish(self) -> Block {
        let narrow = |number: usize| u32::try_from(number).expect("an arena below 4 GiB");
        Block {
            start: narrow(self.start),
            length: narrow(self.arena.len() - self.start),
            first_fix: narrow(self.first_fix),
            fixes: u16::try_from(self.fixes.len() - self.first_fix).expect("no more names than fit a message"),
            records: self.records,
        }
    }
}
