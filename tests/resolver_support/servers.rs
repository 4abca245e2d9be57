//! The servers around ours: the parent zone on Knot DNS; the resolvers are in [`super::resolvers`].

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use host::lab::{Host, Lab, ask::ask};

use super::super::stage_support::PATIENCE;
use super::expect::{Record, Zone};

/// The zone that delegates the example to us.
pub(crate) const PARENT: &str = include_str!("../../zones/example/parent.zone");
/// A root that delegates only to the parent.
const ROOT: &str = ".\t3600\tIN\tSOA\tns.example.test. hostmaster.example.test. 1 3600 900 604800 300\n\
                    .\t3600\tIN\tNS\tns.example.test.\n\
                    example.test.\t3600\tIN\tNS\tns.example.test.\n\
                    ns.example.test.\t3600\tIN\tA\t10.77.0.53\n";

/// The zone to which the example delegates, where nobody asks for it.
pub(crate) const NO_CHILD: &str = "lab.lb.example.test.\t300\tIN\tSOA\tns.example.test. hostmaster.example.test. 1 3600 900 604800 5\n\
                                   lab.lb.example.test.\t300\tIN\tNS\tns.example.test.\n";

/// A server of somebody else; ended when dropped, and with the thread that started it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
}

impl Server {
    /// Starts `command` in `folder`, and waits until it answers for `name` (SOA) at `address`.
    pub(crate) fn start(host: &Host, mut command: Command, folder: &Path, (address, name): (IpAddr, &str)) -> Self {
        let log = folder.join("log");
        let stderr = fs::File::create(&log).expect("the log can be written");
        let stdout = stderr.try_clone().expect("a descriptor");
        command.current_dir(folder).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let server = Self { process: command.spawn().expect("the server can be started") };
        let begun = Instant::now();
        while !ask(host, SocketAddr::new(address, 53), name, SOA).is_ok_and(|answer| u16::from(answer.rcode) == 0) {
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "{command:?} does not answer: {}", log());
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
    parent_with(lab, knotd, folder, PARENT, child)
}

/// The same with another text of example.test: other glue.
pub(crate) fn parent_with(lab: &mut Lab, knotd: &Path, folder: &Path, parent: &str, child: &str) -> (Host, Server) {
    let addresses = ["10.77.0.53/24", "10.77.0.60/24", "fd00:77::60/64"];
    let host = lab.host("parent", &addresses).expect("a host");
    let folder = own(folder, "parent");
    let zones = [(".", "root", ROOT), ("example.test", "parent", parent), ("lab.lb.example.test", "lab", child)];
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
    fs::write(folder.join("conf"), config).expect("the configuration can be written");
    let mut command = host.command(knotd);
    command.arg("-c").arg(folder.join("conf"));
    let server = Server::start(&host, command, &folder, ([10, 77, 0, 53].into(), "example.test"));
    (host, server)
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
pub(crate) fn own(folder: &Path, name: &str) -> PathBuf {
    let own = folder.join(name);
    fs::create_dir_all(&own).expect("a folder can be made");
    own
}
