//! What an election learns from the view: terms, claims, rivals, a new target; and why things move.

use model::{
    Instant, ServerName,
    event::{Cause, Event},
};

use super::{
    Counters, Effects, Election, Obstacle, Phase,
    decide::Why,
    view::{Member, View},
};

impl Election {
    /// Terms seen, and claims that vouch for the addresses.
    pub(super) fn learn(&mut self, view: &View<'_>) {
        let highest = view.members().iter().map(|member| member.stance.term).max();
        self.highest = self.highest.max(highest.unwrap_or_default());
        // While listening, a claim may be of a run that is over: whoever lives claims it afterwards, too.
        if !view.me().listening && view.peers().any(Member::claims) {
            self.proofs.give_all();
        }
    }

    /// Who claims what we hold, who ceased to. After a rival is gone, ours has to be the last word on the wire (R5).
    pub(super) fn note_rivals(
        &mut self,
        now: Instant,
        view: &View<'_>,
        counters: &mut Counters,
        effects: &mut Effects,
    ) {
        if !matches!(self.phase, Phase::Preparing { .. } | Phase::Taking { .. } | Phase::Active { .. }) {
            self.rivals.clear();
            return;
        }
        for peer in view.peers() {
            if peer.claims() && !self.rivals.contains_key(peer.name) {
                self.rivals.insert(peer.name.clone(), now);
                counters.rivals += 1;
                let winner = view.holder().map_or(view.me().name, |holder| holder.name).clone();
                effects.record(Event::Rivals { virtual_host: self.name.clone(), rival: peer.name.clone(), winner });
            }
        }
        let claims = |rival: &ServerName| view.member(rival).is_some_and(Member::claims);
        let gone: Vec<ServerName> = self.rivals.keys().filter(|rival| !claims(rival)).cloned().collect();
        for rival in &gone {
            self.rivals.remove(rival);
            self.announce_anew(now);
            effects.record(Event::RivalGone { virtual_host: self.name.clone(), rival: rival.clone() });
        }
        self.note_unseen_rival(now, view, gone.is_empty(), effects);
    }

    /// A term above ours that nobody holds any more: somebody held it while we did, and has let go before we heard of it.
    fn note_unseen_rival(&mut self, now: Instant, view: &View<'_>, is_news: bool, effects: &mut Effects) {
        let (Phase::Preparing { term, .. } | Phase::Taking { term, .. } | Phase::Active { term, .. }) = &mut self.phase
        else {
            return;
        };
        let know: Vec<&Member<'_>> =
            view.peers().filter(|peer| peer.state.is_alive() && peer.stance.term > *term).collect();
        if know.is_empty() || view.peers().any(Member::claims) {
            return;
        }
        *term = self.highest.next();
        self.highest = *term;
        self.announce_anew(now);
        // Whoever has merely seen that term says it, too. So a name is told only where nobody else can have held it.
        let mut others = view.peers().filter(|peer| know.iter().all(|knows| knows.name != peer.name));
        if let [rival] = know.as_slice()
            && is_news
            && others.all(|peer| peer.state.is_alive())
        {
            effects.record(Event::RivalGone { virtual_host: self.name.clone(), rival: rival.name.clone() });
        }
    }

    /// Computes the target anew.
    pub(super) fn note_target(&mut self, view: &View<'_>, effects: &mut Effects) {
        let target = view.target(&self.spec).map(|target| target.name.clone());
        if target == self.target {
            return;
        }
        let from = std::mem::replace(&mut self.target, target);
        let cause = self.cause_of_target(view, from.as_ref());
        let (virtual_host, to) = (self.name.clone(), self.target.clone());
        effects.record(Event::TargetChanged { virtual_host, from, to, cause });
    }

    /// Why the target is another than before. Where nobody has held it yet, targets follow each other as servers come; and
    /// a holder that this server has not known of is the target for that reason alone.
    fn cause_of_target(&self, view: &View<'_>, from: Option<&ServerName>) -> Cause {
        let to = self.target.as_ref();
        let holder = view.holder().map(|holder| holder.name);
        match self.cause(view, from, to) {
            Cause::Unheld | Cause::Failback if holder.is_some() && holder == to => Cause::Held,
            Cause::Failback | Cause::ServiceFailed if holder.is_none() && self.last_holder.is_none() => Cause::Unheld,
            cause => cause,
        }
    }

    /// Why this server takes it.
    pub(super) fn cause_of_take(&self, view: &View<'_>) -> Cause {
        let me = view.me().name;
        match &self.last_holder {
            Some(holder) if holder == me => self.last_cause.unwrap_or(Cause::Unheld),
            holder => self.cause(view, holder.as_ref(), Some(me)),
        }
    }

    /// Why this server gives it up.
    pub(super) fn cause_of_release(&self, why: Why, view: &View<'_>) -> Cause {
        match why {
            Why::Lost => Cause::RivalWon,
            Why::Isolated => Cause::Isolated,
            Why::Nobody | Why::Handover => self.cause(view, Some(view.me().name), self.target.as_ref()),
        }
    }

    /// What the view can't tell: what this server alone knows of itself.
    fn cause(&self, view: &View<'_>, from: Option<&ServerName>, to: Option<&ServerName>) -> Cause {
        let from_me = from == Some(view.me().name);
        match view.cause(from, to) {
            Cause::Failback | Cause::ServiceFailed if self.reconfigured => Cause::Configuration,
            Cause::Unable if from_me && self.obstacle == Some(Obstacle::Isolated) => Cause::Isolated,
            cause => cause,
        }
    }
}
