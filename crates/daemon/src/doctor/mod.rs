//! What keeps Standin from working on this machine, or may hurt it: `standin doctor`.
//!
//! `collect` looks, [`examine`] judges. Each check is a pure function from [`Facts`] to [`Finding`]s; a finding says what was
//! seen, why it matters, and how it is mended.
//!
//! Invariant: nothing here changes the machine. What was not to be seen is no finding, or a note that says so.
//!
//! Deliberately not here: mistakes of the configuration (`load`), the state of services (`status`).

mod collect;
mod files;
mod firewall;
mod managers;
mod names;
mod network;
mod peers;
mod ports;
mod privileges;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use host::survey::{Guarded, Machine, Process};
use model::api::{
    Status,
    access::{Servers, Unreachable},
    doctor::Diagnosis,
};
use serde::Serialize;

pub use self::collect::collect;
use crate::delegation::Delegated;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// To know.
    Note,
    /// It works, and may hurt.
    Warning,
    /// Something does not work.
    Error,
}

impl Severity {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// How something is mended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Remedy {
    /// Commands that mend it now, on this machine, as root.
    pub run: Vec<String>,
    /// How it stays mended, or what to do where no command does it.
    pub then: String,
}

/// Something that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub seen: String,
    /// Why it matters.
    pub why: String,
    /// How it is mended.
    pub remedy: Remedy,
}

impl Finding {
    fn new(severity: Severity, seen: impl Into<String>, why: impl Into<String>) -> Self {
        Self { severity, seen: seen.into(), why: why.into(), remedy: Remedy::default() }
    }

    fn run(mut self, command: impl Into<String>) -> Self {
        self.remedy.run.push(command.into());
        self
    }

    fn then(mut self, what: impl Into<String>) -> Self {
        self.remedy.then = what.into();
        self
    }
}

/// One check and what it found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Checked {
    /// Its name.
    pub check: &'static str,
    /// What it looked at.
    pub about: &'static str,
    /// Why it could not look; none where it could.
    pub skipped: Option<&'static str>,
    /// What it found; nothing where all is well, or nothing could be seen.
    pub findings: Vec<Finding>,
}

/// What the configuration wants of this machine.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// Where heartbeats are received.
    pub heartbeat: SocketAddr,
    /// Where DNS listens.
    pub dns: Vec<SocketAddr>,
    /// The admin port.
    pub admin: Option<SocketAddr>,
    /// Where metrics are read.
    pub metrics: Option<SocketAddr>,
    /// The other servers, with their own addresses.
    pub peers: Vec<(String, IpAddr)>,
    /// Every virtual address.
    pub virtual_addresses: Vec<IpAddr>,
}

/// What the daemon says, if it runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// The cluster as it sees it.
    pub status: Status,
    /// Itself, and the clocks of others.
    pub diagnosis: Diagnosis,
    /// The members and links; none where no cluster was made.
    pub servers: Option<Servers>,
}

/// Whether packets get to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passage {
    /// The peer.
    pub server: String,
    /// Its address.
    pub address: IpAddr,
    /// The longest packet that our interface sends.
    pub mtu: u32,
    /// Whether a short one is answered.
    pub short: bool,
    /// Whether a longest one is.
    pub long: bool,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Facts {
    /// Why the configuration cannot be loaded.
    pub mistakes: Option<String>,
    /// What the configuration wants.
    pub wanted: Option<Wanted>,
    /// The machine.
    pub machine: Machine,
    /// The daemon's process; this one, where no daemon runs.
    pub process: Option<Process>,
    /// The daemon.
    pub running: Option<Running>,
    /// Files that nobody else may read, and the state directory.
    pub guarded: Vec<Guarded>,
    /// Packets to peers.
    pub passages: Vec<Passage>,
    /// What parents say of our zones.
    pub delegated: Vec<Delegated>,
    /// A file that cannot be looked at, and why.
    pub hidden: Vec<(PathBuf, String)>,
}

impl Facts {
    /// The interface on which this machine is on a subnet with the address.
    fn link_to(&self, address: IpAddr) -> Option<&host::survey::Link> {
        self.machine.links.iter().find(|link| link.addresses.iter().any(|prefix| prefix.contains(address)))
    }

    /// Peers that could not be asked for their clocks.
    fn unreachable(&self) -> &[Unreachable] {
        self.running.as_ref().map_or(&[], |running| &running.diagnosis.unreachable)
    }
}

/// What a check cannot do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Needs {
    Nothing,
    Configuration,
    Daemon,
    Cluster,
}

impl Needs {
    /// Why the check cannot look.
    fn lack(self, facts: &Facts) -> Option<&'static str> {
        let (there, lack) = match self {
            Self::Nothing => return None,
            Self::Configuration => (facts.wanted.is_some(), "needs a configuration without mistakes"),
            Self::Daemon => (facts.running.is_some(), "needs the running daemon"),
            Self::Cluster => {
                let made = facts.running.as_ref().is_some_and(|running| running.servers.is_some());
                (made, "needs the running daemon of a cluster that was made (`standin init`)")
            }
        };
        (!there).then_some(lack)
    }
}

use Needs::{Cluster, Configuration, Daemon, Nothing};

/// A check: its name, what it looks at, what it needs for that, and how it judges.
type Check = (&'static str, &'static str, Needs, fn(&Facts) -> Vec<Finding>);

/// Every check.
const CHECKS: [Check; 12] = [
    ("configuration", "the node file, and everything that it names", Nothing, configuration),
    ("privileges", "capabilities, limits, confinement of the daemon", Nothing, privileges::judge),
    ("files", "the state directory and secrets", Configuration, files::judge),
    ("ports", "who else has our ports", Configuration, ports::judge),
    ("network", "the kernel's settings of interfaces", Nothing, network::judge),
    ("managers", "who else manages addresses", Nothing, managers::judge),
    ("firewall", "rules that drop heartbeats, DNS or the admin port", Configuration, firewall::judge),
    ("kernel", "socket diagnosis", Nothing, kernel),
    ("peers", "heartbeat paths and links of every other server", Daemon, peers::reachability),
    ("clocks", "the clocks of every other server", Cluster, peers::clocks),
    ("packets", "the longest packet to every other server", Configuration, peers::passages),
    ("delegation", "what the parent says of our zones", Configuration, names::judge),
];

/// Judges everything.
pub fn examine(facts: &Facts) -> Vec<Checked> {
    let check = |(check, about, needs, judge): Check| Checked {
        check,
        about,
        skipped: needs.lack(facts),
        findings: judge(facts),
    };
    CHECKS.into_iter().map(check).collect()
}

fn configuration(facts: &Facts) -> Vec<Finding> {
    let finding = |mistakes: &String| {
        Finding::new(
            Severity::Error,
            mistakes.clone(),
            "the daemon does not start with it, nor take it over while it runs",
        )
        .then("mend it, until `standin check` finds no mistakes")
    };
    facts.mistakes.iter().map(finding).collect()
}

fn kernel(facts: &Facts) -> Vec<Finding> {
    use host::survey::Refused;
    let why = "a closed service is then noticed by the next probe, not at once, and connections through a released address are \
               left to time out";
    let finding = |refused| match refused {
        Refused::Unable => {
            Finding::new(Severity::Warning, "the kernel has no socket diagnosis (inet_diag, tcp_diag)", why)
                .run("modprobe -a inet_diag tcp_diag")
                .then("the two names, one a line, in /etc/modules-load.d/standin.conf")
        }
        Refused::Forbidden => Finding::new(Severity::Note, "this user may not ask the kernel for sockets", why)
            .then("run `standin doctor` as root"),
    };
    facts.machine.socket_diagnosis.into_iter().map(finding).collect()
}
