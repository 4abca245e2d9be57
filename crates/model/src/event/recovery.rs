//! How far a recovery is, as events say it.

use std::sync::Arc;

use serde::Serialize;

use crate::hook::HookReport;

/// One step of a monitor's recovery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum RecoveryStep {
    /// The service has failed; its program is run, and the monitor keeps its verdict meanwhile.
    Begun {
        /// Which run in a row, from 1.
        attempt: u32,
        /// Of how many.
        attempts: u32,
        /// The last probe's words.
        reason: Arc<str>,
    },
    /// The program has ended, or could not be run.
    Ran {
        /// How.
        #[serde(flatten)]
        report: HookReport,
    },
    /// The probes succeed again: the fault has not left this server.
    Recovered {
        /// Runs that it took.
        attempts: u32,
        /// Milliseconds since the service had failed.
        took_ms: u64,
        /// Milliseconds in which a further failure counts at once.
        pause_ms: u64,
    },
    /// It did not help: the failure counts.
    GivenUp {
        /// Runs that were tried.
        attempts: u32,
        /// Milliseconds since the service had failed.
        took_ms: u64,
        /// Milliseconds in which a further failure counts at once.
        pause_ms: u64,
    },
    /// The service has failed again too soon after the last recovery: the failure counts at once.
    Withheld {
        /// Milliseconds until a failure may be recovered from again.
        for_ms: u64,
    },
}

impl RecoveryStep {
    /// The ends that are counted.
    pub const ENDS: [&'static str; 3] = ["recovered", "given-up", "withheld"];

    /// Which end this is, if it is one.
    pub const fn end(&self) -> Option<&'static str> {
        match self {
            Self::Begun { .. } | Self::Ran { .. } => None,
            Self::Recovered { .. } => Some("recovered"),
            Self::GivenUp { .. } => Some("given-up"),
            Self::Withheld { .. } => Some("withheld"),
        }
    }
}
