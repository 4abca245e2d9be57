//! What a process may do: its `status` and `limits` in procfs.

use std::{fs, io};

/// What Standin needs of the kernel's capabilities (capabilities(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capability {
    /// Addresses, the end of connections, priority of packets.
    NetAdmin,
    /// ARP, neighbour discovery, heartbeats as Ethernet frames, ICMP.
    NetRaw,
    /// Ports below 1024.
    NetBindService,
    /// Real-time priority.
    SysNice,
    /// Locked memory.
    IpcLock,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::NetAdmin, Self::NetRaw, Self::NetBindService, Self::SysNice, Self::IpcLock];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::NetBindService => "CAP_NET_BIND_SERVICE",
            Self::SysNice => "CAP_SYS_NICE",
            Self::IpcLock => "CAP_IPC_LOCK",
        }
    }

    /// Its bit in the kernel's sets.
    pub const fn bit(self) -> u64 {
        match self {
            Self::NetBindService => 1 << 10,
            Self::NetAdmin => 1 << 12,
            Self::NetRaw => 1 << 13,
            Self::IpcLock => 1 << 14,
            Self::SysNice => 1 << 23,
        }
    }
}

/// A process' privileges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Process {
    /// Its user.
    pub user: u32,
    /// Its effective capabilities.
    pub effective: u64,
    /// No program that it starts has more privileges than it.
    pub no_new_privileges: bool,
    /// A filter of system calls is on the whole process.
    pub filtered: bool,
    /// Bytes of memory that it may lock without a capability; none: without limit.
    pub lockable: Option<u64>,
    /// The highest real-time priority that it may have without a capability.
    pub real_time: u64,
}

impl Process {
    /// Whether it has a capability.
    pub const fn has(&self, capability: Capability) -> bool {
        self.effective & capability.bit() != 0
    }
}

pub(super) fn read(pid: Option<u32>) -> io::Result<Process> {
    let of = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let file = |name| fs::read_to_string(format!("/proc/{of}/{name}"));
    Ok(parse(&file("status")?, &file("limits")?))
}

fn parse(status: &str, limits: &str) -> Process {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()).unwrap_or_default()
    };
    // The soft limit comes first, in the column behind a name that has blanks in it.
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()).unwrap_or("0")
    };
    Process {
        user: field("Uid").parse().unwrap_or(u32::MAX),
        effective: u64::from_str_radix(field("CapEff"), 16).unwrap_or(0),
        no_new_privileges: field("NoNewPrivs") == "1",
        filtered: field("Seccomp") == "2",
        lockable: match limit("Max locked memory") {
            "unlimited" => None,
            bytes => Some(bytes.parse().unwrap_or(0)),
        },
        real_time: limit("Max realtime priority").parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_as_procfs_shows_it() {
        let status = "Name:\tstandin\nUid:\t990\t990\t990\t990\nCapInh:\t0000000000803400\nCapEff:\t0000000000803400\n\
                      NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max locked memory         8388608              unlimited            bytes     \n\
                      Max realtime priority     10                   10                   \n";
        let process = parse(status, limits);
        let expected = Process {
            user: 990,
            effective: 0x80_3400,
            no_new_privileges: true,
            filtered: true,
            lockable: Some(8_388_608),
            real_time: 10,
        };
        assert_eq!(process, expected);
        let has = Capability::ALL.map(|capability| process.has(capability));
        assert_eq!(has, [true, true, true, true, false]);
        assert_eq!(parse(status, "Max locked memory  unlimited  unlimited  bytes").lockable, None);
    }

    #[test]
    fn nothing_is_believed_of_what_is_not_there() {
        let process = parse("", "");
        assert_eq!((process.user, process.effective, process.lockable), (u32::MAX, 0, Some(0)));
    }

    #[test]
    fn one_can_look_at_oneself() {
        // SAFETY: takes nothing and cannot fail.
        assert_eq!(read(None).unwrap().user, unsafe { libc::geteuid() });
        assert!(read(Some(u32::MAX)).is_err());
    }
}
