//! DNS messages as bytes: reading a query, writing a reply (RFC 1035 section 4, RFC 6891).
//!
//! Invariants: nothing here allocates, panics, or reads outside the slice that it was given; a reply holds whole records
//! only, and its counts say exactly how many.
//!
//! Deliberately not here: what a name means ([`crate::compile`]) and which answer it gets ([`crate::respond()`]).

use crate::cookie::{self, Cookie};

/// Bytes of a message's header.
pub(crate) const HEADER: usize = 12;
/// Bytes of an OPT record without options.
pub(crate) const OPT: usize = 11;
/// What every client can take (RFC 1035 section 4.2.1).
pub(crate) const CLASSIC_UDP: usize = 512;
/// Class IN.
pub(crate) const IN: u16 = 1;
/// Class CH (RFC 4892).
pub(crate) const CH: u16 = 3;

/// Record types that the engine treats in a special way.
pub(crate) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const MX: u16 = 15;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const DS: u16 = 43;
    pub(crate) const SVCB: u16 = 64;
    pub(crate) const HTTPS: u16 = 65;
    pub(crate) const IXFR: u16 = 251;
    pub(crate) const AXFR: u16 = 252;
    pub(crate) const ANY: u16 = 255;
}

/// Response codes that the engine gives (RFC 6895 section 2.3). Those above 15 need an OPT.
pub(crate) mod rcode {
    pub(crate) const NOERROR: u16 = 0;
    pub(crate) const FORMERR: u16 = 1;
    pub(crate) const SERVFAIL: u16 = 2;
    pub(crate) const NXDOMAIN: u16 = 3;
    pub(crate) const NOTIMP: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    pub(crate) const YXDOMAIN: u16 = 6;
    pub(crate) const BADVERS: u16 = 16;
    pub(crate) const BADCOOKIE: u16 = 23;
}

/// EDNS options that the engine knows (RFC 5001, RFC 7873, RFC 8914).
mod option {
    pub(super) const NSID: u16 = 3;
    pub(super) const COOKIE: u16 = 10;
    pub(super) const EXTENDED_ERROR: u16 = 15;
}

/// Why an answer is not what it might be, for people (RFC 8914).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ExtendedError {
    pub(crate) code: u16,
    pub(crate) text: &'static str,
}

/// Extended errors by their registered codes.
pub(crate) mod extended {
    use super::ExtendedError;

    pub(crate) const ALL_DOWN: ExtendedError = ExtendedError { code: 0, text: "every member of the pool is down" };
    pub(crate) const NOT_READY: ExtendedError = ExtendedError { code: 14, text: "health is not known yet" };
    pub(crate) const PROHIBITED: ExtendedError = ExtendedError { code: 18, text: "" };
    pub(crate) const NOT_AUTHORITATIVE: ExtendedError = ExtendedError { code: 20, text: "" };
    pub(crate) const NOT_SUPPORTED: ExtendedError = ExtendedError { code: 21, text: "" };
    pub(crate) const ISOLATED: ExtendedError = ExtendedError { code: 23, text: "this server hears no other one" };
}

/// Two bytes as a number, where there are two.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// A lower-cased name in wire form, on the stack, with the place of each label.
#[derive(Clone)]
pub(crate) struct NameBuf {
    bytes: [u8; 255],
    length: u8,
    /// Where each label begins, the root's empty one included.
    starts: [u8; 128],
    labels: u8,
}

impl NameBuf {
    /// The uncompressed name at `start` of `message`; none where it is cut off, too long or compressed.
    pub(crate) fn read(message: &[u8], start: usize) -> Option<Self> {
        let mut name = Self { bytes: [0; 255], length: 0, starts: [0; 128], labels: 0 };
        let source = message.get(start..)?;
        let mut at = 0;
        loop {
            let label = usize::from(*source.get(at)?);
            name.starts[usize::from(name.labels)] = at as u8;
            if label == 0 {
                break;
            }
            at += 1 + label;
            // The root's byte must fit too: 255 bytes at most, hence 127 labels at most.
            if label > 63 || at > 254 {
                return None;
            }
            name.labels += 1;
        }
        let length = at + 1;
        let bytes = &mut name.bytes[..length];
        bytes.copy_from_slice(&source[..length]);
        // Length bytes are below 64 and so never look like letters.
        bytes.make_ascii_lowercase();
        name.length = length as u8;
        Some(name)
    }

    /// The whole name.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// Its length in bytes, the root's included.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// How many labels it has, the root's not counted.
    pub(crate) fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// The last `labels` labels, at most all.
    pub(crate) fn suffix(&self, labels: usize) -> &[u8] {
        let skipped = self.labels().saturating_sub(labels);
        &self.bytes[usize::from(self.starts[skipped])..self.len()]
    }
}

/// What a query's OPT says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Edns {
    /// The largest UDP answer that the client takes.
    pub(crate) size: u16,
    /// DO: the client understands DNSSEC records (RFC 3225).
    pub(crate) dnssec_ok: bool,
    /// It is of this version; 0 is the only one that exists.
    pub(crate) version: u8,
    /// It asks for the server's identifier (RFC 5001).
    pub(crate) nsid: bool,
    /// It has a cookie (RFC 7873).
    pub(crate) cookie: Option<Cookie>,
}

/// A query of the plain kind.
pub(crate) struct Query<'a> {
    /// The whole message.
    pub(crate) message: &'a [u8],
    /// The name asked for.
    pub(crate) name: NameBuf,
    /// The type asked for.
    pub(crate) rtype: u16,
    /// Where the question ends.
    pub(crate) end: usize,
    /// What its OPT says, if it has one.
    pub(crate) edns: Option<Edns>,
}

/// Why a message is no plain query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Other {
    /// It is of another shape, and may deserve a reply.
    Odd,
    /// It is a response, or no message at all: replying could go on for ever.
    NoQuery,
}

/// A plain query: one question of class IN and at most an OPT of version 0. Unknown flags are ignored (RFC 8906 section
/// 3.1.3).
pub(crate) fn plain_query(message: &[u8]) -> Result<Query<'_>, Other> {
    let Some(header) = message.first_chunk::<HEADER>() else { return Err(Other::NoQuery) };
    if header[2] & 0x80 != 0 {
        return Err(Other::NoQuery);
    }
    // Opcode 0, one question, no answer, no authority, at most one additional record.
    if header[2] & 0x78 != 0 || header[4..10] != [0, 1, 0, 0, 0, 0] || header[10] != 0 || header[11] > 1 {
        return Err(Other::Odd);
    }
    plain(message, header[11] == 1).ok_or(Other::Odd)
}

fn plain(message: &[u8], extended: bool) -> Option<Query<'_>> {
    let name = NameBuf::read(message, HEADER)?;
    let end = HEADER + name.len() + 4;
    let fixed = message.get(end - 4..end)?;
    let rtype = u16::from_be_bytes([fixed[0], fixed[1]]);
    // The other types from 128 to 254 are not data (RFC 6895 section 3.1): transfers, TKEY, TSIG and the like.
    if fixed[2..] != [0, 1] || (128..255).contains(&rtype) || rtype == rtype::OPT || rtype == 0 {
        return None;
    }
    let edns = if extended {
        let (edns, rest) = read_opt(message.get(end..)?)?;
        if edns.version != 0 || edns.nsid || !rest.is_empty() {
            return None;
        }
        Some(edns)
    } else if message.len() == end {
        None
    } else {
        return None;
    };
    Some(Query { message, name, rtype, end, edns })
}

/// An OPT record (RFC 6891 section 6.1.2) and what follows it; none where there is no well-formed one. Options other
/// than NSID and COOKIE are ignored, as section 6.1.2 wants it; a COOKIE of no allowed length makes the query malformed
/// (RFC 7873 section 5.2.2).
pub(crate) fn read_opt(bytes: &[u8]) -> Option<(Edns, &[u8])> {
    let fixed = bytes.first_chunk::<OPT>()?;
    if fixed[..3] != [0, 0, rtype::OPT as u8] {
        return None;
    }
    let (mut options, rest) = bytes[OPT..].split_at_checked(usize::from(u16::from_be_bytes([fixed[9], fixed[10]])))?;
    let (mut nsid, mut cookie) = (false, None);
    while let Some((head, tail)) = options.split_first_chunk::<4>() {
        let (data, rest) = tail.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        match u16::from_be_bytes([head[0], head[1]]) {
            option::NSID => nsid = true,
            // Of several the first one counts (RFC 7873 section 5.2).
            option::COOKIE if cookie.is_none() => cookie = Some(cookie::read(data)?),
            _ => {}
        }
        options = rest;
    }
    let size = u16::from_be_bytes([fixed[3], fixed[4]]);
    let edns = Edns { size, dnssec_ok: fixed[7] & 0x80 != 0, version: fixed[6], nsid, cookie };
    options.is_empty().then_some((edns, rest))
}

/// A section of a reply, by its place in the header's counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    Answer,
    Authority,
    Additional,
}

/// What of a block found room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placed {
    /// Where its first byte went.
    pub(crate) start: usize,
    /// How many bytes.
    pub(crate) length: usize,
    /// How many records.
    pub(crate) records: u16,
}

/// A reply being written.
pub(crate) struct Reply<'a> {
    out: &'a mut [u8],
    at: usize,
    /// Records end here; room for the OPT is beyond.
    limit: usize,
    /// Where the question ends.
    question: usize,
    counts: [u16; 3],
    edns: Option<Edns>,
    /// The cookie that goes with it; there is room for it.
    cookie: Option<[u8; cookie::WHOLE]>,
    /// Why the answer is not what it might be, told where there is room.
    pub(crate) extended: Option<ExtendedError>,
    /// The response code.
    pub(crate) rcode: u16,
    /// AA: the first name of the answer is ours.
    pub(crate) authoritative: bool,
    /// TC: something that was needed found no room.
    pub(crate) truncated: bool,
}

impl<'a> Reply<'a> {
    /// Begins with the question, `message` from the header to `end`, letter case kept. The reply grows to at most `limit`
    /// bytes and `out`. None where not even the question and an OPT fit.
    pub(crate) fn to(
        message: &[u8],
        end: usize,
        edns: Option<Edns>,
        cookie: Option<[u8; cookie::WHOLE]>,
        limit: usize,
        out: &'a mut [u8],
    ) -> Option<Self> {
        let limit = limit.min(out.len()).checked_sub(reserve(edns.is_some(), cookie.is_some()))?;
        if end < HEADER || limit < end {
            return None;
        }
        out[..end].copy_from_slice(message.get(..end)?);
        Some(Self {
            out,
            at: end,
            limit,
            question: end,
            counts: [0; 3],
            edns,
            cookie,
            extended: None,
            rcode: rcode::NOERROR,
            authoritative: false,
            truncated: false,
        })
    }

    /// How many records a section has.
    pub(crate) fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// Takes every record out again.
    pub(crate) fn clear(&mut self) {
        self.at = self.question;
        self.counts = [0; 3];
        self.truncated = false;
    }

    /// Appends `records` records whose owners are two bytes each, as many as fit. Who needs them all compares.
    pub(crate) fn put(&mut self, section: Section, bytes: &[u8], records: u16) -> Placed {
        let room = self.limit - self.at;
        let (bytes, records) = if bytes.len() <= room { (bytes, records) } else { whole_records(bytes, room) };
        let start = self.at;
        self.out[start..start + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
        self.counts[section as usize] += records;
        Placed { start, length: bytes.len(), records }
    }

    /// Counts the last `records` records of the authority section as additional ones.
    pub(crate) fn move_to_additional(&mut self, records: u16) {
        self.counts[Section::Authority as usize] -= records;
        self.counts[Section::Additional as usize] += records;
    }

    /// Overwrites two bytes.
    pub(crate) fn set_u16(&mut self, at: usize, value: u16) {
        self.out[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// Overwrites four bytes.
    pub(crate) fn set_u32(&mut self, at: usize, value: u32) {
        self.out[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// Points the owners of the `records` records from `at` on to `pointer`.
    pub(crate) fn set_owners(&mut self, mut at: usize, records: u16, pointer: u16) {
        for _ in 0..records {
            self.set_u16(at, pointer);
            at += record_length(&self.out[at..]);
        }
    }

    /// Writes header and OPT, the latter with `nsid` as the server's identifier (RFC 5001) where it fits; the length of
    /// the whole reply.
    pub(crate) fn finish(mut self, max_udp_size: u16, nsid: Option<&[u8]>) -> usize {
        if let Some(edns) = self.edns {
            self.opt(edns, max_udp_size, nsid);
        }
        // Opcode and RD as they came (RFC 1035 section 4.1.1); RA, Z, AD and CD clear.
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        self.out[2] = 0x80 | (self.out[2] & 0x79) | bit(self.authoritative, 0x04) | bit(self.truncated, 0x02);
        self.out[3] = (self.rcode & 0x0F) as u8;
        self.set_u16(4, u16::from(self.question > HEADER));
        for (section, count) in self.counts.into_iter().enumerate() {
            self.set_u16(6 + 2 * section, count);
        }
        self.at
    }
}

/// Bytes that the end of a reply needs.
fn reserve(edns: bool, cookie: bool) -> usize {
    if edns { OPT + if cookie { OPTION + cookie::WHOLE } else { 0 } } else { 0 }
}

/// Bytes of an option without its data.
const OPTION: usize = 4;

impl Reply<'_> {
    /// Writes the OPT record (RFC 6891 section 6.1.2).
    fn opt(&mut self, edns: Edns, max_udp_size: u16, nsid: Option<&[u8]>) {
        let end = self.limit + reserve(true, self.cookie.is_some());
        let size = max_udp_size.to_be_bytes();
        let extended = (self.rcode >> 4) as u8;
        let flags = if edns.dnssec_ok { 0x80 } else { 0 };
        let opt = [0, 0, rtype::OPT as u8, size[0], size[1], extended, 0, flags, 0, 0, 0];
        self.out[self.at..self.at + OPT].copy_from_slice(&opt);
        self.at += OPT;
        let begin = self.at;
        if let Some(cookie) = self.cookie {
            self.option(option::COOKIE, &[&cookie]);
        }
        if let Some(ExtendedError { code, text }) = self.extended
            && self.at + OPTION + 2 + text.len() <= end
        {
            self.option(option::EXTENDED_ERROR, &[&code.to_be_bytes(), text.as_bytes()]);
        }
        if let Some(id) = nsid.filter(|id| self.at + OPTION + id.len() <= end) {
            self.option(option::NSID, &[id]);
        }
        self.set_u16(begin - 2, (self.at - begin) as u16);
        self.counts[Section::Additional as usize] += 1;
    }

    fn option(&mut self, code: u16, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.set_u16(self.at, code);
        self.set_u16(self.at + 2, length as u16);
        self.at += OPTION;
        for part in parts {
            self.out[self.at..self.at + part.len()].copy_from_slice(part);
            self.at += part.len();
        }
    }
}

/// The length of the record at the beginning of `bytes`, its owner being two bytes.
fn record_length(bytes: &[u8]) -> usize {
    12 + usize::from(u16::from_be_bytes([bytes[10], bytes[11]]))
}

/// As many whole records as fit into `room` bytes.
fn whole_records(bytes: &[u8], room: usize) -> (&[u8], u16) {
    let (mut end, mut records) = (0, 0);
    while end < bytes.len() {
        let next = end + record_length(&bytes[end..]);
        if next > room {
            break;
        }
        (end, records) = (next, records + 1);
    }
    (&bytes[..end], records)
}
