//! The daemon as a child process, and the signals that the guardian is sent.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, ExitStatus},
};

use super::threads;
use crate::wake::{pidfd, poll, readable};

/// Signals that the guardian passes on.
const PASSED_ON: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// The daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    /// Becomes readable when its last thread has ended.
    pub(super) pidfd: OwnedFd,
}

impl Daemon {
    /// Starts this very program once more (also where the file has been replaced meanwhile) with `arguments`. It gets
    /// `inherited` and no other descriptor but the standard ones, no signal blocked, and a process group of its own, so
    /// that a terminal's Ctrl-C reaches it only once, through the guardian.
    pub(super) fn start(arguments: &[OsString], inherited: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let kept: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
        let mut command = Command::new("/proc/self/exe");
        command.arg0(std::env::args_os().next().unwrap_or_else(|| "standin".into()));
        // It names the guardian; without it the service manager's watchdog is for whoever feeds it.
        command.args(arguments).process_group(0).env_remove("WATCHDOG_PID");
        let prepare = move || {
            kept.iter().try_for_each(|fd| keep_over_exec(*fd))?;
            set_mask(libc::SIG_SETMASK, &empty())
        };
        // SAFETY: system calls only; nothing is allocated and no lock is taken.
        unsafe { command.pre_exec(prepare) };
        let child = command.spawn()?;
        let pid = libc::pid_t::try_from(child.id()).expect("a process number fits");
        match pidfd(pid) {
            Ok(pidfd) => Ok(Self { child, pidfd }),
            Err(error) => {
                let mut child = child;
                // Unwatched it must not run.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Sends it a signal. It has not been waited for, so the number is still its own.
    pub(super) fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process number fits");
        // SAFETY: takes numbers only.
        unsafe { libc::kill(pid, signal) };
    }

    /// SIGKILL, for it and for what it has started in its process group.
    pub(super) fn kill(&self) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process number fits");
        self.signal(libc::SIGKILL);
        // SAFETY: takes numbers only. The group's number is the child's, which has not been waited for.
        unsafe { libc::kill(-pid, libc::SIGKILL) };
    }

    /// Whether it can do nothing any more, now or within `timeout` milliseconds. It must have been killed.
    pub(super) fn ends_within(&self, timeout: libc::c_int) -> bool {
        let mut fds = [readable(self.pidfd.as_raw_fd())];
        threads::are_ending(self.child.id()) || poll(&mut fds, timeout).is_ok() && fds[0].revents != 0
    }

    /// How it ended.
    pub(super) fn wait(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

/// Signals as something to poll.
#[derive(Debug)]
pub(super) struct Signals(pub(super) OwnedFd);

impl Signals {
    /// From now on these signals are read here and do nothing else. To be called before there is any other thread.
    pub(super) fn take() -> io::Result<Self> {
        let mut set = empty();
        for signal in PASSED_ON {
            // SAFETY: `set` is an initialised, writable signal set.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        set_mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: `set` is valid for reading; the call returns a new descriptor or -1.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that has come, if any.
    pub(super) fn next(&self) -> Option<libc::c_int> {
        let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
        // SAFETY: the pointer and the length describe `info`, which is writable and outlives the call.
        let length = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) };
        // `ssi_signo` comes first.
        (usize::try_from(length) == Ok(info.len())).then(|| info.first_chunk().copied().map(i32::from_ne_bytes))?
    }
}

fn empty() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn set_mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is valid for reading; the old mask is not asked for.
    match unsafe { libc::sigprocmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Allocates nothing: it runs between `fork` and `exec`.
fn keep_over_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
