//! Who is alive, suspected, dead, gone.

use std::collections::BTreeSet;

use super::*;

/// `who` has gone without having said that it is about to, so long after its last heartbeat.
fn left(who: &str, silent_ms: u64) -> Event {
    Event::PeerLeft { server: name(who), planned: false, silent_ms }
}

#[test]
fn joining_takes_one_heartbeat_and_its_answer() {
    let mut link = Link::new(&["a", "b"]);
    assert_eq!(link.state("b", "a"), ServerState::Unknown);
    link.beat("a");
    assert_eq!(link.state("b", "a"), ServerState::Alive);
    assert_eq!(link.state("a", "b"), ServerState::Alive);
    assert_eq!(link.wire.len(), 3, "a's heartbeat, b's prompt, a's prompt");
    assert_eq!(link.events_at("a"), [Event::PeerAlive { server: name("b"), boot: boot(1) }]);
    assert_eq!(link.node("a").peer(&name("b")).unwrap().boot(), Some(boot(1)));
    assert!(link.node("a").peer(&name("b")).unwrap().statement().is_some());
}

#[test]
fn prompts_are_limited_to_one_in_an_interval() {
    let mut link = Link::new(&["a", "b"]);
    link.cut("b", "a");
    for _ in 0..10 {
        link.beat("a");
    }
    let counted = link.node("b").counters().sent;
    assert_eq!(counted, 1, "ten datagrams of a run that cannot prove itself, one answer");
    link.pass(INTERVAL);
    link.beat("a");
    assert_eq!(link.node("b").counters().sent, 2);
}

#[test]
fn who_is_not_echoed_is_not_alive() {
    let mut link = Link::new(&["a", "b"]);
    link.cut("a", "b");
    link.run(20);
    assert_eq!(link.state("b", "a"), ServerState::Unknown, "b speaks, but not to this run of a: a recording could too");
    assert_eq!(link.state("a", "b"), ServerState::Unknown);
    link.cut.clear();
    link.run(1);
    assert_eq!(link.state("b", "a"), ServerState::Alive);
}

#[test]
fn silence_makes_suspect_then_dead_and_a_word_makes_alive() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.events.clear();
    let heard = link.node("a").peer(&name("b")).unwrap().last_heard().unwrap();
    assert_eq!(link.node("a").next_deadline(), Some(heard + INTERVAL * 3 / 2));

    link.pass(Duration::from_millis(24));
    assert_eq!(link.state("b", "a"), ServerState::Alive, "74 ms of silence");
    link.pass(Duration::from_millis(1));
    assert_eq!(link.state("b", "a"), ServerState::Suspect);
    assert_eq!(link.node("a").next_deadline(), Some(heard + INTERVAL * 13 / 4));
    link.beat("b");
    assert_eq!(link.state("b", "a"), ServerState::Alive);

    link.beat("a");
    link.pass(INTERVAL * 3 + Duration::from_millis(12));
    assert_eq!(link.state("b", "a"), ServerState::Suspect, "the third heartbeat may still come, a little late");
    link.pass(Duration::from_millis(1));
    assert_eq!(link.state("b", "a"), ServerState::Dead);
    assert_eq!(link.node("a").next_deadline(), None);
    link.beat("a");
    link.beat("b");
    assert_eq!(link.state("b", "a"), ServerState::Alive);
    let server = name("b");
    assert_eq!(
        link.events_at("a"),
        [
            Event::PeerSuspected { server: server.clone(), silent_ms: 75 },
            Event::PeerRecovered { server: server.clone() },
            Event::PeerSuspected { server: server.clone(), silent_ms: 162 },
            Event::PeerDead { server: server.clone(), silent_ms: 163 },
            Event::PeerAlive { server, boot: boot(1) },
        ]
    );
}

#[test]
fn a_restarted_peer_is_alive_at_once_under_its_new_run() {
    let mut link = Link::new(&["a", "b"]);
    link.says.insert(name("b"), Statement { serial: 7, ..Statement::default() });
    link.run(3);
    link.start("b", &["a", "b"], 9);
    link.says.insert(name("b"), Statement { serial: 8, ..Statement::default() });
    link.events.clear();
    link.beat("b");
    let peer = link.node("a").peer(&name("b")).unwrap();
    assert_eq!((peer.boot(), peer.state()), (Some(boot(9)), ServerState::Alive));
    assert_eq!(peer.statement().map(|statement| statement.serial), Some(8), "nothing of the earlier run is left");
    assert_eq!(link.state("a", "b"), ServerState::Alive);
    assert_eq!(link.events_at("a"), [Event::PeerAlive { server: name("b"), boot: boot(9) }]);
}

#[test]
fn goodbye_counts_at_once_and_is_not_undone_by_what_it_has_overtaken() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    let (mut before, mut last) = (Effects::new(), Effects::new());
    let now = link.now;
    link.node("b").send(now, &Statement::default(), &mut before);
    link.node("b").send(now, &Statement { goodbye: true, ..Statement::default() }, &mut last);
    link.events.clear();
    link.carry(&name("b"), last);
    assert_eq!(link.state("b", "a"), ServerState::Left);
    link.carry(&name("b"), before);
    link.run(1);
    link.pass(INTERVAL * 10);
    assert_eq!(link.state("b", "a"), ServerState::Left);
    assert_eq!(link.events_at("a"), [left("b", 50)]);

    link.start("b", &["a", "b"], 9);
    link.beat("b");
    assert_eq!(link.state("b", "a"), ServerState::Alive, "a new run comes back at once");
}

#[test]
fn a_farewell_is_the_newest_word_and_of_its_own_number() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    let older = link.farewells[&name("b")].clone();
    link.beat("b");
    let farewell = link.farewells[&name("b")].clone();
    let number = |datagram: &[u8]| u64::from_be_bytes(datagram[22..30].try_into().unwrap());
    let sent = link.wire.iter().filter(|(from, ..)| *from == name("b")).map(|(.., datagram)| number(datagram));
    let sealed: BTreeSet<u64> = farewell.iter().chain(&older).map(|datagram| number(datagram)).collect();
    assert_eq!(sealed.len(), 4, "no number twice");
    assert!(sent.clone().all(|number| !sealed.contains(&number)));
    assert!(sent.max().unwrap() < farewell.iter().map(|datagram| number(datagram)).min().unwrap());

    link.events.clear();
    for datagram in &farewell {
        let effects = link.deliver(&name("a"), datagram);
        link.events.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Record(event) => Some((name("a"), event)),
            _ => None,
        }));
    }
    assert_eq!(link.state("b", "a"), ServerState::Left);
    assert_eq!(link.events_at("a"), [left("b", 0)], "the second one is no replay");
    link.start("b", &["a", "b"], 9);
    link.beat("b");
    assert_eq!(link.state("b", "a"), ServerState::Alive, "the run that follows joins at once");
    for datagram in farewell.iter().chain(&older) {
        link.deliver(&name("a"), datagram);
    }
    assert_eq!(link.state("b", "a"), ServerState::Alive, "and the farewell of the earlier one is stale");
}

#[test]
fn a_goodbye_of_a_run_that_is_not_proven_means_nothing() {
    let mut link = Link::new(&["a", "b"]);
    link.says.insert(name("b"), Statement { goodbye: true, ..Statement::default() });
    link.beat("b");
    assert_eq!(link.state("b", "a"), ServerState::Unknown);
    assert_eq!(link.events_at("a"), []);
}

#[test]
fn loss_in_one_direction_is_seen_once_and_kills_nobody() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.events.clear();
    link.cut("a", "b");
    link.run(20);
    assert_eq!(link.state("b", "a"), ServerState::Alive, "a hears b all the time");
    assert_eq!(link.state("a", "b"), ServerState::Dead);
    let hears_us = link.node("a").peer(&name("b")).unwrap().hears_us().unwrap();
    assert!(hears_us > Duration::from_millis(900), "{hears_us:?}");
    link.cut.clear();
    link.run(3);
    assert_eq!(link.state("a", "b"), ServerState::Alive, "its run is known: no proof is asked again");
    let events = link.events_at("a");
    assert!(
        matches!(
            &events[..],
            [Event::OneWayLoss { server: deaf, deaf_ms: 151..=250 }, Event::OneWayHealed { server: healed }]
                if *deaf == name("b") && *healed == name("b")
        ),
        "{events:?}"
    );
}

#[test]
fn a_peer_that_comes_back_is_not_called_deaf_before_it_had_time_to_hear() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.cut("a", "b");
    link.cut("b", "a");
    link.run(20);
    assert_eq!((link.state("a", "b"), link.state("b", "a")), (ServerState::Dead, ServerState::Dead));
    link.events.clear();
    // One direction is a little later than the other.
    link.cut.clear();
    link.cut("a", "b");
    link.run(1);
    link.cut.clear();
    link.run(10);
    let events = link.events_at("a");
    assert!(matches!(&events[..], [Event::PeerAlive { .. }]), "{events:?}");
    // One that stays deaf is called so after the detection time.
    link.cut("a", "b");
    link.cut("b", "a");
    link.run(20);
    link.cut.clear();
    link.cut("a", "b");
    link.events.clear();
    link.run(3);
    assert_eq!(link.events_at("a"), [], "it may be a recording");
    link.run(3);
    let events = link.events_at("a");
    assert!(matches!(&events[..], [Event::PeerAlive { .. }]), "{events:?}");
    link.run(2);
    let events = link.events_at("a");
    assert!(matches!(&events[..], [Event::OneWayLoss { .. }]), "{events:?}");
}

#[test]
fn who_overslept_gives_everybody_a_fresh_detection_time() {
    let mut link = Link::new(&["a", "b"]);
    link.run(3);
    link.events.clear();
    link.now = link.now + Duration::from_secs(60);
    let now = link.now;
    link.node("a").overslept(now);
    link.pass(Duration::from_millis(162));
    assert!(link.state("b", "a").is_alive());
    link.pass(Duration::from_millis(1));
    assert_eq!(link.state("b", "a"), ServerState::Dead);
    let events = link.events_at("a");
    assert!(
        matches!(events[..], [Event::PeerSuspected { .. }, Event::PeerDead { silent_ms: 60_213, .. }]),
        "{events:?}"
    );
}

#[test]
fn statements_in_parts_arrive_and_every_part_keeps_alive() {
    let mut link = Link::new(&["a", "b"]);
    let large = about(400);
    link.says.insert(name("b"), large.clone());
    link.beat("a");
    assert_eq!(link.state("b", "a"), ServerState::Alive);
    let heard = link.node("a").peer(&name("b")).unwrap().statement().unwrap().clone();
    assert_eq!(heard.account, large.account);

    // From now on the last part of each statement is lost.
    let larger = about(401);
    for _ in 0..10 {
        link.pass(INTERVAL);
        link.beat("a");
        let mut effects = Effects::new();
        let now = link.now;
        link.node("b").send(now, &larger, &mut effects);
        let mut parts: Vec<_> = effects.drain().collect();
        assert!(parts.len() > 3, "{}", parts.len());
        parts.pop();
        for part in parts {
            effects.push(part);
        }
        link.carry(&name("b"), effects);
    }
    assert_eq!(link.state("b", "a"), ServerState::Alive);
    let heard = |link: &mut Link| link.node("a").peer(&name("b")).unwrap().statement().unwrap().account.clone();
    assert_eq!(heard(&mut link), large.account, "the last that came whole");
    link.says.insert(name("b"), larger.clone());
    link.beat("b");
    assert_eq!(heard(&mut link), larger.account);
}

#[test]
fn a_new_configuration_keeps_who_stays() {
    let mut link = Link::new(&["a", "b", "c"]);
    link.run(3);
    link.events.clear();
    let now = link.now;
    link.node("a").reconfigure(now, config(&["a", "b", "d"]));
    let states: Vec<_> = link.node("a").peers().map(|(name, peer)| (name.as_str().to_owned(), peer.state())).collect();
    assert_eq!(states, [("b".to_owned(), ServerState::Alive), ("d".to_owned(), ServerState::Unknown)]);
    link.beat("c");
    assert_eq!(link.refused("a", Refusal::UnknownServer), 1);
    link.beat("b");
    assert_eq!(link.state("b", "a"), ServerState::Alive);

    let mut slower = ClusterConfig::clone(&config(&["a", "b", "c"]));
    slower.heartbeat.misses = 20;
    link.node("a").reconfigure(now, Arc::new(slower));
    link.pass(Duration::from_millis(1_012));
    assert_eq!(link.state("b", "a"), ServerState::Suspect);
    link.pass(Duration::from_millis(1));
    assert_eq!(link.state("b", "a"), ServerState::Dead);
}

#[test]
fn one_server_alone_works() {
    let mut link = Link::new(&["a"]);
    link.run(3);
    assert_eq!(link.node("a").peers().count(), 0);
    assert_eq!(link.node("a").next_deadline(), None);
    assert!(link.wire.is_empty());
}

#[test]
fn whoever_never_proves_itself_is_forgotten() {
    let mut link = Link::new(&["a", "b"]);
    link.cut("a", "b");
    link.beat("b");
    assert_eq!(link.node("a").echoes(Instant::BOOT).len(), 1);
    let deadline = link.node("a").next_deadline().unwrap();
    assert_eq!(deadline, link.now + INTERVAL * 3);
    link.pass(INTERVAL * 3);
    assert!(link.node("a").echoes(Instant::BOOT).is_empty());
    assert_eq!(link.node("a").next_deadline(), None);
}
