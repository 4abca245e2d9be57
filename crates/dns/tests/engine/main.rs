//! The DNS engine from outside: zones in, queries in, replies out.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod again;
mod agree;
mod corpus;
mod following;
mod malformed;
mod manners;
mod oracle;
mod policies;
mod pools;
mod rules;
mod support;
mod why;
mod wire;
