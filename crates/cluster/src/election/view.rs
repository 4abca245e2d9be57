//! One virtual host as this server sees it: every member's newest word about it, side by side.
//!
//! This server is a member like the others here, so that everybody computes the same from the same words.

use std::cmp::Reverse;

use model::{
    ServerName,
    config::VirtualHost,
    event::Cause,
    health::{ServerState, Verdict},
};

use crate::{
    placement::{self, Candidate},
    statement::{Claim, Stance},
};

/// One server as it stands towards one virtual host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member<'a> {
    /// Who.
    pub(crate) name: &'a ServerName,
    /// Dead or alive; alive for ourselves.
    pub(crate) state: ServerState,
    /// On standby, or resigning.
    pub(crate) standby: bool,
    /// Still listening after its start.
    pub(crate) listening: bool,
    /// The digest of its configuration.
    pub(crate) configuration: u64,
    /// What it says.
    pub(crate) stance: Stance,
    /// Its monitors' verdicts, most important first.
    pub(crate) health: Vec<Verdict>,
    /// We hear it, and it has not heard us for the detection time.
    pub(crate) deaf: bool,
}

impl Member<'_> {
    /// Whether it may hold the virtual host.
    pub(crate) fn is_eligible(&self) -> bool {
        self.may_become_eligible() && !self.listening
    }

    /// Whether it may hold the virtual host, once it has listened.
    fn may_become_eligible(&self) -> bool {
        self.state.is_alive() && !self.standby && self.stance.able
    }

    /// Whether it holds the virtual host, as far as its word counts: a dead server's claim is void.
    pub(crate) fn claims(&self) -> bool {
        self.state.is_alive() && self.stance.claim.is_held()
    }
}

/// Every member, those of the virtual host's list first, in its order; then the others by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct View<'a> {
    members: Vec<Member<'a>>,
    listed: usize,
    me: usize,
    stays: bool,
}

impl<'a> View<'a> {
    /// Puts the members in order. `me` is among them. `stays`: everything fails for a shared cause, and nothing moves for it.
    pub(crate) fn new(mut members: Vec<Member<'a>>, list: &[ServerName], me: &ServerName, stays: bool) -> Self {
        let place = |name: &ServerName| list.iter().position(|listed| listed == name).unwrap_or(list.len());
        members.sort_by(|a, b| (place(a.name), a.name).cmp(&(place(b.name), b.name)));
        let listed = members.iter().filter(|member| list.contains(member.name)).count();
        let me = members.iter().position(|member| member.name == me).expect("the view contains ourselves");
        Self { members, listed, me, stays }
    }

    /// All members, in order.
    pub(crate) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Those of the virtual host's list, in its order. A listed server that is not configured is not among them.
    pub(crate) fn listed(&self) -> &[Member<'a>] {
        &self.members[..self.listed]
    }

    /// Ourselves.
    pub(crate) fn me(&self) -> &Member<'a> {
        &self.members[self.me]
    }

    /// The others.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().enumerate().filter(|(index, _)| *index != self.me).map(|(_, member)| member)
    }

    /// A member by name.
    pub(crate) fn member(&self, name: &ServerName) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Who holds the virtual host; where several claim it, who keeps it (design R5). Who is letting go comes last, and who
    /// is not eligible. Among the rest placement decides: who is on the list, health, list order. But claimants that run
    /// different configurations would disagree about that, and both keep it: there the older holding does, then the name.
    pub(crate) fn holder(&self) -> Option<&Member<'a>> {
        let claimants: Vec<(usize, &Member<'a>)> =
            self.members.iter().enumerate().filter(|(_, member)| member.claims()).collect();
        let mut configurations = claimants.iter().map(|(_, member)| member.configuration);
        let first = configurations.next()?;
        let agreed = configurations.all(|configuration| configuration == first);
        let placement = |index: usize, member: &Member<'a>| {
            agreed.then(|| (index >= self.listed, Reverse(member.health.clone()), index))
        };
        let rank = |&(index, member): &(usize, &Member<'a>)| {
            let releasing = member.stance.claim == Claim::Releasing;
            (releasing, !member.is_eligible(), placement(index, member), member.stance.term, member.name)
        };
        claimants.into_iter().min_by_key(rank).map(|(_, member)| member)
    }

    /// Who should hold the virtual host. Who is letting go counts as gone already.
    pub(crate) fn target(&self, spec: &VirtualHost) -> Option<&Member<'a>> {
        let holder = self.holder().filter(|holder| holder.stance.claim != Claim::Releasing);
        let holder = holder.and_then(|holder| self.listed().iter().position(|member| member.name == holder.name));
        self.place(spec, holder, Member::is_eligible)
    }

    /// Who should hold the virtual host once those who listen have listened, where nobody holds it now.
    pub(crate) fn heir(&self, spec: &VirtualHost) -> Option<&Member<'a>> {
        self.place(spec, None, Member::may_become_eligible)
    }

    /// Who should hold the virtual host if all who are suspected are dead.
    pub(crate) fn successor(&self, spec: &VirtualHost) -> Option<&Member<'a>> {
        self.place(spec, None, |member| member.is_eligible() && member.state != ServerState::Suspect)
    }

    fn place(
        &self,
        spec: &VirtualHost,
        holder: Option<usize>,
        is_eligible: impl Fn(&Member<'a>) -> bool,
    ) -> Option<&Member<'a>> {
        let candidate = |member: &Member<'a>| Candidate {
            eligible: is_eligible(member),
            health: member.health.clone(),
            steady: member.stance.steady,
        };
        let list: Vec<Candidate> = self.listed().iter().map(candidate).collect();
        let stays = |holder: &usize| self.stays && placement::stays(&list, *holder, spec.always_active);
        let stays = holder.filter(stays);
        let target = stays.or_else(|| placement::target(&list, holder, spec.failback, spec.always_active));
        target.map(|index| &self.members[index])
    }

    /// Why a virtual host leaves `from` for `to`, as far as the members' words tell.
    pub(crate) fn cause(&self, from: Option<&ServerName>, to: Option<&ServerName>) -> Cause {
        let Some(name) = from else { return Cause::Unheld };
        let Some(from) = self.listed().iter().find(|member| member.name == name) else {
            return Cause::Configuration;
        };
        match from.state {
            ServerState::Left => return Cause::ServerLeft,
            ServerState::Dead | ServerState::Unknown => return Cause::ServerDead,
            ServerState::Alive | ServerState::Suspect => {}
        }
        if from.standby {
            return Cause::Standby;
        }
        if from.listening {
            return Cause::Overslept;
        }
        if !from.stance.able {
            return if from.stance.unseen { Cause::Unseen } else { Cause::Unable };
        }
        match to.and_then(|to| self.member(to)) {
            Some(to) if to.health <= from.health => Cause::Failback,
            Some(_) | None => Cause::ServiceFailed,
        }
    }
}
