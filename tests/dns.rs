//! Golden answers: queries to `zones/example` under several states of the cluster, as `tests/golden/dns.txt` tells them.
//!
//! That file is question and answer at once. `= ...` sets the state of the cluster: `all well`, then commas and changes:
//! `web1 dead`, `web1 standby`, `virtual1 on web2`, `virtual1 unheld`, `virtual1 down`, `isolated`, `unsettled`, `serial 9`.
//! `? name type [options]` asks; options: `edns=SIZE`, `do`, `rd`, `ch`, `tcp`, `nsid`, `turn=N`, `cookie` (a client's part),
//! `cookie=HEX` (all of it), `times=N` (in one moment, with ten replies of a kind allowed). All other lines are what is answered,
//! written anew by `UPDATE=1`.

mod zone_support;

use std::{
    env,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use dns::{Client, Limiter, Outcome, Transport, View, Zones, respond, respond_limited};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{
        DNSClass, Name, Record, RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};
use model::{
    Health, ServerName, VirtualHostName,
    config::{ClusterConfig, RateLimit},
    health::{EndpointHealth, ServerHealth, ServerState, Verdict, VirtualHostHealth},
};
use zone_support::{cluster, load, path};

/// Options of EDNS by their numbers: RFC 7873, RFC 8914.
const COOKIE: u16 = 10;
const EXTENDED_ERROR: u16 = 15;
/// RFC 7873 section 8.
const BADCOOKIE: u16 = 23;
/// The client that asks, at a time of which cookies are made: 2026-11-25.
const CLIENT: Client = Client { address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 99)), now: 1_795_000_000_000_000 };

const GOLDEN: &str = "tests/golden/dns.txt";

/// Every server alive, every virtual host up at its primary.
fn all_well(config: &ClusterConfig) -> Health {
    let server = |name: &ServerName| (name.clone(), ServerHealth { state: ServerState::Alive, standby: false });
    Health {
        revision: 1,
        settled: true,
        isolated: false,
        serial: 7,
        servers: config.servers.keys().map(server).collect(),
        virtual_hosts: config
            .virtual_hosts
            .iter()
            .map(|(name, host)| {
                let active = Some(host.servers[0].clone());
                (name.clone(), VirtualHostHealth { active, at_primary: true, verdict: Verdict::Up })
            })
            .collect(),
        calm: std::collections::BTreeMap::new(),
        endpoints: config
            .endpoints
            .keys()
            .map(|name| (name.clone(), EndpointHealth { verdict: Verdict::Up }))
            .collect(),
    }
}

/// The state that a `=` line describes.
fn health(config: &ClusterConfig, words: &str) -> Health {
    let mut health = all_well(config);
    for change in words.split(',').map(str::trim) {
        match *change.split_whitespace().collect::<Vec<_>>() {
            ["all", "well"] => {}
            ["isolated"] => health.isolated = true,
            ["unsettled"] => health.settled = false,
            ["serial", serial] => health.serial = serial.parse().expect("a serial"),
            [server, "dead"] => {
                health.servers.get_mut(&ServerName::new(server)).expect("a server").state = ServerState::Dead;
            }
            [server, "standby"] => {
                health.servers.get_mut(&ServerName::new(server)).expect("a server").standby = true;
            }
            [host, "on", server] => {
                let name = VirtualHostName::new(host);
                let at_primary = config.virtual_hosts[&name].servers[0].as_str() == server;
                let host = health.virtual_hosts.get_mut(&name).expect("a virtual host");
                (host.active, host.at_primary) = (Some(ServerName::new(server)), at_primary);
            }
            [host, "unheld"] => {
                let host = health.virtual_hosts.get_mut(&VirtualHostName::new(host)).expect("a virtual host");
                *host = VirtualHostHealth { active: None, at_primary: false, verdict: Verdict::Unknown };
            }
            [host, "down"] => {
                health.virtual_hosts.get_mut(&VirtualHostName::new(host)).expect("a virtual host").verdict =
                    Verdict::Down;
            }
            _ => unreachable!("the state `{change}`"),
        }
    }
    health
}

/// One question and how it is asked.
struct Question {
    message: Vec<u8>,
    transport: Transport,
    turn: u32,
    times: u32,
}

fn question(words: &str) -> Question {
    let mut words = words.split_whitespace();
    let name = Name::from_ascii(words.next().expect("a name")).expect("a valid name");
    let kind: RecordType = words.next().expect("a type").parse().expect("a valid type");
    let mut query = Query::query(name, kind);
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    let (mut transport, mut edns, mut turn, mut times) = (Transport::Udp, None::<Edns>, 0, 1);
    for option in words {
        match option.split_once('=') {
            Some(("edns", size)) => {
                edns.get_or_insert_default().set_max_payload(size.parse().expect("a size"));
            }
            Some(("cookie", hex)) => {
                let cookie = HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal digits");
                edns.get_or_insert_default().options_mut().insert(EdnsOption::Unknown(EdnsCode::Cookie.into(), cookie));
            }
            None if option == "cookie" => {
                let cookie = b"standin!".to_vec();
                edns.get_or_insert_default().options_mut().insert(EdnsOption::Unknown(EdnsCode::Cookie.into(), cookie));
            }
            Some(("times", number)) => times = number.parse().expect("a number"),
            Some(("turn", number)) => turn = number.parse().expect("a number"),
            None if option == "do" => {
                edns.get_or_insert_default().set_dnssec_ok(true);
            }
            None if option == "nsid" => {
                edns.get_or_insert_default().options_mut().insert(EdnsOption::Unknown(EdnsCode::NSID.into(), vec![]));
            }
            None if option == "rd" => message.metadata.recursion_desired = true,
            None if option == "ch" => drop(query.set_query_class(DNSClass::CH)),
            None if option == "tcp" => transport = Transport::Tcp,
            _ => unreachable!("the option `{option}`"),
        }
    }
    message.add_query(query);
    message.edns = edns;
    Question { message: message.to_vec().expect("a message"), transport, turn, times }
}

/// Asks as the daemon does: UDP by the fast path, what that defers and all of TCP by the general one.
fn ask(view: &View, question: &Question) -> (Vec<u8>, &'static str) {
    let mut turn = question.turn;
    if question.transport == Transport::Udp {
        let mut out = [0; 4096];
        match respond(view, CLIENT, &question.message, &mut out, &mut turn) {
            Outcome::Reply(length) => return (out[..length].to_vec(), ""),
            Outcome::Drop | Outcome::Limited => return (Vec::new(), ""),
            Outcome::Defer => {}
        }
    }
    let mut out = Vec::new();
    view.answer_any(CLIENT, &question.message, question.transport, &mut out, &mut turn);
    (out, " (by the general path)")
}

/// Asks several times in one moment, over UDP and within the rate limit, and tells of the first reply of each sort.
fn ask_often(view: &View, question: &Question) -> String {
    let (mut limiter, mut turn) = (Limiter::new(1, 7), question.turn);
    let mut sorts: Vec<(&str, u32, String)> = Vec::new();
    for _ in 0..question.times {
        let mut out = [0; 4096];
        let (sort, text) = match respond_limited(view, CLIENT, &question.message, &mut out, &mut turn, &mut limiter) {
            Outcome::Reply(length) if out[2] & 2 != 0 => ("truncated", told(&out[..length], "")),
            Outcome::Reply(length) => match Message::from_vec(&out[..length]) {
                Ok(message) if u16::from(message.metadata.response_code) == BADCOOKIE => {
                    ("bad cookie", told(&out[..length], ""))
                }
                _ => ("answered", told(&out[..length], "")),
            },
            Outcome::Limited => ("not sent", String::new()),
            Outcome::Drop | Outcome::Defer => ("left to others", String::new()),
        };
        match sorts.iter_mut().find(|(known, ..)| *known == sort) {
            Some((_, count, _)) => *count += 1,
            None => sorts.push((sort, 1, text)),
        }
    }
    sorts.iter().map(|(sort, count, text)| format!("  {count} {sort}\n{text}")).collect()
}

fn told(reply: &[u8], path: &str) -> String {
    let message = Message::from_vec(reply).expect("a well-formed reply");
    let flags = [
        ("aa", message.metadata.authoritative),
        ("tc", message.metadata.truncation),
        ("rd", message.metadata.recursion_desired),
        ("ra", message.metadata.recursion_available),
    ];
    let flags: String = flags.iter().filter(|(_, set)| *set).map(|(name, _)| format!(" {name}")).collect();
    let mut out = format!("  {:?}{flags}, {} bytes{path}\n", message.metadata.response_code, reply.len());
    let mut section = |name: &str, records: &[Record]| {
        for record in records {
            writeln!(out, "    {name}: {record}").expect("writing to a string cannot fail");
        }
    };
    section("answer", &message.answers);
    section("authority", &message.authorities);
    section("additional", &message.additionals);
    if let Some(edns) = &message.edns {
        let secured = if edns.flags().dnssec_ok { " do" } else { "" };
        write!(out, "    edns: {} bytes{secured}", edns.max_payload()).expect("writing to a string cannot fail");
        for (code, option) in edns.options().as_ref() {
            let told = match option {
                EdnsOption::Unknown(COOKIE, data) => format!("cookie {}", HEXLOWER.encode(data)),
                EdnsOption::Unknown(EXTENDED_ERROR, data) => {
                    let (code, text) = data.split_at(2);
                    format!(
                        "extended error {} {:?}",
                        u16::from_be_bytes([code[0], code[1]]),
                        String::from_utf8_lossy(text)
                    )
                }
                other => format!("option {}: {other:?}", u16::from(*code)),
            };
            write!(out, ", {told}").expect("writing to a string cannot fail");
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_example_answers_as_told() {
    let mut config = cluster("zones/example/cluster.toml");
    config.dns.rate_limit = Some(RateLimit { per_second: 10, slip: 2, allow: Vec::new() });
    let zone = load(&config, "zones/example/lb.zone").expect("the example is valid");
    let zones = Arc::new(Zones::compile(vec![zone], &config).with_cookies([7; 16]));
    let golden = fs::read_to_string(path(GOLDEN)).expect("the golden file can be read");

    let mut view = View::build(&zones, &all_well(&config), "web1");
    let (mut given, mut questions) = (String::new(), 0);
    for line in golden.lines().filter(|line| !line.starts_with("  ")) {
        writeln!(given, "{line}").expect("writing to a string cannot fail");
        if let Some(words) = line.strip_prefix("= ") {
            view = View::build(&zones, &health(&config, words), "web1");
        } else if let Some(words) = line.strip_prefix("? ") {
            let question = question(words);
            let answers = match question.times {
                1 => {
                    let (reply, path) = ask(&view, &question);
                    told(&reply, path)
                }
                _ => ask_often(&view, &question),
            };
            given.push_str(&answers);
            questions += 1;
        }
    }
    assert!(questions >= 60, "only {questions} questions");
    if env::var_os("UPDATE").is_some() {
        fs::write(path(GOLDEN), &given).expect("the golden file can be written");
    } else if given != golden {
        let differs = golden.lines().zip(given.lines()).position(|(a, b)| a != b).unwrap_or_default();
        let from = |text: &str| text.lines().skip(differs.saturating_sub(4)).take(12).collect::<Vec<_>>().join("\n");
        assert_eq!(from(&given), from(&golden), "{GOLDEN}:{} (left: given now)", differs + 1);
    }
}
