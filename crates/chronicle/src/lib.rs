//! The cluster's log as a value: what an entry is, in which order the entries of several servers stand, which of them a
//! server lacks, how they are searched, and which of them make one incident, and who is told of it.
//!
//! Read [`Clock`] (stamps that respect cause and effect), [`Entry`], [`Vector`] (what is known, and so what is
//! missing), [`Query`], [`incident`] and [`notice`], in this order.
//!
//! Invariants
//! - Equal sets of entries have one order, however and in whatever order they came: see [`Position`].
//! - In a [`Stream`] positions grow with the sequence, so that a stream is sorted as it is written.
//! - Who has observed a stamp stamps later than it, unless the stamp is further in the future than [`DRIFT_MS`].
//!
//! Deliberately not here: disk, links between servers, the wall clock, which is given as an argument.

mod clock;
mod entry;
pub mod incident;
pub mod notice;
mod query;
mod stream;

pub use clock::{Clock, DRIFT_MS, Stamp, TooFarAhead};
pub use entry::{Entry, Level, NotAPosition, Position};
pub use query::Query;
pub use stream::{Extent, Stream, Vector};
