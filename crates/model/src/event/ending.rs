//! How a daemon ended that nobody had told to.

use serde::Serialize;

/// How.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It was killed, or broke down.
    Died,
    /// Its driver stood still; the guardian killed it.
    Hung,
}
