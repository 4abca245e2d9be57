//! An account is said at length until all have it, and never mistaken for another.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const HOSTS: u64 = 1_000;

impl Link {
    /// The lengths of what a server says to another in its next heartbeat.
    fn lengths(&mut self, from: &str, to: &str) -> Vec<usize> {
        self.wire.clear();
        self.beat(from);
        let sent = self.wire.iter().filter(|(sender, receiver, _)| (sender, receiver) == (&name(from), &name(to)));
        sent.map(|(_, _, datagram)| datagram.len()).collect()
    }

    fn believed(&self, of: &str, at: &str) -> Option<Statement> {
        self.nodes[&name(at)].peer(&name(of))?.statement().cloned()
    }
}

#[test]
fn what_all_have_learned_costs_one_small_datagram_however_much_it_is() {
    let mut link = Link::new(&["a", "b", "c"]);
    link.says.insert(name("a"), about(HOSTS));
    link.run(3);
    for _ in 0..100 {
        let lengths = link.lengths("a", "b");
        assert!(matches!(lengths[..], [length] if length < 200), "{lengths:?}");
        link.run(1);
    }
    assert_eq!(link.believed("a", "b").unwrap().account, about(HOSTS).account);
    link.says.insert(name("a"), about(HOSTS + 1));
    assert!(link.lengths("a", "b").len() > 5, "a new one is given at once");
    assert_eq!(link.believed("a", "b").unwrap().account, about(HOSTS + 1).account);
}

#[test]
fn who_has_missed_it_gets_it_with_every_heartbeat() {
    let mut link = Link::new(&["a", "b", "c"]);
    link.run(3);
    link.says.insert(name("a"), about(HOSTS));
    link.cut("a", "b");
    link.run(1);
    link.cut.clear();
    assert_eq!(link.believed("a", "b").unwrap().account, about(0).account);
    assert!(link.lengths("a", "b").len() > 5);
    assert_eq!(link.believed("a", "b").unwrap().account, about(HOSTS).account);
    link.run(1);
    assert_eq!(link.lengths("a", "b").len(), 1);
}

#[test]
fn who_is_not_heard_but_may_hear_gets_it_with_every_heartbeat() {
    let mut link = Link::new(&["a", "b", "c"]);
    link.run(3);
    link.cut("b", "a");
    link.cut("b", "c");
    link.run(5);
    assert_eq!(link.state("b", "a"), ServerState::Dead);
    link.says.insert(name("a"), about(HOSTS));
    for _ in 0..12 {
        assert!(link.lengths("a", "c").len() > 1);
        link.beat("c");
        link.pass(INTERVAL);
    }
    // Who says goodbye is not waited for.
    link.cut.clear();
    link.run(3);
    link.says.insert(name("b"), Statement { goodbye: true, ..Statement::default() });
    link.beat("b");
    link.nodes.remove(&name("b"));
    link.says.insert(name("a"), about(HOSTS - 1));
    link.run(1);
    for _ in 0..12 {
        assert_eq!(link.lengths("a", "c").len(), 1);
        link.beat("c");
        link.pass(INTERVAL);
    }
}

#[test]
fn who_comes_back_is_believed_only_once_its_account_is_known() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.cut("a", "b");
    link.cut("b", "a");
    link.run(5);
    assert_eq!(link.state("a", "b"), ServerState::Dead);
    // What is new is lost, and a does not hear that b lacks it. The small datagrams between come through.
    link.says.insert(name("a"), about(HOSTS));
    for _ in 0..10 {
        link.beat_through("a", "b", |datagram| datagram.len() < 200);
        assert_eq!(link.state("a", "b"), ServerState::Dead);
        link.pass(INTERVAL);
    }
    for _ in 0..3 {
        link.beat_through("a", "b", |_| true);
        link.pass(INTERVAL);
    }
    assert_eq!(link.state("a", "b"), ServerState::Alive);
    assert_eq!(link.believed("a", "b").unwrap().account, about(HOSTS).account);
}

#[test]
fn a_server_of_the_first_version_is_told_everything_every_time() {
    let mut link = Link::new(&["a", "b"]);
    link.nodes.remove(&name("b"));
    link.says.insert(name("a"), about(HOSTS));
    let mut sealer = Sealer::new(&keys(), boot(7));
    for number in 1..10 {
        let (now, to) = (link.now, name("a"));
        let sequence = link.node("a").sealer.sequence();
        let heard = Heard { boot: boot(0), sequence, direct_age_ms: 0, learned: None };
        let said = Statement { heard: BTreeMap::from([(to.key(), vec![heard])]), ..about(1) };
        let plain = wire::encode(name("b").key(), number, &said, wire::Given::Unnumbered).swap_remove(0);
        link.node("a").receive(now, from(), &sealer.seal(&plain), &mut Effects::new());
        let mut effects = Effects::new();
        link.node("a").send(now, &about(HOSTS), &mut effects);
        let sent = effects.drain().filter(|effect| matches!(effect, Effect::Send { .. })).count();
        assert!(sent > 5, "{sent}");
        link.pass(INTERVAL);
    }
    assert_eq!(link.state("b", "a"), ServerState::Alive);
    assert_eq!(link.believed("b", "a").unwrap().account, about(1).account);
}

/// What happens to two servers in one interval.
#[derive(Clone, Debug)]
struct Moment {
    /// What comes through, of each one's datagrams in turn.
    through: [[bool; 4]; 2],
    /// The account that each turns to, if it does.
    turns: [Option<u64>; 2],
    /// Who starts anew.
    starts: Option<bool>,
}

fn moment() -> impl Strategy<Value = Moment> {
    let seldom = |one_in: u32| prop::bool::weighted(1.0 / f64::from(one_in));
    let turn = || prop_oneof![3 => Just(None), 1 => (0..400u64).prop_map(Some)];
    (any::<[[bool; 4]; 2]>(), [turn(), turn()], seldom(12), any::<bool>())
        .prop_map(|(through, turns, starts, who)| Moment { through, turns, starts: starts.then_some(who) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever is lost, whoever starts anew: what is believed of a peer was said by it, whole, and once nothing is lost any
    /// more everybody knows the newest within two intervals.
    #[test]
    fn what_is_believed_was_said_and_is_the_newest_in_the_end(moments in prop::collection::vec(moment(), 1..60)) {
        let names = ["a", "b"];
        let mut link = Link::new(&names);
        let mut said = [BTreeSet::from([0]), BTreeSet::from([0])];
        let mut run = 10;
        let believed = |link: &Link, said: &[BTreeSet<u64>; 2]| {
            [("a", "b"), ("b", "a")].into_iter().enumerate().all(|(index, (of, at))| {
                let believed = link.believed(of, at);
                believed.is_none_or(|believed| {
                    let hosts = u64::try_from(believed.account.stances.len()).unwrap();
                    believed.account == about(hosts).account && said[index].contains(&hosts) && u64::from(believed.serial) == hosts
                })
            })
        };
        for Moment { through, turns, starts } in moments {
            if let Some(second) = starts {
                run += 1;
                link.start(names[usize::from(second)], &names, run);
            }
            for (index, turn) in turns.into_iter().enumerate() {
                if let Some(hosts) = turn {
                    let statement = Statement { serial: u32::try_from(hosts).unwrap(), ..about(hosts) };
                    link.says.insert(name(names[index]), statement);
                    said[index].insert(hosts);
                }
            }
            for (index, text) in names.into_iter().enumerate() {
                let mut through = through[index].into_iter().cycle();
                link.beat_through(text, names[1 - index], |_| through.next().unwrap_or(true));
                prop_assert!(believed(&link, &said));
            }
            link.pass(INTERVAL);
        }
        link.run(5);
        for (of, at) in [("a", "b"), ("b", "a")] {
            prop_assert_eq!(link.state(of, at), ServerState::Alive);
            let newest = link.says.get(&name(of)).cloned().unwrap_or_default();
            prop_assert_eq!(link.believed(of, at).unwrap().account, newest.account);
        }
    }
}

impl Link {
    /// A heartbeat of which so much comes through.
    fn beat_through(&mut self, from: &str, to: &str, mut comes: impl FnMut(&[u8]) -> bool) {
        let mut effects = Effects::new();
        let says = self.says.get(&name(from)).cloned().unwrap_or_default();
        let now = self.now;
        self.node(from).send(now, &says, &mut effects);
        for effect in effects.drain() {
            if let Effect::Send { datagram, .. } = effect
                && comes(&datagram)
            {
                self.deliver(&name(to), &datagram);
            }
        }
    }
}
