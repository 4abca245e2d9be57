//! Two or three nodes on a stage: a deterministic clock, a network, kernels that answer. One test for each rule.

#![expect(clippy::unwrap_used, reason = "the stage, too, is a test")]

mod calm;
mod chaos;
mod conflict;
mod crowd;
mod endpoints;
mod failure;
mod handover;
mod hooks;
mod monitors;
mod outside;
mod recovery;
mod reload;
mod safety;
mod shared;
#[expect(unreachable_pub, reason = "one binary: everything here is for its modules")]
mod stage;
mod start;
