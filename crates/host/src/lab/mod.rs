//! Small networks inside this machine, for `standin demo` and the tests: hosts on a switch, with cables to pull.
//!
//! Every host is a network namespace, the [`Lab`]'s switch another one with a bridge in it; a veth pair is the cable
//! between them. Nothing of the machine's own network is touched, no program is called, nothing is mounted or left in
//! `/run/netns`: the namespaces hang on descriptors of this process and vanish with it, and so do the processes that
//! were started in them ([`Host::command`]).
//!
//! Start with [`enter::enter`] (or [`enter::rerun_test`] in tests), which makes an ordinary user root of a user namespace
//! where that is permitted. Then [`Lab::new`], [`Lab::host`], [`Lab::unplug`], [`Lab::partition`]. [`probe`] measures from
//! a client, [`web`] is a service to fail, [`forward`] lets the outer world in.
//!
//! Deliberately not here: delay, loss and bandwidth; those are the simulator's.

pub mod ask;
pub mod enter;
pub mod forward;
mod links;
mod namespace;
pub mod probe;
pub mod stage;
pub mod web;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ffi::OsStr, io, net::IpAddr, process::Command};

use model::net::Prefix;

pub use self::namespace::Namespace;

/// Why a network could not be made or changed. The lab may be half changed then; drop it.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A namespace could not be made or entered.
    #[error("{doing}: {source}{}", if source.kind() == io::ErrorKind::PermissionDenied {
        " (making networks needs root, or a user namespace)" } else { "" })]
    Namespace {
        /// What was being done.
        doing: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused a change to links or addresses.
    #[error("{doing}: {source}")]
    Netlink {
        /// What was being done.
        doing: String,
        /// The kernel's answer.
        source: Box<rtnetlink::Error>,
    },
    /// Not an address with a prefix length, such as `10.77.0.11/24`.
    #[error("{0:?} is not an address with a prefix length")]
    Address(String),
    /// The name is taken, unknown, empty or longer than 13 bytes.
    #[error("{0:?} cannot be used as a name of a host here")]
    Name(String),
}

/// A machine on the lab's switch, with one Ethernet interface `eth0`.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
}

impl Host {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A command whose process runs on this host; see [`Namespace::command`] for how long it lives.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Runs `work` on a thread on this host, and waits for it; see [`Namespace::run`].
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> io::Result<R> {
        self.namespace.run(work)
    }

    /// Adds a default route through `gateway`, which must be on the host's subnet.
    pub fn default_route(&self, gateway: IpAddr) -> Result<(), LabError> {
        links::add_default_route(&self.namespace, gateway)
    }
}

/// A switch and the hosts on it.
#[derive(Debug)]
pub struct Lab {
    switch: Namespace,
    /// Interface index of each bridge: the switch itself, then one per further side of a [`Lab::partition`].
    bridges: Vec<u32>,
    hosts: BTreeMap<String, (Host, Port)>,
}

/// A port of the switch.
#[derive(Clone, Copy, Debug)]
struct Port {
    index: u32,
    /// Which of the bridges it is on.
    side: usize,
}

impl Lab {
    /// A switch with nothing on it. Needs the right that [`enter::enter`] gives.
    pub fn new() -> Result<Self, LabError> {
        let switch = Namespace::new()
            .map_err(|source| LabError::Namespace { doing: "making a network namespace".to_owned(), source })?;
        let bridge = links::add_bridge(&switch, "switch0")?;
        Ok(Self { switch, bridges: vec![bridge], hosts: BTreeMap::new() })
    }

    /// A host with `addresses` (with prefix lengths), plugged into the switch and usable at once.
    pub fn host(&mut self, name: &str, addresses: &[&str]) -> Result<Host, LabError> {
        // An interface name has 15 bytes (IFNAMSIZ less NUL), and ours begins with "p-".
        let fits = !name.is_empty() && name.len() <= 13 && !name.contains(['/', ':', ' ', '\0']);
        if !fits || self.hosts.contains_key(name) {
            return Err(LabError::Name(name.to_owned()));
        }
        let parse = |text: &&str| text.parse().map_err(|()| LabError::Address((*text).to_owned()));
        let addresses: Vec<Prefix> = addresses.iter().map(parse).collect::<Result<_, _>>()?;
        let namespace = Namespace::new()
            .map_err(|source| LabError::Namespace { doing: format!("making the host {name}"), source })?;
        let index = links::add_cable(&self.switch, self.bridges[0], &format!("p-{name}"), &namespace)?;
        links::set_up_host(&namespace, &addresses)?;
        let host = Host { name: name.to_owned(), namespace };
        self.hosts.insert(name.to_owned(), (host.clone(), Port { index, side: 0 }));
        Ok(host)
    }

    /// Pulls the host's cable: its interface loses the carrier.
    pub fn unplug(&self, name: &str) -> Result<(), LabError> {
        links::set_port_up(&self.switch, self.port(name)?.index, false)
    }

    /// Plugs the host's cable in again. The kernel may take up to a second to use the link.
    pub fn plug(&self, name: &str) -> Result<(), LabError> {
        links::set_port_up(&self.switch, self.port(name)?.index, true)
    }

    /// Cuts the switch in several: each group hears only itself; hosts in no group stay with the first. All keep their
    /// carriers, as when a switch between switches fails.
    pub fn partition(&mut self, groups: &[&[&str]]) -> Result<(), LabError> {
        let mut sides = BTreeMap::new();
        for (side, group) in groups.iter().enumerate() {
            while self.bridges.len() <= side {
                let name = format!("switch{}", self.bridges.len());
                self.bridges.push(links::add_bridge(&self.switch, &name)?);
            }
            for name in *group {
                self.port(name)?;
                sides.insert(*name, side);
            }
        }
        let mut moves = Vec::new();
        for (name, (_, port)) in &mut self.hosts {
            let side = sides.get(name.as_str()).copied().unwrap_or(0);
            if port.side != side {
                port.side = side;
                moves.push((port.index, self.bridges[side]));
            }
        }
        links::move_ports(&self.switch, &moves)
    }

    /// Ends a [`Lab::partition`]: every host is on the one switch again.
    pub fn heal(&mut self) -> Result<(), LabError> {
        self.partition(&[])
    }

    fn port(&self, name: &str) -> Result<Port, LabError> {
        self.hosts.get(name).map(|(_, port)| *port).ok_or_else(|| LabError::Name(name.to_owned()))
    }
}
