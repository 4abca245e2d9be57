//! What a monitor keeps from one attempt to the next.
//!
//! Files and programs can hang for ever where no deadline reaches them (a dead file server), so whatever touches them has a
//! thread of its own, one at a time for each monitor: a hung one costs its monitor a thread, and nobody else anything.

use std::{
    future::pending,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::oneshot,
};

use super::{
    attempt::{Deadline, Failed},
    persistent::Slot,
};
use crate::wake::{poll, readable};

/// Of one monitor.
#[derive(Default)]
pub(super) struct Kept {
    busy: Arc<AtomicBool>,
    process: Option<Process>,
    pub(super) http: Slot,
}

/// A process that was found.
pub(super) struct Process {
    fd: AsyncFd<OwnedFd>,
    /// As people call it.
    pub(super) what: String,
}

impl Process {
    pub(super) fn new(pidfd: OwnedFd, what: String) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is one open descriptor until it is dropped, and the `AsyncFd` owns it.
        let fd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?;
        Ok(Self { fd, what })
    }

    fn has_ended(&self) -> bool {
        let mut fds = [readable(self.fd.as_raw_fd())];
        poll(&mut fds, 0).is_ok() && fds[0].revents != 0
    }
}

impl Kept {
    /// Does something that may hang; `what` names it.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        deadline: Deadline,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(Failed::lost(format!("{what} of an earlier probe still hangs")));
        }
        let (sender, receiver) = oneshot::channel();
        let busy = self.busy.clone();
        let work = move || {
            let done = work();
            busy.store(false, Ordering::Release);
            // The probe may have been withdrawn meanwhile.
            let _withdrawn = sender.send(done);
        };
        if let Err(error) = thread::Builder::new().name("standin-probe".into()).spawn(work) {
            self.busy.store(false, Ordering::Release);
            return Err(Failed::lost(format!("no thread: {error}")));
        }
        deadline.hold(what, receiver).await?.map_err(|_| Failed::lost(format!("{what} broke down")))
    }

    /// The process that is watched, if it still runs; else what it was called.
    pub(super) fn process(&mut self) -> Result<(), Option<String>> {
        match self.process.take() {
            Some(process) if process.has_ended() => Err(Some(process.what)),
            Some(process) => {
                self.process = Some(process);
                Ok(())
            }
            None => Err(None),
        }
    }

    pub(super) fn watch(&mut self, process: Process) {
        self.process = Some(process);
    }

    /// Until the process that is watched ends; for ever where there is none.
    pub(super) async fn news(&self) {
        let ended = match &self.process {
            Some(process) => process.fd.readable().await.is_ok(),
            None => false,
        };
        if !ended {
            pending::<()>().await;
        }
    }
}
