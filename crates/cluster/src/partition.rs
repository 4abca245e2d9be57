//! May a server that hears nobody hold addresses? The partition policy (design R6).
//!
//! Witnesses are asked as soon as a peer is suspected, and again and again. Where every peer is silent, and the witnesses
//! are, too, this server is cut off, and lets go before the others take: they count our silence from a heartbeat that may
//! be an interval older than the last that we have heard of them, so their death is not waited for. Only an answer to
//! these questions vouches, none from before. Who is alone without having suspected anybody, as at the start, keeps what
//! it holds and takes nothing until answers are due.

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
    /// Of these, suspect for their silence, not for a hint alone.
    pub(crate) silent: usize,
}

/// What witnesses have said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Partition {
    /// Since when, and until when for the time being, witnesses are asked.
    asking: Option<Asking>,
    /// When one last answered.
    answered: Option<Instant>,
    /// Since when every peer has been suspect, or dead.
    silent: Option<Instant>,
    /// When that counts, if it does not yet.
    grace_ends: Option<Instant>,
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
            PartitionPolicy::Availability => {
                *self = Self::default();
                Standing::Sound
            }
            PartitionPolicy::Majority => {
                *self = Self::default();
                let majority = (headcount.alive + 1) * 2 > headcount.peers + 1;
                if majority { Standing::Sound } else { Standing::Isolated }
            }
            PartitionPolicy::Gateway { .. } => {
                self.ask(now, heartbeat, alone || headcount.suspect > 0, witnesses, effects);
                if headcount.alive > headcount.silent || headcount.peers == 0 {
                    (self.silent, self.grace_ends) = (None, None);
                    return Standing::Sound;
                }
                let counts = *self.silent.get_or_insert(now) + grace(heartbeat);
                self.grace_ends = Some(counts).filter(|_| now < counts);
                match self.standing_alone(now, heartbeat, witnesses) {
                    Standing::Isolated if !alone && now < counts => Standing::Sound,
                    Standing::Doubtful if !alone => Standing::Sound,
                    standing => standing,
                }
            }
        }
    }

    /// When witnesses are asked again, or their silence begins to count.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.asking.map(|asking| asking.next).into_iter().chain(self.grace_ends).min()
    }

    fn ask(
        &mut self,
        now: Instant,
        heartbeat: HeartbeatSettings,
        needed: bool,
        witnesses: &Witnesses,
        effects: &mut Effects,
    ) {
        if !needed {
            self.asking = None;
            return;
        }
        let asking = self.asking.get_or_insert(Asking { since: now, next: now });
        if now < asking.next {
            return;
        }
        let patience = patience(heartbeat);
        asking.next = now + if now < verdict_due(*asking, heartbeat) { patience } else { heartbeat.interval };
        match witnesses {
            Witnesses::These(these) if !these.is_empty() => {
                effects.push(Effect::AskWitnesses { witnesses: these.clone(), patience });
            }
            Witnesses::These(_) | Witnesses::Nobody | Witnesses::NotYetKnown => {}
        }
    }

    fn standing_alone(&self, now: Instant, heartbeat: HeartbeatSettings, witnesses: &Witnesses) -> Standing {
        let due = self.asking.is_some_and(|asking| now >= verdict_due(asking, heartbeat));
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
                let trusted = heartbeat.detection() * 2;
                let asked = |answered: &Instant| self.asking.is_some_and(|asking| *answered >= asking.since);
                let answered = self.answered.filter(asked);
                let vouched = answered.is_some_and(|answered| now.since(answered) <= trusted);
                match (vouched, due) {
                    (true, _) => Standing::Sound,
                    (false, false) => Standing::Doubtful,
                    (false, true) => Standing::Isolated,
                }
            }
        }
    }
}

/// How long every peer may be suspect before the witnesses' silence counts: until one interval before the last to fall
/// silent is dead. By then all heartbeats but one that may be missed are.
fn grace(heartbeat: HeartbeatSettings) -> Duration {
    // A peer is suspect after 1.5 intervals, and dead after 0.25 more than may be missed.
    heartbeat.interval * (heartbeat.misses * 4).saturating_sub(9) / 4
}

/// How long a witness has for an answer: short enough for two questions between a peer's suspicion and the end of the
/// grace; with two misses, where there is none, before its death.
fn patience(heartbeat: HeartbeatSettings) -> Duration {
    if heartbeat.misses > 2 { heartbeat.interval * 3 / 8 } else { heartbeat.interval / 3 }
}

/// When silence of the witnesses counts: one answer may be lost.
fn verdict_due(asking: Asking, heartbeat: HeartbeatSettings) -> Instant {
    asking.since + patience(heartbeat) * 2
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::IpAddr};

    use model::net::{InterfaceIndex, WitnessWay};

    use super::*;

    const GATEWAY: PartitionPolicy = PartitionPolicy::Gateway { witness: Vec::new() };

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn these() -> Witnesses {
        let gateway: IpAddr = "10.77.0.254".parse().unwrap();
        Witnesses::These(BTreeMap::from([(gateway, WitnessWay::OnLink(InterfaceIndex(1)))]))
    }

    fn standing(partition: &mut Partition, ms: u64, policy: &PartitionPolicy, counts: [usize; 3]) -> (Standing, bool) {
        let mut effects = Effects::new();
        let [peers, alive, suspect] = counts;
        let headcount = Headcount { peers, alive, suspect, silent: suspect };
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
        partition.take_answer(at(119), false);
        assert_eq!(standing(&mut partition, 119, &GATEWAY, [1, 0, 0]), (Standing::Doubtful, true), "asked again");
        assert_eq!(standing(&mut partition, 137, &GATEWAY, [1, 0, 0]).0, Standing::Doubtful);
        assert_eq!(standing(&mut partition, 138, &GATEWAY, [1, 0, 0]).0, Standing::Isolated);
        assert_eq!(standing(&mut partition, 210, &GATEWAY, [1, 1, 0]).0, Standing::Sound, "a peer is back");
    }

    #[test]
    fn who_hears_nobody_and_no_witness_lets_go_before_it_is_taken_for_dead() {
        for interval in [20, 50, 100, 200].map(Duration::from_millis) {
            for misses in 3..=20 {
                let heartbeat = HeartbeatSettings { misses, interval };
                // The others' last heartbeat came one interval after the last of ours that they have heard.
                let cut = at(0) + interval;
                let taken = at(0) + heartbeat.detection() + interval / 4;
                let mut partition = Partition::default();
                let mut now = cut + interval * 3 / 2;
                loop {
                    let headcount = Headcount { peers: 2, alive: 2, suspect: 2, silent: 2 };
                    let effects = &mut Effects::new();
                    match partition.evaluate(now, &GATEWAY, heartbeat, headcount, &these(), effects) {
                        Standing::Isolated => break,
                        Standing::Sound => now = partition.next_deadline().unwrap(),
                        Standing::Doubtful => panic!("the peers live yet"),
                    }
                }
                assert!(now <= taken, "{heartbeat:?}: {now:?}, taken {taken:?}");
                let lost = cut + interval * (misses - 1);
                assert!(now > lost, "{heartbeat:?}: all but the last heartbeat that may be lost may be: {now:?}");
            }
        }
    }

    #[test]
    fn a_policy_without_witnesses_waits_for_nothing() {
        for policy in [PartitionPolicy::Availability, PartitionPolicy::Majority] {
            let mut partition = Partition::default();
            standing(&mut partition, 75, &GATEWAY, [2, 2, 2]);
            assert!(partition.next_deadline().is_some());
            standing(&mut partition, 80, &policy, [2, 2, 2]);
            assert_eq!(partition.next_deadline(), None, "{policy:?}");
        }
    }

    #[test]
    fn a_witness_that_answers_keeps_who_hears_nobody() {
        let mut partition = Partition::default();
        assert_eq!(standing(&mut partition, 75, &GATEWAY, [2, 2, 2]).0, Standing::Sound);
        partition.take_answer(at(76), true);
        assert_eq!(standing(&mut partition, 150, &GATEWAY, [2, 2, 2]).0, Standing::Sound);
        assert_eq!(standing(&mut partition, 150, &GATEWAY, [2, 2, 1]).0, Standing::Sound);
    }

    #[test]
    fn the_verdict_is_there_when_the_last_peer_is_declared_dead() {
        for misses in 2..=20 {
            let heartbeat = HeartbeatSettings { misses, ..HeartbeatSettings::default() };
            let interval = heartbeat.interval;
            let (suspicion, death) = (at(0) + interval * 3 / 2, at(0) + heartbeat.detection() + interval / 4);
            let mut partition = Partition::default();
            // What a witness said on an earlier occasion does not vouch now.
            partition.take_answer(at(0), true);
            let mut evaluate = |now, alive, suspect| {
                let headcount = Headcount { peers: 1, alive, suspect, silent: suspect };
                partition.evaluate(now, &GATEWAY, heartbeat, headcount, &these(), &mut Effects::new())
            };
            assert_eq!(evaluate(suspicion, 1, 1), Standing::Sound, "{misses}");
            assert_eq!(evaluate(death, 0, 0), Standing::Isolated, "{misses}");
        }
    }
}
