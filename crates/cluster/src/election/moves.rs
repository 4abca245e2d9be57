//! What an election does: takes, confirms, announces, releases; and what the kernel and the wire answer.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use model::{
    Instant, ServerName, Term,
    event::{AddressRefusal, Cause, Event},
    health::ServerState,
    hook::HookMoment,
    net::MacAddress,
    report::DuplicateCheck,
};

use crate::membership::Peer;

use super::{
    Aliases, Announcements, Counters, Effect, Effects, Election, Moment, Phase,
    evidence::{Finding, RELEASE_BOUND},
    hooks::Errand,
    view::{Member, View},
};

impl Election {
    /// Begins to take it, with a term above every term seen.
    pub(super) fn take(&mut self, now: Instant, view: &View<'_>, counters: &mut Counters, effects: &mut Effects) {
        let term = self.highest.next();
        let cause = self.cause_of_take(view);
        self.highest = term;
        self.phase = Phase::Preparing { term, since: now };
        counters.takes += 1;
        let unanswered_ms =
            self.evidence.unanswered(now).map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        effects.record(Event::Taking { virtual_host: self.name.clone(), term, cause, unanswered_ms });
        let me = view.me().name;
        let peer = self.last_holder.clone().filter(|holder| holder != me);
        self.hooks.begin(Errand { cause, peer });
        self.prepare(now, effects);
    }

    /// Begins to give it up; nothing happens where it is not held.
    pub(crate) fn release(
        &mut self,
        now: Instant,
        to: Option<ServerName>,
        cause: Cause,
        counters: &mut Counters,
        effects: &mut Effects,
    ) {
        let addresses: BTreeSet<IpAddr> = self.wished().collect();
        match self.phase {
            Phase::Backup | Phase::Releasing { .. } => return,
            Phase::Preparing { term, .. } | Phase::Taking { term, .. } | Phase::Active { term, .. } => {
                self.phase = Phase::Releasing { term, since: now, addresses };
            }
        }
        self.rivals.clear();
        self.lingering = None;
        self.last_cause = Some(cause);
        counters.releases += 1;
        effects.record(Event::Releasing { virtual_host: self.name.clone(), to: to.clone(), cause });
        self.hooks.begin(Errand { cause, peer: to });
        self.run_hook(HookMoment::BeforeRelease, effects);
    }

    /// Draws the conclusion from what the kernel has confirmed.
    pub(crate) fn settle(&mut self, now: Instant, aliases: &Aliases, effects: &mut Effects) {
        let virtual_host = self.name.clone();
        let took_us = |since| u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX);
        match &self.phase {
            Phase::Taking { term, since } if self.wished().all(|address| aliases.is_present(address)) => {
                effects.record(Event::Active { virtual_host, term: *term, took_us: took_us(*since) });
                self.backoff.succeed();
                self.phase = Phase::Active { term: *term, announcements: Announcements::begin(now) };
                self.run_hook(HookMoment::AfterTake, effects);
            }
            Phase::Releasing { since, addresses, .. }
                if !addresses.iter().any(|address| aliases.is_leaving(*address)) =>
            {
                effects.record(Event::Released { virtual_host, took_us: took_us(*since) });
                // While it is known which holding has ended.
                self.run_hook(HookMoment::AfterRelease, effects);
                self.phase = Phase::Backup;
            }
            Phase::Backup
            | Phase::Preparing { .. }
            | Phase::Taking { .. }
            | Phase::Active { .. }
            | Phase::Releasing { .. } => {}
        }
    }

    /// An address of ours is there: newly, or put back after somebody else had deleted it.
    pub(crate) fn confirmed(&mut self, now: Instant, address: IpAddr, restored: bool, effects: &mut Effects) {
        if !self.wished().any(|wished| wished == address) {
            return;
        }
        if restored {
            effects.record(Event::AddressRestored { virtual_host: self.name.clone(), address });
        }
        self.announce_anew(now);
    }

    /// The kernel does not want an address: the next server has to try.
    pub(crate) fn refused(
        &mut self,
        now: Instant,
        address: IpAddr,
        reason: Arc<str>,
        counters: &mut Counters,
        effects: &mut Effects,
    ) {
        if !self.wished().any(|wished| wished == address) {
            return;
        }
        counters.takes_refused += 1;
        effects.record(Event::TakeFailed { virtual_host: self.name.clone(), address, reason: reason.clone() });
        self.backoff.fail(now, reason);
        self.release(now, None, Cause::Unable, counters, effects);
    }

    /// The lease of an address ran out: this server was late, and others may hold it by now. The holding ends at once.
    /// Returns whether there was one.
    pub(crate) fn lost(
        &mut self,
        now: Instant,
        address: IpAddr,
        counters: &mut Counters,
        effects: &mut Effects,
    ) -> bool {
        let held = self.wished().any(|wished| wished == address);
        if held {
            self.release(now, None, Cause::LeaseLost, counters, effects);
        }
        held
    }

    /// The wire has answered whether somebody has an address.
    pub(crate) fn duplicate(&mut self, now: Instant, address: IpAddr, check: DuplicateCheck, effects: &mut Effects) {
        if let Some(mac) = self.proofs.answer(now, address, check) {
            let reason = AddressRefusal::InUse { mac };
            effects.record(Event::AddressRefused { virtual_host: self.name.clone(), address, reason });
        }
    }

    /// While the holder is silent, whoever would succeed it asks the wire for its addresses (design R3).
    pub(super) fn inquire(&mut self, moment: &Moment<'_>, view: &View<'_>, effects: &mut Effects) {
        let Some(holder) = self.silent_holder(moment, view) else { return self.evidence.drop() };
        let dead = !holder.state.is_alive();
        let succeeds = || view.successor(&self.spec).is_some_and(|successor| successor.name == view.me().name);
        if self.phase == Phase::Backup && !succeeds() {
            return self.evidence.drop();
        }
        if let Some((addresses, patience)) = self.evidence.ask(moment.now, moment.heartbeat, &self.spec.addresses) {
            let placed = |address: IpAddr| Some((address, moment.links.place(address)?));
            let addresses = addresses.into_iter().filter_map(placed).collect();
            effects.push(Effect::AskHolder { addresses, patience });
        }
        let virtual_host = self.name.clone();
        match dead.then(|| self.evidence.finding(moment.now)).flatten() {
            None => {}
            Some(Finding::Answers(address, mac)) => {
                effects.record(Event::HolderAnswers { virtual_host, address, mac });
            }
            Some(Finding::StillAnswers(address, mac)) => {
                effects.record(Event::HolderUnreachable { virtual_host, address, mac });
            }
        }
    }

    /// A peer that has said nothing for too long, and whose machine may have the addresses still: its holding is the newest
    /// known, or it has not been silent for the release bound. Not where we have something of it ourselves; while a hook is
    /// at work we have nothing yet, though our term is above.
    pub(super) fn silent_holder<'v, 'a>(&self, moment: &Moment<'_>, view: &'v View<'a>) -> Option<&'v Member<'a>> {
        let silent = |state| matches!(state, ServerState::Suspect | ServerState::Dead);
        let newest = match self.phase {
            Phase::Backup => self.highest,
            Phase::Preparing { term, .. } => Term(term.0.saturating_sub(1)),
            Phase::Taking { .. } | Phase::Active { .. } | Phase::Releasing { .. } => return None,
        };
        let in_force = |member: &&Member<'_>| {
            let heard = moment.membership.peer(member.name).and_then(Peer::last_heard);
            let lately = heard.is_some_and(|heard| moment.now.since(heard) < RELEASE_BOUND);
            member.stance.claim.is_held() && (lately || member.stance.term >= newest)
        };
        view.peers().filter(in_force).find(|member| silent(member.state))
    }

    /// The wire has answered who has an address, or nobody has.
    pub(crate) fn wire_answered(&mut self, address: IpAddr, answer: Option<MacAddress>) {
        self.evidence.take(address, answer);
    }

    /// Somebody else says on the wire that it has an address of ours. A server that does not hear us, or a stranger: what
    /// it may keep is settled elsewhere, but clients must not be left with its word (design R5).
    pub(crate) fn rival_on_the_wire(
        &mut self,
        now: Instant,
        address: IpAddr,
        mac: MacAddress,
        counters: &mut Counters,
        effects: &mut Effects,
    ) {
        if !self.spec.addresses.contains(&address) {
            return;
        }
        let Phase::Active { announcements, .. } = &mut self.phase else { return };
        announcements.defend(now);
        if self.sightings.is_news(now, mac) {
            counters.rivals += 1;
            effects.record(Event::RivalOnTheWire { virtual_host: self.name.clone(), address, mac });
        }
    }

    /// Asks the wire what has to be known: before the first take, for addresses that came with a reload while the
    /// virtual host is held, and now and then for those in use.
    pub(super) fn ask_the_wire(&mut self, moment: &Moment<'_>, before_take: bool, effects: &mut Effects) {
        let held = matches!(self.phase, Phase::Taking { .. } | Phase::Active { .. });
        for address in self.proofs.ask(moment.now, before_take || held) {
            if let Some(interface) = moment.links.place(address) {
                effects.push(Effect::CheckDuplicate { address, interface });
            }
        }
    }

    /// Tells the link from the beginning again: an interface came up, an address was put back, a rival is gone.
    pub(crate) fn announce_anew(&mut self, now: Instant) {
        if let Phase::Active { announcements, .. } = &mut self.phase {
            *announcements = Announcements::begin(now);
        }
    }

    /// The schedule of announcements; none while it is not held.
    pub(crate) fn announcements(&mut self) -> Option<&mut Announcements> {
        match &mut self.phase {
            Phase::Active { announcements, .. } => Some(announcements),
            Phase::Backup | Phase::Preparing { .. } | Phase::Taking { .. } | Phase::Releasing { .. } => None,
        }
    }
}
