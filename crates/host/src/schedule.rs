//! Asks the kernel to run the threads that must not wait, and to keep the program's pages in memory.
//!
//! Best effort: without the privilege everything works, later. Nothing else in the program depends on it.
//!
//! Deliberately not here: CPU pinning. Two cores that are both busy are the case that matters, and there a pinned
//! thread can only wait longer.

use std::io;

/// The lowest real-time priority: it comes before every ordinary thread and behind every other real-time one, the
/// kernel's own interrupt threads among them.
const PRIORITY: libc::c_int = 1;

/// Real-time scheduling for the calling thread, and all of the program's memory locked, present and future.
///
/// # Errors
///
/// Whatever was refused, in one error whose text names each; the rest is done all the same.
pub fn realtime() -> io::Result<()> {
    let refused: Vec<(&str, io::Error)> = [("SCHED_FIFO", prefer_this_thread()), ("mlockall", lock_memory())]
        .into_iter()
        .filter_map(|(what, result)| result.err().map(|error| (what, error)))
        .collect();
    let Some((_, first)) = refused.first() else { return Ok(()) };
    let kind = first.kind();
    let texts: Vec<String> = refused.iter().map(|(what, error)| format!("{what}: {error}")).collect();
    Err(io::Error::new(kind, texts.join("; ")))
}

/// SCHED_FIFO for the calling thread. Threads that it starts are ordinary again.
pub(crate) fn prefer_this_thread() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: pid 0 is the calling thread; `parameters` is valid for reading and outlives the call.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Locks pages as they are touched (`MCL_ONFAULT`): locking whole stacks and arenas beforehand would pin megabytes that
/// nobody uses.
///
/// Only without a limit: with one, the lock might succeed and the next thread's stack be refused in its stead.
fn lock_memory() -> io::Result<()> {
    lift_limit()?;
    // SAFETY: mlockall takes flags alone and touches no memory of ours.
    match unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lifts RLIMIT_MEMLOCK where the privilege or the hard limit allows it.
fn lift_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid, writable rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur == libc::RLIM_INFINITY {
        return Ok(());
    }
    let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `none` is valid for reading and outlives the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) } {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the limit of locked memory cannot be lifted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs on a thread of its own, so that no other test inherits the policy.
    fn policy_after_asking() -> (io::Result<()>, libc::c_int) {
        let asked = std::thread::spawn(|| {
            let result = prefer_this_thread();
            // SAFETY: pid 0 is the calling thread; nothing else is passed.
            (result, unsafe { libc::sched_getscheduler(0) })
        });
        asked.join().expect("the thread ends well")
    }

    #[test]
    fn the_policy_is_what_the_result_says() {
        let (result, policy) = policy_after_asking();
        match result {
            Ok(()) => assert_eq!(policy, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK),
            Err(error) => {
                assert_eq!(policy, libc::SCHED_OTHER);
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            }
        }
    }
}
