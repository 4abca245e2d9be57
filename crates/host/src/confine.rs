//! What keeps the daemon from doing what it has no need to do.
//!
//! The whole process gives up gaining privileges. The threads that read what strangers send (DNS over UDP, what is said on the
//! wire) give up more, each for itself and what it would start: files by Landlock, and by seccomp the system calls
//! that open files, start programs, reach into other processes, or change the kernel.
//!
//! Not the driver, which reads heartbeats: before anything in them is looked at, they must be sealed with the cluster's key. And
//! not the whole process, because hooks and probes are started by it and inherit both for ever: an operator's program could then
//! do no more than a name server may. What those may do is the service manager's business (deploy/systemd/standin.service).
//! Threads share their memory; so this is a second lock, behind a language in which there is no way from a packet to code.
//!
//! Invariant: where the kernel or a container refuses, all works as before, and [`state`] says so.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use landlock::{ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetStatus};
use model::api::doctor::Confinement;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// How it went for the first thread: the same for all.
static STATE: Mutex<Vec<Confinement>> = Mutex::new(Vec::new());

/// What no such thread needs.
const FORBIDDEN: &[libc::c_long] = &[
    // files
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_open_by_handle_at,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    // programs
    libc::SYS_execve,
    libc::SYS_execveat,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // the kernel
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// The same by their old names, which newer architectures have not.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_BEFORE: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_mknod,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_fork,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_BEFORE: &[libc::c_long] = &[];

/// This process, and what it starts, gains no privileges by starting programs. To be called before there are threads.
///
/// # Errors
/// The kernel's.
pub fn no_new_privileges() -> io::Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, none, none, none) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The calling thread, which reads what strangers send, may open no file and start no program from now on.
pub(crate) fn this_thread() {
    let outcomes = [("landlock", without_files()), ("seccomp", without_calls())];
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if state.is_empty() {
        *state = outcomes.into_iter().map(|(name, outcome)| told(name, outcome)).collect();
    }
}

/// What confines the threads that read what strangers send; nothing before the first of them has begun.
pub fn state() -> Vec<Confinement> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn told(name: &str, outcome: Result<(), String>) -> Confinement {
    let state = if outcome.is_ok() { "on" } else { "absent" };
    Confinement { name: name.to_owned(), state: state.to_owned(), reason: outcome.err() }
}

fn without_files() -> Result<(), String> {
    let text = |error: landlock::RulesetError| error.to_string();
    let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1)).map_err(text)?;
    let status = ruleset.create().map_err(text)?.restrict_self().map_err(text)?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel has no Landlock, or it is not enabled".to_owned()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn without_calls() -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| text(&error))?;
    let rules: BTreeMap<i64, Vec<_>> =
        [FORBIDDEN, FORBIDDEN_BEFORE].concat().into_iter().map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture).map_err(|error| text(&error))?;
    let program = BpfProgram::try_from(filter).map_err(|error| text(&error))?;
    no_new_privileges().and_then(|()| apply(&program)).map_err(|error| text(&error))
}

/// Not by `seccompiler::apply_filter`: before Linux 5.16 a filter without this flag also turns on mitigations that slow every
/// load after a store, and the program runs no code of strangers that they would be for.
fn apply(program: &BpfProgram) -> io::Result<()> {
    let length = libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?;
    // The two types are the kernel's `sock_filter`, and a filter that is set is only read.
    let code = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    // SAFETY: `code` holds the address and length of `program`, which outlives the call; the kernel checks and copies it.
    match unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const code) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, net::UdpSocket, process::Command, thread};

    use super::*;

    #[test]
    fn a_confined_thread_talks_and_opens_and_starts_nothing_and_others_do() {
        let confined = thread::spawn(|| {
            let before = UdpSocket::bind("127.0.0.1:0").unwrap();
            this_thread();
            let after = UdpSocket::bind("127.0.0.1:0").unwrap();
            after.send_to(b"x", before.local_addr().unwrap()).unwrap();
            assert_eq!(before.recv(&mut [0; 8]).unwrap(), 1);
            let memory = vec![1_u8; 8 << 20];
            assert!(memory.iter().all(|byte| *byte == 1));
            (fs::read("/etc/hostname"), fs::write("/tmp/standin-confined", b""), Command::new("true").status())
        });
        let (read, written, started) = confined.join().unwrap();
        let state = state();
        assert_eq!(state.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["landlock", "seccomp"]);
        let any = state.iter().any(|one| one.state == "on");
        assert_eq!((read.is_err(), written.is_err()), (any, any), "{state:?}");
        assert_eq!(started.is_err(), state[1].state == "on", "{state:?}");
        fs::read_dir("/").unwrap();
        assert!(Command::new("true").status().unwrap().success(), "other threads start programs");
    }
}
