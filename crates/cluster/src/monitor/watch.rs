//! One monitor on this server: what its probes find, and what is in force instead.
//!
//! An operator's word counts most, then the configuration's `disabled`, then the latch, then damping. All of them leave
//! the probes running: what they find is told beside what counts. Where a recovery program is at work, what they found before
//! is told.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use model::{
    Instant, ServerName,
    api::{OwnProbes, ProbeStatus},
    config::{self, Severity},
    health::{Forced, Hold, Judgement, LastingHold, Verdict},
    hook::HookOutcome,
    report::{ProbeOrder, ProbeResult},
};

use super::{
    damping::Penalty,
    judge::Judge,
    recovery::{Course, Teller},
};

/// So many results are remembered.
const REMEMBERED: usize = 10;

/// One monitor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Watch {
    settings: config::Monitor,
    target: IpAddr,
    /// Its brief name inside heartbeats.
    key: u64,
    judge: Judge,
    course: Course,
    penalty: Penalty,
    latched: bool,
    disabled: bool,
    forced: Option<Forced>,
    /// The kernel has told of a closed listener, and no probe has succeeded since.
    closed: Option<Instant>,
    /// Since when the probes find the same, and how often that has changed.
    since: Instant,
    flips: u64,
    recent: VecDeque<Tried>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Tried {
    at: Instant,
    says: Verdict,
    reason: Option<Arc<str>>,
    took: Option<Duration>,
}

impl Watch {
    pub(super) fn new(now: Instant, me: &ServerName, key: u64, target: IpAddr, settings: config::Monitor) -> Self {
        Self {
            disabled: settings.handling.disabled.contains(me),
            settings,
            target,
            key,
            judge: Judge::new(),
            course: Course::default(),
            penalty: Penalty::default(),
            latched: false,
            forced: None,
            closed: None,
            since: now,
            flips: 0,
            recent: VecDeque::new(),
        }
    }

    /// A changed threshold keeps the verdict (design R9). Something else to try keeps it too, until its first result.
    pub(super) fn reconfigure(&mut self, me: &ServerName, target: IpAddr, settings: config::Monitor) {
        let tried = |monitor: &config::Monitor, target| (monitor.kind.clone(), monitor.port, target);
        if tried(&self.settings, self.target) != tried(&settings, target) {
            self.judge.begin_anew();
        }
        let handling = &settings.handling;
        self.disabled = handling.disabled.contains(me);
        self.latched &= handling.severity == Severity::Latch;
        if handling.damping.is_none() {
            self.penalty = Penalty::default();
        }
        if handling.recovery.is_none() || self.disabled {
            self.course.abandon();
        }
        self.settings = settings;
        self.target = target;
    }

    pub(super) fn key(&self) -> u64 {
        self.key
    }

    pub(super) fn settings(&self) -> &config::Monitor {
        &self.settings
    }

    pub(super) fn judgement(&self) -> Judgement {
        Judgement { found: self.found(), hold: self.hold() }
    }

    /// The same, with what its probes find though it may be recovering.
    pub(super) fn bare_judgement(&self) -> Judgement {
        Judgement { found: self.judge.found(), hold: self.hold() }
    }

    /// Whether its recovery program is at work.
    pub(super) fn is_recovering(&self) -> bool {
        self.course.kept().is_some()
    }

    /// What its probes find; what they found before, while it is recovering.
    fn found(&self) -> Verdict {
        self.course.kept().unwrap_or_else(|| self.judge.found())
    }

    fn hold(&self) -> Option<Hold> {
        match self.forced {
            Some(Forced { up: true, .. }) => Some(Hold::ForcedUp),
            Some(Forced { up: false, .. }) => Some(Hold::ForcedDown),
            None if self.disabled => Some(Hold::Disabled),
            None if self.latched => Some(Hold::Latched),
            None => self.penalty.until().map(|_| Hold::Damped),
        }
    }

    /// When what is in force instead ends by itself.
    pub(super) fn held_until(&self) -> Option<Instant> {
        match self.hold()? {
            Hold::ForcedUp | Hold::ForcedDown => self.forced.and_then(|forced| forced.until),
            Hold::Damped => self.penalty.until(),
            Hold::Disabled | Hold::Latched => None,
        }
    }

    /// The earliest time at which something ends by itself, whether it counts or not.
    pub(super) fn due(&self) -> Option<Instant> {
        let forced = self.forced.and_then(|forced| forced.until);
        [forced, self.penalty.until(), self.course.due()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(super) fn expire(&mut self, now: Instant, teller: &mut Teller<'_>) {
        let before = self.found();
        if let Some(settings) = &self.settings.handling.recovery {
            self.course.expire(now, settings, teller);
        }
        self.note_change(now, before);
        self.penalty.expire(now);
        self.forced = self.forced.filter(|forced| forced.until.is_none_or(|until| now < until));
    }

    /// An operator's word.
    pub(super) fn force(&mut self, up: bool, until: Option<Instant>) {
        self.forced = Some(Forced { up, until });
        self.course.abandon();
    }

    /// What outlives the daemon.
    pub(super) fn lasting(&self) -> Option<LastingHold> {
        let hold = LastingHold { latched: self.latched, forced: self.forced };
        (hold != LastingHold::default()).then_some(hold)
    }

    /// What an earlier daemon has left behind.
    pub(super) fn inherit(&mut self, now: Instant, hold: LastingHold) {
        let LastingHold { latched, forced } = hold;
        self.latched = latched && self.settings.handling.severity == Severity::Latch;
        self.forced = forced.filter(|forced| forced.until.is_none_or(|until| now < until));
    }

    /// An operator forgives everything.
    pub(super) fn reset(&mut self) {
        self.forced = None;
        self.latched = false;
        self.penalty = Penalty::default();
        self.course.forgive();
    }

    /// Whether all is known of it that can be: there is a verdict, or it was tried and cannot be reached from here.
    pub(super) fn is_known(&self) -> bool {
        self.judgement().verdict() != Verdict::Unknown || !self.recent.is_empty()
    }

    /// The kernel says that a listener was closed.
    pub(super) fn close(&mut self, now: Instant) {
        self.judge.close(now);
        self.closed = Some(now);
    }

    /// For how many milliseconds it has been as it is found, and by how many that may be wrong. A result is old news by up to an
    /// interval, unless the kernel told of the closed listener: it is so since the middle between the last probe that found
    /// otherwise and the first one that did not.
    pub(super) fn found_since(&self, now: Instant) -> (u64, u64) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let ago = |at: Instant| millis(now.since(at));
        let is_down = |tried: &&Tried| (tried.says == Verdict::Down) == (self.judge.found() == Verdict::Down);
        let Some(first) = self.recent.iter().take_while(is_down).last() else { return (0, 0) };
        if let Some(closed) = self.closed.filter(|closed| *closed <= first.at && self.judge.found() == Verdict::Down) {
            return (ago(closed), 0);
        }
        let Some(before) = self.recent.iter().find(|tried| !is_down(tried)) else { return (ago(first.at), 0) };
        // What failed may have taken its whole time to do so: the probe began an interval after the one before.
        let begun = if self.judge.found() == Verdict::Down { before.at + self.settings.interval } else { first.at };
        let span = begun.min(first.at).since(before.at);
        (ago(before.at + span / 2), millis(span / 2))
    }

    /// What the last probe said against it.
    pub(super) fn reason(&self) -> Option<Arc<str>> {
        let reason = self.recent.front().and_then(|last| last.reason.clone());
        let Some(recovering) = self.course.words() else { return reason };
        Some(reason.map_or_else(|| recovering.clone(), |reason| format!("{recovering}: {reason}")).into())
    }

    /// Takes a probe's result. `on_duty`: this server serves, and what has failed may be recovered.
    pub(super) fn take(
        &mut self,
        now: Instant,
        (result, took): (&ProbeResult, Option<Duration>),
        on_duty: bool,
        teller: &mut Teller<'_>,
    ) {
        let (says, reason) = match result {
            ProbeResult::Success => (Verdict::Up, None),
            ProbeResult::Degraded(reason) => (Verdict::Degraded, Some(reason.clone())),
            ProbeResult::Failure(reason) => (Verdict::Down, Some(reason.clone())),
            ProbeResult::NoRoute => (Verdict::Unknown, Some("this server has no route to it".into())),
        };
        self.recent.truncate(REMEMBERED - 1);
        self.recent.push_front(Tried { at: now, says, reason, took });
        self.closed = self.closed.filter(|_| says == Verdict::Down);
        let before = self.found();
        match says {
            Verdict::Unknown => self.judge.know_nothing(),
            Verdict::Down | Verdict::Degraded | Verdict::Up => {
                self.judge.take(now, says, self.settings.rise, self.settings.fall);
            }
        }
        self.recover(now, before, on_duty, teller);
        self.note_change(now, before);
    }

    /// What was found `before` may be down now, or what was recovering up. Who is held as something else is left alone.
    fn recover(&mut self, now: Instant, before: Verdict, on_duty: bool, teller: &mut Teller<'_>) {
        let down = self.judge.found() == Verdict::Down;
        let may_begin = down && before > Verdict::Unknown && on_duty && self.hold().is_none();
        let Some(settings) = &self.settings.handling.recovery else { return };
        if self.course.kept().is_some() {
            if !down {
                self.course.succeed(now, settings, teller);
            }
        } else if may_begin {
            let reason = self.recent.front().and_then(|last| last.reason.clone()).unwrap_or_default();
            self.course.begin(now, before, reason, settings, teller);
        }
    }

    /// A run of its recovery program has ended.
    pub(super) fn recovery_ran(&mut self, now: Instant, number: u64, outcome: HookOutcome, teller: &mut Teller<'_>) {
        let before = self.found();
        if let Some(settings) = &self.settings.handling.recovery {
            self.course.ran(now, number, outcome, settings, teller);
        }
        self.note_change(now, before);
    }

    /// What it is found may be something else than `before`.
    fn note_change(&mut self, now: Instant, before: Verdict) {
        let found = self.found();
        if found != before {
            self.since = now;
            self.flips += u64::from(before != Verdict::Unknown);
            // Who has never worked has not failed: after a boot its service may only come up.
            if found < before && before > Verdict::Unknown && found != Verdict::Unknown {
                self.fail(now, found);
            }
        }
    }

    /// It works no longer, or less well.
    fn fail(&mut self, now: Instant, found: Verdict) {
        let handling = &self.settings.handling;
        match handling.severity {
            Severity::Failover => {}
            // What moves nothing has nothing to be kept from.
            Severity::Record => return,
            Severity::Latch => self.latched |= found == Verdict::Down,
        }
        if let Some(damping) = handling.damping {
            self.penalty.add(now, found, damping);
        }
    }

    /// The probe that should be running.
    pub(super) fn order(&self) -> ProbeOrder {
        ProbeOrder {
            target: self.target,
            port: self.settings.port,
            kind: self.settings.kind.clone(),
            interval: self.interval(),
            timeout: self.settings.timeout,
        }
    }

    /// In doubt, and while it is recovering, it is probed faster.
    pub(super) fn interval(&self) -> Duration {
        if self.judge.is_in_doubt() || self.is_recovering() { self.settings.recheck } else { self.settings.interval }
    }

    /// What is known of its probes, for people.
    pub(super) fn own(&self, now: Instant) -> OwnProbes {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let tried = |tried: &Tried| ProbeStatus {
            ago_ms: millis(now.since(tried.at)),
            result: tried.says.word().to_owned(),
            reason: tried.reason.clone(),
            took_us: tried.took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        };
        OwnProbes {
            since_ms: millis(now.since(self.since)),
            held_for_ms: self.held_until().map(|until| millis(until.since(now))),
            flips: self.flips,
            recovering: self.course.words(),
            recent: self.recent.iter().map(tried).collect(),
        }
    }
}
