//! Who else has the ports that we need.

use std::net::SocketAddr;

use host::survey::{Holder, Transport};

use super::{Facts, Finding, Severity, Wanted};

/// Our own program's name.
const OURS: &str = "standin";
/// systemd-resolved's, which the kernel cuts after fifteen bytes.
const RESOLVED: &str = "systemd-resolve";

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(wanted) = &facts.wanted else { return Vec::new() };
    let mut found: Vec<Finding> = Vec::new();
    for (section, transport, socket) in sockets(wanted) {
        let others = facts.machine.holders.iter().filter(|holder| {
            holder.transport == transport && collide(holder.address, socket) && !is_ours(facts, holder)
        });
        for holder in others {
            let finding = taken(section, socket, holder);
            if !found.iter().any(|known| known.seen == finding.seen) {
                found.push(finding);
            }
        }
    }
    found
}

fn sockets(wanted: &Wanted) -> Vec<(&'static str, Transport, SocketAddr)> {
    let mut all = vec![("heartbeat", Transport::Udp, wanted.heartbeat)];
    for socket in &wanted.dns {
        all.extend([("dns", Transport::Udp, *socket), ("dns", Transport::Tcp, *socket)]);
    }
    all.extend(wanted.admin.map(|socket| ("admin", Transport::Tcp, socket)));
    all.extend(wanted.metrics.map(|socket| ("metrics", Transport::Tcp, socket)));
    all
}

/// Whether the two cannot be bound together.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |socket: SocketAddr| socket.ip().is_unspecified();
    // An IPv6 wildcard takes IPv4 too, unless told otherwise, which cannot be seen.
    let same_family = one.is_ipv4() == other.is_ipv4() || one.is_ipv6() && any(one) || other.is_ipv6() && any(other);
    one.port() == other.port() && same_family && (one.ip() == other.ip() || any(one) || any(other))
}

fn is_ours(facts: &Facts, holder: &Holder) -> bool {
    let Some(running) = &facts.running else { return false };
    // Whoever may not see processes sees that the daemon listens.
    let listens = || running.status.dns.listening.contains(&holder.address.to_string());
    holder.processes.iter().any(|(pid, name)| *pid == running.diagnosis.pid || name == OURS)
        || (holder.processes.is_empty() && listens())
}

fn taken(section: &str, socket: SocketAddr, holder: &Holder) -> Finding {
    let by = match holder.processes.first() {
        Some((pid, name)) => format!("{name} (process {pid})"),
        None => "a program that this user may not see".to_owned(),
    };
    let transport = if holder.transport == Transport::Udp { "UDP" } else { "TCP" };
    let seen = format!("{by} has {transport} {}, and [{section}] wants {socket}", holder.address);
    let finding = Finding::new(Severity::Error, seen, "the daemon does not start where another program has its port");
    let is_resolved = holder.processes.iter().any(|(_, name)| name == RESOLVED);
    match is_resolved {
        true => finding
            .run("mkdir -p /etc/systemd/resolved.conf.d")
            .run("printf '[Resolve]\\nDNSStubListener=no\\n' > /etc/systemd/resolved.conf.d/standin.conf")
            .run("systemctl restart systemd-resolved")
            .then("or write this machine's own addresses in [dns] listen, in place of all: the stub is on 127.0.0.53 alone"),
        false => {
            let kill = holder.processes.first().map(|(pid, _)| format!("kill {pid}"));
            let finding = kill.into_iter().fold(finding, Finding::run);
            finding.then(format!("keep it from starting again (`systemctl disable`), or have it or [{section}] listen elsewhere"))
        }
    }
}
