//! Messages byte by byte: sizes, flags, EDNS, truncation, and what is not plain.

use dns::{Outcome, Transport, View};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType::{self, A, AAAA, MX, NS, Unknown},
};

use crate::support::{CLIENT, ask_bytes, config, example, healthy, name, query, view, view_of};

const WWW: &str = "www.lb.example.test.";

fn fast(view: &View, query: &[u8]) -> Outcome {
    dns::respond(view, CLIENT, query, &mut [0; 4096], &mut 0)
}

/// What [`View::answer_any`] says where the fast path defers.
fn deferred(view: &View, query: &[u8]) -> Message {
    assert_eq!(fast(view, query), Outcome::Defer);
    let mut reply = Vec::new();
    let outcome = view.answer_any(CLIENT, query, Transport::Udp, &mut reply, &mut 0);
    assert_eq!(outcome, Outcome::Reply(reply.len()));
    assert_eq!(reply[..2], query[..2], "the id");
    Message::from_vec(&reply).unwrap()
}

fn with_option(mut query: Vec<u8>, code: u16, data: &[u8]) -> Vec<u8> {
    let end = query.len();
    query[end - 2..].copy_from_slice(&(data.len() as u16 + 4).to_be_bytes());
    query.extend_from_slice(&code.to_be_bytes());
    query.extend_from_slice(&(data.len() as u16).to_be_bytes());
    query.extend_from_slice(data);
    query
}

#[test]
fn a_static_answer_is_as_small_as_it_can_be() {
    let asked = query(&name("mail.lb.example.test."), A, None);
    let reply = ask_bytes(&view(&healthy()), &asked, &mut 0);
    let mut expected = asked;
    // Id as asked; QR, AA, RD; one question, one answer.
    expected[..12].copy_from_slice(&[0x12, 0x34, 0x85, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    expected.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2C, 0, 4, 10, 0, 0, 7]);
    assert_eq!(reply, expected);
}

#[test]
fn names_are_compressed_to_the_question() {
    let view = view(&healthy());
    let length = |qname: &str, kind: RecordType| {
        let asked = query(&name(qname), kind, None);
        ask_bytes(&view, &asked, &mut 0).len() - asked.len()
    };
    assert_eq!(length(WWW, A), 3 * 16);
    assert_eq!(length(WWW, AAAA), 3 * 28);
    assert_eq!(length("lb.example.test.", NS), 2 * (12 + 6), "ns1 and a pointer");
    assert_eq!(length("lb.example.test.", MX), 12 + 2 + 7);
    assert_eq!(length("x.wild.lb.example.test.", MX), 12 + 2 + 7, "behind a wildcard too");
    assert_eq!(length("nothing.lb.example.test.", A), 12 + 6 + 8 + 20, "ns1, admin and pointers");
    assert_eq!(length("web.lb.example.test.", A), 12 + 6 + 3 * 16);
    let referral = (12 + 5) + (12 + 6) + 16 + 28 + 16;
    assert_eq!(length("x.sub.lb.example.test.", A), referral, "glue points at the name servers");
}

#[test]
fn truncation_keeps_whole_records_and_the_opt() {
    let view = view(&healthy());
    let asked = name("many.lb.example.test.");
    let question = query(&asked, A, None).len();
    let whole = question + 60 * 16;
    let plain = ask_bytes(&view, &query(&asked, A, None), &mut 0);
    let message = Message::from_vec(&plain).unwrap();
    assert!(message.metadata.truncation);
    assert_eq!(message.answers.len(), (512 - question) / 16);
    assert_eq!(plain.len(), question + 16 * message.answers.len(), "nothing behind the last record");
    for size in 500..1300 {
        let reply = ask_bytes(&view, &query(&asked, A, Some(size)), &mut 0);
        let limit = usize::from(size).clamp(512, 1232);
        let message = Message::from_vec(&reply).unwrap();
        let fits = (limit - question - 11) / 16;
        assert_eq!(message.answers.len(), fits.min(60), "size {size}");
        assert_eq!(message.metadata.truncation, whole + 11 > limit, "size {size}");
        assert_eq!(message.edns.as_ref().map(|edns| edns.max_payload()), Some(1232));
        assert_eq!(reply.len(), question + 16 * message.answers.len() + 11);
    }
}

/// RFC 9471 section 3: glue in the domain is needed, that of siblings is not.
#[test]
fn a_referral_is_truncated_where_needed_glue_is_left_out() {
    let servers: String = (0..30).map(|n| format!("sub NS n{n}.sub.z.test.\nn{n}.sub A 10.0.1.{n}\n")).collect();
    let siblings: String = (0..30).map(|n| format!("sib NS n{n}.z.test.\nn{n} A 10.0.1.{n}\n")).collect();
    let zone = crate::support::zone("z.test.", &(servers + &siblings));
    let view = view_of(vec![zone], &config(), &healthy());
    let ask = |qname: &str| {
        let reply = ask_bytes(&view, &query(&name(qname), A, Some(700)), &mut 0);
        let message = Message::from_vec(&reply).unwrap();
        assert!(message.authorities.len() == 30 && message.additionals.len() < 30);
        message.metadata.truncation
    };
    assert!(ask("x.sub.z.test."));
    assert!(!ask("x.sib.z.test."));
}

#[test]
fn tcp_has_room() {
    let view = view(&healthy());
    let asked = query(&name("many.lb.example.test."), A, None);
    let mut reply = Vec::new();
    view.answer_any(CLIENT, &asked, Transport::Tcp, &mut reply, &mut 0);
    let message = Message::from_vec(&reply).unwrap();
    assert_eq!((message.metadata.truncation, message.answers.len()), (false, 60));
    let lines: String = (0..5000).map(|n| format!("huge TXT {n:020}\n")).collect();
    let view = view_of(vec![crate::support::zone("z.test.", &lines)], &config(), &healthy());
    view.answer_any(CLIENT, &query(&name("huge.z.test."), RecordType::TXT, None), Transport::Tcp, &mut reply, &mut 0);
    let message = Message::from_vec(&reply).unwrap();
    assert!(message.metadata.truncation, "not even here");
    assert_eq!(message.answers.len(), (65_535 - 12 - 13 - 4) / (12 + 21));
}

/// RFC 6891 section 6.
#[test]
fn edns_is_answered_with_edns() {
    let view = view(&healthy());
    let without = Message::from_vec(&ask_bytes(&view, &query(&name(WWW), A, None), &mut 0)).unwrap();
    assert!(without.edns.is_none());
    let mut asked = query(&name(WWW), A, Some(65_535));
    let with = |query: &[u8]| Message::from_vec(&ask_bytes(&view, query, &mut 0)).unwrap().edns.unwrap();
    assert_eq!((with(&asked).max_payload(), with(&asked).flags().dnssec_ok, with(&asked).version()), (1232, false, 0));
    let cookie = with_option(asked.clone(), 10, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(with(&cookie).options().as_ref().len(), 0, "options that we don't know are ignored");
    let flags = asked.len() - 4;
    asked[flags..flags + 2].copy_from_slice(&[0xFF, 0xFF]);
    let edns = with(&asked);
    assert_eq!((edns.flags().dnssec_ok, edns.flags().z), (true, 0), "DO is copied, unknown flags are not");
}

/// RFC 8906 section 3.1.3: unknown flags are ignored.
#[test]
fn flags_of_the_query() {
    let view = view(&healthy());
    let mut asked = query(&name(WWW), A, None);
    asked[2..4].copy_from_slice(&[0x07, 0xFF]);
    assert_eq!(ask_bytes(&view, &asked, &mut 0)[2..4], [0x85, 0], "AA by us, RD as it came, the rest clear");
    asked[2..4].copy_from_slice(&[0, 0]);
    assert_eq!(ask_bytes(&view, &asked, &mut 0)[2..4], [0x84, 0]);
}

#[test]
fn what_deserves_no_reply_is_dropped() {
    let view = view(&healthy());
    let mut response = query(&name(WWW), A, None);
    response[2] |= 0x80;
    for message in [&response[..], &[], &response[..11], &[0; 3]] {
        assert_eq!(fast(&view, message), Outcome::Drop);
        let outcome = view.answer_any(CLIENT, message, Transport::Tcp, &mut Vec::new(), &mut 0);
        assert_eq!(outcome, Outcome::Drop);
    }
}

#[test]
fn what_is_malformed_gets_formerr() {
    let view = view(&healthy());
    let good = query(&name(WWW), A, Some(1232));
    let end = good.len() - 11;
    let patched = |at: usize, bytes: &[u8]| {
        let mut query = good.clone();
        query[at..at + bytes.len()].copy_from_slice(bytes);
        query
    };
    let twice = { [&patched(10, &[0, 2])[..], &good[end..]].concat() };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no question", patched(4, &[0, 0])),
        ("two questions", patched(4, &[0, 2])),
        ("an answer announced", patched(6, &[0, 1])),
        ("authority announced", patched(8, &[0, 1])),
        ("cut in the name", good[..15].to_vec()),
        ("cut before the class", good[..end - 2].to_vec()),
        ("cut in the OPT", good[..good.len() - 1].to_vec()),
        ("garbage behind", [&good[..], &[0]].concat()),
        ("garbage, no OPT", [&query(&name(WWW), A, None)[..], &[1, 2, 3]].concat()),
        ("compressed question", patched(12, &[0xC0, 12])),
        ("label above 63", patched(12, &[64])),
        ("two OPTs", twice),
        ("option overruns", patched(good.len() - 2, &[0, 1])),
        ("an OPT asked for", query(&name(WWW), RecordType::OPT, None)),
        ("name above 255", query_of_long_name()),
    ];
    for (what, asked) in cases {
        let message = deferred(&view, &asked);
        assert_eq!(message.metadata.response_code, ResponseCode::FormErr, "{what}");
        assert!(message.answers.is_empty() && !message.metadata.authoritative, "{what}");
    }
}

fn query_of_long_name() -> Vec<u8> {
    let labels = [&[63][..], &[b'a'; 63]].concat().repeat(4);
    [&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &labels, &[0, 0, 1, 0, 1]].concat()
}

/// RFC 8906 section 3.1.4, RFC 6891 section 6.1.3.
#[test]
fn what_we_do_not_do_is_said() {
    let view = view(&healthy());
    for opcode in 1..16u8 {
        let mut asked = query(&name(WWW), A, None);
        asked[2] = opcode << 3;
        let message = deferred(&view, &asked);
        assert_eq!(message.metadata.response_code, ResponseCode::NotImp);
        assert_eq!(u8::from(message.metadata.op_code), opcode);
    }
    let mut newer = query(&name(WWW), A, Some(1232));
    let version = newer.len() - 5;
    newer[version] = 1;
    let message = deferred(&view, &newer);
    assert_eq!(u16::from(message.metadata.response_code), 16, "BADVERS");
    assert_eq!((message.edns.unwrap().version(), message.answers.len(), message.queries.len()), (0, 0, 1));
    let transfers = [(RecordType::AXFR, ResponseCode::Refused), (RecordType::IXFR, ResponseCode::Refused)];
    let services = [249, 250, 253, 254].map(|kind| (Unknown(kind), ResponseCode::NotImp));
    for (kind, rcode) in transfers.into_iter().chain(services) {
        let message = deferred(&view, &query(&name("lb.example.test."), kind, None));
        assert_eq!(message.metadata.response_code, rcode, "{kind}");
    }
    let mut hesiod = query(&name(WWW), A, None);
    *hesiod.last_mut().unwrap() = 4;
    assert_eq!(deferred(&view, &hesiod).metadata.response_code, ResponseCode::Refused);
}

#[test]
fn unknown_types_are_plain_questions() {
    let view = view(&healthy());
    for kind in [65_280, 300, 127, 62] {
        let asked = query(&name("mail.lb.example.test."), Unknown(kind), None);
        let message = Message::from_vec(&ask_bytes(&view, &asked, &mut 0)).unwrap();
        assert_eq!((message.metadata.response_code, message.authorities.len()), (ResponseCode::NoError, 1));
    }
    let reserved = query(&name("mail.lb.example.test."), Unknown(200), None);
    assert_eq!(deferred(&view, &reserved).metadata.response_code, ResponseCode::NoError);
}

/// RFC 8945: who does not know TSIG ignores it.
#[test]
fn additional_records_that_are_no_opt_are_ignored() {
    let view = view(&healthy());
    let mut asked = query(&name(WWW), A, None);
    asked[11] = 1;
    asked.extend_from_slice(&[3, b'k', b'e', b'y', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 2, 7, 7]);
    let message = deferred(&view, &asked);
    assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::NoError, 3));
}

/// RFC 4892, RFC 5001.
#[test]
fn the_server_says_who_it_is() {
    let open = view(&healthy());
    let chaos = |view: &View, qname: &str, kind: RecordType| {
        let mut asked = query(&name(qname), kind, None);
        *asked.last_mut().unwrap() = 3;
        let message = deferred(view, &asked);
        let text = message.answers.first().map(|record| record.data.to_string());
        (message.metadata.response_code, text)
    };
    let is = |text: &str| (ResponseCode::NoError, Some(text.to_owned()));
    assert_eq!(chaos(&open, "id.server.", RecordType::TXT), is("web1"));
    assert_eq!(chaos(&open, "HOSTNAME.bind.", RecordType::ANY), is("web1"));
    assert_eq!(chaos(&open, "version.bind.", RecordType::TXT), is("standin"));
    assert_eq!(chaos(&open, "id.server.", A), (ResponseCode::NoError, None));
    assert_eq!(chaos(&open, "authors.bind.", RecordType::TXT), (ResponseCode::Refused, None));
    let asked = with_option(query(&name(WWW), A, Some(1232)), 3, &[]);
    let identity = |view: &View| {
        let message = deferred(view, &asked);
        assert_eq!(message.answers.len(), 3);
        message
            .edns
            .unwrap()
            .options()
            .as_ref()
            .iter()
            .map(|(code, option)| format!("{code:?} {option:?}"))
            .collect::<String>()
    };
    assert_eq!(identity(&open), "NSID NSID(NSIDPayload([119, 101, 98, 49]))");
    let mut config = config();
    config.dns.identity = false;
    let closed = view_of(vec![example()], &config, &healthy());
    assert_eq!(identity(&closed), "");
    assert_eq!(chaos(&closed, "id.server.", RecordType::TXT), (ResponseCode::Refused, None));
}
