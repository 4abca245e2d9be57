//! One network namespace, held by a descriptor: it lives as long as somebody holds a clone or a process runs in it.
//!
//! Invariants: only threads made here, and children between `fork` and `exec`, ever change their namespace; the calling
//! thread stays where it is.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
    sync::Arc,
    thread,
};

/// A network namespace.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<OwnedFd>);

impl Namespace {
    /// A new, empty one: no address, `lo` down. Needs the right that [`super::enter::enter`] gives.
    pub fn new() -> io::Result<Self> {
        let make = || {
            // SAFETY: takes a flag; it changes the namespace of this short-lived thread alone.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            File::open("/proc/thread-self/ns/net")
        };
        let file = thread::scope(|scope| join(scope.spawn(make)))?;
        Ok(Self(Arc::new(file.into())))
    }

    /// Runs `work` on a thread inside this namespace, and waits for it. Sockets that it opens stay in the namespace
    /// wherever they are used later.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> io::Result<R> {
        let fd = self.as_raw_fd();
        thread::scope(|scope| {
            join(scope.spawn(move || {
                set_namespace(fd)?;
                Ok(work())
            }))
        })
    }

    /// A command whose process runs in this namespace. It is killed when the *thread* that spawned it ends, so spawn it
    /// from one that lives as long as the process should: not from a pool.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let namespace = self.clone();
        let enter = move || {
            die_with_parent()?;
            set_namespace(namespace.as_raw_fd())
        };
        // SAFETY: two system calls; nothing is allocated and no lock is taken.
        unsafe { command.pre_exec(enter) };
        command
    }
}

impl AsRawFd for Namespace {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Has the kernel kill this process when the thread that forked it ends. For use between `fork` and `exec`.
pub(super) fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

fn set_namespace(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers only; `fd` is open because a `Namespace` outlives the call.
    check(unsafe { libc::setns(fd, libc::CLONE_NEWNET) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The thread's result; a panic in it goes on here.
fn join<R>(thread: thread::ScopedJoinHandle<'_, io::Result<R>>) -> io::Result<R> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
