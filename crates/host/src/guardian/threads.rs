//! Whether a process that has been killed can still do anything, which is over long before it is gone.
//!
//! A thread that the kernel has begun to end (`PF_EXITING`, the "flags" of proc_pid_stat(5)) never returns to the program: its
//! last system call is over, and it makes no other. What follows takes the kernel milliseconds, tens of them where packet
//! sockets are closed, each of which waits for an RCU grace period.
//!
//! Deliberately not here: killing. Without procfs nothing is known, and the answer is no.

use std::fs;

/// `include/linux/sched.h`; procfs has always shown it.
const PF_EXITING: u64 = 4;

/// Whether every thread of `pid` is ending. It must have been sent SIGKILL, after which none can be added, and not waited for.
pub(super) fn are_ending(pid: u32) -> bool {
    // Counted first: a thread that goes meanwhile ends the listing early, and is one that is missing.
    count(pid).is_some_and(|count| ending(pid) == Some(count))
}

fn count(pid: u32) -> Option<u64> {
    /// `num_threads`, behind the program's name.
    const COUNT: usize = 17;
    field(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, COUNT)
}

/// How many threads are ending; none where one is not, or cannot be looked at.
fn ending(pid: u32) -> Option<u64> {
    /// `flags`, behind the program's name.
    const FLAGS: usize = 6;
    let mut count = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        count += (field(&stat, FLAGS)? & PF_EXITING != 0).then_some(1)?;
    }
    Some(count)
}

/// The name in parentheses may contain anything, parentheses too.
fn field(stat: &str, index: usize) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_can_act_until_it_is_killed_and_is_seen_to_end_before_it_is_waited_for() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let signal = |signal| {
            // SAFETY: takes numbers only; the child has not been waited for.
            unsafe { libc::kill(libc::pid_t::try_from(child.id()).unwrap(), signal) };
        };
        assert!(!are_ending(child.id()));
        signal(libc::SIGSTOP);
        assert!(!are_ending(child.id()), "a stopped one goes on when it is told to");
        signal(libc::SIGKILL);
        while !are_ending(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!are_ending(child.id()), "nothing is known of who is gone");
    }

    #[test]
    fn one_thread_that_is_not_ending_is_enough() {
        let me = std::process::id();
        let waiting = std::thread::spawn(std::thread::park);
        assert!(count(me) >= Some(2));
        assert!(!are_ending(me));
        waiting.thread().unpark();
        waiting.join().unwrap();
    }

    #[test]
    fn a_name_is_no_field() {
        assert_eq!(field("7 (a) 9 (b) S 1 2 3 4 5 1077936132 0", 6), Some(1_077_936_132));
        assert_eq!(field("7 (a", 6), None);
        assert_eq!(field("7 (a) S", 6), None);
    }
}
