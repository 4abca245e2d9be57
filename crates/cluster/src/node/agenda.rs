//! When everything is decided anew: what the last decision left for later, and how much of what happens is taken in at once.

use std::time::Duration;

use model::{Instant, health::ServerState};

use super::{Duty, Node};
use crate::{
    deadline::{DeadlineName, Earliest},
    election::Election,
    partition::Standing,
};

/// Everything is decided anew at least so often, whether or not there is a reason.
const AGAIN: Duration = Duration::from_secs(1);

/// A decision looks at every virtual host, for some microseconds each. While outcomes, answers and peers' news pour in, as when
/// hundreds move, the next one waits for so long for each of them, and takes them all in: who decided at each would
/// decide without end, its peers, who hear of each, too, and what they wait for would come too late.
const PACE: Duration = Duration::from_micros(20);

/// What the last decision left to be decided later.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Agenda {
    /// When that was.
    pub(super) decided: Instant,
    /// The earliest deadline that decisions have set.
    pub(super) next: Option<(Instant, DeadlineName)>,
    /// Nothing is under way anywhere: only news or that deadline can change a decision.
    pub(super) at_rest: bool,
}

impl Node {
    pub(super) fn agenda(&self, now: Instant) -> Agenda {
        let heartbeat = self.heartbeat();
        let mut earliest = Earliest::default();
        earliest.consider(Some(now + AGAIN), || DeadlineName::Again);
        earliest.consider(self.duty.listening, || DeadlineName::Listening);
        earliest.consider(self.duty.young, || DeadlineName::Listening);
        earliest.consider(self.duty.settling, || DeadlineName::Settle);
        earliest.consider(self.duty.resigning.map(|since| since + self.resign_bound()), || DeadlineName::Resign);
        earliest.consider(self.calm.next_deadline(), || DeadlineName::Calm);
        earliest.consider(self.partition.next_deadline(), || DeadlineName::Witness);
        earliest.consider(self.aliases.next_deadline(), || DeadlineName::Kernel);
        earliest.consider(self.monitors.next_deadline(), || DeadlineName::Monitor);
        earliest.consider(self.shared.next_deadline(), || DeadlineName::SharedFault);
        for election in self.elections.values() {
            election.deadlines(heartbeat, &mut earliest);
        }
        let Duty { standby: _, resigning, listening, young, settling, gone: _ } = self.duty;
        let at_rest = resigning.or(listening).or(young).or(settling).is_none()
            && self.standing == Standing::Sound
            && self.membership.peers().all(|(_, peer)| peer.state() != ServerState::Suspect)
            && self.elections.values().all(Election::is_at_rest);
        Agenda { decided: now, next: earliest.into_inner(), at_rest }
    }

    /// The kernel, the wire or a peer has said something. Returns whether that is to be considered at once, and not with what
    /// follows it.
    pub(super) fn considers(&mut self, now: Instant) -> bool {
        let hosts = u32::try_from(self.elections.len()).unwrap_or(u32::MAX);
        let next = self.agenda.decided + PACE * hosts;
        if now >= next {
            return true;
        }
        let mut earliest = Earliest::default();
        earliest.consider(Some(next), || DeadlineName::Again);
        if let Some((at, name)) = self.agenda.next.take() {
            earliest.consider(Some(at), || name);
        }
        self.agenda.next = earliest.into_inner();
        false
    }
}
