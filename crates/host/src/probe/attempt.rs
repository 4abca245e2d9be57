//! One attempt: what every type has in common. It begins, ends before its deadline, and says why it failed in words for
//! people.
//!
//! Deliberately not here: what is tried (a file for each protocol), when (`super`).

use std::{future::Future, io, pin::Pin, time::Duration};

use model::{
    config::ProbeKind,
    report::{ProbeOrder, ProbeResult},
};
use tokio::time::{Instant, timeout_at};

use super::{greeting, http, tcp};

/// How an attempt ended, and what remains to be said to the server.
pub(super) struct Ended {
    pub(super) result: ProbeResult,
    pub(super) farewell: Option<Farewell>,
}

/// Ends a conversation as clients end theirs, after the verdict, which does not wait for it.
pub(super) type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Ended {
    /// What came of it, with nothing left to say.
    pub(super) fn now(result: Result<Option<Warning>, Failed>) -> Self {
        Self { result: verdict(result), farewell: None }
    }

    /// What came of it; the farewell is for servers that are still there.
    pub(super) fn with(result: Result<Option<Warning>, Failed>, farewell: Farewell) -> Self {
        let farewell = result.as_ref().map_or_else(|failed| failed.connected, |_| true).then_some(farewell);
        Self { result: verdict(result), farewell }
    }
}

fn verdict(result: Result<Option<Warning>, Failed>) -> ProbeResult {
    match result {
        Ok(_) => ProbeResult::Success,
        Err(failed) => ProbeResult::Failure(failed.reason.into()),
    }
}

/// What is well now and will not stay so, in words for people.
pub(super) type Warning = String;

/// Tries once, within the order's timeout.
pub(super) async fn attempt(order: &ProbeOrder) -> Ended {
    let deadline = Deadline::after(order.timeout);
    match &order.kind {
        ProbeKind::Tcp(probe) => tcp::run(order, probe, deadline).await,
        ProbeKind::Http(probe) => http::run(order, probe, deadline).await,
        ProbeKind::Greeting(probe) => greeting::run(order, probe, deadline).await,
    }
}

/// When an attempt has to be over, and how long it may take in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    span: Duration,
}

impl Deadline {
    pub(super) fn after(span: Duration) -> Self {
        Self { at: Instant::now() + span, span }
    }

    /// Waits for one step of the attempt, until its end; `what` names the step.
    pub(super) async fn hold<T>(self, what: &str, step: impl Future<Output = T>) -> Result<T, Failed> {
        timeout_at(self.at, step).await.map_err(|_| Failed::lost(format!("{what} took longer than {:?}", self.span)))
    }
}

/// Why a probe failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) reason: String,
    /// The server is still there to hear a farewell.
    connected: bool,
}

impl Failed {
    /// The server said what it should not have.
    pub(super) fn said(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), connected: true }
    }

    /// Nobody is there to talk to.
    pub(super) fn lost(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), connected: false }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::lost(reason(&error))
    }
}

/// An error in plain words.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        io::ErrorKind::UnexpectedEof => "connection closed before the answer was complete".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}

/// A server's words, fit for one line of a log: short, and without control characters.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 120;
    let plain: String = text.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match plain.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &plain[..end]),
        None => plain,
    }
}
