//! The daemon as a process: one server on loopback, without virtual hosts, so that no privilege is needed. How it starts,
//! answers, reloads, refuses and stops; and the commands that ask it.
//!
//! Every test has loopback addresses of its own. Waiting is for events: the readiness message, a line of the log, an
//! answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    os::unix::{fs::OpenOptionsExt, fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use model::api::{Status, usage::DnsUsage};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");
/// Long enough for a busy machine; what is awaited normally comes in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &str = "c3RhbmRpbiBiZW5jaCBrZXksIG5vdCBhIHNlY3JldCE=\n";
const ZONE: &str = "\
$TTL 60
@ SOA ns1 hostmaster 0 3600 900 604800 5
@ NAMESERVERS ns1=web1
www POOL www
text TXT \"one\"
";
const A: u16 = 1;
const TXT: u16 = 16;

/// One server's files, and its daemon while it runs.
struct Server {
    directory: tempfile::TempDir,
    ip: Ipv4Addr,
    notify: UnixDatagram,
}

struct Daemon {
    child: Child,
    /// With it the daemon proper ends, which may outlive the guardian that is the child.
    _stdin: ChildStdin,
    log: Receiver<String>,
}

impl Server {
    /// `number` is different in each test of this program; other programs have other processes.
    fn new(number: u8) -> Self {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 1 + high % 250, low, number);
        let directory = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let this = Self { directory, ip, notify };
        this.write("cluster.toml", &this.cluster("5"));
        this.write("lb.zone", ZONE);
        this.write("cluster.key", KEY);
        this.write("standin.toml", &this.node());
        this
    }

    fn node(&self) -> String {
        let ip = self.ip;
        format!(
            "name = \"web1\"\nstate-dir = \"state\"\ncluster-file = \"cluster.toml\"\nsocket = \"run/standin.sock\"\n\
             [heartbeat]\nlisten = \"{ip}:7946\"\nkey-file = \"cluster.key\"\n\
             [dns]\nlisten = [\"{ip}:5300\"]\nthreads = 1\n\
             [admin]\nlisten = \"{ip}:8053\"\n[metrics]\nlisten = \"{ip}:9853\"\n"
        )
    }

    fn cluster(&self, ttl: &str) -> String {
        format!(
            "[cluster]\nname = \"test\"\n[server.web1]\naddress = \"{}\"\n\
             [pool.www]\nmembers = [\"web1\"]\nttl = {ttl}\n[zone.\"lb.example.test\"]\ntemplate = \"lb.zone\"\n",
            self.ip
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let mut options = fs::File::options();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn run(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--config"]).arg(self.path("standin.toml"));
        command.env("RUST_LOG", "info").env("NOTIFY_SOCKET", self.path("notify"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts the daemon and waits until it says that it is ready and knows what it answers.
    fn start(&self) -> Daemon {
        let mut child = self.run().arg("--while-stdin").stdin(Stdio::piped()).spawn().unwrap();
        let (lines, log) = sync_channel(1024);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let stdin = child.stdin.take().unwrap();
        let daemon = Daemon { child, _stdin: stdin, log };
        daemon.await_line("may take addresses");
        self.await_notice("READY=1");
        daemon
    }

    /// Waits for a message to the service manager.
    fn await_notice(&self, wanted: &str) {
        let mut buffer = [0; 4096];
        loop {
            let length = self.notify.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == wanted) {
                return;
            }
        }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).args(["--config".into(), self.path("standin.toml")]).output().unwrap()
    }

    fn status(&self) -> Status {
        let output = self.ask(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.ip, port))
    }

    fn get(&self, port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect(self.at(port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Response code and answer section, over UDP. The view may be some microseconds behind the log.
    fn dns(&self, name: &str, rtype: u16) -> (u8, Vec<Vec<u8>>) {
        let socket = UdpSocket::bind((self.ip, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let begun = Instant::now();
        loop {
            socket.send_to(&query(name, rtype), self.at(5300)).unwrap();
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).unwrap();
            let answer = parse(&buffer[..length]);
            if answer.0 != 2 || begun.elapsed() > PATIENCE {
                return answer;
            }
        }
    }

    fn dns_tcp(&self, name: &str, rtype: u16) -> (u8, Vec<Vec<u8>>) {
        let mut stream = TcpStream::connect(self.at(5300)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let query = query(name, rtype);
        let framed = [&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat();
        stream.write_all(&framed).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        parse(&answer)
    }
}

impl Daemon {
    /// Everything that the log says up to a line with `wanted`.
    fn await_line(&self, wanted: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error}: no {wanted:?} in\n{seen}"));
            seen += &format!("{line}\n");
            if line.contains(wanted) {
                return seen;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// SIGTERM, and what the log says from then on.
    fn stop(mut self) -> (ExitStatus, String) {
        self.signal("-TERM");
        let rest: Vec<String> = self.log.iter().collect();
        (self.child.wait().unwrap(), rest.join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone where the test has waited for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn query(name: &str, rtype: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(rtype.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// Response code, and the data of each record of the answer section.
fn parse(message: &[u8]) -> (u8, Vec<Vec<u8>>) {
    assert_eq!(message[..2], [0x12, 0x34]);
    let skip_name = |mut at: usize| loop {
        match message[at] {
            0 => return at + 1,
            pointer if pointer >= 0xC0 => return at + 2,
            label => at += 1 + usize::from(label),
        }
    };
    let mut at = skip_name(12) + 4;
    let mut records = Vec::new();
    for _ in 0..u16::from_be_bytes([message[6], message[7]]) {
        at = skip_name(at) + 8;
        let length = usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
        records.push(message[at + 2..at + 2 + length].to_vec());
        at += 2 + length;
    }
    (message[3] & 0x0F, records)
}

#[test]
fn it_starts_answers_and_stops() {
    let server = Server::new(1);
    let daemon = server.start();
    let www = (0, vec![server.ip.octets().to_vec()]);
    assert_eq!(server.dns("www.lb.example.test", A), www);
    assert_eq!(server.dns_tcp("www.lb.example.test", A), www);
    assert_eq!(server.dns("nothing.lb.example.test", A), (3, vec![]));

    let status = server.status();
    assert_eq!((status.cluster.as_str(), status.this.as_str(), status.state.as_str()), ("test", "web1", "normal"));
    assert_eq!(status.servers.len(), 1);
    assert_eq!((status.servers[0].state.as_str(), status.servers[0].address), ("self", IpAddr::V4(server.ip)));
    assert!(status.pools[0].members[0].answered);
    assert_eq!((status.config.version, status.config.hash.len(), &status.config.refused), (1, 16, &None));
    assert_eq!(status.dns.listening, [server.at(5300).to_string()]);
    assert_eq!(status.dns.zones, ["lb.example.test"]);
    let text = server.ask(&["status"]);
    assert_eq!(text.status.code(), Some(0), "{text:?}");
    assert!(String::from_utf8_lossy(&text.stdout).starts_with("test seen from web1: normal"), "{text:?}");
    assert_eq!(fs::metadata(server.path("run/standin.sock")).unwrap().permissions().mode() & 0o777, 0o600);

    server.await_notice("STATUS=normal: 1 of 1 servers alive; holds nothing");
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("planned stop"), "{log}");
    assert!(!log.contains("longer than"), "{log}");
    assert!(!server.path("run/standin.sock").exists());
    assert_eq!(server.ask(&["status"]).status.code(), Some(1));
}

#[test]
fn metrics_are_prometheus_text_and_count_what_happened() {
    let server = Server::new(2);
    let _daemon = server.start();
    server.dns("www.lb.example.test", A);
    server.dns("nothing.lb.example.test", A);
    let begun = Instant::now();
    // The first deadline is the first heartbeat's, an interval after the start.
    let page = loop {
        let page = server.get(9853, "GET /metrics");
        if !page.contains("standin_driver_lateness_seconds_count 0\n") || begun.elapsed() > PATIENCE {
            break page;
        }
    };
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/plain; version=0.0.4"), "{page}");
    let (_, body) = page.split_once("\r\n\r\n").unwrap();
    for line in body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.starts_with("standin_") || series.starts_with("process_"), "{line}");
    }
    let value = |series: &str| -> f64 {
        let line = body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{body}")).parse().unwrap()
    };
    assert!(value("standin_dns_queries_total{type=\"A\"}") >= 2.0);
    assert!((value("standin_dns_responses_total{rcode=\"NXDOMAIN\"}") - 1.0).abs() < 1e-9);
    assert!((value("standin_servers{state=\"self\"}") - 1.0).abs() < 1e-9);
    assert!(value("standin_view_rebuild_duration_seconds_count") >= 1.0);
    assert!(value("standin_driver_lateness_seconds_count") >= 1.0);
}

#[test]
fn what_dns_is_asked_most_is_told() {
    let server = Server::new(13);
    let _daemon = server.start();
    for name in ["www.lb.example.test", "WwW.LB.example.test"] {
        (0..20).for_each(|_| drop(server.dns(name, A)));
    }
    (0..8).for_each(|_| drop(server.dns("nothing.lb.example.test", A)));
    (0..3).for_each(|_| drop(server.dns("text.lb.example.test", TXT)));
    server.dns_tcp("text.lb.example.test", TXT);
    let top = |by: &str| -> Vec<(String, f64)> {
        let output = server.ask(&["dns", "top", "--by", by, "--json"]);
        let usage: DnsUsage = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((usage.minutes, usage.tables.len(), usage.servers.len()), (5, 1, 1));
        usage.tables[0].entries.iter().map(|one| (one.what.clone(), one.percent)).collect()
    };
    let begun = Instant::now();
    // The sheets are taken once a second.
    let names = loop {
        let names = top("name");
        let all: f64 = names.iter().map(|(_, percent)| percent).sum();
        if names.len() == 3 && (all - 100.0).abs() < 1.0 && (names[2].1 - 4.0 * names[0].1 / 40.0).abs() < 0.5 {
            break names;
        }
        assert!(begun.elapsed() < PATIENCE, "{names:?}");
    };
    let words = |top: &[(String, f64)]| -> Vec<String> { top.iter().map(|(what, _)| what.clone()).collect() };
    assert_eq!(words(&names), ["www.lb.example.test", "nothing.lb.example.test", "text.lb.example.test"]);
    assert!((70.0..85.0).contains(&names[0].1), "40 of 52: {names:?}");
    assert_eq!(words(&top("client")), [server.ip.to_string(), "127.0.0.1".to_owned()], "by UDP, and once by TCP");
    assert_eq!(words(&top("address")), [server.ip.to_string()], "the pool's one member");
    assert_eq!(words(&top("type")), ["A", "TXT"]);
    assert_eq!(words(&top("rcode")), ["NOERROR", "NXDOMAIN"]);
    let text = server.ask(&["dns", "top", "--minutes", "60"]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("www.lb.example.test"));
    assert_eq!(server.ask(&["dns", "top", "--minutes", "7"]).status.code(), Some(2));
}

#[test]
fn the_admin_port_only_reads() {
    let server = Server::new(3);
    let _daemon = server.start();
    let status = server.get(8053, "GET /v1/status");
    assert!(status.starts_with("HTTP/1.1 200") && status.contains("\"self\":\"web1\""), "{status}");
    let way = server.get(8053, "GET /");
    assert!(way.starts_with("HTTP/1.1 303") && way.contains("location: /console\r\n"), "{way}");
    let page = server.get(8053, "GET /console");
    assert!(page.contains("text/html") && page.contains("test: ") && page.contains("data-lane=\"web1\""), "{page}");
    assert!(server.get(8053, "POST /console/do/standby").starts_with("HTTP/1.1 403"));
    assert!(server.get(8053, "GET /v1/events").contains("\"event\":\"listened\""));
    assert!(server.get(8053, "POST /v1/standby").starts_with("HTTP/1.1 403"));
    assert!(server.get(8053, "POST /v1/leave").starts_with("HTTP/1.1 403"));
    assert!(server.get(8053, "POST /v1/status").starts_with("HTTP/1.1 405"));
}

#[test]
fn a_bad_file_at_reload_leaves_the_running_one_in_force() {
    let server = Server::new(4);
    let daemon = server.start();
    let before = server.status().config;

    server.write("cluster.toml", &server.cluster("7"));
    server.write("standin.toml", &(server.node() + "colour = \"red\"\n"));
    server.write("lb.zone", &format!("{ZONE}bad A not-an-address\n"));
    daemon.signal("-HUP");
    let log = daemon.await_line("bad A not-an-address");
    assert!(log.contains("configuration refused") && log.contains("colour"), "{log}");
    server.write("standin.toml", &server.node());
    let refused = server.status().config;
    assert_eq!((refused.version, &refused.hash), (before.version, &before.hash));
    assert!(refused.refused.is_some_and(|errors| errors.contains("colour") && errors.contains("not-an-address")));
    let shown = server.ask(&["status"]);
    assert_eq!(shown.status.code(), Some(3), "{shown:?}");
    assert_eq!(server.dns("text.lb.example.test", TXT), (0, vec![b"\x03one".to_vec()]));

    server.write("lb.zone", &ZONE.replace("one", "two"));
    daemon.signal("-HUP");
    daemon.await_line("is in force");
    let after = server.status().config;
    assert_eq!((after.version, &after.refused), (before.version + 1, &None));
    assert_ne!(after.hash, before.hash);
    let begun = Instant::now();
    while server.dns("text.lb.example.test", TXT).1 != [b"\x03two"] {
        assert!(begun.elapsed() < PATIENCE, "the new zone is never served");
    }
}

#[test]
fn dns_follows_the_node_file_to_another_port() {
    let server = Server::new(5);
    let daemon = server.start();
    server.write("standin.toml", &server.node().replace(":5300\"", ":5301\""));
    daemon.signal("-HUP");
    daemon.await_line("is in force");
    assert_eq!(server.status().dns.listening, [server.at(5301).to_string()]);
    TcpStream::connect(server.at(5301)).unwrap();
    TcpStream::connect(server.at(5300)).unwrap_err();

    // A port that somebody has: refused, and DNS goes on where it was.
    let _taken = UdpSocket::bind(server.at(5302)).unwrap();
    server.write("standin.toml", &server.node().replace(":5300\"", ":5302\""));
    daemon.signal("-HUP");
    let log = daemon.await_line("cannot listen for DNS");
    assert!(log.contains("configuration refused"), "{log}");
    assert_eq!(server.status().dns.listening, [server.at(5301).to_string()]);
    TcpStream::connect(server.at(5301)).unwrap();
}

#[test]
fn standby_and_resume_are_for_the_server_that_is_asked() {
    let server = Server::new(6);
    let _daemon = server.start();
    let elsewhere = server.ask(&["standby", "web9"]);
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("this is web1, not web9"), "{elsewhere:?}");
    assert_eq!(server.ask(&["standby", "web1"]).status.code(), Some(0));
    let status = server.status();
    assert!(status.servers[0].standby && status.state == "standby", "{status:?}");
    assert_eq!(server.ask(&["resume"]).status.code(), Some(0));
    assert!(!server.status().servers[0].standby);

    // The journal may be some microseconds behind the core.
    let begun = Instant::now();
    let standby = loop {
        let events = server.ask(&["events", "--json"]);
        let events = String::from_utf8(events.stdout).unwrap();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let standby: Vec<Value> = events.filter(|event| event["event"] == "standby").collect();
        if standby.len() == 2 {
            break standby;
        }
        assert!(begun.elapsed() < PATIENCE, "{standby:?}");
    };
    assert!(standby[0]["on"] == true && standby[1]["on"] == false && standby[0]["server"] == "web1");
    let text = server.ask(&["events"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("web1 is on standby"), "{text:?}");
}

#[test]
fn the_watchdog_is_fed_and_the_log_can_be_json() {
    let server = Server::new(10);
    let mut child = server.run().args(["--log-format", "json"]).env("WATCHDOG_USEC", "200000").spawn().unwrap();
    server.await_notice("WATCHDOG=1");
    server.await_notice("WATCHDOG=1");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    server.await_notice("STOPPING=1");
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let started = lines.iter().find(|line| line["event"] == "started").unwrap();
    assert!(started["boot"].is_string() && started["level"] == "INFO", "{started}");
}

#[test]
fn bad_configuration_exits_2_with_every_mistake() {
    let server = Server::new(7);
    server.write("standin.toml", &(server.node() + "colour = \"red\"\n"));
    server.write("lb.zone", &format!("{ZONE}bad A not-an-address\n"));
    let output = server.run().output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("colour") && said.contains("not-an-address"), "{said}");
}

#[test]
fn a_second_daemon_says_what_is_taken_and_exits_1() {
    let server = Server::new(8);
    let _daemon = server.start();
    let output = server.run().output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot listen for heartbeats") && said.contains("sport = :7946"), "{said}");
    // The first one is untouched.
    assert_eq!(server.status().this, "web1");
}

#[test]
fn a_zone_is_printed_as_a_plain_master_file() {
    let server = Server::new(9);
    let output = server.ask(&["zone", "render", "lb.example.test"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("POOL") && text.contains(&server.ip.to_string()), "{text}");
    let unknown = server.ask(&["zone", "render", "other.test"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("lb.example.test"), "{unknown:?}");
}
