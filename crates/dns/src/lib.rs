//! The DNS that clients use: zone templates, views of them under the health of the moment, and answers.
//!
//! Read [`zone`] (what a template says).
//!
//! Invariants: no clock, socket, file, thread, randomness or hash-map order; what is compiled never changes.
//!
//! Deliberately not here: sockets and the general server (`host`), who holds which address (`cluster`).

pub mod zone;

pub use zone::Zone;
