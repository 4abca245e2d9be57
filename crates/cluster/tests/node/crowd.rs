//! A thousand virtual hosts: what pours in is taken in together, or everybody would decide without end.

use std::{collections::BTreeSet, time::Duration};

use crate::stage::{Stage, config, host, ip, ms, name};

const HOSTS: usize = 1_000;

fn crowd() -> Stage {
    let mut config = config("a b", &["v: a b"]);
    let spec = config.virtual_hosts.remove(&host("v")).unwrap();
    for number in 0..HOSTS {
        let mut spec = spec.clone();
        spec.addresses = vec![ip(&format!("fd00:77::1:{number:x}"))];
        config.virtual_hosts.insert(host(&format!("v{number}")), spec);
    }
    Stage::new(config)
}

/// Rounds of heartbeats beyond those that are due anyway: each is a decision that told something new.
fn rounds(stage: &Stage, server: &str, since: u64, span: Duration) -> u64 {
    let interval = stage.config.heartbeat.interval;
    let due = span.as_nanos() / interval.as_nanos();
    (stage.node(server).counters().heartbeats_sent - since).saturating_sub(u64::try_from(due).unwrap())
}

#[test]
fn a_thousand_answers_are_a_handful_of_decisions() {
    let mut stage = crowd();
    stage.start("a");
    stage.start("b");
    stage.run(ms(300));
    let (before, span) = (stage.node("a").counters().heartbeats_sent, ms(400));
    // The wire has answered for each address, and the kernel.
    stage.run(span);
    assert!((0..HOSTS).all(|number| stage.holders(&format!("v{number}")) == "a"));
    let rounds = rounds(&stage, "a", before, span);
    assert!(rounds <= 40, "{rounds} decisions");
}

#[test]
fn a_hundred_words_of_a_peer_are_a_handful_of_decisions() {
    let mut stage = crowd();
    stage.start("a");
    stage.start("b");
    stage.run(ms(2_000));
    stage.log.clear();
    // Each of them moves a thousand targets to and fro, as the other server sees it.
    for word in 0..100 {
        let command = if word % 2 == 0 { cluster::Command::Standby } else { cluster::Command::Resume };
        stage.command("a", command(name("a")));
        stage.run(ms(1));
    }
    let other = stage.log.iter().filter(|(_, server, _)| server.as_str() == "b");
    let instants: BTreeSet<_> = other.map(|(at, ..)| *at).collect();
    assert!((2..=12).contains(&instants.len()), "{} decisions", instants.len());
}
