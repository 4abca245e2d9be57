//! What follows from a monitor's results, whatever its type: severity, group, damping, recovery.

use std::{sync::Arc, time::Duration};

use super::cluster::Hook;
use crate::id::ServerName;

/// The part of a monitor's configuration that has nothing to do with what it tries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Handling {
    /// What its failure does.
    pub severity: Severity,
    /// Where it runs and reports, and counts as failed all the same.
    pub disabled: Vec<ServerName>,
    /// The group of its virtual host that it counts in, if it does not count alone.
    pub group: Option<Arc<str>>,
    /// When it has failed too often; none: never.
    pub damping: Option<Damping>,
    /// What is tried before a failure counts; none: nothing.
    pub recovery: Option<Recovery>,
}

/// `severity` of a monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Severity {
    /// Its verdict decides where the virtual host goes, and whether it is answered. Default.
    #[default]
    Failover,
    /// Its verdict is told, and moves nothing.
    Record,
    /// Like `Failover`; and who has failed stays failed until an operator resets it.
    Latch,
}

impl Severity {
    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Record => "record",
            Self::Latch => "latch",
        }
    }
}

/// `damping` of a monitor: who fails too often stays down for a while, though it is found up (after RFC 2439).
///
/// Each failure counts 1, each turn to degraded a half; half of the sum is forgotten with each half-life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damping {
    /// 1 s to 1 h. Default 1 min.
    pub half_life: Duration,
    /// Above this sum it stays down, 1 to 100. Default 3: the fourth failure within a minute.
    pub suppress: u32,
    /// At this sum it counts again; from 1, below `suppress`. Default 1.
    pub reuse: u32,
}

impl Default for Damping {
    fn default() -> Self {
        Self { half_life: Duration::from_secs(60), suppress: 3, reuse: 1 }
    }
}

/// `recovery` of a virtual host's monitor: a program that may mend the service where it has failed. While it is at work the
/// monitor keeps its verdict, at most for `attempts` times its time limit and `window`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// What runs, as whom, and for how long at most: 10 ms to 60 s, default 5 s.
    pub hook: Hook,
    /// Runs in a row until it is given up, 1 to 10. Default 1.
    pub attempts: u32,
    /// After a run the probes have so long to succeed, up to 5 min; at least `rise` times `recheck`. Default 3 s, or what is
    /// needed.
    pub window: Duration,
    /// After a recovery, successful or not, a failure counts at once for so long; twice as long each time when the service
    /// fails again soon after. 1 s to 24 h. Default 5 min.
    pub pause: Duration,
}
