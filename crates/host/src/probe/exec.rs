//! A program of the operator's that ends as Nagios' plugins do: 0 well, 1 warning, 2 critical, 3 unknown, with a line that
//! says why, and behind a `|` figures, which are left away.
//!
//! It runs as hooks do (`crate::hook`): as its own user, in its own process group, killed with it at the time limit, and only
//! if nobody else could have changed it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use model::{config::probe::ExecProbe, hook::HookOutcome, report::ProbeOrder};

use super::{
    attempt::{Deadline, Failed, Warning, quoted},
    kept::Kept,
};
use crate::{
    hook::{Call, Done, run},
    wake::Wake,
};

/// So much longer than the program may take to be killed and told of.
const GRACE: std::time::Duration = std::time::Duration::from_millis(500);

pub(super) async fn attempt(order: &ProbeOrder, probe: &ExecProbe, kept: &Kept) -> Result<Option<Warning>, Failed> {
    judge(&output(order, probe, kept).await?)
}

/// Runs it to its end.
pub(super) async fn output(order: &ProbeOrder, probe: &ExecProbe, kept: &Kept) -> Result<Done, Failed> {
    let end = Arc::new(Wake::new()?);
    // A withdrawn probe takes its program with it.
    let _withdrawn = Ring(end.clone());
    let (probe, address, until) = (probe.clone(), order.target.to_string(), Instant::now() + order.timeout);
    let work = move || {
        let arguments: Vec<Arc<str>> =
            probe.arguments.iter().map(|argument| argument.replace("{address}", &address).into()).collect();
        let call = Call {
            program: &probe.program,
            arguments: &arguments,
            user: probe.user.as_deref(),
            environment: &[("STANDIN_ADDRESS", address)],
            document: b"",
        };
        let done = Mutex::new(None);
        run(&call, until, &end, |ended| *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended));
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    };
    let deadline = Deadline::after(order.timeout + GRACE);
    kept.apart(deadline, "the program", work).await?.ok_or_else(|| Failed::lost("the program was not run"))
}

fn judge(done: &Done) -> Result<Option<Warning>, Failed> {
    let first = done.report.stdout.lines().next().unwrap_or_default();
    let said = quoted(first.split('|').next().unwrap_or_default());
    let said = if said.is_empty() { done.report.reason.to_string() } else { said };
    match (done.report.outcome, done.code) {
        (_, Some(0)) => Ok(None),
        (_, Some(1)) => Ok(Some(said)),
        (_, Some(2)) => Err(Failed::lost(said)),
        (_, Some(3)) => Err(Failed::lost(format!("unknown: {said}"))),
        (_, Some(_)) => Err(Failed::lost(format!("{}, 0 to 3 expected", done.report.reason))),
        (
            HookOutcome::Succeeded
            | HookOutcome::Failed
            | HookOutcome::TimedOut
            | HookOutcome::NotRun
            | HookOutcome::Refused,
            None,
        ) => Err(Failed::lost(done.report.reason.to_string())),
    }
}

struct Ring(Arc<Wake>);

impl Drop for Ring {
    fn drop(&mut self) {
        self.0.ring();
    }
}
