//! What must not cost a single answer: reloads under as many queries as this machine gives, thousands of idle TCP
//! connections, and a client that does not read.
//!
//! The load comes from clients with a bounded number of questions under way, so that no queue of the kernel overflows: who
//! counts fewer answers than questions has lost them to the server. Nothing is timed; the rate is printed.

#![allow(clippy::print_stdout)] // tells its reader how much was asked

mod stage_support;

use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ScopedJoinHandle},
    time::Instant,
};

use host::lab::{Host, ask::ask, probe::Question, stage::Stage};
use stage_support::{PATIENCE, await_status, missing, on_stage, set_with, v4};

const A: u16 = 1;
const SIGHUP: i32 = 1;
const NXDOMAIN: u8 = 3;

const SERVERS: [(&str, &str, &str); 1] = [("web1", "10.77.0.11", "fd00:77::11")];
const CLUSTER: &str = r#"
[cluster]
name = "load"
[server.web1]
address = "10.77.0.11"
[pool.www]
members = ["web1"]
[dns]
rate-limit = { enabled = false }
[zone."lb.example.test"]
template = "lb.zone"
"#;

/// Questions that one client has under way. All clients' together fit the smallest usual receive buffer.
const WINDOW: u64 = 64;
const CLIENTS: usize = 2;
const RELOADS: u8 = 20;
/// Connections of the crowd, more than a server takes in total and from one client.
const CROWD: usize = 10_000;
const IN_TOTAL: usize = 2_000;
const OF_ONE: usize = 200;
/// Descriptors that a daemon may need besides.
const OTHERS: usize = 100;

/// The zone, with its version as an address.
fn template(version: u8) -> String {
    format!(
        "$TTL 60\n@ SOA ns1 hostmaster 0 1h 15m 1w 5\n@ NAMESERVERS ns1=web1\nwww POOL www\n\
         version A 10.2.0.{version}\n$GENERATE 1-1000 h$ A 10.1.0.1\n"
    )
}

fn one(directory: &Path) -> Stage {
    let mut stage = set_with(directory, CLUSTER, &template(0), &SERVERS);
    stage.start("web1").expect("a daemon");
    await_status(&stage, "web1", "its pool is answered", |status| {
        status.pools.iter().flat_map(|pool| &pool.members).all(|member| member.answered)
    });
    // The kernel brings the client's link up in its own time; what is sent before that is lost to nobody's fault.
    let begun = Instant::now();
    while ask(&stage.client, dns(), "version.lb.example.test", A).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the client's link never comes up");
    }
    stage
}

fn dns() -> SocketAddr {
    SocketAddr::new(v4(11), 53)
}

/// Questions with the response codes that belong to them: a pool, plain names, names that do not exist.
fn questions() -> Vec<(Vec<u8>, u8)> {
    let question = |number: u32| {
        let (name, code) = match number % 4 {
            0 => ("www".to_owned(), 0),
            1 => (format!("nothing{number}"), NXDOMAIN),
            _ => (format!("h{}", number % 1000 + 1), 0),
        };
        match Question::dns(&format!("{name}.lb.example.test"), A) {
            Some(Question::Dns(query)) => (query, code),
            other => unreachable!("{name} is a name: {other:?}"),
        }
    };
    (0..1000).map(question).collect()
}

/// What a client counted.
#[derive(Default, Debug)]
struct Tally {
    sent: u64,
    answered: u64,
    /// Replies with the wrong code, or without the answer, or to nothing that was asked.
    wrong: u64,
}

/// Asks without a pause, at most [`WINDOW`] questions at a time, until it is to stop; then waits for what is under way.
fn ask_on(socket: &UdpSocket, questions: &[(Vec<u8>, u8)], stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut expected: Vec<Option<u8>> = vec![None; 1 << 16];
    let mut reply = [0; 4096];
    loop {
        while !stop.load(Ordering::Relaxed) && tally.sent - tally.answered < WINDOW {
            let (query, code) = &questions[tally.sent as usize % questions.len()];
            let id = tally.sent as u16;
            socket.send(&[&id.to_be_bytes(), &query[2..]].concat()).expect("the server is there");
            expected[usize::from(id)] = Some(*code);
            tally.sent += 1;
        }
        if tally.sent == tally.answered {
            return tally;
        }
        // Nothing for so long: what is under way is lost.
        let Ok(length) = socket.recv(&mut reply) else { return tally };
        let code = expected[usize::from(u16::from_be_bytes([reply[0], reply[1]]))].take();
        let has_answer = reply[6..8] != [0, 0];
        let right = code.is_some_and(|code| code == reply[3] & 15 && has_answer == (code == 0)) && length > 12;
        tally.wrong += u64::from(!right);
        tally.answered += u64::from(code.is_some());
    }
}

/// Plays `story` while clients ask, and checks that not one of them missed an answer.
fn under_load(stage: &mut Stage, story: impl FnOnce(&mut Stage)) {
    let client = stage.client.clone();
    let (stop, questions, begun) = (AtomicBool::new(false), questions(), Instant::now());
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let (stop, questions) = (&stop, &questions);
        let clients: Vec<ScopedJoinHandle<'_, Tally>> = (0..CLIENTS)
            .map(|_| {
                let socket = udp(&client, dns());
                scope.spawn(move || ask_on(&socket, questions, stop))
            })
            .collect();
        // Whatever becomes of the story, the clients end.
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story(stage)));
        stop.store(true, Ordering::Relaxed);
        let tallies = clients.into_iter().map(|client| client.join().expect("a client")).collect();
        if let Err(panic) = told {
            std::panic::resume_unwind(panic);
        }
        tallies
    });
    let sent: u64 = tallies.iter().map(|tally| tally.sent).sum();
    println!("{sent} questions, {:.0} a second", sent as f64 / begun.elapsed().as_secs_f64());
    for tally in tallies {
        assert!(tally.sent > WINDOW && tally.answered == tally.sent && tally.wrong == 0, "{tally:?}");
    }
}

fn udp(host: &Host, server: SocketAddr) -> UdpSocket {
    let open = || {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        io::Result::Ok(socket)
    };
    host.run(open).flatten().expect("a socket")
}

#[test]
fn reloads_under_load_lose_no_query() {
    on_stage("reloads_under_load_lose_no_query", || {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut stage = one(directory.path());
        under_load(&mut stage, |stage| {
            for version in 1..=RELOADS {
                fs::write(directory.path().join("lb.zone"), template(version)).expect("the zone can be written");
                stage.signal("web1", SIGHUP).expect("it runs");
                let (begun, wanted) = (Instant::now(), IpAddr::from([10, 2, 0, version]));
                while !ask(&stage.client, dns(), "version.lb.example.test", A)
                    .is_ok_and(|answer| answer.addresses == [wanted])
                {
                    assert!(begun.elapsed() < PATIENCE, "version {version} is never served");
                }
            }
        });
    });
}

/// Lets this process, and what it starts from here on, open as many files as the crowd needs; false where it may not.
fn raise_open_files() -> bool {
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={}:", CROWD + 2_000)]).status();
    raised.is_ok_and(|status| status.success())
}

/// Connections to the server from each of the addresses in turn.
fn connect(host: &Host, from: &[IpAddr], count: usize) -> Vec<TcpStream> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let mut connections = Vec::new();
            for address in from.iter().cycle().take(count) {
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(*address, 0))?;
                connections.push(socket.connect(dns()).await?.into_std()?);
            }
            io::Result::Ok(connections)
        })
    };
    host.run(work).flatten().expect("connections")
}

/// Connections that the server has closed at once, by its own count.
fn turned_away(client: &Host) -> u64 {
    let scrape = || {
        let mut stream = TcpStream::connect((v4(11), 9853))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: web1\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        io::Result::Ok(text)
    };
    let text = client.run(scrape).flatten().expect("the metrics");
    let line = text.lines().find(|line| line.starts_with("standin_dns_dropped_total{reason=\"connections\"}"));
    line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or(0)
}

fn await_turned_away(client: &Host, count: u64) {
    let begun = Instant::now();
    while turned_away(client) < count {
        assert!(begun.elapsed() < PATIENCE, "only {} connections were turned away", turned_away(client));
    }
}

/// Files and sockets that the daemon has open.
fn open_files(stage: &Stage) -> usize {
    let pid = stage.daemon("web1").expect("its guardian's children").expect("it runs");
    fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count()
}

/// A client that sends questions as long as the server takes them, and reads no answer.
fn deaf(client: &Host, questions: &[(Vec<u8>, u8)]) -> TcpStream {
    let mut stream = client.run(|| TcpStream::connect(dns())).flatten().expect("a connection");
    stream.set_nonblocking(true).expect("a socket");
    let frames: Vec<u8> = questions
        .iter()
        .flat_map(|(query, _)| [&u16::try_from(query.len()).expect("short").to_be_bytes(), &query[..]].concat())
        .collect();
    let mut rest = &frames[..];
    loop {
        match stream.write(rest) {
            Ok(written) => rest = if written < rest.len() { &rest[written..] } else { &frames },
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Full, or cut off.
            Err(_) => return stream,
        }
    }
}

/// One question over TCP; whether it was answered.
fn answered_over_tcp(client: &Host, query: &[u8]) -> bool {
    let exchange = || {
        let mut stream = TcpStream::connect(dns())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&u16::try_from(query.len()).expect("short").to_be_bytes())?;
        stream.write_all(query)?;
        let mut reply = [0; 14];
        stream.read_exact(&mut reply)?;
        io::Result::Ok(reply[2..4] == query[..2])
    };
    client.run(exchange).flatten().unwrap_or(false)
}

#[test]
fn ten_thousand_idle_connections_and_a_deaf_client_leave_udp_untouched() {
    on_stage("ten_thousand_idle_connections_and_a_deaf_client_leave_udp_untouched", || {
        if !raise_open_files() {
            return missing("this process may not open ten thousand files");
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut stage = one(directory.path());
        let addresses: Vec<IpAddr> = (130..180).map(v4).collect();
        let with_length: Vec<String> = addresses.iter().map(|address| format!("{address}/24")).collect();
        let with_length: Vec<&str> = with_length.iter().map(String::as_str).collect();
        let crowd = stage.lab.host("crowd", &with_length).expect("a host");
        let client = stage.client.clone();
        under_load(&mut stage, |stage| {
            let questions = questions();
            let _deaf = deaf(&client, &questions);
            // One client gets its share.
            let own = connect(&crowd, &addresses[..1], OF_ONE + 50);
            await_turned_away(&client, 50);
            assert!(open_files(stage) <= OF_ONE + OTHERS, "{} files are open", open_files(stage));
            // All together get the total.
            let all = connect(&crowd, &addresses, CROWD);
            assert!(open_files(stage) <= IN_TOTAL + OTHERS, "{} files are open", open_files(stage));
            println!("{} connections, {} turned away at once", all.len() + own.len(), turned_away(&client));
            // Whoever says nothing is cut off in the end, and makes room.
            let begun = Instant::now();
            while !answered_over_tcp(&client, &questions[0].0) {
                assert!(begun.elapsed() < PATIENCE, "TCP is never answered again");
            }
            for mut idle in all.into_iter().chain(own) {
                idle.set_nonblocking(false).expect("a socket");
                idle.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
                let ended = idle.read(&mut [0]);
                let timed_out = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!ended.as_ref().is_err_and(timed_out) && !matches!(ended, Ok(1)), "still open: {ended:?}");
            }
            assert!(open_files(stage) <= OTHERS, "{} files are open", open_files(stage));
        });
    });
}
