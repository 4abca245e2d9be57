//! Two claims at once (R5).

use model::event::{Cause, Event};

use crate::stage::{Happening, Stage, config, host, ip, ms, name};

/// Two halves both hold what the other holds; then they meet again.
fn healed(first: &str) -> Stage {
    let mut stage = Stage::settled(config("a b", &["v1: a b", "v2: b a"]));
    stage.part("a", "b");
    stage.run(ms(1_000));
    assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("a b", "a b"));
    stage.log.clear();
    // The one that is heard first makes the other see the conflict first.
    let second = if first == "a" { "b" } else { "a" };
    stage.heal();
    stage.cut(second, first);
    let heard = |stage: &Stage| stage.events(second).iter().any(|event| matches!(event, Event::PeerAlive { .. }));
    stage.until(heard);
    stage.heal();
    stage
}

#[test]
fn after_a_healed_partition_one_holds_and_has_the_last_word() {
    for first in ["a", "b"] {
        let mut stage = healed(first);
        stage.run(ms(100));
        assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("a", "b"), "{first} first");
        stage.run(ms(5));
        assert_eq!(stage.last_word(ip("10.77.0.101")), Some("a"), "{first} first");
        assert_eq!(stage.last_word(ip("10.77.0.102")), Some("b"), "{first} first");
        let releases = stage.events("b").into_iter().filter(|event| matches!(event, Event::Releasing { .. }));
        let expected = Event::Releasing { virtual_host: host("v1"), to: Some(name("a")), cause: Cause::RivalWon };
        assert_eq!(releases.collect::<Vec<_>>(), [&expected], "{first} first");
        let gone = Event::RivalGone { virtual_host: host("v1"), rival: name("b") };
        assert!(stage.events("a").contains(&&gone));
        assert_eq!(stage.changes(), 4, "two addresses of each are removed, nothing is added");
    }
}

#[test]
fn the_winner_announces_at_the_moment_that_the_losers_claim_is_gone() {
    for first in ["a", "b"] {
        let mut stage = healed(first);
        // Long after what the peer's coming made it announce, if the loser's kernel is slow to let go.
        stage.machine("b").refuses_to_remove = true;
        stage.run(ms(400));
        stage.machine("b").refuses_to_remove = false;
        let gone = |stage: &Stage| stage.events("a").iter().any(|event| matches!(event, Event::RivalGone { .. }));
        if !gone(&stage) {
            stage.until(gone);
        }
        let (gone_at, _, _) = stage
            .log
            .iter()
            .find(|(_, server, it)| server.as_str() == "a" && matches!(it, Happening::Event(Event::RivalGone { .. })))
            .expect("it was just seen");
        let at_once = stage
            .log
            .iter()
            .any(|(at, server, it)| at == gone_at && server.as_str() == "a" && matches!(it, Happening::Announced(_)));
        assert!(at_once, "{first} first");
    }
}

#[test]
fn servers_whose_configurations_differ_do_not_both_keep_it() {
    for lists in [["v1: a b", "v1: b a"], ["v1: b a", "v1: a b"], ["v1: a", "v1: b"]] {
        let mut stage = Stage::settled(config("a b", &["v1: a b"]));
        stage.part("a", "b");
        for (server, digest) in [("a", 2), ("b", 3)] {
            let mut own = config("a b", &[lists[usize::from(digest == 3)]]);
            own.digest = digest;
            stage.reload(server, own);
        }
        stage.run(ms(1_000));
        stage.heal();
        stage.run(ms(150));
        assert!(["a", "b"].contains(&stage.holders("v1").as_str()), "{lists:?}: {}", stage.holders("v1"));
        let changes = stage.changes();
        stage.run(ms(5_000));
        assert_eq!(stage.changes(), changes, "{lists:?}: it stays so");
    }
}

#[test]
fn who_comes_may_have_held_it_so_the_holder_announces_again() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.part("a", "b");
    stage.run(ms(1_000));
    assert_eq!(stage.last_word(ip("10.77.0.101")), Some("b"), "b took it, and said so on the wire");
    // b forgets all about it; a has never heard of it.
    stage.kill("b");
    stage.heal();
    stage.run(ms(10_000));
    stage.start("b");
    stage.run(ms(100));
    assert_eq!(stage.last_word(ip("10.77.0.101")), Some("a"));
}

#[test]
fn a_witness_of_a_rival_is_not_called_the_rival() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c"]));
    stage.part("a", "b");
    stage.part("a", "c");
    stage.run(ms(1_000));
    assert_eq!(stage.holders("v1"), "a b");
    // b dies in the other half: c alone has seen its holding, and is not to take it over.
    stage.command("c", cluster::Command::Standby(name("c")));
    stage.kill("b");
    stage.run(ms(1_000));
    stage.log.clear();
    stage.heal();
    stage.run(ms(1_000));
    assert_eq!(stage.holders("v1"), "a");
    let named = |event: &&&Event| matches!(event, Event::RivalGone { .. });
    assert_eq!(stage.events("a").iter().find(named), None, "c never held it");
    assert_eq!(stage.last_word(ip("10.77.0.101")), Some("a"));
}
