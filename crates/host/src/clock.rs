//! The one place that reads a clock.
//!
//! [`now`] is CLOCK_BOOTTIME: monotonic, and it counts the time that a suspended machine slept, so that whoever slept
//! through a deadline sees it overdue. [`wall`] is for display alone and never reaches a decision.

use std::time::{Duration, SystemTime};

use model::Instant;

/// Time since this machine booted.
pub fn now() -> Instant {
    Instant::BOOT + read(libc::CLOCK_BOOTTIME)
}

/// CLOCK_MONOTONIC: stands still while the machine is suspended. Only for judging whether another process of this machine
/// hangs, which a suspended one does not.
pub(crate) fn awake() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec, and the call writes nothing else.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    debug_assert_eq!(failed, 0, "Linux has both clocks since 2.6.39");
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Which boot of this machine [`now`] counts from; none where the kernel does not say.
pub fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

/// The wall clock, for display.
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The same in seconds since 1970: for what expires, such as certificates and tokens.
pub fn wall_seconds() -> u64 {
    read(libc::CLOCK_REALTIME).as_secs()
}

/// The same in microseconds since 1970, for cookies and rate limiting of DNS, which a wrong clock hardly hurts.
pub(crate) fn wall_micros() -> u64 {
    let since = read(libc::CLOCK_REALTIME_COARSE);
    u64::try_from(since.as_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_advances_and_began_at_boot() {
        let first = now();
        let uptime = std::fs::read_to_string("/proc/uptime").expect("procfs");
        let later = now();
        assert!(Instant::BOOT < first && first < later);
        // /proc/uptime is boot time as well, in hundredths of a second, possibly with a namespace's offset.
        if std::fs::read_to_string("/proc/self/timens_offsets").is_ok_and(|text| text.contains("boottime          0")) {
            let seconds: f64 = uptime.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
            assert!(first.since(Instant::BOOT).as_secs_f64() <= seconds + 0.011);
            assert!(seconds <= later.since(Instant::BOOT).as_secs_f64());
        }
    }
}
