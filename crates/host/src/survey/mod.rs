//! What this machine is like, as far as it can hurt: read once, for `standin doctor`.
//!
//! Each part reads one place, `/proc`, `/sys`, a directory of settings or a socket of the kernel, and says what is there.
//! What cannot be read is left out: an ordinary user sees less than root, and a container less than a machine.
//!
//! Deliberately not here: what is good or bad about it (`daemon::doctor`), and anything that changes the machine.

mod managers;
mod ports;
mod process;
mod settings;

use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

pub use self::{
    managers::Manager,
    ports::{Holder, Transport},
    process::{Capability, Process},
    settings::{Link, Settings},
};
use crate::connections::Connections;

/// Everything.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Machine {
    /// The kernel's network settings.
    pub settings: Settings,
    /// The interfaces that are up, without loopback.
    pub links: Vec<Link>,
    /// Who has bound which local port.
    pub holders: Vec<Holder>,
    /// What manages which interface besides Standin.
    pub managers: Vec<Manager>,
    /// The packet filter.
    pub firewall: Firewall,
    /// What the firmware says of who made the machine: vendor, product, asset tag.
    pub firmware: Vec<String>,
    /// Why the kernel does not tell of sockets; none where it does.
    pub socket_diagnosis: Option<Refused>,
}

/// The packet filter's rules.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Firewall {
    /// As `nft --json` lists them; else why not.
    pub nftables: Option<Result<String, String>>,
    /// Tables of the old iptables are loaded, which nftables does not show.
    pub legacy: bool,
}

/// The kernel refuses something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It cannot: a module is missing.
    Unable,
    /// This process may not.
    Forbidden,
}

/// A file or directory, and who may do what with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guarded {
    /// Where.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub owner: u32,
    /// A directory.
    pub directory: bool,
}

/// Looks at everything but processes and files.
pub fn machine() -> Machine {
    let links = settings::links();
    // What manages a machine's network knows nothing of a namespace's.
    let managed: &[Link] = if is_the_machines_network() { &links } else { &[] };
    let managers = managers::managers(Path::new("/"), managed);
    Machine {
        settings: Settings::read(&links),
        holders: ports::holders(),
        managers,
        firewall: Firewall { nftables: nftables(), legacy: lines("/proc/net/ip_tables_names") > 0 },
        firmware: firmware(),
        socket_diagnosis: socket_diagnosis(),
        links,
    }
}

/// A process' privileges; without a number this process' own.
///
/// # Errors
/// There is no such process, or procfs is missing.
pub fn process(pid: Option<u32>) -> io::Result<Process> {
    process::read(pid)
}

/// Who may use a file; none where there is none.
///
/// # Errors
/// The system's.
pub fn guarded(path: &Path) -> io::Result<Option<Guarded>> {
    match fs::metadata(path) {
        Ok(data) => Ok(Some(Guarded {
            path: path.to_owned(),
            mode: data.mode() & 0o7777,
            owner: data.uid(),
            directory: data.is_dir(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The resolvers of this machine (resolv.conf(5)).
pub fn resolvers() -> Vec<IpAddr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let server = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse().ok();
    text.lines().filter_map(server).collect()
}

/// Whether this thread is in the network of the machine's first process; taken for granted where that may not be looked at.
fn is_the_machines_network() -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    of("1").is_none_or(|first| of("thread-self") == Some(first))
}

fn nftables() -> Option<Result<String, String>> {
    let mut command = Command::new("nft");
    // Where an administrator's tools are, also in an ordinary user's session.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(["--json", "--handle", "list", "ruleset"]);
    match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(error.to_string())),
        Ok(output) if output.status.success() => Some(Ok(String::from_utf8_lossy(&output.stdout).into_owned())),
        Ok(output) => Some(Err(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned())),
    }
}

fn lines(path: &str) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn firmware() -> Vec<String> {
    let names = ["sys_vendor", "product_name", "bios_vendor", "chassis_asset_tag"];
    let read = |name| fs::read_to_string(format!("/sys/class/dmi/id/{name}")).ok();
    let told = names.into_iter().filter_map(read).map(|text| text.trim().to_owned());
    told.filter(|text| !text.is_empty()).collect()
}

/// Asks for the TCP sockets of an address that nobody has.
fn socket_diagnosis() -> Option<Refused> {
    let nobody = BTreeSet::from([IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))]);
    let asked = Connections::open().and_then(|mut connections| connections.end(&nobody, &|_| false));
    match asked.err().and_then(|error| error.raw_os_error()) {
        None => None,
        Some(libc::EPERM | libc::EACCES) => Some(Refused::Forbidden),
        Some(_) => Some(Refused::Unable),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn this_machine_can_be_looked_at() {
        let machine = machine();
        assert!(machine.settings.get("net/ipv4/ip_forward").is_some(), "{:?}", machine.settings);
        assert!(machine.links.iter().all(|link| link.mtu >= 68 && link.name != "lo"));
    }

    #[test]
    fn a_file_is_told_with_who_may_use_it() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o710)).unwrap();
        let found = guarded(directory.path()).unwrap().unwrap();
        assert_eq!((found.directory, found.mode), (true, 0o710));
        assert_eq!(guarded(&directory.path().join("none")).unwrap(), None);
    }
}
