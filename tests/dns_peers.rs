//! Other authoritative servers as oracles: Knot DNS and NSD serve the example as rendered, on loopback, and every name
//! of it, those between, below and beside, gets the same answers from them as from us.
//!
//! Debian packages: knot, nsd. Where one is not installed its part is skipped and says so; with `CI=true` that is a failure.

mod zone_support;

use std::{
    collections::BTreeSet,
    env, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use dns::{Outcome, View, Zone, Zones, respond};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{LowerName, Name, Record, RecordType},
};
use model::{
    Health, ServerName,
    config::ClusterConfig,
    health::{ServerHealth, ServerState, Verdict, VirtualHostHealth},
};
use zone_support::{ZONE, cluster, load, members, templates};

/// Types asked of every name.
const TYPES: [RecordType; 12] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CAA,
    RecordType::CNAME,
    RecordType::DS,
    RecordType::HTTPS,
    RecordType::MX,
    RecordType::NS,
    RecordType::SOA,
    RecordType::SRV,
    RecordType::TXT,
    RecordType::Unknown(65_400),
];

/// Makes a configuration file for a port and a folder.
type Config = fn(u16, &Path) -> String;

/// A server of somebody else on loopback; ended when dropped.
struct Peer {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Peer {
    /// Starts `program` with a configuration file made of `folder` and a free port.
    fn start(program: &Path, arguments: &[&str], config: impl Fn(u16) -> String, folder: &Path) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let file = folder.join("peer.conf");
        fs::write(&file, config(address.port())).expect("the configuration can be written");
        let log = folder.join("log");
        let stderr = fs::File::create(&log).expect("the log can be written");
        let mut command = Command::new(program);
        command.args(arguments).arg("-c").arg(&file).current_dir(folder).stdout(Stdio::null()).stderr(stderr);
        Self { process: command.spawn().expect("the server can be started"), address, log }
    }

    /// The answer to a question; asked again until the server is up.
    fn ask(&self, query: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        socket.connect(self.address).expect("loopback");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a valid timeout");
        let mut reply = [0; 4096];
        let patience = Instant::now() + Duration::from_secs(30);
        while Instant::now() < patience {
            if socket.send(query).is_ok()
                && let Ok(length) = socket.recv(&mut reply)
            {
                return reply[..length].to_vec();
            }
            // Refused: it is not up yet, and nothing tells when it is.
            std::thread::sleep(Duration::from_millis(5));
        }
        unreachable!("{} does not answer: {}", self.address, fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // NSD has children that only its own end ends.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// A port that is free for UDP and TCP, below those that the kernel gives away.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return port;
        }
    }
}

fn knot(port: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\n\
         log:\n  - target: stderr\n    any: error\n\
         database:\n  storage: {folder}\n\
         zone:\n  - domain: {ZONE}\n    file: {folder}/zone\n    zonefile-sync: -1\n    journal-content: none\n"
    )
}

fn nsd(port: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n\
         \x20 zonesdir: {folder}\n  xfrdfile: {folder}/xfrd\n  zonelistfile: {folder}/list\n  xfrdir: {folder}\n\
         \x20 server-count: 1\n  rrl-ratelimit: 0\n  minimal-responses: yes\n\
         remote-control:\n  control-enable: no\n\
         zone:\n  name: {ZONE}\n  zonefile: {folder}/zone\n"
    )
}

/// What two servers must agree on.
#[derive(PartialEq, Debug)]
struct Essence {
    rcode: String,
    authoritative: bool,
    answer: BTreeSet<String>,
    /// Where the answer ends without data: the SOA or the delegation, and its glue.
    ending: BTreeSet<String>,
}

impl Essence {
    fn of(reply: &[u8], asked: RecordType) -> Self {
        let Ok(message) = Message::from_vec(reply) else {
            // hickory-proto reads no record without data; such a reply is compared by its header and its last bytes.
            return Self {
                rcode: format!("{:?}", &reply[3..12]),
                authoritative: reply[2] & 4 != 0,
                answer: BTreeSet::from([format!("{:?}", &reply[reply.len() - 10..])]),
                ending: BTreeSet::new(),
            };
        };
        let texts = |records: &[Record]| records.iter().map(|r| r.to_string().to_ascii_lowercase()).collect();
        let has_data = message.answers.iter().any(|record| record.record_type() == asked);
        let is_referral = message.authorities.iter().any(|record| record.record_type() == RecordType::NS);
        let mut ending: BTreeSet<String> = if has_data { BTreeSet::new() } else { texts(&message.authorities) };
        if !has_data && is_referral {
            ending.extend(texts(&message.additionals));
        }
        Self {
            rcode: format!("{:?}", message.metadata.response_code),
            authoritative: message.metadata.authoritative,
            answer: texts(&message.answers),
            ending,
        }
    }
}

/// Every owner, every name above one, and names below and beside them.
fn names(owners: impl Iterator<Item = LowerName>, apex: &Name) -> BTreeSet<Name> {
    let mut names = BTreeSet::new();
    for owner in owners {
        let mut name = Name::from(owner);
        while apex.zone_of(&name) {
            for label in ["below", "*", "zz-beside"] {
                names.extend(name.prepend_label(label));
            }
            names.extend(name.prepend_label("a").and_then(|below| below.prepend_label("b")));
            names.insert(name.clone());
            name = name.base_name();
        }
    }
    names
}

/// Where the program is; nothing if it is not installed.
fn installed(program: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"].iter().map(|folder| Path::new(folder).join(program));
    let path = found.into_iter().find(|path| path.is_file());
    if path.is_none() {
        assert!(env::var("CI").as_deref() != Ok("true"), "{program} is not installed");
        eprintln!("skipped: {program} is not installed");
    }
    path
}

/// Every server alive, every virtual host up at its primary: pools answer with all their members.
fn view(zone: Zone, cluster: &ClusterConfig) -> View {
    let alive = ServerHealth { state: ServerState::Alive, standby: false };
    let held = |server: &ServerName| VirtualHostHealth {
        active: Some(server.clone()),
        at_primary: true,
        verdict: Verdict::Up,
    };
    let hosts = cluster.virtual_hosts.iter();
    let health = Health {
        settled: true,
        serial: 7,
        servers: cluster.servers.keys().map(|name| (name.clone(), alive)).collect(),
        virtual_hosts: hosts.map(|(name, host)| (name.clone(), held(&host.servers[0]))).collect(),
        ..Health::default()
    };
    View::build(&Arc::new(Zones::compile(vec![zone], cluster)), &health, "web1")
}

/// Serves one template by both and tells every difference.
fn compare(program: &Path, arguments: &[&str], config: Config, cluster_file: &str, template: &str) -> Vec<String> {
    let cluster = cluster(cluster_file);
    let zone = load(&cluster, template).map_err(|mistakes| mistakes[0].to_string()).expect("a valid template");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let text = zone.render(&|pool| members(&cluster, pool), 7);
    fs::write(folder.path().join("zone"), text).expect("the zone can be written");
    let peer = Peer::start(program, arguments, |port| config(port, folder.path()), folder.path());

    let names = names(zone.owners.iter().map(|owner| owner.name()), &zone.origin);
    let view = view(zone, &cluster);
    let (mut differences, mut turn) = (Vec::new(), 0);
    for (name, asked) in names.iter().flat_map(|name| TYPES.map(|asked| (name, asked))) {
        let mut query = Message::new(77, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(name.clone(), asked));
        let query = query.to_vec().expect("a message");
        let mut out = [0; 4096];
        let Outcome::Reply(length) = respond(&view, IpAddr::from([127, 0, 0, 1]), &query, &mut out, &mut turn) else {
            unreachable!("a plain query is answered at once")
        };
        let ours = Essence::of(&out[..length], asked);
        let theirs = Essence::of(&peer.ask(&query), asked);
        if ours != theirs {
            differences.push(format!("{template}: {name} {asked}\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    differences
}

/// The example and every valid template.
fn compare_all(program: &str, arguments: &[&str], config: Config) {
    let Some(program) = installed(program) else { return };
    let mut differences = compare(&program, arguments, config, "zones/example/cluster.toml", "zones/example/lb.zone");
    for template in templates("zones/valid") {
        differences.extend(compare(&program, arguments, config, "zones/test-cluster.toml", &template));
    }
    let first = differences[..differences.len().min(20)].join("\n");
    assert!(differences.is_empty(), "{} differences\n{first}", differences.len());
}

#[test]
fn knot_answers_the_same() {
    compare_all("knotd", &[], knot);
}

#[test]
fn nsd_answers_the_same() {
    compare_all("nsd", &["-d"], nsd);
}
