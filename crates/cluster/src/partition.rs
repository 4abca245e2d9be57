//! May a server that hears nobody hold addresses? The partition policy (design R6).
//!
//! Witnesses are asked as soon as a peer is suspected, so that their answer is there when it is declared dead. Until the
//! first answers are due, what is held is kept and nothing is taken.

use std::time::Duration;

use model::{
    Instant,
    config::{HeartbeatSettings, PartitionPolicy},
};

use crate::{Effect, Effects, links::Witnesses};

/// What the policy allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Hold and take.
    Sound,
    /// Hold, take nothing: a witness's answer is awaited.
    Doubtful,
    /// Hold nothing.
    Isolated,
}

/// How many peers there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Headcount {
    /// Configured, without this server.
    pub(crate) peers: usize,
    /// Of these, alive or suspect.
    pub(crate) alive: usize,
    /// Of these, suspect.
    pub(crate) suspect: usize,
}

/// What witnesses have said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Partition {
    /// Since when, and until when for the time being, witnesses are asked.
    asking: Option<Asking>,
    /// When one last answered.
    answered: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asking {
    since: Instant,
    next: Instant,
}

impl Partition {
    /// A witness answered, or did not. Silence needs no note: the absence of answers is what counts.
    pub(crate) fn take_answer(&mut self, now: Instant, reachable: bool) {
        if reachable {
            self.answered = Some(now);
        }
    }

    /// Asks witnesses where that is due, and says what the policy allows.
    pub(crate) fn evaluate(
        &mut self,
        now: Instant,
        policy: &PartitionPolicy,
        heartbeat: HeartbeatSettings,
        headcount: Headcount,
        witnesses: &Witnesses,
        effects: &mut Effects,
    ) -> Standing {
        let alone = headcount.peers > 0 && headcount.alive == 0;
        match policy {
            PartitionPolicy::Availability => Standing::Sound,
            PartitionPolicy::Majority => {
                let majority = (headcount.alive + 1) * 2 > headcount.peers + 1;
                if majority { Standing::Sound } else { Standing::Isolated }
            }
            PartitionPolicy::Gateway { .. } => {
                self.ask(now, heartbeat.interval, alone || headcount.suspect > 0, witnesses, effects);
                if alone { self.standing_alone(now, heartbeat, witnesses) } else { Standing::Sound }
            }
        }
    }

    /// When witnesses are asked again.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.asking.map(|asking| asking.next)
    }

    fn ask(&mut self, now: Instant, interval: Duration, needed: bool, witnesses: &Witnesses, effects: &mut Effects) {
        if !needed {
            self.asking = None;
            return;
        }
        let asking = self.asking.get_or_insert(Asking { since: now, next: now });
        if now < asking.next {
            return;
        }
        asking.next = now + interval;
        match witnesses {
            Witnesses::These(these) if !these.is_empty() => {
                effects.push(Effect::AskWitnesses { witnesses: these.clone(), patience: interval });
            }
            Witnesses::These(_) | Witnesses::Nobody | Witnesses::NotYetKnown => {}
        }
    }

    fn standing_alone(&self, now: Instant, heartbeat: HeartbeatSettings, witnesses: &Witnesses) -> Standing {
        // One interval for the first answers, another for a lost one.
        let first_answers_due = |asking: Asking| now >= asking.since + heartbeat.interval * 2;
        let due = self.asking.is_some_and(first_answers_due);
        match witnesses {
            Witnesses::Nobody => Standing::Sound,
            Witnesses::NotYetKnown => {
                if due {
                    Standing::Sound
                } else {
                    Standing::Doubtful
                }
            }
            Witnesses::These(_) => {
                // Twice the detection time: a few lost answers must not empty the last server that is left.
                let patience = heartbeat.detection() * 2;
                let vouched = self.answered.is_some_and(|answered| now.since(answered) <= patience);
                match (vouched, due) {
                    (true, _) => Standing::Sound,
                    (false, false) => Standing::Doubtful,
                    (false, true) => Standing::Isolated,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::IpAddr};

    use model::net::InterfaceIndex;

    use super::*;

    const GATEWAY: PartitionPolicy = PartitionPolicy::Gateway { witness: Vec::new() };

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn these() -> Witnesses {
        let gateway: IpAddr = "10.77.0.254".parse().unwrap();
        Witnesses::These(BTreeMap::from([(gateway, InterfaceIndex(1))]))
    }

    fn standing(partition: &mut Partition, ms: u64, policy: &PartitionPolicy, counts: [usize; 3]) -> (Standing, bool) {
        let mut effects = Effects::new();
        let [peers, alive, suspect] = counts;
        let headcount = Headcount { peers, alive, suspect };
        let heartbeat = HeartbeatSettings::default();
        let standing = partition.evaluate(at(ms), policy, heartbeat, headcount, &these(), &mut effects);
        (standing, !effects.as_slice().is_empty())
    }

    #[test]
    fn majority_counts_this_server() {
        let count =
            |peers, alive| standing(&mut Partition::default(), 0, &PartitionPolicy::Majority, [peers, alive, 0]).0;
        assert_eq!(count(0, 0), Standing::Sound);
        assert_eq!(count(1, 0), Standing::Isolated, "one of two is no majority");
        assert_eq!(count(1, 1), Standing::Sound);
        assert_eq!(count(2, 1), Standing::Sound);
        assert_eq!(count(3, 1), Standing::Isolated, "two of four");
        assert_eq!(count(4, 2), Standing::Sound);
    }

    #[test]
    fn availability_and_a_single_server_never_let_go() {
        let mut partition = Partition::default();
        assert_eq!(standing(&mut partition, 0, &PartitionPolicy::Availability, [3, 0, 0]), (Standing::Sound, false));
        assert_eq!(standing(&mut partition, 0, &GATEWAY, [0, 0, 0]), (Standing::Sound, false));
    }

    #[test]
    fn the_gateway_is_asked_once_a_peer_is_suspect_and_vouches_for_two_detection_times() {
        let mut partition = Partition::default();
        assert_eq!(standing(&mut partition, 0, &GATEWAY, [1, 1, 0]), (Standing::Sound, false));
        assert_eq!(standing(&mut partition, 100, &GATEWAY, [1, 1, 1]), (Standing::Sound, true));
        partition.take_answer(at(101), true);
        assert_eq!(standing(&mut partition, 150, &GATEWAY, [1, 0, 0]), (Standing::Sound, true), "no wait");
        assert_eq!(standing(&mut partition, 401, &GATEWAY, [1, 0, 0]).0, Standing::Sound);
        assert_eq!(standing(&mut partition, 402, &GATEWAY, [1, 0, 0]).0, Standing::Isolated, "silent since");
        partition.take_answer(at(403), true);
        assert_eq!(standing(&mut partition, 403, &GATEWAY, [1, 0, 0]).0, Standing::Sound, "at once");
    }

    #[test]
    fn no_answer_yet_means_hold_and_take_nothing() {
        let mut partition = Partition::default();
        assert_eq!(standing(&mut partition, 100, &GATEWAY, [1, 0, 0]), (Standing::Doubtful, true));
        partition.take_answer(at(150), false);
        assert_eq!(standing(&mut partition, 199, &GATEWAY, [1, 0, 0]).0, Standing::Doubtful);
        assert_eq!(standing(&mut partition, 200, &GATEWAY, [1, 0, 0]).0, Standing::Isolated);
        assert_eq!(standing(&mut partition, 210, &GATEWAY, [1, 1, 0]).0, Standing::Sound, "a peer is back");
    }
}
