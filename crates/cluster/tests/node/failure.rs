//! Servers, services and kernels that fail.

use cluster::Input;
use model::{
    config::{ClusterConfig, PartitionPolicy},
    event::{Cause, Event},
    health::{ServerState, Verdict},
    net::{MacAddress, Origin},
};

use crate::stage::{Happening, Stage, config, host, ip, monitored, ms, name};

fn causes(stage: &Stage, server: &str) -> Vec<Cause> {
    let take = |event: &Event| match event {
        Event::Taking { cause, .. } => Some(*cause),
        _ => None,
    };
    stage.events(server).into_iter().filter_map(take).collect()
}

#[test]
fn death_is_covered_within_the_detection_time() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c", "v2: b c a"]));
    assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("a", "b"));
    stage.kill("a");
    let gap = stage.until(|stage| stage.holders("v1") == "b");
    assert!(gap > ms(75) && gap <= ms(165), "{gap:?}");
    assert_eq!(causes(&stage, "b"), [Cause::ServerDead]);
    assert_eq!(causes(&stage, "c"), []);
    stage.run(ms(1));
    assert_eq!(stage.last_word(ip("10.77.0.101")), Some("b"));
    let health = stage.node("c").health();
    assert_eq!(health.servers[&name("a")].state, ServerState::Dead);
    assert_eq!(health.virtual_hosts[&host("v1")].active, Some(name("b")));
    assert!(!health.virtual_hosts[&host("v1")].at_primary);
    assert_eq!(stage.holders("v2"), "b", "undisturbed");
    stage.kill("b");
    stage.until(|stage| stage.holders("v1") == "c" && stage.holders("v2") == "c");
}

#[test]
fn at_a_farewell_the_next_one_takes_in_the_same_breath_and_gives_back_later() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c", "v2: b c a"]));
    let farewell = stage.machine("a").farewell.clone();
    stage.kill("a");
    stage.machine("a").kernel.clear();
    stage.run(ms(3));
    assert_eq!(stage.holders("v1"), "", "nobody knows yet");
    for to in ["b", "c"] {
        for datagram in &farewell {
            stage.input(
                to,
                Input::Datagram { from: Origin::Udp("10.77.0.11:40000".parse().unwrap()), bytes: datagram.clone() },
            );
        }
    }
    let gap = stage.until(|stage| stage.holders("v1") == "b");
    assert!(gap < ms(2), "{gap:?}");
    assert_eq!(causes(&stage, "b"), [Cause::ServerLeft]);
    assert_eq!(causes(&stage, "c"), []);
    let refused = |event: &&Event| matches!(event, Event::DatagramsRefused { .. });
    assert_eq!(stage.events("b").into_iter().filter(refused).count(), 0);

    stage.start("a");
    stage.until(|stage| stage.holders("v1") == "a");
    assert_eq!(stage.node("b").health().servers[&name("a")].state, ServerState::Alive);
    assert_eq!(stage.holders("v2"), "b", "undisturbed");
}

#[test]
fn two_servers_with_a_gateway_cover_for_each_other_without_delay() {
    let mut configuration = config("a b", &["v1: a b", "v2: b a"]);
    configuration.partition = PartitionPolicy::Gateway { witness: Vec::new() };
    let mut stage = Stage::new(configuration);
    for server in ["a", "b"] {
        stage.machine(server).gateways = vec![ip("10.77.0.254")];
        stage.start(server);
    }
    stage.run(ms(3_000));
    assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("a", "b"));
    stage.log.clear();
    // a's host is cut off: b reaches the gateway and takes over; a does not, and lets go.
    stage.isolate("a");
    let gap = stage.until(|stage| stage.machines[&name("b")].kernel.contains(&ip("10.77.0.101")));
    assert!(gap <= ms(165), "the gateway was asked in time: {gap:?}");
    stage.run(ms(1));
    assert_eq!(stage.holders("v1"), "b", "a let go when b took it");
    assert!(stage.events("a").contains(&&Event::Isolated));
    assert!(stage.node("a").health().isolated);
    assert_eq!(stage.node("a").status(stage.now).state, "isolated");
    // It returns: failback after the delay, in one move each.
    stage.heal();
    stage.machine("a").hears_witness = true;
    stage.run(ms(200));
    assert!(stage.events("a").contains(&&Event::Rejoined));
    assert_eq!(stage.holders("v1"), "b", "not at once");
    stage.run(ms(1_200));
    assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("a", "b"));
    assert_eq!(causes(&stage, "a"), [Cause::Failback]);
}

#[test]
fn a_server_without_carrier_is_isolated_and_says_so_at_once() {
    for witness in [vec![], vec![ip("10.77.0.254")]] {
        let mut configuration = config("a b", &["v1: a b"]);
        configuration.partition = PartitionPolicy::Gateway { witness };
        let mut stage = Stage::new(configuration);
        for server in ["a", "b"] {
            stage.machine(server).gateways = vec![ip("10.77.0.254")];
            stage.start(server);
        }
        stage.run(ms(3_000));
        stage.isolate("a");
        let mut interfaces = stage.interfaces("a");
        interfaces[0].up = false;
        stage.input("a", Input::Interfaces(interfaces));
        // The kernel drops the routes with the carrier.
        stage.input("a", Input::Gateways(vec![]));
        stage.run(ms(180));
        assert!(stage.node("a").health().isolated);
        assert_eq!(stage.holders("v1"), "b");
    }
}

#[test]
fn a_lone_server_that_starts_without_a_witness_holds_nothing() {
    let mut configuration = config("a b", &["v1: a b"]);
    configuration.partition = PartitionPolicy::Gateway { witness: vec![ip("10.77.0.254")] };
    let mut stage = Stage::new(configuration);
    stage.machine("a").hears_witness = false;
    stage.start("a");
    stage.run(ms(2_000));
    assert_eq!(stage.holders("v1"), "");
    assert!(stage.events("a").contains(&&Event::Isolated));
    stage.machine("a").hears_witness = true;
    stage.run(ms(450));
    assert_eq!(stage.holders("v1"), "a", "the witness answers at last");
}

#[test]
fn a_minority_lets_go_and_the_majority_takes_over() {
    let mut configuration = config("a b c", &["v1: a b c"]);
    configuration.partition = PartitionPolicy::Majority;
    let mut stage = Stage::settled(configuration);
    stage.isolate("a");
    stage.run(ms(200));
    assert_eq!(stage.holders("v1"), "b");
    stage.kill("c");
    stage.run(ms(200));
    assert_eq!(stage.holders("v1"), "", "one of three");
}

#[test]
fn a_failed_service_moves_and_returns_after_the_delay() {
    let mut stage = Stage::settled(monitored(config("a b", &["v1: a b"]), "v1"));
    assert_eq!(stage.holders("v1"), "a");
    stage.machine("a").service = Some(false);
    stage.until(|stage| stage.holders("v1") == "b");
    assert_eq!(causes(&stage, "b"), [Cause::ServiceFailed]);
    stage.run(ms(5));
    assert_eq!(stage.node("a").health().virtual_hosts[&host("v1")].verdict, Verdict::Up, "where it is now");
    let status = stage.node("a").status(stage.now);
    assert_eq!(status.virtual_hosts[0].servers[0].monitors[0].verdict, "down");
    assert_eq!(status.virtual_hosts[0].servers[0].monitors[0].reason.as_deref(), Some("connection refused"));
    stage.run(ms(3_000));
    stage.machine("a").service = Some(true);
    stage.until(|stage| {
        stage.events("a").iter().any(|event| matches!(event, Event::MonitorChanged { verdict: Verdict::Up, .. }))
    });
    let delay = stage.until(|stage| stage.holders("v1") == "a");
    assert!(delay >= ms(1_000) && delay < ms(1_010), "{delay:?}");
    assert_eq!(causes(&stage, "a"), [Cause::Failback]);
}

fn probed_at_once(stage: &Stage, server: &str) -> usize {
    stage.log.iter().filter(|(_, who, it)| who == &name(server) && matches!(it, Happening::ProbedAtOnce)).count()
}

#[test]
fn a_closed_port_that_a_probe_confirms_moves_at_once() {
    let mut stage = Stage::settled(monitored(config("a b", &["v1: a b"]), "v1"));
    stage.machine("a").service = Some(false);
    stage.input("a", Input::ListenerClosed { port: 80 });
    assert_eq!(stage.events("a").len(), 0, "the kernel's word alone decides nothing");
    let gap = stage.until(|stage| stage.holders("v1") == "b");
    assert!(gap < ms(5), "{gap:?}");
    assert_eq!(causes(&stage, "b"), [Cause::ServiceFailed]);
    // More of the same says nothing new.
    stage.input("a", Input::ListenerClosed { port: 80 });
    assert_eq!(probed_at_once(&stage, "a"), 1);
    stage.machine("a").service = Some(true);
    stage.run(ms(3_500));
    assert_eq!(stage.holders("v1"), "a", "it comes back as ever");
}

#[test]
fn a_closed_port_where_somebody_listens_still_moves_nothing() {
    let mut stage = Stage::settled(monitored(config("a b", &["v1: a b"]), "v1"));
    stage.input("a", Input::ListenerClosed { port: 80 });
    stage.input("a", Input::ListenerClosed { port: 81 });
    assert_eq!(probed_at_once(&stage, "a"), 1, "nobody monitors port 81");
    stage.run(ms(500));
    // The next failure is the first of an ordinary streak.
    stage.machine("a").service = Some(false);
    let gap = stage.until(|stage| stage.holders("v1") == "b");
    assert!(gap > ms(500), "the news was used up: {gap:?}");
}

#[test]
fn a_service_down_everywhere_stays_or_goes_as_configured() {
    for (always_active, expected) in [(true, "a"), (false, "")] {
        let mut configuration = monitored(config("a b", &["v1: a b"]), "v1");
        configuration.virtual_hosts.get_mut(&host("v1")).unwrap().always_active = always_active;
        let mut stage = Stage::settled(configuration);
        stage.machine("b").service = Some(false);
        stage.run(ms(3_000));
        stage.machine("a").service = Some(false);
        stage.run(ms(3_000));
        assert_eq!(stage.holders("v1"), expected);
        stage.machine("b").service = Some(true);
        stage.run(ms(3_000));
        assert_eq!(stage.holders("v1"), "b");
    }
}

#[test]
fn a_kernel_that_refuses_passes_it_on_and_is_tried_again_later() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c"]));
    stage.machine("b").refuses_to_add = true;
    stage.kill("a");
    let gap = stage.until(|stage| stage.holders("v1") == "c");
    // 25 ms more than death alone: c was not the first in line, so it asks the wire only now.
    assert!(gap < ms(190), "b passes it on at once: {gap:?}");
    assert!(stage.events("b").iter().any(|event| matches!(event, Event::TakeFailed { .. })));
    stage.machine("b").refuses_to_add = false;
    stage.run(ms(3_000));
    assert_eq!(stage.holders("v1"), "b", "failback once b is able again");
}

#[test]
fn a_kernel_that_does_not_let_go_keeps_the_claim() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.machine("a").refuses_to_remove = true;
    stage.command("a", cluster::Command::Standby(name("a")));
    stage.run(ms(3_000));
    assert_eq!(stage.holders("v1"), "a", "nobody takes what a's kernel still has");
    assert_eq!(stage.node("b").status(stage.now).virtual_hosts[0].state, "moving");
    stage.machine("a").refuses_to_remove = false;
    stage.run(ms(5_100));
    assert_eq!(stage.holders("v1"), "b", "tried again until it works");
}

#[test]
fn what_others_delete_and_the_host_puts_back_is_announced_again() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    let address = ip("10.77.0.101");
    stage.input("a", Input::Address { address, outcome: model::report::AddressOutcome::Restored });
    assert!(stage.events("a").contains(&&Event::AddressRestored { virtual_host: host("v1"), address }));
    assert_eq!(stage.last_word(address), Some("a"));
}

#[test]
fn loss_in_one_direction_moves_nothing_where_a_third_server_relays() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c"]));
    stage.cut("a", "b");
    stage.run(ms(2_000));
    assert_eq!(stage.changes(), 0);
}

#[test]
fn of_two_servers_that_hear_each_other_in_one_direction_only_one_holds() {
    let mut stage = Stage::settled(config("a b", &["v1: a b", "v2: b a"]));
    // b no longer hears a, takes everything, and says so; a hears that, and that b can't hear it.
    stage.cut("a", "b");
    stage.run(ms(500));
    assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("b", "b"));
    stage.heal();
    stage.run(ms(2_000));
    assert_eq!((stage.holders("v1").as_str(), stage.holders("v2").as_str()), ("a", "b"));
}

#[test]
fn who_is_refused_does_not_take_itself_for_cut_off() {
    for offset in 0..10 {
        let witness = vec![ip("10.77.0.254")];
        let policy = PartitionPolicy::Gateway { witness };
        let mut stage = Stage::settled(ClusterConfig { partition: policy, ..config("a b", &["v1: a b"]) });
        stage.machine("a").hears_witness = false;
        stage.run(ms(offset * 5));
        for _ in 0..20 {
            stage.input("a", Input::Refused { to: "10.77.0.12:7946".parse().unwrap() });
            stage.run(ms(47));
        }
        assert_eq!(stage.changes(), 0, "b is heard all the time, and nothing moves");
        let refused = |event: &&&Event| matches!(event, Event::PeerRefused { .. });
        assert_eq!(stage.events("a").iter().filter(refused).count(), 1);
        assert!(!stage.events("a").contains(&&Event::Isolated));
    }
}

#[test]
fn an_address_that_its_dead_holders_machine_answers_for_is_waited_for() {
    let mut stage = Stage::settled(config("a b c", &["v1: a b c"]));
    // Daemon and guardian are killed: the kernel has the address until its lease ends.
    stage.machine("a").node = None;
    stage.run(ms(3_000));
    assert_eq!(stage.holders("v1"), "a");
    let answers = |stage: &Stage, at: &str| {
        stage.events(at).iter().filter(|event| matches!(event, Event::HolderAnswers { .. })).count()
    };
    assert_eq!((answers(&stage, "b"), answers(&stage, "c")), (1, 0), "who is to succeed it asks, and tells once");
    stage.machine("a").kernel.clear();
    let gap = stage.until(|stage| stage.holders("v1") == "b");
    assert!(gap <= ms(100), "{gap:?}");
}

#[test]
fn a_holder_that_answers_for_ever_is_left_alone_and_told() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.machine("a").node = None;
    stage.run(ms(10_000));
    assert_eq!(stage.holders("v1"), "a");
    let told = |event: &&&Event| matches!(event, Event::HolderUnreachable { .. });
    assert_eq!(stage.events("b").iter().filter(told).count(), 1);
}

#[test]
fn a_rival_on_the_wire_is_told_and_answered() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    stage.run(ms(5_000));
    stage.log.clear();
    let address = ip("10.77.0.101");
    let mac = MacAddress([2, 0, 0, 0, 0, 0x66]);
    for _ in 0..3 {
        stage.input("a", Input::Rival { address, mac });
        stage.run(ms(10));
    }
    let seen = Event::RivalOnTheWire { virtual_host: host("v1"), address, mac };
    assert_eq!(stage.events("a").iter().filter(|event| ***event == seen).count(), 1);
    assert_eq!(stage.last_word(address), Some("a"));
    assert_eq!(stage.changes(), 0);
}
