//! Who holds which address: membership, placement, claims, verdicts, and the sealed heartbeats between servers.
//!
//! One machine, [`Node`]: `handle(now, Input, &mut Effects)` and `next_deadline()`. It decides; it does nothing. Read
//! [`input`], [`effect`], then [`node`].
//!
//! Invariants: a decision depends on inputs and `now` alone. Effects are values, executed in order; every effect that
//! touches the machine has an input that tells its outcome. Nothing is told to peers before the kernel has confirmed it.
//!
//! Deliberately not here: sockets, clocks, randomness (a boot id comes in from outside), DNS.

mod aliases;
mod calm;
mod counters;
mod criteria;
pub mod deadline;
pub mod effect;
mod election;
mod endpoint;
pub mod input;
mod links;
pub mod membership;
mod monitor;
pub mod node;
mod observers;
mod outside;
mod partition;
pub mod placement;
mod shared;
pub mod statement;
pub mod trust;
pub mod wire;

pub use counters::Counters;
pub use deadline::DeadlineName;
pub use effect::{Effect, Effects};
pub use input::{Command, Input};
pub use membership::Membership;
pub use node::{ClusterStatus, Node, Settings};
pub use wire::{Key, KeyError, Keys};
