//! A program that may mend a service is tried before its failure counts.
//!
//! A *course* begins when a monitor that was up, or degraded, is found down. While it lasts the monitor's verdict stays what
//! it was: for each run up to its time limit, and for the window after a run that succeeded. A run that fails, or hangs, is
//! followed by the next one at once. The course ends well as soon as the probes say so, be the program still at work. After it,
//! well or not, comes a pause in which a failure counts at once. Who fails again within as much time after that pause rests
//! twice as long, up to sixteen times: a service that needs to be recovered all the time must not hide it.
//!
//! Invariants: a course is over at the latest when `attempts` runs and windows are; what never worked is not recovered.
//!
//! Deliberately not here: whether it is allowed to begin ([`super::watch`]), running anything (`host::hook`).

use std::{sync::Arc, time::Duration};

use model::{
    Instant, MonitorId,
    config::Recovery,
    event::{Event, RecoveryStep},
    health::Verdict,
    hook::{HookOutcome, RecoveryId, RecoveryOrder},
};

use crate::{Effect, Effects};

/// The longest pause, in pauses.
const LONGEST: u32 = 16;

/// Whom the steps are told, and of which monitor.
pub(super) struct Teller<'t> {
    pub(super) id: &'t MonitorId,
    pub(super) effects: &'t mut Effects,
}

impl Teller<'_> {
    fn step(&mut self, step: RecoveryStep) {
        self.effects.record(Event::Recovery { monitor: self.id.clone(), step });
    }
}

/// One monitor's recoveries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Course {
    under_way: Option<UnderWay>,
    pause: Option<Pause>,
    /// Runs ordered so far.
    ordered: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct UnderWay {
    since: Instant,
    /// What is told meanwhile.
    kept: Verdict,
    reason: Arc<str>,
    attempt: u32,
    attempts: u32,
    /// It is waited for until then: for the program, or for the probes after it.
    until: Instant,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Running,
    Watching,
}

/// After a course.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pause {
    until: Instant,
    span: Duration,
}

impl Course {
    /// What is told instead of what the probes find.
    pub(super) fn kept(&self) -> Option<Verdict> {
        self.under_way.as_ref().map(|course| course.kept)
    }

    /// When something follows without news.
    pub(super) fn due(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|course| course.until)
    }

    /// In words, for people.
    pub(super) fn words(&self) -> Option<String> {
        let UnderWay { attempt, attempts, .. } = self.under_way.as_ref()?;
        Some(format!("recovering, attempt {attempt} of {attempts}"))
    }

    /// What was up, or degraded, is down. Where the pause is not over nothing begins.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        kept: Verdict,
        reason: Arc<str>,
        settings: &Recovery,
        teller: &mut Teller<'_>,
    ) {
        if let Some(pause) = self.pause.filter(|pause| now < pause.until) {
            return teller.step(RecoveryStep::Withheld { for_ms: millis(pause.until.since(now)) });
        }
        let (attempts, until, step) = (settings.attempts, now, Step::Running);
        self.under_way = Some(UnderWay { since: now, kept, reason, attempt: 0, attempts, until, step });
        self.next(now, settings, teller);
    }

    /// The next run, where there is one left.
    fn next(&mut self, now: Instant, settings: &Recovery, teller: &mut Teller<'_>) {
        let Some(course) = &mut self.under_way else { return };
        course.attempts = settings.attempts;
        if course.attempt >= settings.attempts {
            return self.give_up(now, settings, teller);
        }
        course.attempt += 1;
        (course.step, course.until) = (Step::Running, now + settings.hook.timeout);
        self.ordered += 1;
        let (attempt, attempts, reason) = (course.attempt, course.attempts, course.reason.clone());
        teller.step(RecoveryStep::Begun { attempt, attempts, reason: reason.clone() });
        let id = RecoveryId { monitor: teller.id.clone(), number: self.ordered };
        let order = RecoveryOrder { id, hook: settings.hook.clone(), attempt, attempts, reason };
        teller.effects.push(Effect::RunRecovery(order));
    }

    /// A run has ended; one that is not waited for any longer changes nothing.
    pub(super) fn ran(
        &mut self,
        now: Instant,
        number: u64,
        outcome: HookOutcome,
        settings: &Recovery,
        teller: &mut Teller<'_>,
    ) {
        let awaited = number == self.ordered;
        let Some(course) = self.under_way.as_mut().filter(|course| awaited && course.step == Step::Running) else {
            return;
        };
        match outcome {
            HookOutcome::Succeeded => (course.step, course.until) = (Step::Watching, now + settings.window),
            HookOutcome::Failed | HookOutcome::TimedOut => self.next(now, settings, teller),
            // The next one would not run, either.
            HookOutcome::Refused | HookOutcome::NotRun => self.give_up(now, settings, teller),
        }
    }

    /// Time has passed: a run of which nothing was heard, or a window, may be over.
    pub(super) fn expire(&mut self, now: Instant, settings: &Recovery, teller: &mut Teller<'_>) {
        if self.due().is_some_and(|due| now >= due) {
            self.next(now, settings, teller);
        }
    }

    /// The probes say that it works.
    pub(super) fn succeed(&mut self, now: Instant, settings: &Recovery, teller: &mut Teller<'_>) {
        if let Some((attempts, took_ms, pause_ms)) = self.end(now, settings) {
            teller.step(RecoveryStep::Recovered { attempts, took_ms, pause_ms });
        }
    }

    fn give_up(&mut self, now: Instant, settings: &Recovery, teller: &mut Teller<'_>) {
        if let Some((attempts, took_ms, pause_ms)) = self.end(now, settings) {
            teller.step(RecoveryStep::GivenUp { attempts, took_ms, pause_ms });
        }
    }

    /// Begins the pause. Returns how many runs it took, how long, and how long the pause is.
    fn end(&mut self, now: Instant, settings: &Recovery) -> Option<(u32, u64, u64)> {
        let course = self.under_way.take()?;
        let again = self.pause.filter(|last| course.since < last.until + last.span);
        let span = again.map_or(settings.pause, |last| (last.span * 2).min(settings.pause * LONGEST));
        self.pause = Some(Pause { until: now + span, span });
        Some((course.attempt, millis(now.since(course.since)), millis(span)))
    }

    /// What the probes find counts from now on; what still runs is not waited for.
    pub(super) fn abandon(&mut self) {
        self.under_way = None;
    }

    /// The next failure may be recovered from.
    pub(super) fn forgive(&mut self) {
        self.pause = None;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
