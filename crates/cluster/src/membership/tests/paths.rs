//! Two paths: either keeps a peer alive, each is watched by itself.

use super::*;

const A_SECOND: usize = 20;

fn paths(link: &Link, of: &str, at: &str) -> Vec<(Path, &'static str)> {
    let word = |state| match state {
        PathState::Never => "never",
        PathState::Up(_) => "up",
        PathState::Lost(_) => "lost",
    };
    let peer = link.nodes[&name(at)].peer(&name(of)).unwrap();
    peer.paths().map(|(path, state, _)| (path, word(state))).collect()
}

fn told(link: &mut Link, at: &str) -> Vec<String> {
    link.events_at(at)
        .into_iter()
        .map(|event| match event {
            Event::PathLost { path, .. } => format!("{path} lost"),
            Event::PathRestored { path, .. } => format!("{path} restored"),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn either_path_keeps_a_peer_alive_and_the_loss_of_the_other_is_told_once() {
    for path in Path::ALL {
        let mut link = Link::with_ethernet(&["a", "b"]);
        link.run(3);
        assert_eq!(paths(&link, "b", "a"), [(Path::Udp, "up"), (Path::Ethernet, "up")]);
        link.events.clear();
        link.lose(path);
        link.run(A_SECOND * 5);
        assert_eq!(told(&mut link, "a"), [format!("{path} lost")], "and nobody was suspected");
        assert_eq!(paths(&link, "b", "a").iter().find(|(of, _)| *of == path).unwrap().1, "lost");
        assert!(link.node("a").peer(&name("b")).unwrap().hears_us().unwrap() < INTERVAL * 2, "heard straight");
        link.lost.clear();
        link.run(A_SECOND);
        assert_eq!(told(&mut link, "a"), [format!("{path} restored")]);
        assert_eq!(paths(&link, "b", "a"), [(Path::Udp, "up"), (Path::Ethernet, "up")]);
    }
}

#[test]
fn without_any_path_a_peer_is_dead_and_no_path_is_told_of() {
    let mut link = Link::with_ethernet(&["a", "b"]);
    link.run(3);
    link.events.clear();
    link.lose(Path::Udp);
    link.lose(Path::Ethernet);
    link.run(A_SECOND);
    assert_eq!(link.state("b", "a"), ServerState::Dead);
    assert_eq!(paths(&link, "b", "a"), [(Path::Udp, "lost"), (Path::Ethernet, "lost")]);
    let told = told(&mut link, "a");
    assert_eq!(told.len(), 2, "suspected, dead: {told:?}");
    // It comes back without the one: that has to be told then.
    link.lost.clear();
    link.lose(Path::Ethernet);
    link.run(A_SECOND);
    let told = self::told(&mut link, "a");
    assert!(matches!(&told[..], [alive, lost] if alive.contains("PeerAlive") && lost == "Ethernet lost"), "{told:?}");
}

#[test]
fn udp_that_never_worked_is_missed_and_ethernet_that_never_worked_is_not() {
    let mut link = Link::with_ethernet(&["a", "b"]);
    link.lose(Path::Udp);
    link.run(A_SECOND);
    assert!(link.state("b", "a").is_alive(), "joined over Ethernet alone");
    assert_eq!(paths(&link, "b", "a"), [(Path::Udp, "never"), (Path::Ethernet, "up")]);
    assert_eq!(told(&mut link, "a")[1..], ["UDP lost"]);

    let mut link = Link::new(&["a", "b"]);
    link.run(A_SECOND);
    assert_eq!(paths(&link, "b", "a"), [(Path::Udp, "up"), (Path::Ethernet, "never")]);
    assert_eq!(told(&mut link, "a").len(), 1, "alive, and no more");
}

/// Three datagrams of b that a has not got.
fn fresh(link: &mut Link) -> Vec<Vec<u8>> {
    let now = link.now;
    let mut effects = Effects::new();
    for _ in 0..3 {
        link.node("b").send(now, &Statement::default(), &mut effects);
    }
    let frames = effects.drain().filter_map(|effect| match effect {
        Effect::Broadcast(datagram) => Some(datagram),
        _ => None,
    });
    frames.collect()
}

#[test]
fn copies_over_several_lanes_are_redundant_in_any_order_and_a_second_one_on_a_lane_is_a_replay() {
    let mut link = Link::with_ethernet(&["a", "b"]);
    link.run(3);
    let datagrams = fresh(&mut link);
    let before = (link.node("a").counters().received, link.node("a").counters().redundant);
    for origin in [frame_on(2), from(), frame_on(3)] {
        for index in [1, 0, 2] {
            link.replay_from(origin, "a", &datagrams[index]);
        }
    }
    let counters = link.node("a").counters();
    assert_eq!((counters.received - before.0, counters.redundant - before.1), (9, 6));
    assert_eq!(link.refused("a", Refusal::Replayed), 0);
    for origin in [frame_on(2), from(), frame_on(3)] {
        for datagram in &datagrams {
            link.replay_from(origin, "a", datagram);
        }
    }
    assert_eq!(link.refused("a", Refusal::Replayed), 9);
}

#[test]
fn what_is_long_over_is_a_replay_on_a_path_that_did_not_bring_it_too() {
    let mut link = Link::with_ethernet(&["a", "b"]);
    link.run(3);
    link.lose(Path::Ethernet);
    link.beat("b");
    let old = link.wire.last().unwrap().2.clone();
    link.run(A_SECOND * 5);
    link.events.clear();
    link.replay_from(frame_on(2), "a", &old);
    assert_eq!(link.refused("a", Refusal::Replayed), 1);
    assert_eq!(paths(&link, "b", "a")[1], (Path::Ethernet, "lost"));
}

#[test]
fn our_own_broadcast_on_another_interface_of_ours_is_nothing() {
    let mut link = Link::with_ethernet(&["a", "b"]);
    link.run(3);
    let mine = link.wire.iter().find(|(from, ..)| *from == name("a")).unwrap().2.clone();
    let before = (link.beliefs("a"), link.node("a").counters().clone());
    assert_eq!(link.replay_from(frame_on(3), "a", &mine), (None, vec![]));
    assert_eq!((link.beliefs("a"), link.node("a").counters().clone()), before);
}

#[test]
fn a_round_is_one_frame_whatever_the_number_of_peers() {
    let mut link = Link::with_ethernet(&["a", "b", "c", "d", "e"]);
    link.run(A_SECOND);
    let counted = |link: &mut Link| (link.node("a").counters().sent, link.node("a").counters().broadcast);
    let before = counted(&mut link);
    link.run(A_SECOND);
    let after = counted(&mut link);
    assert_eq!((after.0 - before.0, after.1 - before.1), (80, 20));
}

#[test]
fn forwarding_goes_over_ethernet_too() {
    let mut link = Link::with_ethernet(&["a", "b", "c"]);
    link.run(3);
    link.events.clear();
    link.lose(Path::Udp);
    link.cut("a", "b");
    link.cut("b", "a");
    link.run(A_SECOND * 2);
    assert!(link.state("a", "b").is_alive() && link.state("b", "a").is_alive());
    let dead = link.events.iter().filter(|(_, event)| matches!(event, Event::PeerDead { .. })).count();
    assert_eq!(dead, 0, "{:?}", link.events);
    assert_eq!(link.refused("a", Refusal::Replayed) + link.refused("c", Refusal::Replayed), 0);
}

fn refuse(link: &mut Link, at: &str, of: &str) -> Option<ServerName> {
    let mut effects = Effects::new();
    let to = config(&["a", "b"]).servers[&name(of)].heartbeat;
    let now = link.now;
    let suspected = link.node(at).refused(now, to, &mut effects);
    link.carry(&name(at), effects);
    suspected
}

#[test]
fn a_refusal_makes_suspect_at_once_and_only_silence_makes_dead() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.events.clear();
    link.pass(Duration::from_millis(1));
    assert_eq!(refuse(&mut link, "a", "b"), Some(name("b")));
    assert_eq!(link.state("b", "a"), ServerState::Suspect);
    for _ in 0..100 {
        assert_eq!(refuse(&mut link, "a", "b"), None);
    }
    link.pass(INTERVAL * 2);
    assert_eq!(link.state("b", "a"), ServerState::Suspect, "151 ms of silence, and a hundred refusals");
    link.pass(INTERVAL);
    assert_eq!(link.state("b", "a"), ServerState::Dead);
    assert_eq!(refuse(&mut link, "a", "b"), None);
    let events = link.events_at("a");
    assert!(
        matches!(
            &events[..],
            [Event::PeerRefused { silent_ms: 51, .. }, Event::PeerSuspected { .. }, Event::PeerDead { .. }]
        ),
        "{events:?}"
    );
}

#[test]
fn a_peer_that_speaks_although_it_is_refused_is_suspected_once() {
    let mut link = Link::with_ethernet(&["a", "b"]);
    link.run(3);
    link.lose(Path::Udp);
    link.events.clear();
    for _ in 0..A_SECOND * 30 {
        link.run(1);
        refuse(&mut link, "a", "b");
    }
    assert_eq!(told(&mut link, "a").len(), 3, "refused, heard again, a path lost");
    assert_eq!(link.state("b", "a"), ServerState::Alive);
    // Nothing was refused for a while.
    link.run(A_SECOND * 11);
    assert_eq!(refuse(&mut link, "a", "b"), Some(name("b")));
    // And a new run begins without that history.
    link.start("b", &["a", "b"], 9);
    link.node("b").set_broadcasts(true);
    link.run(2);
    assert_eq!(refuse(&mut link, "a", "b"), Some(name("b")));
}

#[test]
fn who_is_not_alive_is_not_suspected_for_a_refusal() {
    let mut link = Link::new(&["a", "b"]);
    assert_eq!(refuse(&mut link, "a", "b"), None);
    assert_eq!(link.state("b", "a"), ServerState::Unknown);
    assert_eq!(refuse(&mut link, "a", "a"), None, "our own address");
}
