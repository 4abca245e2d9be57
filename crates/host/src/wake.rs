//! What a thread waits for in poll(2): an eventfd, by which any other thread wakes it, and the end of a process.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

/// Rings once however often it is rung before somebody listens.
#[derive(Debug)]
pub(crate) struct Wake(OwnedFd);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes two integers and returns a new descriptor or -1.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the descriptor readable. Never blocks; a full counter is as good as rung.
    pub(crate) fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the pointer and the length describe `one`, which outlives the call.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes the descriptor unreadable until the next ring.
    pub(crate) fn hush(&self) {
        let mut count = [0; 8];
        // SAFETY: the pointer and the length describe `count`, which is writable and outlives the call.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until one of `fds` is readable (or in error) or `timeout` milliseconds have passed; -1 waits for ever.
/// An interrupted wait returns as if the time had passed.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: libc::c_int) -> io::Result<()> {
    let count = libc::nfds_t::try_from(fds.len()).expect("a handful of descriptors");
    // SAFETY: the pointer and the count describe `fds`, which is writable and outlives the call.
    if unsafe { libc::poll(fds.as_mut_ptr(), count, timeout) } >= 0 {
        return Ok(());
    }
    uninterrupted(fds)
}

/// As [`poll`], to the nanosecond, for `patience` at most.
pub(crate) fn poll_for(fds: &mut [libc::pollfd], patience: Duration) -> io::Result<()> {
    let count = libc::nfds_t::try_from(fds.len()).expect("a handful of descriptors");
    let patience = libc::timespec {
        tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    // SAFETY: the pointer and the count describe `fds`, which is writable; it and `patience` outlive the call; no signal mask.
    if unsafe { libc::ppoll(fds.as_mut_ptr(), count, &raw const patience, ptr::null()) } >= 0 {
        return Ok(());
    }
    uninterrupted(fds)
}

/// What a wait that failed comes to.
fn uninterrupted(fds: &mut [libc::pollfd]) -> io::Result<()> {
    let error = io::Error::last_os_error();
    fds.iter_mut().for_each(|fd| fd.revents = 0);
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

/// An entry for [`poll`] that waits for something to read.
pub(crate) fn readable(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// A descriptor of the process `pid`, which must not have been waited for.
pub(crate) fn pidfd(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only; returns a new descriptor (close-on-exec) or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_last_until_hushed() {
        let wake = Wake::new().expect("an eventfd");
        let mut fds = [readable(wake.fd())];
        poll(&mut fds, 0).expect("poll");
        assert_eq!(fds[0].revents, 0);
        wake.ring();
        wake.ring();
        poll(&mut fds, -1).expect("poll");
        assert_eq!(fds[0].revents, libc::POLLIN);
        wake.hush();
        poll(&mut fds, 0).expect("poll");
        assert_eq!(fds[0].revents, 0);
    }
}
