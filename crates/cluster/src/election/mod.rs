//! One virtual host on this server: whether it holds the addresses, takes them or lets them go.
//!
//! [`Election::evaluate`] runs after every input. It looks at the [`View`] (everybody's newest word), computes the target,
//! asks the table in [`mod@decide`], and moves the [`Phase`]:
//!
//! ```text
//!            take               hook over             kernel confirms all
//!   Backup ────────▶ Preparing ───────────▶ Taking ─────────────────────────▶ Active
//!     ▲                  │ target changed     │ refused, lost, target changed    │
//!     │                  ▼                    ▼                                  │
//!     └────────────── Releasing ◀────────────────────────────────────────────────┘
//!   kernel confirms
//!   all removals
//! ```
//!
//! Invariants: peers hear `Claim::None` only after the kernel has confirmed every removal. A claim of a living peer is
//! never taken over (design R3): it must be released, or its maker must die, and the wire must agree that it has.
//!
//! Deliberately not here: what the kernel has (`aliases`), who is alive (`membership`).

pub(crate) mod decide;
mod evidence;
mod hooks;
mod moves;
mod notes;
mod outlook;
mod patience;
mod proof;
pub(crate) mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use model::{
    Instant, ServerName, Term, VirtualHostName,
    config::{HeartbeatSettings, VirtualHost},
    event::{AddressRefusal, Cause, Event},
    net::MacAddress,
};

use self::{
    decide::{Answer, Hold, Question, Target, decide},
    evidence::Evidence,
    hooks::Hooks,
    outlook::Daylight,
    patience::{Announcements, Backoff, Sightings, Steadiness},
    proof::Proofs,
    view::View,
};
use crate::{
    Effect, Effects, Membership,
    aliases::Aliases,
    counters::Counters,
    deadline::{DeadlineName, Earliest},
    links::Links,
    partition::Standing,
    statement::{Claim, Stance},
};

/// What surrounds a decision.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) now: Instant,
    pub(crate) heartbeat: HeartbeatSettings,
    pub(crate) standing: Standing,
    /// This server is a newcomer that has listened lately.
    pub(crate) young: bool,
    pub(crate) links: &'a Links,
    pub(crate) membership: &'a Membership,
}

/// What this server has of the virtual host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nothing: the kernel has confirmed it.
    Backup,
    /// Claimed; the kernel is asked for nothing before the `before-take` hook is over. Left at once where there is none.
    Preparing { term: Term, since: Instant },
    /// The addresses have been asked of the kernel.
    Taking { term: Term, since: Instant },
    /// The kernel has confirmed every address.
    Active { term: Term, announcements: Announcements },
    /// The removal of these addresses has been asked of the kernel.
    Releasing { term: Term, since: Instant, addresses: BTreeSet<IpAddr> },
}

/// Why this server can't hold the virtual host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Obstacle {
    /// It is not, or no longer, on the list.
    NotListed,
    /// The partition policy.
    Isolated,
    /// The address is not to be held.
    Refused(IpAddr, AddressRefusal),
    /// No interface that is up has the address's subnet.
    NoInterface(IpAddr),
    /// The kernel refused lately.
    Kernel(Arc<str>),
    /// Others could not reach it here.
    Unseen,
}

/// One virtual host on this server.
#[derive(Clone, Debug)]
pub(crate) struct Election {
    name: VirtualHostName,
    /// Its configuration; an empty list once it has been removed from the configuration.
    spec: VirtualHost,
    phase: Phase,
    /// The highest term ever seen.
    highest: Term,
    target: Option<ServerName>,
    /// The last living server that was seen to hold it.
    last_holder: Option<ServerName>,
    /// Why this server last gave it up.
    last_cause: Option<Cause>,
    /// We wait for the holder's release.
    ready: bool,
    obstacle: Option<Obstacle>,
    steady: bool,
    steadiness: Steadiness,
    proofs: Proofs,
    evidence: Evidence,
    sightings: Sightings,
    backoff: Backoff,
    /// How others reach it here.
    daylight: Daylight,
    /// Peers that claim what we hold, and since when.
    rivals: BTreeMap<ServerName, Instant>,
    hooks: Hooks,
    /// Since when we should be gone and wait for the target to be ready.
    lingering: Option<Instant>,
    /// It could be taken, were it not that peers have yet to hear that we can; until then at most.
    untold_until: Option<Instant>,
    /// The configuration has changed since the last decision.
    reconfigured: bool,
}

impl Election {
    /// Nothing is held. Every address needs proof.
    pub(crate) fn new(now: Instant, name: VirtualHostName, spec: VirtualHost) -> Self {
        let mut proofs = Proofs::default();
        proofs.reconfigure(&spec.addresses);
        Self {
            name,
            spec,
            phase: Phase::Backup,
            highest: Term::default(),
            target: None,
            last_holder: None,
            last_cause: None,
            ready: false,
            obstacle: Some(Obstacle::NotListed),
            steady: false,
            steadiness: Steadiness::new(now),
            proofs,
            evidence: Evidence::default(),
            sightings: Sightings::default(),
            backoff: Backoff::default(),
            daylight: Daylight::default(),
            rivals: BTreeMap::new(),
            hooks: Hooks::default(),
            lingering: None,
            untold_until: None,
            reconfigured: false,
        }
    }

    /// This server has slept, and knows no more of the others than a newcomer: a run that it has not met may have come and
    /// hung meanwhile, so nothing is taken on the word of an older one.
    pub(crate) fn doubt_others(&mut self) {
        match self.phase {
            Phase::Backup | Phase::Releasing { .. } => self.proofs.doubt(),
            Phase::Preparing { .. } | Phase::Taking { .. } | Phase::Active { .. } => {}
        }
    }

    /// Takes over a configuration. What stays is not touched (design R9).
    pub(crate) fn reconfigure(&mut self, spec: VirtualHost) {
        if self.spec != spec {
            self.proofs.reconfigure(&spec.addresses);
            // What others failed to reach is not what is tried from now on.
            if self.spec.monitors != spec.monitors {
                self.forgive();
            }
            self.spec = spec;
            self.forget_outside_keys();
            self.reconfigured = true;
        }
    }

    /// The virtual host is no longer in the configuration: nobody may hold it.
    pub(crate) fn retire(&mut self) {
        self.reconfigured |= !self.spec.servers.is_empty();
        self.spec.servers.clear();
    }

    /// Whether it is retired and nothing is held any more.
    pub(crate) fn is_finished(&self) -> bool {
        self.spec.servers.is_empty() && self.phase == Phase::Backup
    }

    pub(crate) fn spec(&self) -> &VirtualHost {
        &self.spec
    }

    pub(crate) fn target(&self) -> Option<&ServerName> {
        self.target.as_ref()
    }

    pub(crate) fn obstacle(&self) -> Option<&Obstacle> {
        self.obstacle.as_ref()
    }

    /// The term of the holding in force, or the highest seen.
    pub(crate) fn term(&self) -> Term {
        match self.phase {
            Phase::Backup => self.highest,
            Phase::Preparing { term, .. }
            | Phase::Taking { term, .. }
            | Phase::Active { term, .. }
            | Phase::Releasing { term, .. } => term,
        }
    }

    /// Whether the kernel may have the addresses.
    pub(crate) fn holds(&self) -> bool {
        self.claim().is_held()
    }

    fn claim(&self) -> Claim {
        match self.phase {
            Phase::Backup => Claim::None,
            Phase::Preparing { .. } | Phase::Taking { .. } => Claim::Taking,
            Phase::Active { .. } => Claim::Active,
            Phase::Releasing { .. } => Claim::Releasing,
        }
    }

    /// What we say about it to our peers.
    pub(crate) fn stance(&self) -> Stance {
        let able = self.obstacle.is_none();
        let unseen = self.obstacle == Some(Obstacle::Unseen);
        Stance { claim: self.claim(), term: self.term(), able, steady: self.steady, ready: self.ready, unseen }
    }

    /// The addresses that should be on this machine.
    pub(crate) fn wished(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let holds = matches!(self.phase, Phase::Taking { .. } | Phase::Active { .. });
        self.spec.addresses.iter().copied().filter(move |address| holds && self.proofs.is_given(*address))
    }

    /// Brings up to date what stands in the way of this server's holding it.
    pub(crate) fn look(&mut self, moment: &Moment<'_>, listed: bool, effects: &mut Effects) {
        self.backoff.expire(moment.now);
        self.proofs.expire(moment.now);
        self.hooks.look(&self.spec, moment.links);
        self.expire_hook(moment.now, effects);
        let obstacle = self.find_obstacle(moment, listed);
        if obstacle != self.obstacle
            && let Some(Obstacle::Refused(address, reason @ AddressRefusal::OwnAddress { .. })) = &obstacle
        {
            let (virtual_host, address, reason) = (self.name.clone(), *address, reason.clone());
            effects.record(Event::AddressRefused { virtual_host, address, reason });
        }
        self.obstacle = obstacle;
    }

    /// Brings up to date for how long this server has been as it is.
    pub(crate) fn grow_steady(&mut self, now: Instant, me: &view::Member<'_>) {
        self.steadiness.update(now, me.is_eligible(), me.health.clone());
        self.steady = now >= self.steadiness.since() + self.spec.failback_delay;
    }

    /// Our stance has been told, with the datagrams up to this sequence number.
    pub(crate) fn tell(&mut self, sequence: u64) {
        self.steadiness.tell(sequence);
    }

    /// Whether it waits for peers to have heard our stance.
    pub(crate) fn awaits_echoes(&self) -> bool {
        self.untold_until.is_some()
    }

    /// Whether nothing is under way: without news, deciding anew changes nothing before the next deadline.
    pub(crate) fn is_at_rest(&self) -> bool {
        let settled = match self.phase {
            Phase::Backup | Phase::Active { .. } => true,
            Phase::Preparing { .. } | Phase::Taking { .. } | Phase::Releasing { .. } => false,
        };
        settled
            && self.steady
            && self.steadiness.told().is_some()
            && self.evidence == Evidence::default()
            && self.rivals.is_empty()
            && self.lingering.or(self.untold_until).is_none()
            && !(self.ready || self.reconfigured)
    }

    fn find_obstacle(&self, moment: &Moment<'_>, listed: bool) -> Option<Obstacle> {
        if !listed {
            return Some(Obstacle::NotListed);
        }
        if moment.standing == Standing::Isolated {
            return Some(Obstacle::Isolated);
        }
        let own = |address: &IpAddr| {
            let interface = moment.links.owner(*address)?;
            Some(Obstacle::Refused(*address, AddressRefusal::OwnAddress { interface }))
        };
        if let Some(own) = self.spec.addresses.iter().find_map(own) {
            return Some(own);
        }
        // An address that came with a reload and is in use is left out; the others are not given up for it.
        if let (Phase::Backup, Some((address, mac))) = (&self.phase, self.proofs.in_use()) {
            return Some(Obstacle::Refused(address, AddressRefusal::InUse { mac }));
        }
        let lost = self.spec.addresses.iter().find(|address| moment.links.place(**address).is_none());
        if let Some(address) = lost {
            return Some(Obstacle::NoInterface(*address));
        }
        let refused = self.backoff.refusal().cloned().map(Obstacle::Kernel);
        refused.or(self.daylight.is_held_down(moment.now).then_some(Obstacle::Unseen))
    }

    /// An address in use, held back from an otherwise held virtual host or not.
    pub(crate) fn in_use(&self) -> Option<(IpAddr, MacAddress)> {
        self.proofs.in_use()
    }

    /// Decides, and begins what was decided.
    pub(crate) fn evaluate(
        &mut self,
        moment: &Moment<'_>,
        view: &View<'_>,
        counters: &mut Counters,
        effects: &mut Effects,
    ) {
        self.learn(view);
        self.note_rivals(moment.now, view, counters, effects);
        self.note_target(view, effects);
        self.inquire(moment, view, effects);
        self.untold_until = self.until_told(moment, view);
        let answer = decide(self.question(moment, view));
        self.ready = answer == Answer::StandReady;
        self.lingering = (answer == Answer::Linger).then(|| self.lingering.unwrap_or(moment.now));
        match answer {
            Answer::Rest | Answer::StandReady | Answer::Prove | Answer::Linger => {}
            Answer::Take => self.take(moment.now, view, counters, effects),
            Answer::Proceed => self.proceed(),
            Answer::Release(why) => {
                let cause = self.cause_of_release(why, view);
                self.release(moment.now, self.target.clone(), cause, counters, effects);
            }
        }
        self.ask_the_wire(moment, answer == Answer::Prove, effects);
        self.last_holder = view.holder().map(|holder| holder.name.clone()).or(self.last_holder.take());
        self.reconfigured = false;
    }

    /// Everything that the decision depends on.
    fn question(&self, moment: &Moment<'_>, view: &View<'_>) -> Question {
        let me = view.me();
        let hold = match self.phase {
            Phase::Backup => Hold::Nothing,
            Phase::Preparing { .. } => Hold::Preparing,
            Phase::Taking { .. } | Phase::Active { .. } => Hold::Held,
            Phase::Releasing { .. } => Hold::LettingGo,
        };
        let target = self.target.as_ref().and_then(|target| view.member(target));
        let heartbeat = moment.heartbeat;
        Question {
            hold,
            target: match target {
                None => Target::Nobody,
                Some(target) if target.name == me.name => Target::Me,
                Some(target) if target.stance.ready => Target::Ready,
                Some(_) => Target::NotReady,
            },
            claimed: view.peers().any(|peer| peer.claims()),
            lost: self.has_lost(moment, view),
            isolated: moment.standing == Standing::Isolated,
            may_take: moment.standing == Standing::Sound && !self.awaits_others(moment, view),
            told: self.untold_until.is_none(),
            gone: self.silent_holder(moment, view).is_none() || self.evidence.agrees(),
            proven: self.proofs.are_all_given(),
            prepared: self.hooks.is_prepared(),
            must_go: !me.is_eligible() || target.is_some_and(|target| target.health > me.health),
            overdue: self.lingering.is_some_and(|since| moment.now >= since + heartbeat.interval * 2),
        }
    }

    /// Where several servers start, or come back, at a time, each is the last to hear that the others have listened, too.
    /// So a newcomer leaves to a better one what nobody holds, for one more detection time.
    fn awaits_others(&self, moment: &Moment<'_>, view: &View<'_>) -> bool {
        moment.young && view.heir(&self.spec).is_some_and(|heir| heir.listening)
    }

    /// Two servers that become able in the same moment would each take what nobody holds, the other's word still on its
    /// way. So whoever has become able, or healthier, takes only what its peers, as they say, have heard that of: then
    /// they have told, too, whether they want it. A peer that goes on not hearing us is waited for no longer than the
    /// detection time. Returns until when to wait.
    fn until_told(&self, moment: &Moment<'_>, view: &View<'_>) -> Option<Instant> {
        let until = self.steadiness.since() + moment.heartbeat.detection();
        let wanted = self.phase == Phase::Backup && self.target.as_ref() == Some(view.me().name);
        let has_heard = |peer: &view::Member<'_>| {
            let peer = moment.membership.peer(peer.name);
            peer.is_some_and(|peer| self.steadiness.told().is_some_and(|sequence| peer.has_heard(sequence)))
        };
        let concerned = |peer: &&view::Member<'_>| peer.state.is_alive() && self.spec.servers.contains(peer.name);
        let untold = view.peers().filter(concerned).any(|peer| !peer.deaf && !has_heard(peer));
        (wanted && untold && moment.now < until).then_some(until)
    }

    /// Of several claimants another one keeps it. Whoever hears us while we don't hear it does so by placement. A rival
    /// that goes on not hearing us can't know of us: it keeps it.
    fn has_lost(&self, moment: &Moment<'_>, view: &View<'_>) -> bool {
        let unteachable = |peer: &view::Member<'_>| {
            let since = self.rivals.get(peer.name);
            peer.deaf && since.is_some_and(|since| moment.now >= *since + moment.heartbeat.detection())
        };
        view.holder().is_some_and(|holder| holder.name != view.me().name) || view.peers().any(unteachable)
    }

    /// What wants to be done, and when.
    pub(crate) fn deadlines(&self, heartbeat: HeartbeatSettings, earliest: &mut Earliest) {
        if let Phase::Active { announcements, .. } = &self.phase {
            earliest.consider(Some(announcements.next()), || DeadlineName::Announce(self.name.clone()));
        }
        let lingering = self.lingering.map(|since| since + heartbeat.interval * 2);
        earliest.consider(lingering, || DeadlineName::Handover(self.name.clone()));
        earliest.consider(self.hooks.awaited_until(), || DeadlineName::Hook(self.name.clone()));
        earliest.consider(self.untold_until, || DeadlineName::Told(self.name.clone()));
        earliest.consider(self.backoff.until(), || DeadlineName::Backoff(self.name.clone()));
        earliest.consider(self.daylight.next_deadline(), || DeadlineName::Outlook(self.name.clone()));
        let steady = (!self.steady).then(|| self.steadiness.since() + self.spec.failback_delay);
        earliest.consider(steady, || DeadlineName::Steady(self.name.clone()));
        earliest.consider(self.evidence.next_deadline(heartbeat), || DeadlineName::Evidence(self.name.clone()));
        earliest.consider(self.proofs.next_deadline(), || DeadlineName::Duplicate(self.name.clone()));
    }
}
