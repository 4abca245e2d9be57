//! Counts what was published, so that whoever shows the state knows when to look again.
//!
//! Invariant: raising it waits for nobody; who does not look misses numbers, never the last one.

use std::sync::Arc;

use tokio::sync::watch;

/// The number of the state that was published last. Cheap to share.
#[derive(Clone, Debug)]
pub(crate) struct Generation(Arc<watch::Sender<u64>>);

impl Default for Generation {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Generation {
    /// Something was published.
    pub(crate) fn next(&self) {
        self.0.send_modify(|number| *number += 1);
    }

    /// For who wants to hear of it.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
