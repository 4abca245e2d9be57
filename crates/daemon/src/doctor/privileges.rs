//! Capabilities, limits, and what confines the daemon.

use host::survey::{Capability, Process};

use super::{Facts, Finding, Severity};

/// What gives the daemon what it needs, and no more.
const UNIT: &str = "run it by deploy/systemd/standin.service, whose AmbientCapabilities= and Limit...= give what it needs and no \
                    more: `systemctl daemon-reload && systemctl restart standin`";
/// The first port that everybody may bind, where the kernel does not say.
const UNPRIVILEGED: i64 = 1024;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(process) = &facts.process else {
        let why = "capabilities and limits cannot be judged";
        let finding = Finding::new(Severity::Note, "the daemon's process cannot be looked at", why);
        return vec![finding.then("run `standin doctor` as root, on the machine itself")];
    };
    if facts.running.is_none() && process.user != 0 {
        let why = "what this user may do says nothing of it";
        let finding = Finding::new(Severity::Note, "the daemon does not run, or not for this user", why);
        return vec![finding.then("run `standin doctor` as root, and again when the daemon runs")];
    }
    let mut found: Vec<Finding> = Capability::ALL.into_iter().filter_map(|one| lacks(facts, process, one)).collect();
    let Some(running) = &facts.running else { return found };
    if process.user == 0 {
        let why = "a fault in it would have the whole machine";
        let seen = "the daemon runs as root";
        found.push(Finding::new(Severity::Note, seen, why).then(UNIT));
    }
    if !process.no_new_privileges {
        let why = "a program that it starts could gain more than it has";
        found.push(Finding::new(Severity::Note, "the daemon has not given up new privileges", why).then(UNIT));
    }
    for guard in running.diagnosis.confinement.iter().filter(|guard| guard.state != "on") {
        let seen =
            format!("{} is {}: {}", guard.name, guard.state, guard.reason.as_deref().unwrap_or("no reason given"));
        let why = "what strangers send is read by threads that could also open files or start programs";
        found.push(
            Finding::new(Severity::Note, seen, why)
                .then("a kernel with it: Linux 5.13 or later, with Landlock enabled"),
        );
    }
    found
}

fn lacks(facts: &Facts, process: &Process, capability: Capability) -> Option<Finding> {
    let (severity, why) = match capability {
        Capability::NetAdmin => (Severity::Error, "no virtual address can be set here, and none be removed"),
        Capability::NetRaw => {
            (Severity::Error, "addresses cannot be announced or asked for, and heartbeats have no second path")
        }
        Capability::NetBindService if has_low_ports(facts) => (Severity::Error, "DNS cannot listen on its port"),
        Capability::SysNice if process.real_time == 0 => (
            Severity::Warning,
            "on a busy machine heartbeats wait for other programs, and others take over for nothing",
        ),
        Capability::IpcLock if process.lockable.is_some() => {
            (Severity::Warning, "where memory is short, heartbeats wait for the disk, and others take over for nothing")
        }
        Capability::NetBindService | Capability::SysNice | Capability::IpcLock => return None,
    };
    let who = if facts.running.is_some() { "the daemon" } else { "root, here," };
    let seen = format!("{who} (user {}) has no {}", process.user, capability.name());
    (!process.has(capability)).then(|| Finding::new(severity, seen, why).then(UNIT))
}

fn has_low_ports(facts: &Facts) -> bool {
    let first = facts.machine.settings.get("net/ipv4/ip_unprivileged_port_start").unwrap_or(UNPRIVILEGED);
    let sockets = facts.wanted.iter().flat_map(|wanted| &wanted.dns);
    sockets.into_iter().any(|socket| i64::from(socket.port()) < first)
}
