//! What the cluster makes of an endpoint: the majority of the servers that probe it and know something.
//!
//! Every server says its own verdicts in its heartbeats, and merges what the living say, itself included: a pure function
//! of the same statements, so that every server answers the same a heartbeat later. A server that knows nothing yet has no
//! vote. Between two that contradict each other the one that reaches the endpoint is right: a success proves the service,
//! a failure, or slowness, may be the prober's own path.
//! An operator's word counts more than any number of probes.
//!
//! Deliberately not here: the probes and their thresholds ([`crate::monitor`]), what a pool does with the verdict (`dns`).

use model::health::{EndpointHealth, Hold, Judgement, Verdict};

/// What those who probe it say of one monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Votes {
    pub(crate) up: u32,
    pub(crate) degraded: u32,
    pub(crate) down: u32,
    /// An operator's word, on whichever server it was given; down where two contradict each other.
    pub(crate) forced: Option<Verdict>,
}

impl Votes {
    /// Counts them.
    pub(crate) fn count(votes: impl IntoIterator<Item = Judgement>) -> Self {
        let mut count = Self::default();
        for vote in votes {
            if let Some(Hold::ForcedUp | Hold::ForcedDown) = vote.hold {
                count.forced = count.forced.into_iter().chain([vote.verdict()]).min();
            }
            match vote.verdict() {
                Verdict::Up => count.up += 1,
                Verdict::Degraded => count.degraded += 1,
                Verdict::Down => count.down += 1,
                Verdict::Unknown => {}
            }
        }
        count
    }

    /// Whom it answers.
    pub(crate) fn reached(self) -> u32 {
        self.up + self.degraded
    }

    /// The majority's: whether it is down; else whether it is degraded, among those whom it answers.
    pub(crate) fn verdict(self) -> Verdict {
        if let Some(forced) = self.forced {
            return forced;
        }
        match (self.reached(), self.down) {
            (0, 0) => Verdict::Unknown,
            (reached, down) if down > reached => Verdict::Down,
            _ if self.degraded > self.up => Verdict::Degraded,
            _ => Verdict::Up,
        }
    }
}

/// The whole endpoint: its worst monitor, and the votes on that one.
pub(crate) fn merge(monitors: impl IntoIterator<Item = Votes>) -> (EndpointHealth, Votes) {
    let worst = monitors.into_iter().min_by_key(|votes| votes.verdict());
    let verdict = worst.map_or(Verdict::Up, Votes::verdict);
    (EndpointHealth { verdict }, worst.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn votes(text: &str) -> Votes {
        Votes::count(text.chars().map(|vote| Judgement {
            found: match vote {
                'u' => Verdict::Up,
                'g' => Verdict::Degraded,
                'd' => Verdict::Down,
                _ => Verdict::Unknown,
            },
            hold: match vote {
                'U' => Some(Hold::ForcedUp),
                'D' => Some(Hold::ForcedDown),
                _ => None,
            },
        }))
    }

    #[test]
    fn the_majority_of_those_who_know_decides() {
        for (text, verdict) in [
            ("", Verdict::Unknown),
            ("??", Verdict::Unknown),
            ("u??", Verdict::Up),
            ("d??", Verdict::Down),
            ("udd", Verdict::Down),
            ("uud", Verdict::Up),
            ("ud", Verdict::Up),
            ("ud?", Verdict::Up),
            ("ug", Verdict::Up),
            ("ugg", Verdict::Degraded),
            ("gddd", Verdict::Down),
            ("gd", Verdict::Degraded),
            ("ugdd", Verdict::Up),
            ("Udd", Verdict::Up),
            ("uuD", Verdict::Down),
            ("UuD", Verdict::Down),
        ] {
            assert_eq!(votes(text).verdict(), verdict, "{text}");
        }
    }

    #[test]
    fn the_worst_monitor_decides_and_none_is_no_fault() {
        let merged = |monitors: &[&str]| merge(monitors.iter().map(|text| votes(text))).0.verdict;
        assert_eq!(merged(&[]), Verdict::Up);
        assert_eq!(merged(&["uu", "??"]), Verdict::Unknown);
        assert_eq!(merged(&["uu", "??", "dd"]), Verdict::Down);
        assert_eq!(merge([votes("uu"), votes("ddu")]).1, Votes { up: 1, down: 2, ..Votes::default() });
    }
}
