//! Named points in time. Nothing is ever cancelled: each part of the node says when it next wants to be woken, and the
//! earliest wins. After `handle(now, ..)` every deadline lies after `now`.

use model::{Instant, VirtualHostName};

/// Why the node wants to be woken.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DeadlineName {
    /// The next heartbeat to every peer.
    Heartbeat,
    /// Start-up listening is over (design R7).
    Listening,
    /// A peer becomes suspect or dead.
    Peer,
    /// Witnesses are asked (design R6).
    Witness,
    /// The wait for first verdicts is over.
    Settle,
    /// All has been calm about a pool for a step longer.
    Calm,
    /// A planned stop waits no longer.
    Resign,
    /// Nothing has happened for a while.
    Again,
    /// A monitor is no longer damped, or forced, or its recovery has had its time.
    Monitor,
    /// Nothing has changed for a while since everything failed at once.
    SharedFault,
    /// The kernel owes an answer, or a failed removal is tried again.
    Kernel,
    /// A virtual host is announced again.
    Announce(VirtualHostName),
    /// A virtual host that the kernel refused may be tried again.
    Backoff(VirtualHostName),
    /// Others have not reached a virtual host here for long enough, or may try again.
    Outlook(VirtualHostName),
    /// This server waits no longer for its peers to have heard that it can hold a virtual host.
    Told(VirtualHostName),
    /// This server has been healthy for the failback delay.
    Steady(VirtualHostName),
    /// A holder that must go waits no longer for its successor.
    Handover(VirtualHostName),
    /// A `before-take` hook is not waited for any longer.
    Hook(VirtualHostName),
    /// The wire owes an answer, or is asked again, about the addresses of a silent holder.
    Evidence(VirtualHostName),
    /// The wire owes an answer, or is asked again, about a duplicate.
    Duplicate(VirtualHostName),
}

/// Finds the earliest of many.
#[derive(Debug, Default)]
pub(crate) struct Earliest(Option<(Instant, DeadlineName)>);

impl Earliest {
    /// Considers one; the name is made only where it matters.
    pub(crate) fn consider(&mut self, at: Option<Instant>, name: impl FnOnce() -> DeadlineName) {
        if let Some(at) = at
            && self.0.as_ref().is_none_or(|(earliest, _)| at < *earliest)
        {
            self.0 = Some((at, name()));
        }
    }

    /// The earliest considered.
    pub(crate) fn into_inner(self) -> Option<(Instant, DeadlineName)> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_wins_and_among_equals_the_first() {
        let at = |nanos| Some(Instant::from_nanos(nanos));
        let mut earliest = Earliest::default();
        earliest.consider(None, || DeadlineName::Resign);
        earliest.consider(at(7), || DeadlineName::Heartbeat);
        earliest.consider(at(5), || DeadlineName::Peer);
        earliest.consider(at(5), || DeadlineName::Witness);
        assert_eq!(earliest.into_inner(), Some((Instant::from_nanos(5), DeadlineName::Peer)));
    }
}
