//! The thread that ends what is left of connections through released addresses.
//!
//! Invariants: it is told of an address only after its removal was confirmed, and nobody waits for it; an address that
//! comes back meanwhile is spared from then on. Bounded by the number of addresses. Where the kernel cannot do it that is
//! said once. When it is stopped, it first does what it was told.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{Builder, JoinHandle},
};

use crate::connections::Connections;

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Leftovers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default, Debug)]
struct Shared {
    cell: Mutex<Cell>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct Cell {
    /// Gone, and not dealt with yet.
    released: BTreeSet<IpAddr>,
    /// Being dealt with.
    current: BTreeSet<IpAddr>,
    stop: bool,
}

impl Leftovers {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = Builder::new().name("standin-leftover".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.work()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// These addresses are gone from the kernel's table, and whoever waits for that has been told.
    pub(super) fn released(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.shared.lock().released.extend(addresses);
        self.shared.changed.notify_one();
    }

    /// The address is about to be added again: connections through it are new ones.
    pub(super) fn back(&self, address: IpAddr) {
        let mut cell = self.shared.lock();
        cell.released.remove(&address);
        cell.current.remove(&address);
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so already; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock().expect("no holder of this lock panics")
    }

    fn work(&self) {
        let mut able = true;
        while let Some(addresses) = self.next() {
            if !able {
                continue;
            }
            let gone = |address| self.lock().current.contains(&address);
            match Connections::open().and_then(|mut connections| connections.end(&addresses, &gone)) {
                Ok(0) => {}
                Ok(ended) => tracing::info!(ended, "ended connections through addresses that are released"),
                Err(error) => {
                    able = !matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOENT | libc::EPERM));
                    tracing::warn!(%error, "connections through released addresses are left to time out");
                }
            }
        }
    }

    /// What to deal with next; none when it is time to end.
    fn next(&self) -> Option<BTreeSet<IpAddr>> {
        let idle = |cell: &mut Cell| cell.released.is_empty() && !cell.stop;
        let mut cell = self.changed.wait_while(self.lock(), idle).expect("no holder of this lock panics");
        cell.current = std::mem::take(&mut cell.released);
        (!cell.current.is_empty()).then(|| cell.current.clone())
    }
}
