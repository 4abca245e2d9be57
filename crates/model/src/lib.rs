//! The words of Standin: identifiers, units, checked configuration, health, events, and what the admin API says.
//!
//! Everything here is a plain value. The types to know first: [`config::ClusterConfig`] (what the operator wants),
//! [`health::Health`] (what the cluster believes), [`event::Event`] (what was decided, and why).
//!
//! Invariants: no clock, socket, file, thread, randomness or hash-map order. Configuration that exists as a
//! `ClusterConfig` has been checked; nobody checks it again.
//!
//! Deliberately not here: anything that only one crate uses.

pub mod access;
pub mod api;
pub mod config;
pub mod diagnostic;
pub mod digest;
pub mod event;
pub mod health;
pub mod hook;
pub mod id;
pub mod nearest;
pub mod net;
pub mod notice;
pub mod pulse;
pub mod report;
pub mod time;

pub use health::Health;
pub use id::{
    BootId, ChannelName, EndpointName, MonitorId, PoolName, ServerName, Subject, Term, VirtualHostName, ZoneName,
};
pub use nearest::nearest;
pub use time::Instant;
