//! Other people's programs as judges of our answers: clients that ask, servers around ours, and what is expected of them.

#![allow(dead_code)] // each test uses its part

pub(crate) mod expect;
pub(crate) mod servers;
pub(crate) mod tool;
