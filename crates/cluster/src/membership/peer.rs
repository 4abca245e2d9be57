//! One peer: its run in force, perhaps a run that has yet to prove itself, and the runs that are over.

use std::{collections::VecDeque, time::Duration};

use model::{
    BootId, Instant, ServerName,
    config::HeartbeatSettings,
    event::{Event, Refusal},
    health::ServerState,
    net::Path,
};

use super::{
    death,
    doubt::Doubt,
    incoming::{Accepted, Context, Incoming, echo},
    millis,
    paths::{PathState, Paths},
    run::{Arrival, Arrived, Run},
    suspicion,
};
use crate::{Effects, statement::Statement};

/// Earlier runs that are remembered. A run older than these cannot come back either: it would have to echo a recent
/// sequence number of ours.
const MAX_RETIRED: usize = 16;

/// Another member of the cluster, as heard.
#[derive(Debug)]
pub struct Peer {
    name: ServerName,
    key: u64,
    state: ServerState,
    /// The run in force: it has proven to be fresh.
    session: Option<Run>,
    /// A run that has been heard, and may be a recording.
    candidate: Option<Run>,
    /// Runs that are over, or were taken to be: each with the last sequence number of ours that it may have heard, if it is.
    retired: VecDeque<(BootId, u64)>,
    /// Echoes of what we sent up to here prove nothing: this peer was not configured then, or not dead yet.
    not_before: u64,
    /// Since when it has gone on speaking without an answer to us, while it counts as dead.
    on_trial: Option<Instant>,
    /// Silence counts from here at the earliest.
    watched_from: Instant,
    /// It waits for a word of ours.
    wants_prompt: bool,
    prompted: Option<Instant>,
    /// The newest datagram that came straight from the run in force: its number, when, and its bytes.
    latest: Option<(u64, Instant, Vec<u8>)>,
    paths: Paths,
    doubt: Doubt,
    deaf: bool,
    /// Until then it may not have heard us for a while without being deaf: it has only just come.
    may_be_deaf_until: Instant,
}

impl Peer {
    pub(super) fn new(name: ServerName, now: Instant, not_before: u64) -> Self {
        Self {
            key: name.key(),
            name,
            state: ServerState::Unknown,
            session: None,
            candidate: None,
            retired: VecDeque::new(),
            not_before,
            on_trial: None,
            watched_from: now,
            wants_prompt: false,
            prompted: None,
            latest: None,
            paths: Paths::new(now),
            doubt: Doubt::new(now),
            deaf: false,
            may_be_deaf_until: now,
        }
    }

    /// Whether it is alive. An alive peer always has a statement.
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// The newest whole statement of its run in force; also when it is dead by now, or has left.
    pub fn statement(&self) -> Option<&Statement> {
        self.session.as_ref()?.statement.as_ref()
    }

    /// Whether a heartbeat of it has not come in time: then it is suspected for its silence, not for a hint alone.
    pub fn is_overdue(&self) -> bool {
        self.doubt.is_overdue()
    }

    /// When it was last heard, over any path; none before the first time.
    pub fn last_heard(&self) -> Option<Instant> {
        self.session.as_ref().map(|run| run.last_heard)
    }

    /// When any run of it was last heard, be it proven to speak now or not yet.
    pub(crate) fn last_word(&self) -> Option<Instant> {
        self.runs().map(|run| run.last_heard).max()
    }

    /// How long before its newest word it had last heard us straight, as it says; 65,535 ms stands for longer or never.
    /// None where it does not know our run.
    pub fn hears_us(&self) -> Option<Duration> {
        self.session.as_ref()?.hears_us
    }

    /// Whether it has heard what we sent up to `sequence`, as it says.
    pub(crate) fn has_heard(&self, sequence: u64) -> bool {
        self.session.as_ref().is_some_and(|run| run.echoed >= Some(sequence))
    }

    /// Its run in force.
    pub fn boot(&self) -> Option<BootId> {
        self.session.as_ref().map(|run| run.boot)
    }

    /// The paths over which it is heard straight: how each does, and when it last was.
    pub fn paths(&self) -> impl Iterator<Item = (Path, PathState, Option<Instant>)> {
        self.paths.states()
    }

    pub(super) fn name(&self) -> &ServerName {
        &self.name
    }

    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// The runs that our statements echo to it.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.session.iter().chain(&self.candidate)
    }

    /// Takes an authentic datagram that says it comes from this peer.
    pub(super) fn accept(
        &mut self,
        context: &Context<'_>,
        incoming: Incoming,
        effects: &mut Effects,
    ) -> Result<Accepted, Refusal> {
        if self.boot() == Some(incoming.boot) {
            return self.accept_known(context, incoming, effects);
        }
        let retired = self.retired.iter().position(|(boot, _)| *boot == incoming.boot);
        if let Some(index) = retired {
            // Two runs in quick succession, and a word of the earlier that was overtaken on its way: it has taken the place
            // of the later one. But only a run that lives answers to what was sent since.
            let over = self.retired[index].1;
            if echo(&incoming.part, context).is_none_or(|ours| ours.sequence <= over) {
                return Err(Refusal::StaleBoot);
            }
            self.retired.remove(index);
        }
        self.accept_unproven(context, incoming, effects)
    }

    /// From the run in force: each new sequence number counts, except that a dead peer has to prove itself anew.
    fn accept_known(
        &mut self,
        context: &Context<'_>,
        incoming: Incoming,
        effects: &mut Effects,
    ) -> Result<Accepted, Refusal> {
        let Incoming { origin, boot, sequence, part } = incoming;
        let run = self.session.as_mut().expect("the caller has compared its boot id");
        let gap = context.now.since(run.last_heard);
        let Arrived { what, straight, path } = run.arrive(context.now, sequence, origin);
        let mut accepted = Accepted { straight, ..Accepted::default() };
        match what {
            Arrival::Replayed => return Err(Refusal::Replayed),
            Arrival::Redundant => {
                self.note_path(context.now, path, effects);
                return Ok(Accepted { redundant: true, ..accepted });
            }
            Arrival::Ahead | Arrival::Late if run.left => {
                return Ok(Accepted { redundant: true, ..Accepted::default() });
            }
            Arrival::Ahead | Arrival::Late => {}
        }
        // Who stops as planned says that it is about to; its guardian, who speaks when it cannot, doesn't.
        let (ahead, goodbye, planned) = (what == Arrival::Ahead, part.share.goodbye, part.share.resigning);
        let ours = echo(&part, context);
        if let Some(ours) = ours {
            run.echoed = run.echoed.max(Some(ours.sequence));
            if ahead {
                run.note_echo(ours);
            }
        }
        accepted.changed = run.learn(part, ahead);
        let (answers, understood) = (run.echoed > Some(self.not_before), run.understood);
        if goodbye {
            run.left = true;
            self.deaf = false;
            self.state = ServerState::Left;
            self.gone();
            effects.record(Event::PeerLeft { server: self.name.clone(), planned, silent_ms: millis(gap) });
            accepted.changed = true;
        } else if ahead {
            if !self.state.is_alive() {
                self.ask_for_prompt(context.now, context.heartbeat);
            }
            // Who comes back may hold other addresses than when it went: what it says now has to be known first.
            let proven = answers || self.persists(context, gap);
            if self.state.is_alive() || proven && understood {
                accepted.changed |= self.revive(context, boot, effects);
                self.judge_hearing(context, effects);
            }
        }
        self.note_path(context.now, path, effects);
        Ok(accepted)
    }

    /// It was heard straight over a path. What the dead seem to say proves nothing about paths.
    fn note_path(&mut self, now: Instant, path: Option<Path>, effects: &mut Effects) {
        if let Some(path) = path.filter(|_| self.state.is_alive()) {
            self.paths.heard(now, path, &self.name, effects);
        }
    }

    /// From a run that has not yet proven to be fresh: a datagram does that echoes a recent one of ours, more recent than
    /// the run in force has ever echoed. An earlier run ended before the one in force began and can't have heard as much
    /// of us: not even what it really said, held back on the way until now, brings it back.
    fn accept_unproven(
        &mut self,
        context: &Context<'_>,
        incoming: Incoming,
        effects: &mut Effects,
    ) -> Result<Accepted, Refusal> {
        let Incoming { origin, boot, sequence, part } = incoming;
        let ours = echo(&part, context);
        let proof = ours.map(|heard| heard.sequence).filter(|sequence| {
            *sequence > self.not_before
                && Some(*sequence) > self.session.as_ref().and_then(|run| run.echoed)
                && context.sent.is_recent(context.now, *sequence)
        });
        let known = self.candidate.as_ref().is_some_and(|run| run.boot == boot);
        if known {
            let run = self.candidate.as_mut().expect("just looked at");
            match run.arrive(context.now, sequence, origin).what {
                Arrival::Replayed => return Err(Refusal::Replayed),
                Arrival::Redundant => return Ok(Accepted { redundant: true, ..Accepted::default() }),
                Arrival::Ahead | Arrival::Late => {}
            }
        } else if self.candidate.as_ref().is_some_and(|run| run.echoed.is_some() && proof <= run.echoed) {
            // A recording must not push out the run that is about to be believed.
            return Ok(Accepted { redundant: true, ..Accepted::default() });
        } else {
            self.candidate = Some(Run::new(context.now, boot, sequence, origin));
        }
        if part.share.goodbye {
            // Proven or not, that run is over.
            self.candidate = None;
            self.retire(boot, u64::MAX);
            return Ok(Accepted::default());
        }
        let run = self.candidate.as_mut().expect("there before, or just made");
        run.echoed = run.echoed.max(proof);
        if let Some(ours) = ours {
            run.note_echo(ours);
        }
        run.learn(part, true);
        let proven = run.echoed.is_some() && run.statement.is_some();
        self.ask_for_prompt(context.now, context.heartbeat);
        if proven {
            self.promote(context, effects);
        }
        Ok(Accepted { changed: proven, straight: proven && origin.is_some(), ..Accepted::default() })
    }

    /// The candidate becomes the run in force.
    fn promote(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let Some(run) = self.candidate.take() else { return };
        let (boot, paths) = (run.boot, run.paths.clone());
        if let Some(earlier) = self.session.replace(run) {
            self.retire(earlier.boot, if earlier.left { u64::MAX } else { context.sent.highest() });
        }
        self.deaf = false;
        self.may_be_deaf_until = context.now + context.heartbeat.detection();
        self.latest = None;
        self.state = ServerState::Alive;
        effects.record(Event::PeerAlive { server: self.name.clone(), boot });
        self.doubt = Doubt::new(context.now);
        self.paths.peer_lives(context.now);
        for (path, heard) in paths {
            self.note_path(heard, Some(path), effects);
        }
    }

    fn retire(&mut self, boot: BootId, over: u64) {
        if self.retired.len() == MAX_RETIRED {
            self.retired.pop_front();
        }
        self.retired.push_back((boot, over));
    }

    /// Who was dead is alive at once by an answer to what we have sent since; what it said before, and was held back on the
    /// way, is none. Who does not hear us can't answer: it is believed once it has gone on at a heartbeat's pace for the
    /// detection time.
    fn persists(&mut self, context: &Context<'_>, gap: Duration) -> bool {
        let begins = gap > context.heartbeat.interval * 2;
        let since = self.on_trial.filter(|_| !begins).unwrap_or(context.now);
        self.on_trial = Some(since);
        context.now.since(since) >= context.heartbeat.detection()
    }

    /// Its sequence has advanced. Returns whether its state changed.
    fn revive(&mut self, context: &Context<'_>, boot: BootId, effects: &mut Effects) -> bool {
        let server = self.name.clone();
        match self.state {
            ServerState::Alive => return false,
            ServerState::Suspect => {
                self.doubt.speaks(context.now);
                effects.record(Event::PeerRecovered { server });
            }
            ServerState::Unknown | ServerState::Dead | ServerState::Left => {
                self.may_be_deaf_until = context.now + context.heartbeat.detection();
                self.paths.peer_lives(context.now);
                effects.record(Event::PeerAlive { server, boot });
            }
        }
        self.state = ServerState::Alive;
        true
    }

    /// Compares what it says about hearing us with the detection time.
    fn judge_hearing(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let Some(age) = self.hears_us() else { return };
        let deaf = age > context.heartbeat.detection();
        let may_be_deaf = context.now < context.echoes_count_from.max(self.may_be_deaf_until);
        if deaf == self.deaf || (deaf && may_be_deaf) {
            return;
        }
        self.deaf = deaf;
        let server = self.name.clone();
        effects.record(if deaf {
            Event::OneWayLoss { server, deaf_ms: millis(age) }
        } else {
            Event::OneWayHealed { server }
        });
    }

    /// At most one extra heartbeat in an interval.
    pub(super) fn ask_for_prompt(&mut self, now: Instant, heartbeat: HeartbeatSettings) {
        self.wants_prompt |= self.prompted.is_none_or(|prompted| now.since(prompted) >= heartbeat.interval);
    }

    /// Whether it waits for a word of ours.
    pub(super) fn wants_prompt(&self) -> bool {
        self.wants_prompt
    }

    /// It gets a word of ours now.
    pub(super) fn told(&mut self, now: Instant) {
        if std::mem::take(&mut self.wants_prompt) {
            self.prompted = Some(now);
        }
    }

    /// Keeps the newest datagram of the run in force that came straight, for those who may miss it.
    pub(super) fn keep(&mut self, sequence: u64, now: Instant, bytes: &[u8]) {
        self.latest = Some((sequence, now, bytes.to_vec()));
    }

    /// A kept datagram of `other` that this peer, as it says, has missed: it is alive, it did not hear that run
    /// straight for longer than one lost heartbeat explains, and has nothing newer over another path either.
    pub(super) fn misses<'a>(&self, other: &'a Self, now: Instant, heartbeat: HeartbeatSettings) -> Option<&'a [u8]> {
        let overdue = suspicion(heartbeat);
        let (sequence, at, bytes) = other.latest.as_ref()?;
        if !self.state.is_alive() || !other.state.is_alive() || now.since(*at) >= overdue {
            return None;
        }
        let heard = self.statement()?.heard.get(&other.key).into_iter().flatten();
        let missed = heard
            .filter(|heard| Some(heard.boot) == other.boot())
            .all(|heard| heard.sequence < *sequence && Duration::from_millis(heard.direct_age_ms.into()) > overdue);
        missed.then_some(bytes)
    }

    /// Whether it lacks our account of that number, as far as we know.
    pub(super) fn lacks(&self, account: u64) -> bool {
        let lacks = |run: &Run| run.has_learned != Some(account);
        let session_lacks = self.state != ServerState::Left && self.session.as_ref().is_none_or(lacks);
        session_lacks || self.candidate.as_ref().is_some_and(lacks)
    }

    /// Silence counts from now at the earliest.
    pub(super) fn watch_from(&mut self, now: Instant) {
        self.watched_from = now;
    }

    /// Time has passed, and we have sent up to `sequence`. Returns whether its state changed.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        heartbeat: HeartbeatSettings,
        sequence: u64,
        effects: &mut Effects,
    ) -> bool {
        if self.candidate.as_ref().is_some_and(|run| now >= self.candidate_expiry(run, heartbeat)) {
            self.candidate = None;
        }
        let changed = self.fall_silent(now, heartbeat, sequence, effects);
        if self.state.is_alive() {
            self.paths.expire(now, self.watched_from, heartbeat, &self.name, effects);
        }
        changed
    }

    fn fall_silent(
        &mut self,
        now: Instant,
        heartbeat: HeartbeatSettings,
        sequence: u64,
        effects: &mut Effects,
    ) -> bool {
        let Some(run) = self.session.as_ref().filter(|_| self.state.is_alive()) else { return false };
        let silent = now.since(run.last_heard.max(self.watched_from));
        let (server, silent_ms) = (self.name.clone(), millis(now.since(run.last_heard)));
        if silent >= death(heartbeat) {
            self.state = ServerState::Dead;
            self.gone();
            self.not_before = sequence;
            self.on_trial = None;
            self.deaf = false;
            effects.record(Event::PeerDead { server, silent_ms });
            true
        } else if !self.doubt.is_overdue() && silent >= suspicion(heartbeat) {
            self.doubt.overdue();
            self.state = ServerState::Suspect;
            effects.record(Event::PeerSuspected { server, silent_ms });
            true
        } else {
            false
        }
    }

    fn gone(&mut self) {
        self.doubt.was_true();
        self.paths.peer_is_gone();
    }

    /// Its machine says that nobody listens at its heartbeat address. A hint: it makes a peer suspect, never dead, and a
    /// word of the peer undoes it. Returns whether its state changed.
    pub(super) fn refuse(&mut self, now: Instant, effects: &mut Effects) -> bool {
        let Some(run) = self.session.as_ref().filter(|_| self.state.is_alive()) else { return false };
        if !self.doubt.refused(now) {
            return false;
        }
        let silent_ms = millis(now.since(run.last_heard));
        effects.record(Event::PeerRefused { server: self.name.clone(), silent_ms });
        // Who is overdue is suspected already; the reason is news all the same.
        std::mem::replace(&mut self.state, ServerState::Suspect) != ServerState::Suspect
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn next_deadline(&self, heartbeat: HeartbeatSettings) -> Option<Instant> {
        let candidate = self.candidate.as_ref().map(|run| self.candidate_expiry(run, heartbeat));
        let session = self.session.as_ref().and_then(|run| {
            let from = run.last_heard.max(self.watched_from);
            match self.state {
                ServerState::Alive | ServerState::Suspect if !self.doubt.is_overdue() => {
                    Some(from + suspicion(heartbeat))
                }
                ServerState::Alive | ServerState::Suspect => Some(from + death(heartbeat)),
                ServerState::Unknown | ServerState::Dead | ServerState::Left => None,
            }
        });
        let paths = self.state.is_alive().then(|| self.paths.next_deadline(self.watched_from, heartbeat)).flatten();
        candidate.into_iter().chain(session).chain(paths).min()
    }

    fn candidate_expiry(&self, run: &Run, heartbeat: HeartbeatSettings) -> Instant {
        run.last_heard.max(self.watched_from) + heartbeat.detection()
    }
}
