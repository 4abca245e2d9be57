//! A service that reports by itself: every report is a result at once, and silence beyond the limit is a failure.

use std::time::Duration;

use model::{MonitorId, report::ProbeResult};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::Results;

/// Reports of one service that wait; who finds it full is refused.
pub(super) const DEPTH: usize = 16;

/// One monitor's task. Ends when nobody can report any more.
pub(super) async fn run(
    monitor: MonitorId,
    within: Duration,
    mut reports: mpsc::Receiver<ProbeResult>,
    results: Results,
) {
    loop {
        let result = match timeout_at(Instant::now() + within, reports.recv()).await {
            Ok(Some(result)) => result,
            Ok(None) => return,
            // Said again after each further limit.
            Err(_) => ProbeResult::Failure(format!("nothing was reported within {within:?}").into()),
        };
        if results.send((monitor.clone(), result, None)).await.is_err() {
            return;
        }
    }
}
