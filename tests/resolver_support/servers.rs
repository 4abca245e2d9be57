//! The servers around ours: the parent zone on Knot DNS, and unbound, which resolves from the root.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Instant,
};

use host::lab::{Host, Lab, ask::ask};

use super::super::stage_support::PATIENCE;
use super::expect::{Record, Zone};

/// The zone that delegates the example to us.
const PARENT: &str = include_str!("../../zones/example/parent.zone");
/// A root that delegates only to the parent.
const ROOT: &str = ".\t3600\tIN\tSOA\tns.example.test. hostmaster.example.test. 1 3600 900 604800 300\n\
                    .\t3600\tIN\tNS\tns.example.test.\n\
                    example.test.\t3600\tIN\tNS\tns.example.test.\n\
                    ns.example.test.\t3600\tIN\tA\t10.77.0.53\n";
/// What unbound knows to begin with.
const HINTS: &str = ".\t3600\tIN\tNS\tns.example.test.\nns.example.test.\t3600\tIN\tA\t10.77.0.53\n";
/// Where unbound listens, on the client.
pub(crate) const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A server of somebody else; ended when dropped, and with the thread that started it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
}

impl Server {
    /// Starts `program` with the configuration `config`, and waits until it answers for `name` (SOA) at `address`.
    fn start(host: &Host, program: &Path, folder: &Path, config: &str, (address, name): (IpAddr, &str)) -> Self {
        let (file, log) = (folder.join("conf"), folder.join("log"));
        fs::write(&file, config).expect("the configuration can be written");
        let stderr = fs::File::create(&log).expect("the log can be written");
        let mut command = host.command(program);
        command.arg("-c").arg(&file).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let server = Self { process: command.spawn().expect("the server can be started") };
        let begun = Instant::now();
        while !ask(host, SocketAddr::new(address, 53), name, SOA).is_ok_and(|answer| u16::from(answer.rcode) == 0) {
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "{} does not answer: {}", program.display(), log());
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SOA: u16 = 6;

/// The host "parent": ns.example.test and ns.lab.lb.example.test, as the example's zones address them. It serves a root,
/// example.test, and `lab`, to which the example delegates further.
pub(crate) fn parent(lab: &mut Lab, knotd: &Path, folder: &Path, child: &str) -> (Host, Server) {
    let addresses = ["10.77.0.53/24", "10.77.0.60/24", "fd00:77::60/64"];
    let host = lab.host("parent", &addresses).expect("a host");
    let folder = own(folder, "parent");
    let zones = [(".", "root", ROOT), ("example.test", "parent", PARENT), ("lab.lb.example.test", "lab", child)];
    let at = folder.display();
    let mut config = format!(
        "server:\n  listen: [10.77.0.53@53, 10.77.0.60@53, \"fd00:77::60@53\"]\n  rundir: {at}\n\
         \x20 udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: {at}\nzone:\n"
    );
    for (zone, file, text) in zones {
        fs::write(folder.join(file), text).expect("the zone can be written");
        config.push_str(&format!(
            "  - domain: {zone}\n    file: {at}/{file}\n    zonefile-sync: -1\n    journal-content: none\n"
        ));
    }
    let server = Server::start(&host, knotd, &folder, &config, ([10, 77, 0, 53].into(), "example.test"));
    (host, server)
}

/// unbound on `host`, with an empty cache, knowing the root and nothing else.
pub(crate) fn unbound(host: &Host, program: &Path, folder: &Path) -> Server {
    let folder = own(folder, "unbound");
    let at = folder.display();
    fs::write(folder.join("hints"), HINTS).expect("the hints can be written");
    let config = format!(
        "server:\n  directory: \"{at}\"\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  do-daemonize: no\n\
         \x20 use-syslog: no\n  logfile: \"\"\n  num-threads: 1\n  interface: {RESOLVER}\n  root-hints: \"{at}/hints\"\n\
         \x20 module-config: \"iterator\"\n  local-zone: \"test.\" nodefault\n  use-caps-for-id: yes\n\
         remote-control:\n  control-enable: no\n"
    );
    // Debian's AppArmor profile goes by the path of the program and allows it no configuration but its own.
    let copy = folder.join("unbound");
    fs::copy(program, &copy).expect("a program can be copied");
    Server::start(host, &copy, &folder, &config, (RESOLVER, "example.test"))
}

/// The zone to which the example delegates: as its delegation says, and one name more.
pub(crate) fn lab_zone(example: &Zone) -> String {
    let origin = format!("lab.{}", example.origin);
    let delegation = example.records.iter().filter(|record| record.owner.ends_with(&origin));
    let lines = delegation.map(|record| {
        let Record { owner, ttl, kind, data } = record;
        format!("{owner}\t{ttl}\tIN\t{kind}\t{data}\n")
    });
    let text: String = lines.collect();
    format!(
        "{origin}\t300\tIN\tSOA\tns.{origin} hostmaster.example.test. 1 3600 900 604800 5\n{text}host.{origin}\t60\tIN\tA\t10.77.0.61\n"
    )
}

/// A folder of its own in `folder`.
fn own(folder: &Path, name: &str) -> PathBuf {
    let own = folder.join(name);
    fs::create_dir_all(&own).expect("a folder can be made");
    own
}
