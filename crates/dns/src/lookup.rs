//! Queries of every shape, over every transport: what [`crate::respond()`] defers, and all of TCP.
//!
//! Plain questions take the very walk of the fast path. Around it stand the manners that RFC 8906 asks for: FORMERR,
//! NOTIMP, BADVERS, REFUSED, server identification (RFC 4892, RFC 5001), and no silence where a reply is due.
//!
//! Invariants: the reply is whole and well-formed whatever the query; it never grows beyond what the transport takes.
//!
//! Deliberately not here: zone transfers (refused), NOTIFY and UPDATE (not implemented), connections (`host`).

use std::net::IpAddr;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, Record, RecordType},
};

use crate::{
    cookie,
    name::wire as wire_name,
    respond::{Client, Outcome, compose, cookie_for, udp_limit},
    view::View,
    wire::{
        self, CH, CLASSIC_UDP, Edns, ExtendedError, HEADER, IN, NameBuf, OPT, Query, Reply, Section, extended, rcode,
        rtype, u16_at,
    },
};

/// How a query came, and hence how large its reply may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// 512 bytes, or what the client offers by EDNS and the configuration allows.
    Udp,
    /// 65,535 bytes. Also TLS and whatever else is a stream.
    Tcp,
}

/// An answer as records.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The response code.
    pub rcode: ResponseCode,
    /// AA.
    pub authoritative: bool,
    /// TC: it does not even fit into 65,535 bytes.
    pub truncated: bool,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// The additional section, without OPT.
    pub additional: Vec<Record>,
}

/// What a message asks, as far as it can be told.
struct Request<'a> {
    query: Query<'a>,
    class: u16,
}

/// Why a message gets an error instead.
struct Refusal {
    rcode: u16,
    /// Where the question ends, if it could be read.
    end: usize,
    edns: Option<Edns>,
}

impl View {
    /// Answers a query of any shape. `out` is cleared and receives the reply; `turn` as for [`crate::respond()`]. Never
    /// defers.
    pub fn answer_any(
        &self,
        client: impl Into<Client>,
        query: &[u8],
        transport: Transport,
        out: &mut Vec<u8>,
        turn: &mut u32,
    ) -> Outcome {
        out.clear();
        if query.len() < HEADER || query[2] & 0x80 != 0 {
            return Outcome::Drop;
        }
        let request = read(query);
        let edns = match &request {
            Ok(request) => request.query.edns,
            Err(refusal) => refusal.edns,
        };
        let limit = match transport {
            Transport::Udp => udp_limit(self, edns.map(|edns| edns.size)),
            Transport::Tcp => usize::from(u16::MAX),
        };
        out.resize(limit, 0);
        let end = match &request {
            Ok(request) => request.query.end,
            Err(refusal) => refusal.end,
        };
        let (cookie, _) = cookie_for(self, client.into(), edns);
        let reply = Reply::to(query, end, edns, cookie, limit, out);
        let mut reply =
            reply.expect("the question is part of the query, and 512 bytes hold any question and an OPT with a cookie");
        match request {
            Ok(request) => self.fill(&request, &mut reply, turn),
            Err(refusal) => reply.rcode = refusal.rcode,
        }
        let nsid = self.identity().filter(|_| edns.is_some_and(|edns| edns.nsid));
        let length = reply.finish(self.zones.max_udp_size, nsid);
        out.truncate(length);
        // A slow reader of TCP keeps what it needs, not what it might have needed.
        out.shrink_to_fit();
        Outcome::Reply(length)
    }

    /// The answer for a name and type of class IN, as records: what a query over TCP would get.
    pub fn lookup(&self, name: &Name, kind: RecordType, turn: &mut u32) -> Answer {
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend_from_slice(&wire_name(name));
        query.extend_from_slice(&u16::from(kind).to_be_bytes());
        query.extend_from_slice(&IN.to_be_bytes());
        let mut reply = Vec::new();
        self.answer_any(IpAddr::from([127, 0, 0, 1]), &query, Transport::Tcp, &mut reply, turn);
        match Message::from_vec(&reply) {
            Ok(message) => Answer {
                rcode: message.metadata.response_code,
                authoritative: message.metadata.authoritative,
                truncated: message.metadata.truncation,
                answers: message.answers,
                authority: message.authorities,
                additional: message.additionals,
            },
            // Record data that its own library cannot read: nothing to offer.
            Err(_) => Answer {
                rcode: ResponseCode::ServFail,
                authoritative: false,
                truncated: false,
                answers: Vec::new(),
                authority: Vec::new(),
                additional: Vec::new(),
            },
        }
    }

    fn fill(&self, request: &Request<'_>, reply: &mut Reply<'_>, turn: &mut u32) {
        match (request.class, request.query.rtype) {
            (IN, rtype::AXFR | rtype::IXFR) => refuse(reply, rcode::REFUSED, extended::PROHIBITED),
            // TKEY, TSIG, MAILB and MAILA ask for services that we don't offer.
            (IN, 249..=254) => refuse(reply, rcode::NOTIMP, extended::NOT_SUPPORTED),
            (IN, _) => compose(self, &request.query, reply, turn),
            (CH, _) => self.chaos(&request.query, reply),
            _ => refuse(reply, rcode::REFUSED, extended::NOT_AUTHORITATIVE),
        }
    }

    /// Who are you, in class CH (RFC 4892).
    fn chaos(&self, query: &Query<'_>, reply: &mut Reply<'_>) {
        let text = match query.name.as_bytes() {
            b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => self.identity(),
            b"\x07version\x06server\0" | b"\x07version\x04bind\0" => Some(&b"standin"[..]),
            _ => None,
        };
        let Some(text) = text else {
            return refuse(reply, rcode::REFUSED, extended::NOT_AUTHORITATIVE);
        };
        reply.authoritative = true;
        if query.rtype != rtype::TXT && query.rtype != rtype::ANY {
            return;
        }
        let mut record = [0; 13 + 255];
        let head = [0xC0, HEADER as u8, 0, rtype::TXT as u8, 0, CH as u8, 0, 0, 0, 0];
        record[..10].copy_from_slice(&head);
        record[10..12].copy_from_slice(&(text.len() as u16 + 1).to_be_bytes());
        record[12] = text.len() as u8;
        record[13..13 + text.len()].copy_from_slice(text);
        let placed = reply.put(Section::Answer, &record[..13 + text.len()], 1);
        reply.truncated = placed.records == 0;
    }
}

fn refuse(reply: &mut Reply<'_>, rcode: u16, why: ExtendedError) {
    reply.rcode = rcode;
    reply.extended = Some(why);
}

/// Reads a message that is a query and has a header.
fn read(message: &[u8]) -> Result<Request<'_>, Refusal> {
    let refuse = |rcode, end, edns| Refusal { rcode, end, edns };
    if message[2] & 0x78 != 0 {
        // Who knows what such a message looks like (RFC 8906 section 3.1.4).
        return Err(refuse(rcode::NOTIMP, HEADER, None));
    }
    let count = |at| u16_at(message, at).unwrap_or(0);
    // RFC 9619: exactly one question.
    let name = NameBuf::read(message, HEADER).filter(|_| count(4) == 1);
    let Some(name) = name else { return Err(refuse(rcode::FORMERR, HEADER, None)) };
    let end = HEADER + name.len() + 4;
    let (Some(rtype), Some(class)) = (u16_at(message, end - 4), u16_at(message, end - 2)) else {
        return Err(refuse(rcode::FORMERR, HEADER, None));
    };
    let edns = additional(message, end).ok_or(refuse(rcode::FORMERR, end, None))?;
    // Only an IXFR carries an authority section (RFC 1995 section 3).
    let odd = count(6) != 0 || (count(8) != 0 && rtype != rtype::IXFR) || rtype == rtype::OPT;
    match edns {
        _ if odd => Err(refuse(rcode::FORMERR, end, edns)),
        Some(Edns { version: 1.., .. }) => Err(refuse(rcode::BADVERS, end, edns)),
        _ => Ok(Request { query: Query { message, name, rtype, end, edns }, class }),
    }
}

/// The OPT among the records from `at` on; none if there is not exactly the number of records that the header says, or
/// more than one OPT (RFC 6891 section 6.1.1).
fn additional(message: &[u8], mut at: usize) -> Option<Option<Edns>> {
    let [answers, authority, additional] = [6, 8, 10].map(|at| u16_at(message, at).map_or(0, u32::from));
    let mut edns = None;
    for record in 0..answers + authority + additional {
        let rest = message.get(at..)?;
        let owner = name_length(rest)?;
        if u16_at(rest, owner)? == rtype::OPT {
            if edns.is_some() || record < answers + authority {
                return None;
            }
            let (opt, after) = wire::read_opt(rest)?;
            edns = Some(opt);
            at = message.len() - after.len();
        } else {
            at += owner + OPT - 1 + usize::from(u16_at(rest, owner + OPT - 3)?);
        }
    }
    (at == message.len()).then_some(edns)
}

/// How many bytes a name takes here, be it compressed or not; its pointer is not followed.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            label @ 1..=63 => at += 1 + usize::from(label),
            192.. => return Some(at + 2),
            64..=191 => return None,
        }
        if at > 254 {
            return None;
        }
    }
}

const _: () = assert!(CLASSIC_UDP >= HEADER + 255 + 4 + OPT + 4 + cookie::WHOLE);
