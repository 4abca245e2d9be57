//! Forwarding for those who don't hear each other.

use super::*;

#[test]
fn a_third_server_keeps_two_alive_to_each_other() {
    let mut link = Link::new(&["a", "b", "c"]);
    link.run(3);
    link.events.clear();
    link.cut("a", "b");
    link.cut("b", "a");
    link.run(40);
    assert!(link.state("a", "b").is_alive());
    assert!(link.state("b", "a").is_alive());
    let dead = link.events.iter().filter(|(_, event)| matches!(event, Event::PeerDead { .. })).count();
    assert_eq!(dead, 0, "{:?}", link.events);
    let deaf = link.node("a").peer(&name("b")).unwrap().hears_us().unwrap();
    assert!(deaf > Duration::from_secs(1), "relayed copies are no straight hearing: {deaf:?}");
    assert!(link.node("c").counters().relayed > 50);
    assert_eq!(link.refused("a", Refusal::Replayed) + link.refused("b", Refusal::Replayed), 0);

    link.cut.clear();
    link.run(4);
    let relayed = link.node("c").counters().relayed;
    link.run(10);
    assert_eq!(link.node("c").counters().relayed, relayed, "nobody needs it any more");
}

#[test]
fn servers_that_never_met_join_over_a_third() {
    let mut link = Link::new(&["a", "b", "c"]);
    link.cut("a", "b");
    link.cut("b", "a");
    link.run(8);
    assert!(link.state("a", "b").is_alive());
    assert!(link.state("b", "a").is_alive());
}

#[test]
fn second_copies_are_counted_and_are_no_replays() {
    let mut link = Link::new(&["a", "b", "c", "d"]);
    link.run(3);
    link.cut("a", "b");
    link.run(20);
    assert!(link.node("b").counters().redundant >= 15, "c and d both forward");
    assert_eq!(link.refused("b", Refusal::Replayed), 0);
    assert_eq!(link.events_at("b").iter().filter(|event| matches!(event, Event::DatagramsRefused { .. })).count(), 0);
}

#[test]
fn what_was_relayed_is_not_relayed_again() {
    // a - c - d - b in a row: two steps are too far.
    let mut link = Link::new(&["a", "b", "c", "d"]);
    for (one, other) in [("a", "b"), ("a", "d"), ("b", "c")] {
        link.cut(one, other);
        link.cut(other, one);
    }
    link.run(40);
    assert!(link.state("a", "d").is_alive(), "over c");
    assert_eq!(link.state("a", "b"), ServerState::Unknown);
}

#[test]
fn a_straight_copy_that_comes_after_a_relayed_one_counts_as_straight() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.cut("b", "a");
    link.pass(INTERVAL);
    let mut effects = Effects::new();
    let now = link.now;
    link.node("b").send(now, &Statement::default(), &mut effects);
    let sent = effects.drain().find(|effect| matches!(effect, Effect::Send { .. }));
    let Some(Effect::Send { datagram, .. }) = sent else { panic!("one peer, one datagram") };
    let age = |link: &mut Link| {
        let now = link.now;
        link.node("a").echoes(now)[&name("b").key()][0].direct_age_ms
    };
    link.replay("a", &wire::relayed(&datagram));
    assert_eq!(age(&mut link), 100);
    link.replay("a", &datagram);
    assert_eq!(age(&mut link), 0);
    assert_eq!(link.refused("a", Refusal::Replayed), 0);
    link.replay("a", &datagram);
    assert_eq!(link.refused("a", Refusal::Replayed), 1);
}
