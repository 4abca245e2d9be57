//! The bell by which any thread wakes the one that waits for sockets.

use std::{io, os::fd::RawFd, sync::Arc, time::Duration};

use crate::wake::{Wake, poll_for, readable};

/// Rings once however often it is rung before somebody listens. Cheap to share.
#[derive(Clone, Debug)]
pub struct Bell(Arc<Wake>);

impl Bell {
    /// A bell that has not been rung.
    ///
    /// # Errors
    ///
    /// The kernel gives no descriptor.
    pub fn new() -> io::Result<Self> {
        Wake::new().map(|wake| Self(Arc::new(wake)))
    }

    /// Wakes who waits, or lets who will wait not wait. Never blocks.
    pub fn ring(&self) {
        self.0.ring();
    }

    /// Waits until it has been rung, for `patience` at most.
    pub fn wait(&self, patience: Duration) {
        let mut fds = [readable(self.fd())];
        // What cannot be waited for is as if it had been rung.
        if poll_for(&mut fds, patience).is_err() || fds[0].revents != 0 {
            self.hush();
        }
    }

    pub(crate) fn hush(&self) {
        self.0.hush();
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.fd()
    }
}
