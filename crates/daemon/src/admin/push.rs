//! A service's own report: `POST /v1/push`, for monitors of type "push".
//!
//! Deliberately not here: what a report leads to (`cluster`), and what silence does (`host::probe`).

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use host::probe::PushError;
use model::{
    MonitorId, VirtualHostName,
    access::Action,
    api::request::{Push, Reported},
    report::ProbeResult,
};

use super::{Admin, Failure};
use crate::access::Who;

/// A longer message is cut: it appears in status, events and heartbeats' reasons.
const LONGEST: usize = 160;

/// 204 once the report was taken.
pub(super) async fn post(
    State(admin): State<Arc<Admin>>,
    who: Who,
    body: axum::body::Bytes,
) -> Result<StatusCode, Failure> {
    who.may(&admin, Action::Push)?;
    let wrong = |why: String| {
        Failure::Request(format!(
            "the body must be {{\"monitor\": \"VIRTUAL-HOST/MONITOR\", \"state\": \"up\"}}: {why}"
        ))
    };
    let Push { monitor, state, message } = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
    let (virtual_host, name) = monitor.split_once('/').ok_or_else(|| wrong(format!("{monitor:?} has no `/`")))?;
    let id = MonitorId::of_host(&VirtualHostName::new(virtual_host), &name.into());
    let pushed = match admin.probes.upgrade() {
        Some(probes) => probes.push(&id, result(state, message.as_deref().unwrap_or_default())),
        None => return Err(Failure::Driver(crate::driver::Refused::Ended)),
    };
    match pushed {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error @ (PushError::Unknown | PushError::NotPushed)) => {
            Err(Failure::Missing(format!("{monitor}: {error}")))
        }
        Err(PushError::Full) => Err(Failure::Late),
    }
}

fn result(state: Reported, message: &str) -> ProbeResult {
    let plain: String = message.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let why = |word: &str| if plain.is_empty() { format!("reported {word}").into() } else { plain.as_str().into() };
    match state {
        Reported::Up => ProbeResult::Success,
        Reported::Degraded => ProbeResult::Degraded(why("degraded")),
        Reported::Down => ProbeResult::Failure(why("down")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_reason() {
        assert_eq!(result(Reported::Up, "fine"), ProbeResult::Success);
        assert_eq!(result(Reported::Down, ""), ProbeResult::Failure("reported down".into()));
        assert_eq!(result(Reported::Degraded, "tape\nfull"), ProbeResult::Degraded("tapefull".into()));
        assert_eq!(result(Reported::Down, &"x".repeat(500)), ProbeResult::Failure("x".repeat(LONGEST).into()));
    }
}
