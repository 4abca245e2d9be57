//! The guardian: the parent process of the daemon, and the second link of the release chain (design section 5).
//!
//! [`watch`] is all that the parent does: no runtime, no second thread, no keys; its memory locked and real-time
//! priority where that is permitted. It starts the daemon as its child and waits for three things: the child's end
//! (pidfd), signals to pass on (signalfd), and the moment at which the driver's pulse in the shared page is too old.
//! The daemon's side is a [`Ward`].
//!
//! *No second owner.* Whatever ended the daemon, a crash or a hang, the order is the same, and each step waits for the
//! one before:
//!
//! 1. SIGKILL, where it still lives, and wait until the kernel says that no thread of it is left, or that all are ending
//!    (`threads`). Nobody can add an address any more, no request of its is under way, and no heartbeat of its will claim
//!    anything. (The daemon's addresses answer meanwhile, and no peer takes them before the detection time.)
//! 2. Remove the addresses that the page lists and all that carry our mark, until a dump shows none of them.
//! 3. Only then the farewell, by UDP and as an Ethernet broadcast, at which peers take at once. Where the kernel did not confirm the removal there is none:
//!    peers wait for silence, as if there were no guardian, and the kernel lease bounds what remains.
//! 4. End the connections through those addresses, and start it again, after a pause.
//!
//! A child that survives SIGKILL because it hangs inside the kernel has its addresses removed, but no farewell is sent
//! until it is gone: the call that it hangs in might still add one.
//!
//! *A hang* is judged by [`model::pulse`], by CLOCK_MONOTONIC, so that a suspended machine hangs nobody. A child that has not
//! begun to beat, or is ending as planned, is not judged.
//!
//! Deliberately not here: decisions about addresses, keys, the farewell's content (`cluster` seals it); announcing.

mod child;
mod kernel;
mod page;
mod rounds;
mod threads;
mod ward;

pub use self::{
    rounds::{End, watch},
    ward::Ward,
};
