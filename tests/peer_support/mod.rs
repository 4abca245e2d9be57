//! Knot DNS and NSD on loopback, from their Debian packages.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// A server program: its arguments, and its configuration for a port, a folder and the zones there, each a file of its
/// own name.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    arguments: &'static [&'static str],
    config: fn(u16, &Path, &[&str]) -> String,
}

pub(crate) const KNOT: Program = Program { name: "knotd", arguments: &[], config: knot };
pub(crate) const NSD: Program = Program { name: "nsd", arguments: &["-d"], config: nsd };

/// A server of somebody else on loopback; ended when dropped.
pub(crate) struct Peer {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Peer {
    /// Starts a program on a free port. Nothing if it is not installed; with `CI=true` that is a failure.
    pub(crate) fn start(program: &Program, folder: &Path, zones: &[&str]) -> Option<Self> {
        let path = installed(program.name)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let file = folder.join("peer.conf");
        fs::write(&file, (program.config)(address.port(), folder, zones)).expect("the configuration can be written");
        let log = folder.join("log");
        let stderr = fs::File::create(&log).expect("the log can be written");
        let mut command = Command::new(path);
        command.args(program.arguments).arg("-c").arg(&file).current_dir(folder);
        command.stdout(Stdio::null()).stderr(stderr);
        Some(Self { process: command.spawn().expect("the server can be started"), address, log })
    }

    /// The answer to a question; asked again until the server is up.
    pub(crate) fn ask(&self, query: &[u8]) -> Vec<u8> {
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

fn knot(port: u16, folder: &Path, zones: &[&str]) -> String {
    let folder = folder.display();
    let zone = |name: &&str| {
        format!("  - domain: {name}\n    file: {folder}/{name}\n    zonefile-sync: -1\n    journal-content: none\n")
    };
    format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\n\
         log:\n  - target: stderr\n    any: error\n\
         database:\n  storage: {folder}\n\
         zone:\n{}",
        zones.iter().map(zone).collect::<String>()
    )
}

fn nsd(port: u16, folder: &Path, zones: &[&str]) -> String {
    let folder = folder.display();
    let zone = |name: &&str| format!("zone:\n  name: {name}\n  zonefile: {folder}/{name}\n");
    format!(
        "server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n\
         \x20 zonesdir: {folder}\n  xfrdfile: {folder}/xfrd\n  zonelistfile: {folder}/list\n  xfrdir: {folder}\n\
         \x20 server-count: 1\n  rrl-ratelimit: 0\n  minimal-responses: yes\n\
         remote-control:\n  control-enable: no\n{}",
        zones.iter().map(zone).collect::<String>()
    )
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
