//! Cookies, extended errors and rate limiting, from outside.

use std::{net::IpAddr, sync::Arc};

use dns::{Client, Limiter, Outcome, Transport, View, Zones, respond_limited};
use hickory_proto::rr::RecordType::{self, A, AXFR, MX, TXT};
use model::{
    Health,
    config::{AllDown, RateLimit},
    health::Verdict,
};

use crate::support::{config, example, healthy, name, query};

const COOKIE: u16 = 10;
const EXTENDED_ERROR: u16 = 15;
/// 2026-11-25, in microseconds.
const NOW: u64 = 1_795_000_000_000_000;

fn client(address: &str) -> Client {
    Client { address: address.parse::<IpAddr>().unwrap(), now: NOW }
}

/// The example with cookies; at most ten replies of a kind a second.
fn view(health: &Health) -> View {
    let mut config = config();
    config.dns.rate_limit = Some(RateLimit { per_second: 10, slip: 2, allow: Vec::new() });
    View::build(&Arc::new(Zones::compile(vec![example()], &config).with_cookies([7; 16])), health, "web1")
}

fn question(qname: &str, kind: RecordType, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut query = query(&name(qname), kind, Some(1232));
    let data: Vec<u8> = options
        .iter()
        .flat_map(|(code, data)| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat())
        .collect();
    let end = query.len();
    query[end - 2..].copy_from_slice(&(data.len() as u16).to_be_bytes());
    query.extend(data);
    query
}

/// What the general path replies over UDP; the fast path says the same or leaves it to that.
fn reply_to(view: &View, from: Client, query: &[u8]) -> Vec<u8> {
    let mut general = Vec::new();
    view.answer_any(from, query, Transport::Udp, &mut general, &mut 0);
    let mut fast = [0; 4096];
    match dns::respond(view, from, query, &mut fast, &mut 0) {
        Outcome::Reply(length) => assert_eq!(fast[..length], general[..]),
        outcome => assert_eq!(outcome, Outcome::Defer),
    }
    general
}

fn rcode(reply: &[u8]) -> u16 {
    let opt = reply.len() - options_of(reply).1 - 11;
    u16::from(reply[opt + 5]) << 4 | u16::from(reply[3] & 15)
}

/// The options of the OPT that ends a reply, and how many bytes they take.
fn options_of(reply: &[u8]) -> (Vec<(u16, Vec<u8>)>, usize) {
    // The OPT's head is eleven bytes that end with the options' length; the right one is where that fits.
    let fits = |at: &usize| {
        reply[*at..].starts_with(&[0, 0, 41, 0x04, 0xD0])
            && usize::from(u16::from_be_bytes([reply[at + 9], reply[at + 10]])) == reply.len() - at - 11
    };
    let at = (12..=reply.len() - 11).rev().find(fits).expect("an OPT");
    let (mut rest, mut options) = (&reply[at + 11..], Vec::new());
    let length = rest.len();
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let (data, more) = tail.split_at(usize::from(u16::from_be_bytes([head[2], head[3]])));
        options.push((u16::from_be_bytes([head[0], head[1]]), data.to_vec()));
        rest = more;
    }
    (options, length)
}

fn option(reply: &[u8], code: u16) -> Option<Vec<u8>> {
    options_of(reply).0.into_iter().find(|(given, _)| *given == code).map(|(_, data)| data)
}

#[test]
fn who_sends_a_cookie_gets_one_back() {
    let (view, from) = (view(&healthy()), client("192.0.2.1"));
    let reply = reply_to(&view, from, &question("www.lb.example.test.", A, &[(COOKIE, b"abcdefgh")]));
    let cookie = option(&reply, COOKIE).expect("a cookie");
    assert_eq!((cookie.len(), &cookie[..8]), (24, &b"abcdefgh"[..]));
    // What it got, it may show; what others got is replaced without a word.
    let again = reply_to(&view, from, &question("www.lb.example.test.", A, &[(COOKIE, &cookie)]));
    assert_eq!(option(&again, COOKIE), Some(cookie.clone()));
    let other = reply_to(&view, client("192.0.2.2"), &question("www.lb.example.test.", A, &[(COOKIE, &cookie)]));
    assert_ne!(option(&other, COOKIE), Some(cookie));
    assert_eq!((rcode(&other), other[7]), (0, 3));
    // Nobody gets one unasked.
    assert_eq!(option(&reply_to(&view, from, &question("www.lb.example.test.", A, &[])), COOKIE), None);
}

/// RFC 7873 section 5.2.2.
#[test]
fn a_cookie_of_a_wrong_length_is_malformed() {
    let view = view(&healthy());
    for length in [0, 1, 7, 9, 15, 41, 100] {
        let query = question("www.lb.example.test.", A, &[(COOKIE, &vec![1; length])]);
        let reply = reply_to(&view, client("192.0.2.1"), &query);
        assert_eq!(reply[3] & 15, 1, "FORMERR for {length} bytes");
    }
}

/// The largest answers leave room for the cookie.
#[test]
fn a_cookie_always_has_room() {
    let view = view(&healthy());
    let reply = reply_to(&view, client("192.0.2.1"), &question("many.lb.example.test.", A, &[(COOKIE, b"abcdefgh")]));
    assert!(reply.len() <= 1232 && option(&reply, COOKIE).is_some());
    let mut small = question("many.lb.example.test.", A, &[(COOKIE, b"abcdefgh")]);
    let opt = small.len() - 12 - 11;
    small[opt + 3..opt + 5].copy_from_slice(&[2, 0]);
    let mut out = [0; 4096];
    let Outcome::Reply(length) = dns::respond(&view, client("192.0.2.1"), &small, &mut out, &mut 0) else {
        panic!("an answer")
    };
    assert!(length <= 512 && out[2] & 2 != 0 && option(&out[..length], COOKIE).is_some());
}

/// RFC 8914.
#[test]
fn degraded_answers_say_why() {
    let why = |health: &Health, qname: &str, kind: RecordType| {
        let reply = reply_to(&view(health), client("192.0.2.1"), &question(qname, kind, &[]));
        option(&reply, EXTENDED_ERROR).map(|data| u16::from_be_bytes([data[0], data[1]]))
    };
    let mut isolated = healthy();
    isolated.isolated = true;
    let mut unsettled = healthy();
    unsettled.settled = false;
    let mut down = healthy();
    down.virtual_hosts.values_mut().for_each(|host| host.verdict = Verdict::Down);
    assert_eq!(why(&healthy(), "www.lb.example.test.", A), None);
    assert_eq!(why(&isolated, "www.lb.example.test.", A), Some(23));
    assert_eq!(why(&unsettled, "www.lb.example.test.", A), Some(14));
    assert_eq!(why(&down, "www.lb.example.test.", A), Some(0));
    // What is static is as good as ever.
    assert_eq!(why(&isolated, "mail.lb.example.test.", A), None);
    assert_eq!(why(&isolated, "www.lb.example.test.", TXT), None);
    assert_eq!(why(&healthy(), "www.elsewhere.test.", A), Some(20));
    assert_eq!(why(&healthy(), "lb.example.test.", AXFR), Some(18));
    assert_eq!(why(&healthy(), "lb.example.test.", RecordType::Unknown(250)), Some(21));
    // Without EDNS there is no place to say it.
    let plain = query(&name("www.elsewhere.test."), A, None);
    assert_eq!(reply_to(&view(&healthy()), client("192.0.2.1"), &plain).len(), plain.len());
}

#[test]
fn what_all_down_does_is_its_pools_business() {
    let mut config = config();
    config.pools.values_mut().for_each(|pool| pool.all_down = AllDown::Servfail);
    let mut down = healthy();
    down.virtual_hosts.values_mut().for_each(|host| host.verdict = Verdict::Down);
    let view = View::build(&Arc::new(Zones::compile(vec![example()], &config)), &down, "web1");
    let reply = reply_to(&view, client("192.0.2.1"), &question("www.lb.example.test.", A, &[]));
    assert_eq!((rcode(&reply), option(&reply, EXTENDED_ERROR).map(|data| data[2..].to_vec())), {
        (2, Some(b"every member of the pool is down".to_vec()))
    });
}

/// Asks so often; how many got an answer, TC, BADCOOKIE, nothing.
fn flood(view: &View, limiter: &mut Limiter, from: Client, query: &[u8], count: usize) -> [usize; 4] {
    let mut seen = [0; 4];
    for _ in 0..count {
        let mut out = [0; 4096];
        match respond_limited(view, from, query, &mut out, &mut 0, limiter) {
            Outcome::Reply(length) => {
                let reply = &out[..length];
                let short = reply[6..10] == [0; 4];
                match (reply[2] & 2 != 0, reply[11] == 1 && rcode(reply) == 23) {
                    (true, _) if short => seen[1] += 1,
                    (false, true) if short => seen[2] += 1,
                    _ => seen[0] += 1,
                }
                assert!(length <= query.len() + 28 || seen[1] + seen[2] == 0, "a slip does not amplify");
            }
            Outcome::Defer => seen[0] += 1,
            Outcome::Limited => seen[3] += 1,
            Outcome::Drop => panic!("a query"),
        }
    }
    seen
}

#[test]
fn a_flood_is_thinned_out_and_true_clients_get_through() {
    let (view, mut limiter) = (view(&healthy()), Limiter::new(1, 1));
    let mut flood = |from: &str, query: &[u8]| flood(&view, &mut limiter, client(from), query, 30);
    let plain = query(&name("www.lb.example.test."), A, None);
    assert_eq!(flood("192.0.2.1", &plain), [10, 10, 0, 10]);
    // Each kind by itself; other networks are not touched.
    assert_eq!(flood("192.0.2.2", &question("nothing.lb.example.test.", A, &[])), [10, 10, 0, 10]);
    assert_eq!(flood("192.0.2.3", &question("host.sub.lb.example.test.", A, &[])), [10, 10, 0, 10]);
    assert_eq!(flood("198.51.100.1", &plain), [10, 10, 0, 10]);
    // What goes to the general server counts among the errors.
    assert_eq!(flood("192.0.2.4", &question("www.elsewhere.test.", MX, &[])), [10, 10, 0, 10]);
    assert_eq!(flood("192.0.2.4", &question("lb.example.test.", AXFR, &[])), [0, 0, 0, 30]);
    // Who speaks of cookies is told to use the one that it gets; who uses it has no limit.
    let asks = question("www.lb.example.test.", A, &[(COOKIE, b"abcdefgh")]);
    assert_eq!(flood("203.0.113.9", &asks), [10, 0, 10, 10]);
    let cookie = option(&reply_to(&view, client("203.0.113.9"), &asks), COOKIE).unwrap();
    assert_eq!(flood("203.0.113.9", &question("www.lb.example.test.", A, &[(COOKIE, &cookie)])), [30, 0, 0, 0]);
    assert_eq!(flood("127.0.0.1", &plain), [30, 0, 0, 0]);
}

#[test]
fn without_a_limit_everybody_is_answered() {
    let mut config = config();
    config.dns.rate_limit = None;
    let view = View::build(&Arc::new(Zones::compile(vec![example()], &config)), &healthy(), "web1");
    let plain = query(&name("www.lb.example.test."), A, None);
    assert_eq!(flood(&view, &mut Limiter::new(1, 1), client("192.0.2.1"), &plain, 50), [50, 0, 0, 0]);
}
