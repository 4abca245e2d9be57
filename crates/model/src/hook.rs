//! Hooks: an operator's programs around the taking and releasing of a virtual host, and those that may mend a service, in
//! the words that `cluster`, `host` and the log share.

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{
    config::Hook,
    event::Cause,
    id::{MonitorId, ServerName, Term, VirtualHostName},
};

/// When a hook runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookMoment {
    /// A take has been decided. The addresses of this virtual host wait for the hook, at most for its time limit.
    BeforeTake,
    /// The kernel has confirmed every address.
    AfterTake,
    /// A release has been decided. It waits for nothing.
    BeforeRelease,
    /// The kernel has confirmed every removal.
    AfterRelease,
}

impl HookMoment {
    /// Every moment.
    pub const ALL: [Self; 4] = [Self::BeforeTake, Self::AfterTake, Self::BeforeRelease, Self::AfterRelease];

    /// The word in configuration, metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BeforeTake => "before-take",
            Self::AfterTake => "after-take",
            Self::BeforeRelease => "before-release",
            Self::AfterRelease => "after-release",
        }
    }
}

/// One run of one hook, unique within a run of the daemon.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HookId {
    /// Whose hook.
    pub virtual_host: VirtualHostName,
    /// When.
    pub moment: HookMoment,
    /// Counts this virtual host's runs, from 1.
    pub number: u64,
}

/// A hook that should run now, and what it is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookOrder {
    /// Which run.
    pub id: HookId,
    /// What is run.
    pub hook: Hook,
    /// The virtual host's addresses, and the interface of each, where it has one.
    pub addresses: Vec<(IpAddr, Option<Arc<str>>)>,
    /// Why it is taken or released.
    pub cause: Cause,
    /// The server that it comes from or goes to, where one is known.
    pub peer: Option<ServerName>,
    /// The holding's number.
    pub term: Term,
}

/// One run of one monitor's recovery program, unique within a run of the daemon.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecoveryId {
    /// Whose service it may mend.
    pub monitor: MonitorId,
    /// Counts this monitor's runs, from 1.
    pub number: u64,
}

/// A recovery program that should run now, and what it is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveryOrder {
    /// Which run.
    pub id: RecoveryId,
    /// What is run.
    pub hook: Hook,
    /// Which run in a row, from 1, of how many.
    pub attempt: u32,
    /// See `attempt`.
    pub attempts: u32,
    /// What the last probe said.
    pub reason: Arc<str>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookOutcome {
    /// Exit code 0.
    Succeeded,
    /// Another exit code, or a signal.
    Failed,
    /// Killed at its time limit.
    TimedOut,
    /// Not run: the program is not there, or others than root or this daemon's user could have changed it.
    Refused,
    /// Not run: it could not be started, or waited too long for others.
    NotRun,
}

impl HookOutcome {
    /// Every outcome, for counters.
    pub const ALL: [Self; 5] = [Self::Succeeded, Self::Failed, Self::TimedOut, Self::Refused, Self::NotRun];

    /// The word in status, metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Refused => "refused",
            Self::NotRun => "not-run",
        }
    }
}

/// How a run ended, and what it said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HookReport {
    /// How.
    pub outcome: HookOutcome,
    /// The same with particulars, in words for people.
    pub reason: Arc<str>,
    /// Microseconds from its start; 0 where it did not run.
    pub took_us: u64,
    /// The beginning of what it wrote to standard output.
    pub stdout: Arc<str>,
    /// The beginning of what it wrote to standard error.
    pub stderr: Arc<str>,
}

impl HookReport {
    /// Of a hook that did not run.
    pub fn without_run(outcome: HookOutcome, reason: impl Into<Arc<str>>) -> Self {
        Self { outcome, reason: reason.into(), took_us: 0, stdout: "".into(), stderr: "".into() }
    }
}
