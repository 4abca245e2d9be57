//! One program, beside all hooks and in no order with them: for what nobody's addresses wait for.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use model::hook::{HookOutcome, HookReport};

use super::run::{Call, run};
use crate::wake::Wake;

/// What is run, as hooks are: as its own user, in its own process group, killed with it at the limit, and only if nobody else could
/// have changed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Single {
    /// An absolute path.
    pub program: Arc<str>,
    /// Its arguments.
    pub arguments: Vec<Arc<str>>,
    /// As whom; none: the one who may do least.
    pub user: Option<Arc<str>>,
    /// After so long it is killed.
    pub timeout: Duration,
    /// Its environment, whole but for `PATH`.
    pub environment: Vec<(&'static str, String)>,
    /// Its standard input.
    pub document: Vec<u8>,
}

impl Single {
    /// Runs it to its end. Whoever does not wait any more has it killed.
    ///
    /// # Errors
    /// Where it cannot even be watched.
    pub async fn run(self) -> io::Result<HookReport> {
        let end = Arc::new(Wake::new()?);
        let _not_awaited = Ring(end.clone());
        let work = move || {
            let call = Call {
                program: &self.program,
                arguments: &self.arguments,
                user: self.user.as_deref(),
                environment: &self.environment,
                document: &self.document,
            };
            let done = Mutex::new(None);
            run(&call, Instant::now() + self.timeout, &end, |ended| {
                *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended.report);
            });
            done.into_inner().unwrap_or_else(PoisonError::into_inner)
        };
        let report = tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?;
        Ok(report.unwrap_or_else(|| HookReport::without_run(HookOutcome::NotRun, "not run")))
    }
}

struct Ring(Arc<Wake>);

impl Drop for Ring {
    fn drop(&mut self) {
        self.0.ring();
    }
}
