//! How many files and sockets this process may have open at once.
//!
//! Distributions start services with a soft limit of 1,024 for the sake of programs that use select(2), and a hard limit far
//! above it. We use poll and epoll, and thousands of monitors and DNS clients over TCP need more; the programs that we start get the
//! old limit back.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

/// More than anybody needs: some tables of the kernel and of programs grow with the limit.
const ENOUGH: libc::rlim_t = 1 << 20;

/// The soft limit that this process was started with, for [`restore`]; 0 until [`raise`] has raised it.
static BEFORE: AtomicU64 = AtomicU64::new(0);

/// Raises the soft limit to the hard one, and says what it is now.
///
/// # Errors
/// The kernel's, where it refuses.
pub fn raise() -> io::Result<u64> {
    let limit = limit()?;
    let wanted = limit.rlim_max.min(ENOUGH);
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    set_soft(libc::rlimit { rlim_cur: wanted, ..limit })?;
    // Only the first raise knows it: whoever raises again finds a limit that was raised already.
    let _known_already = BEFORE.compare_exchange(0, limit.rlim_cur, Ordering::Relaxed, Ordering::Relaxed);
    Ok(wanted)
}

/// Gives the calling process, which is about to become another program, the soft limit that we were started with. System
/// calls only: for use between fork and exec.
pub(crate) fn restore() -> io::Result<()> {
    match BEFORE.load(Ordering::Relaxed) {
        0 => Ok(()),
        before => set_soft(libc::rlimit { rlim_cur: before, ..limit()? }),
    }
}

/// The soft limit; 1,024, which is the kernel's own default, where it cannot be read.
pub(crate) fn soft_limit() -> usize {
    limit().map_or(1024, |limit| usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

fn limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which outlives the call.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_soft(limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: the kernel reads one rlimit, which outlives the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
