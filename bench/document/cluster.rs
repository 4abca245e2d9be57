//! A large document with three real daemons in network namespaces on one switch: 1,000 virtual hosts and 100,000 records in one
//! template. How soon an edit is answered, and how soon the DNS of every server says what was edited: a pool, a virtual host's
//! address, a record of the 100,000. Then how soon a fresh server has everything, and what each daemon takes of memory.
//!
//! `cargo bench --bench large-document -- [EDITS] [ipv4]`: the virtual addresses are IPv6 ones otherwise, of which a thousand keep the kernel
//! busy (see `host::address`), and all daemons here share one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "its figures are for people")]

#[path = "../../tests/console_support/mod.rs"]
mod console_support;
#[path = "../../tests/stage_support/mod.rs"]
mod stage_support;
#[path = "../../tests/tls_support/mod.rs"]
mod tls_support;

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::unix::net::UnixStream,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use console_support::ask;
use document::{Change, Key};
use host::lab::stage::Stage;
use serde_json::json;
use stage_support::{SERVERS, on_stage, set_with, status};

const HOSTS: usize = 1_000;
const RECORDS: usize = 100_000;
/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions to one server.
const PAUSE: Duration = Duration::from_millis(1);
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

fn pool(number: usize, other: usize) -> String {
    format!("[pool.p{number}]\nmembers = [\"v{number}\", \"v{other}\"]\n")
}

/// Of which family virtual addresses are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Four,
    Six,
}

impl Family {
    fn address(self, number: usize) -> IpAddr {
        let number = u16::try_from(number).unwrap();
        match self {
            Self::Four => Ipv4Addr::from_bits(0x0a4e_0000 + u32::from(number)).into(),
            Self::Six => Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 1, number).into(),
        }
    }

    fn rtype(self) -> u16 {
        if self == Self::Four { TYPE_A } else { TYPE_AAAA }
    }
}

/// As records have it.
fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

/// Primaries take turns. Nothing is probed: a thousand probes of nothing are not what is measured.
fn host(number: usize, address: IpAddr) -> String {
    format!("[virtual-host.v{number}]\naddresses = [\"{address}\"]\nservers = \"all\"\n")
}

fn cluster(family: Family) -> String {
    let mut text = "[cluster]\nname = \"large\"\n[dns]\nrate-limit = { enabled = false }\n".to_owned();
    for (name, v4, v6) in SERVERS {
        writeln!(text, "[server.{name}]\naddress = \"{v4}\"\nalso = [\"{v6}\"]").unwrap();
    }
    (0..HOSTS).for_each(|n| text += &host(n, family.address(n + 1)));
    (0..100).for_each(|n| text += &pool(n, n + 100));
    text + "[zone.\"lb.example.test\"]\ntemplate = \"lb.zone\"\n"
}

/// The record `h50000` is the one that is edited.
fn template(address: usize) -> String {
    let mut zone = "$TTL 60\n@ SOA ns1 hostmaster 0 1h 15m 1w 5\n@ NAMESERVERS ns1=web1 ns2=web2\n".to_owned();
    (0..100).for_each(|n| writeln!(zone, "www{n} POOL p{n}").unwrap());
    for n in 0..RECORDS {
        let [a, b, c] = [n >> 16, n >> 8, n].map(|byte| byte & 255);
        match n {
            50_000 => writeln!(zone, "h{n} A 11.0.{}.{}", address >> 8, address & 255).unwrap(),
            _ => writeln!(zone, "h{n} A 10.{a}.{b}.{c}").unwrap(),
        }
    }
    zone
}

/// The reply of the server number `server` to a question; nothing where none comes.
fn question(socket: &UdpSocket, name: &str, rtype: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in format!("{name}.lb.example.test").split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&[rtype.to_be_bytes(), [0, 1]].concat());
    let mut reply = [0; 1232];
    let _unreachable = socket.send(&bytes);
    let length = socket.recv(&mut reply).unwrap_or(0);
    reply[..length].to_vec()
}

/// When the server first answers with these bytes.
fn in_force(stage: &Stage, server: &str, (name, rtype, bytes): (&str, u16, &[u8])) -> Instant {
    let address = SERVERS.iter().find(|(other, ..)| *other == server).unwrap().1;
    let wait = || {
        let socket = UdpSocket::bind("10.77.0.200:0").unwrap();
        socket.connect((address, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let begun = Instant::now();
        while !question(&socket, name, rtype).windows(bytes.len()).any(|window| window == bytes) {
            assert!(begun.elapsed() < PATIENCE, "{server} never answers {name} as edited");
            thread::sleep(PAUSE);
        }
        Instant::now()
    };
    stage.client.run(wait).unwrap()
}

/// The request of an edit.
fn request(key: &str, text: &str) -> String {
    let change = Change::new(Key::parse(key).unwrap(), Some(text));
    json!({ "wanted": { "changes": [change] }, "who": "bench", "why": "to see how long it takes" }).to_string()
}

/// What the admin API says to an edit, which must be well.
fn edit(stage: &Stage, body: &str) {
    let mut stream = UnixStream::connect(stage.socket("web1")).unwrap();
    let head = "POST /v1/config/edit HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let reply = String::from_utf8_lossy(&reply);
    assert!(reply.starts_with("HTTP/1.1 200"), "{}", reply.chars().take(500).collect::<String>());
}

fn told(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1];
    println!("{what}: {:.0} / {:.0} / {:.0} ms (median, 99 %, most of {})", at(0.5), at(0.99), at(1.0), times.len());
}

/// An object's key and new text, and what is then answered to a question.
struct Edit {
    key: String,
    text: String,
    name: &'static str,
    rtype: u16,
    bytes: Vec<u8>,
}

/// Edits on the first server: how soon they are answered, in force here, and in force on the others.
fn edits(stage: &Stage, servers: &[&str], what: &str, count: usize, of: &dyn Fn(usize) -> Edit) {
    let (mut answered, mut here, mut everywhere) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count {
        let edit_of = of(number);
        let body = request(&edit_of.key, &edit_of.text);
        let wanted = (edit_of.name, edit_of.rtype, &*edit_of.bytes);
        let (begun, done, seen) = thread::scope(|scope| {
            let seen: Vec<_> =
                servers.iter().map(|server| scope.spawn(move || in_force(stage, server, wanted))).collect();
            // They are asking when it begins.
            thread::sleep(Duration::from_millis(100));
            let begun = Instant::now();
            edit(stage, &body);
            let done = Instant::now();
            (begun, done, seen.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>())
        });
        let since = |at: Instant| at.duration_since(begun).as_secs_f64() * 1e3;
        answered.push(since(done));
        here.push(since(seen[0]));
        everywhere.push(seen.into_iter().map(since).fold(0.0, f64::max));
    }
    told(&format!("{what}: answered"), answered);
    told(&format!("{what}: in force where it is made"), here);
    told(&format!("{what}: in force on all {} servers", servers.len()), everywhere);
}

fn all_edits(stage: &Stage, servers: &[&str], family: Family, count: usize) {
    let rtype = family.rtype();
    edits(stage, servers, "a pool", count, &|number| {
        let other = 200 + number;
        let bytes = bytes(family.address(other + 1));
        Edit { key: "pool/p3".into(), text: pool(3, other), name: "www3", rtype, bytes }
    });
    edits(stage, servers, "a virtual host's address", count, &|number| {
        let address = family.address(0x2000 + number);
        Edit { key: "virtual-host/v7".into(), text: host(7, address), name: "www7", rtype, bytes: bytes(address) }
    });
    edits(stage, servers, "a record of 100,000 in one template", count, &|number| {
        let bytes = [&[11, 0][..], &u16::try_from(number + 1).unwrap().to_be_bytes()].concat();
        let (key, text) = ("template/lb.zone".into(), template(number + 1));
        Edit { key, text, name: "h50000", rtype: TYPE_A, bytes }
    });
}

fn run(stage: &Stage, server: &str, arguments: &[&str], input: &str) {
    let mut command = stage.host(server).unwrap().command(env!("CARGO_BIN_EXE_standin"));
    let config = stage.config(server);
    command.args(arguments).arg("--config").arg(config).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{arguments:?}");
}

fn await_up(stage: &Stage, server: &str) {
    let begun = Instant::now();
    while status(stage, server).is_none() {
        assert!(begun.elapsed() < PATIENCE, "{server} does not come up");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Joins the cluster: how long the program takes for it, and when the daemon answers the last record.
fn join(stage: &mut Stage, server: &str, last: &[u8]) {
    let token = ask(stage, "web1", &["token"], "");
    let begun = Instant::now();
    run(stage, server, &["join", "10.77.0.11"], &token);
    let joined = begun.elapsed();
    stage.start(server).unwrap();
    let answers = in_force(stage, server, ("h50000", TYPE_A, last));
    println!(
        "{server} joins: has the document after {:.2} s, answers from it after {:.2} s",
        joined.as_secs_f64(),
        answers.duration_since(begun).as_secs_f64()
    );
}

/// Every virtual host has a holder.
fn await_held(stage: &Stage, server: &str) {
    let begun = Instant::now();
    while !status(stage, server).is_some_and(|status| status.virtual_hosts.iter().all(|host| host.active.is_some())) {
        assert!(begun.elapsed() < PATIENCE, "not every address is held");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Resident and largest memory of each daemon, in MiB.
fn memory(stage: &Stage, server: &str) {
    let pid = stage.daemon(server).unwrap().expect("it runs");
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    println!("{server}: {} MiB resident, {} MiB at most", field("VmRSS:"), field("VmHWM:"));
}

fn main() {
    on_stage("large-document", || {
        let count = std::env::args().skip(1).find_map(|text| text.parse::<usize>().ok()).unwrap_or(30).clamp(1, 700);
        let family = if std::env::args().any(|argument| argument == "ipv4") { Family::Four } else { Family::Six };
        let directory = tempfile::tempdir().unwrap();
        let mut stage = set_with(directory.path(), &cluster(family), &template(0), &SERVERS);
        for (number, (server, ..)) in (11..).zip(SERVERS) {
            let address = format!("10.78.255.{number}/16");
            let mut ip = stage.host(server).unwrap().command("ip");
            assert!(ip.args(["address", "add", &address, "dev", "eth0"]).status().unwrap().success());
        }
        run(&stage, "web1", &["init"], "");
        stage.start("web1").unwrap();
        await_up(&stage, "web1");
        join(&mut stage, "web2", &[11, 0, 0, 0]);
        await_held(&stage, "web1");
        await_held(&stage, "web2");
        println!("two servers, every address held");
        all_edits(&stage, &["web1", "web2"], family, count);
        let last = u16::try_from(count).unwrap().to_be_bytes();
        join(&mut stage, "web3", &[&[11, 0][..], &last].concat());
        await_held(&stage, "web3");
        SERVERS.iter().for_each(|(server, ..)| memory(&stage, server));
    });
}
