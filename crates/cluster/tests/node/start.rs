//! The beginning: listening (R7), duplicates and own addresses (R10), a server alone.

use model::{
    event::{AddressRefusal, Cause, Event},
    health::ServerState,
    net::MacAddress,
};

use crate::stage::{Happening, Stage, config, host, ip, monitored, ms, name};

#[test]
fn a_newcomer_listens_then_asks_the_wire_then_takes() {
    let mut stage = Stage::new(config("a b", &["v1: a b"]));
    stage.start("a");
    stage.start("b");
    stage.run(ms(149));
    assert_eq!(stage.node("a").status(stage.now).state, "listening");
    assert!(!stage.node("a").health().settled);
    stage.run(ms(10));
    assert!(stage.log.iter().any(|(_, server, it)| server.as_str() == "a" && matches!(it, Happening::Asked)));
    assert_eq!(stage.holders("v1"), "");
    stage.run(ms(250));
    assert_eq!(stage.holders("v1"), "a");
    assert!(!stage.log.iter().any(|(_, server, it)| server.as_str() == "b" && matches!(it, Happening::Asked)));
    let health = stage.node("b").health();
    assert!(health.settled);
    assert_eq!(health.virtual_hosts[&host("v1")].active, Some(name("a")));
    assert!(health.virtual_hosts[&host("v1")].at_primary);
    assert_eq!(health.servers[&name("a")].state, ServerState::Alive);
}

#[test]
fn one_server_alone_works() {
    let mut stage = Stage::settled(config("a", &["v1: a"]));
    assert_eq!(stage.holders("v1"), "a");
    stage.run(ms(10_000));
    assert_eq!(stage.changes(), 0);
    stage.command("a", cluster::Command::Resign);
    stage.run(ms(10));
    assert!(stage.machine("a").said_goodbye);
    assert_eq!(stage.holders("v1"), "");
}

#[test]
fn who_is_alone_has_nobody_to_listen_to() {
    let mut stage = Stage::new(config("a", &["v1: a"]));
    stage.start("a");
    assert!(stage.node("a").health().settled, "there is nothing to probe either");
    stage.run(ms(10));
    assert!(stage.log.iter().any(|(_, _, it)| matches!(it, Happening::Asked)), "the wire is asked all the same");
    assert_eq!(stage.holders("v1"), "");
    let taken = stage.until(|stage| stage.holders("v1") == "a");
    assert!(taken <= ms(400), "{taken:?}");
}

#[test]
fn alone_and_with_something_to_probe_the_first_verdict_settles() {
    let mut stage = Stage::new(monitored(config("a", &["v1: a"]), "v1"));
    stage.machine("a").service = None;
    stage.start("a");
    stage.run(ms(50));
    assert!(!stage.node("a").health().settled);
    stage.machine("a").service = Some(true);
    stage.until(|stage| stage.node("a").health().settled);
}

#[test]
fn a_newcomer_leaves_a_held_address_where_it_is() {
    let mut stage = Stage::new(config("a b", &["v1: a b"]));
    stage.start("b");
    stage.until(|stage| stage.holders("v1") == "b");
    stage.log.clear();
    stage.start("a");
    stage.run(ms(900));
    assert_eq!(stage.holders("v1"), "b", "the failback delay");
    assert_eq!(stage.changes(), 0);
    stage.run(ms(600));
    assert_eq!(stage.holders("v1"), "a", "failback");
    let asked = stage.log.iter().any(|(_, _, it)| matches!(it, Happening::Asked));
    assert!(!asked, "nothing is asked of the wire where a peer vouches for the address");
}

#[test]
fn an_address_in_use_is_refused_with_its_owners_mac() {
    let mut stage = Stage::new(config("a b", &["v1: a b", "v2: a b"]));
    let mac = MacAddress([0x52, 0x54, 0, 1, 2, 3]);
    stage.strangers.insert(ip("10.77.0.101"), mac);
    stage.start("a");
    stage.start("b");
    stage.run(ms(3_000));
    assert_eq!(stage.holders("v1"), "");
    assert_eq!(stage.holders("v2"), "a", "another virtual host is not concerned");
    let refused = Event::AddressRefused {
        virtual_host: host("v1"),
        address: ip("10.77.0.101"),
        reason: AddressRefusal::InUse { mac },
    };
    assert_eq!(stage.events("a").into_iter().filter(|event| **event == refused).count(), 1, "told once");
    let status = stage.node("a").status(stage.now);
    assert_eq!(status.virtual_hosts[0].state, "refused");
    assert_eq!(status.virtual_hosts[0].reason.as_deref(), Some("10.77.0.101 is in use by 52:54:00:01:02:03"));
    assert_eq!(status.virtual_hosts[0].servers[0].role, "unable");
    stage.strangers.clear();
    stage.run(ms(2_500));
    assert_eq!(stage.holders("v1"), "a", "asked again every second");
}

#[test]
fn a_machines_own_address_is_refused() {
    let mut configuration = config("a", &["v1: a"]);
    configuration.virtual_hosts.get_mut(&host("v1")).unwrap().addresses = vec![ip("10.77.0.11")];
    let stage = {
        let mut stage = Stage::new(configuration);
        stage.start("a");
        stage.run(ms(2_000));
        stage
    };
    let refused = Event::AddressRefused {
        virtual_host: host("v1"),
        address: ip("10.77.0.11"),
        reason: AddressRefusal::OwnAddress { interface: "eth0".into() },
    };
    assert_eq!(stage.events("a").into_iter().filter(|event| **event == refused).count(), 1);
    assert_eq!(stage.changes(), 0);
    assert_eq!(stage.node("a").status(stage.now).virtual_hosts[0].state, "refused");
}

#[test]
fn nothing_is_taken_without_an_interface_on_the_subnet() {
    let mut stage = Stage::settled(config("a b", &["v1: a b"]));
    let mut down = stage.interfaces("a");
    down[0].up = false;
    stage.input("a", cluster::Input::Interfaces(down));
    stage.run(ms(20));
    assert_eq!(stage.holders("v1"), "b");
    let moved = |event: &&&Event| matches!(event, Event::Releasing { cause: Cause::Unable, .. });
    assert_eq!(stage.events("a").iter().filter(moved).count(), 1);
}

#[test]
fn health_is_settled_only_after_the_first_verdicts_or_a_bounded_wait() {
    let mut stage = Stage::new(monitored(config("a b", &["v1: a b"]), "v1"));
    stage.machine("a").service = None;
    stage.start("a");
    stage.start("b");
    stage.run(ms(1_900));
    assert!(!stage.node("a").health().settled, "no probe has finished");
    assert!(stage.node("b").health().settled);
    stage.run(ms(200));
    assert!(stage.node("a").health().settled, "a second longer than the longest probe");
}

fn causes_of_targets(stage: &Stage, server: &str) -> Vec<Cause> {
    let changed = |event: &Event| match event {
        Event::TargetChanged { cause, .. } => Some(*cause),
        _ => None,
    };
    stage.events(server).into_iter().filter_map(changed).collect()
}

#[test]
fn what_newcomers_find_is_called_unheld_or_held() {
    let mut stage = Stage::new(config("a b c", &["v1: a b c"]));
    for server in ["a", "b", "c"] {
        stage.start(server);
    }
    stage.run(ms(1_000));
    for server in ["a", "b", "c"] {
        let causes = causes_of_targets(&stage, server);
        assert!(!causes.is_empty() && causes.iter().all(|cause| *cause == Cause::Unheld), "{server}: {causes:?}");
    }
    stage.kill("c");
    stage.run(ms(1_000));
    stage.log.clear();
    stage.start("c");
    stage.run(ms(1_000));
    assert_eq!(causes_of_targets(&stage, "c"), [Cause::Held]);
}
