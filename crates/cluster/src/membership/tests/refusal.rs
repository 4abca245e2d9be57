//! What is refused changes nothing, and is counted.

use proptest::prelude::*;

use super::*;

#[test]
fn events_about_refusals_come_at_most_once_a_second_per_reason() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.events.clear();
    let mut events = Vec::new();
    for _ in 0..300 {
        events.extend(link.replay("a", b"noise").1);
        events.extend(link.replay("a", &[0; 100]).1);
        link.pass(Duration::from_millis(10));
    }
    let refused = |count| Event::DatagramsRefused { from: from(), reason: Refusal::Malformed, count };
    let told: Vec<_> =
        link.events_at("a").into_iter().filter(|event| matches!(event, Event::DatagramsRefused { .. })).collect();
    assert_eq!(events, [Effect::Record(refused(1))], "the first at once");
    assert_eq!(told, [refused(199), refused(200), refused(200)], "then the rest, when a second is over");
    assert_eq!(link.refused("a", Refusal::Malformed), 600);
}

#[test]
fn our_own_datagrams_come_back_refused() {
    let mut link = Link::new(&["a", "b"]);
    link.run(2);
    let mine = link.wire.iter().find(|(from, ..)| *from == name("a")).unwrap().2.clone();
    let before = link.beliefs("a");
    link.replay("a", &mine);
    assert_eq!(link.refused("a", Refusal::UnknownServer), 1);
    assert_eq!(link.beliefs("a"), before);
}

#[test]
fn two_servers_under_one_name_do_not_take_turns() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    let mut double = Membership::new(name("b"), boot(9), keys(), config(&["a", "b"]), link.now);
    let mut effects = Effects::new();
    // The double hears more of a than the first b has echoed, and replaces it.
    let now = link.now;
    link.node("a").send(now, &Statement::default(), &mut effects);
    let Some(Effect::Send { datagram: heard, .. }) =
        effects.drain().find(|effect| matches!(effect, Effect::Send { .. }))
    else {
        panic!("one peer")
    };
    double.receive(link.now, from(), &heard, &mut effects);
    double.send(link.now, &Statement::default(), &mut effects);
    for effect in effects.drain() {
        if let Effect::Send { datagram, .. } = effect {
            link.replay("a", &datagram);
        }
    }
    assert_eq!(link.node("a").peer(&name("b")).unwrap().boot(), Some(boot(9)));
    link.beat("b");
    assert_eq!(link.node("a").peer(&name("b")).unwrap().boot(), Some(boot(9)));
    assert!(link.refused("a", Refusal::StaleBoot) > 0);
}

#[test]
fn what_an_earlier_run_said_does_not_come_back_by_being_held_back() {
    let both = &["a", "b"];
    let mut link = Link::new(both);
    link.run(3);
    // This run of b hears a, is never heard by it, and ends.
    link.start("b", both, 8);
    link.cut("b", "a");
    link.run(3);
    let mut effects = Effects::new();
    let now = link.now;
    link.node("b").send(now, &Statement::default(), &mut effects);
    let Some(Effect::Send { datagram: held_back, .. }) =
        effects.drain().find(|effect| matches!(effect, Effect::Send { .. }))
    else {
        panic!("one peer")
    };
    link.cut.clear();
    link.start("b", both, 9);
    link.run(2);
    assert_eq!(link.node("a").peer(&name("b")).unwrap().boot(), Some(boot(9)));

    assert_eq!(link.replay("a", &held_back).0, None, "it echoes a's present run, and yet it is old");
    link.run(10);
    let peer = link.node("a").peer(&name("b")).unwrap();
    assert_eq!((peer.boot(), peer.state()), (Some(boot(9)), ServerState::Alive));
    assert_eq!(link.refused("a", Refusal::StaleBoot), 0, "the living run was never given up");
}

#[test]
fn what_was_held_back_on_the_way_revives_nobody() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.cut("b", "a");
    link.cut("a", "b");
    let mut held_back = Vec::new();
    for _ in 0..4 {
        let (now, mut effects) = (link.now, Effects::new());
        link.node("b").send(now, &Statement::default(), &mut effects);
        held_back.extend(effects.drain());
        link.beat("a");
        link.pass(INTERVAL);
    }
    assert_eq!(link.state("b", "a"), ServerState::Dead);
    for effect in held_back {
        let Effect::Send { datagram, .. } = effect else { continue };
        link.replay("a", &datagram);
        assert_eq!(link.state("b", "a"), ServerState::Dead);
    }
    link.cut.clear();
    link.beat("b");
    assert_eq!(link.state("b", "a"), ServerState::Alive, "one round trip, no more");
    assert_eq!(link.state("a", "b"), ServerState::Alive);
}

/// A recorded exchange in which both servers restart, one after the other, and one goes.
fn recorded() -> (Link, Vec<(ServerName, Vec<u8>)>) {
    recorded_with(false)
}

fn recorded_with(ethernet: bool) -> (Link, Vec<(ServerName, Vec<u8>)>) {
    let both = &["a", "b"];
    let mut link = if ethernet { Link::with_ethernet(both) } else { Link::new(both) };
    link.run(5);
    for run in [8, 9] {
        link.start("b", both, run);
        link.node("b").set_broadcasts(ethernet);
        link.run(5);
    }
    let recording = link.wire.iter().map(|(_, to, datagram)| (to.clone(), datagram.clone())).collect();
    (link, recording)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever was on the wire, played again in any order: nothing changes, everything is counted.
    #[test]
    fn replays_change_nothing(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..80),
        dead in any::<bool>(),
        ethernet in any::<bool>(),
    ) {
        let (mut link, recording) = recorded_with(ethernet);
        if dead {
            link.pass(INTERVAL * 5);
            prop_assert_eq!(link.state("b", "a"), ServerState::Dead);
        }
        let (before, counted) = (link.beliefs("a"), total(&link, "a"));
        let to_a: Vec<_> = recording.iter().filter(|(to, _)| *to == name("a")).collect();
        for pick in &picks {
            // Over either path, where both brought it.
            let origin = if ethernet && pick.index(2) == 0 { frame_on(2) } else { from() };
            let (changed, effects) = link.replay_from(origin, "a", &pick.get(&to_a).1);
            prop_assert_eq!(changed, None);
            let sent = effects.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count();
            prop_assert_eq!(sent, 0);
            prop_assert!(!link.node("a").prompts_wanted());
        }
        prop_assert_eq!(link.beliefs("a"), before);
        prop_assert_eq!(total(&link, "a"), counted + picks.len() as u64);
    }

    /// After a's own restart nothing recorded makes b alive, and nothing keeps the living b from becoming so.
    #[test]
    fn replays_to_a_restarted_server_revive_nobody(picks in prop::collection::vec(any::<prop::sample::Index>(), 1..80)) {
        let (mut link, recording) = recorded();
        link.start("a", &["a", "b"], 7);
        let to_a: Vec<_> = recording.iter().filter(|(to, _)| *to == name("a")).collect();
        for pick in &picks {
            link.replay("a", &pick.get(&to_a).1);
            prop_assert_eq!(link.state("b", "a"), ServerState::Unknown);
        }
        link.cut.clear();
        link.run(2);
        prop_assert_eq!(link.state("b", "a"), ServerState::Alive);
        prop_assert_eq!(link.node("a").peer(&name("b")).unwrap().boot(), Some(boot(9)));
    }

    /// A living peer stays alive under its own run while recordings of its earlier runs are played in between.
    #[test]
    fn replays_kill_nobody(picks in prop::collection::vec(any::<prop::sample::Index>(), 1..80)) {
        let (mut link, recording) = recorded();
        link.events.clear();
        for picks in picks.chunks(4) {
            for pick in picks {
                let (to, datagram) = pick.get(&recording);
                link.replay(to.as_str(), datagram);
            }
            link.run(1);
        }
        prop_assert_eq!(link.state("b", "a"), ServerState::Alive);
        prop_assert_eq!(link.state("a", "b"), ServerState::Alive);
        let others = link.events.iter().filter(|(_, event)| !matches!(event, Event::DatagramsRefused { .. })).count();
        prop_assert_eq!(others, 0);
    }
}

fn total(link: &Link, at: &str) -> u64 {
    link.nodes[&name(at)].counters().refused.values().sum()
}

/// SplitMix64: the same hundred thousand datagrams each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Noise, a piece, a flipped bit, a changed stretch, something appended: never the original.
    fn spoil(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bad = good.to_vec();
        match self.below(6) {
            0 => {
                let length = self.below(1500);
                bad = self.bytes(length);
            }
            1 => {
                // The right header, noise behind it.
                let length = self.below(1200);
                bad.truncate(30);
                bad.extend(self.bytes(length));
            }
            2 => bad.truncate(self.below(good.len())),
            3 => {
                let bit = self.below(bad.len() * 8);
                bad[bit / 8] ^= 1 << (bit % 8);
            }
            4 => {
                let (start, length) = (self.below(bad.len()), 1 + self.below(40));
                for byte in bad.iter_mut().skip(start).take(length) {
                    *byte = byte.wrapping_add(1);
                }
            }
            _ => {
                let length = 1 + self.below(40);
                bad.extend(self.bytes(length));
            }
        }
        bad
    }
}

#[test]
fn a_hundred_thousand_spoiled_datagrams_change_nothing_and_are_counted() {
    let mut link = Link::new(&["a", "b", "c"]);
    link.run(5);
    // Fresh ones, never delivered: whole, each of them would be news.
    let mut fresh = Vec::new();
    let now = link.now;
    for _ in 0..50 {
        let mut effects = Effects::new();
        link.node("b").send(now, &Statement::default(), &mut effects);
        fresh.extend(effects.drain().filter_map(|effect| match effect {
            Effect::Send { to, datagram } if to == name("a") => Some(datagram),
            _ => None,
        }));
    }
    let (before, counted, received) = (link.beliefs("a"), total(&link, "a"), link.node("a").counters().received);
    let mut random = Random(1);
    for _ in 0..100_000 {
        let pick = random.below(fresh.len());
        let bad = random.spoil(&fresh[pick]);
        let (changed, effects) = link.replay("a", &bad);
        assert_eq!(changed, None);
        assert!(effects.iter().all(|effect| matches!(effect, Effect::Record(Event::DatagramsRefused { .. }))));
    }
    assert_eq!(link.beliefs("a"), before);
    assert_eq!(total(&link, "a"), counted + 100_000);
    assert_eq!(link.node("a").counters().received, received);
    let (changed, _) = link.replay("a", &fresh[49]);
    assert_eq!(changed, Some(name("b")), "the originals were good");
}

#[test]
fn authentic_nonsense_is_malformed() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    let mut sealer = Sealer::new(&keys(), boot(1));
    let mut random = Random(2);
    let before = link.beliefs("a");
    let plain =
        wire::encode(name("b").key(), u64::MAX, &Statement::default(), wire::Given::Whole(u64::MAX)).swap_remove(0);
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut bad = plain.clone();
        bad.truncate(8 + random.below(plain.len() - 8));
        let datagram = sealer.seal(&bad);
        if wire::decode(&bad).is_err() {
            link.replay("a", &datagram);
            refused += 1;
        }
    }
    assert!(refused > 1_000);
    assert_eq!(link.refused("a", Refusal::Malformed), refused);
    assert_eq!(link.beliefs("a"), before);
}

#[test]
fn a_living_run_that_an_overtaken_word_has_replaced_comes_back() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.start("b", &["a", "b"], 8);
    link.cut("b", "a");
    link.run(3);
    link.beat("a");
    let early = link.wire.last().unwrap().2.clone();
    link.beat("a");
    // A word of this run of b, held back on its way: it answers to both.
    let mut effects = Effects::new();
    let now = link.now;
    link.node("b").send(now, &Statement::default(), &mut effects);
    let held_back = effects.drain().find_map(|effect| match effect {
        Effect::Send { datagram, .. } => Some(datagram),
        _ => None,
    });
    link.start("b", &["a", "b"], 9);
    link.cut.clear();
    link.cut("a", "b");
    // The next run has heard the first of the two alone.
    link.replay("b", &early);
    link.beat("b");
    let run = |link: &Link| link.nodes[&name("a")].peer(&name("b")).and_then(Peer::boot);
    assert_eq!(run(&link), Some(boot(9)));
    link.replay("a", &held_back.unwrap());
    assert_eq!(run(&link), Some(boot(8)), "nothing tells yet which of the two is the later one");
    link.cut.clear();
    link.run(4);
    assert_eq!((run(&link), link.state("b", "a")), (Some(boot(9)), ServerState::Alive));
}
