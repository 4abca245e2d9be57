//! Endpoints: every server that is told to probes them, and all believe the majority.

use cluster::Command;
use model::{
    EndpointName, Subject,
    config::{ClusterConfig, Endpoint},
    event::Event,
    health::Verdict,
};

use super::stage::{Stage, config, host, ip, monitored, ms, name};

/// Three servers and an endpoint `nt1` of two addresses with a TCP monitor, probed by these servers.
fn probed_by(servers: &str) -> ClusterConfig {
    let mut config = monitored(config("a b c", &["v1: a b c"]), "v1");
    let monitors = std::mem::take(&mut config.virtual_hosts.get_mut(&host("v1")).unwrap().monitors);
    let endpoint = Endpoint {
        addresses: vec![ip("10.77.0.40"), ip("fd00:77::40")],
        probed_by: servers.split(' ').map(name).collect(),
        monitors,
    };
    config.endpoints.insert(EndpointName::new("nt1"), endpoint);
    config
}

fn verdicts(stage: &Stage) -> Vec<Verdict> {
    let verdict = |server| stage.node(server).health().endpoints[&EndpointName::new("nt1")].verdict;
    ["a", "b", "c"].map(verdict).into()
}

fn reach(stage: &mut Stage, servers: &[(&str, Option<bool>)]) {
    for (server, service) in servers {
        stage.machine(server).service = *service;
    }
}

#[test]
fn all_servers_believe_the_majority_of_those_who_probe() {
    let mut stage = Stage::settled(probed_by("a b c"));
    assert_eq!(verdicts(&stage), [Verdict::Up; 3]);
    reach(&mut stage, &[("a", Some(false))]);
    stage.run(ms(3_000));
    assert_eq!(verdicts(&stage), [Verdict::Up; 3], "two of three reach it");
    reach(&mut stage, &[("b", Some(false))]);
    let delay = stage.until(|stage| verdicts(stage) == [Verdict::Down; 3]);
    assert!(delay <= ms(1_200), "an interval, a recheck, a heartbeat: {delay:?}");
    let mut changed = stage.events("c").into_iter().filter_map(|event| match event {
        Event::EndpointChanged { verdict, up, down, .. } => Some((*verdict, *up, *down)),
        _ => None,
    });
    assert_eq!(changed.next_back(), Some((Verdict::Down, 1, 2)));
    reach(&mut stage, &[("a", Some(true)), ("b", Some(true))]);
    stage.until(|stage| verdicts(stage) == [Verdict::Up; 3]);
    assert_eq!(stage.holders("v1"), "a", "no address moves for an endpoint's sake");
}

#[test]
fn who_has_no_route_to_it_has_no_vote() {
    let mut stage = Stage::settled(probed_by("a b c"));
    for server in ["a", "b"] {
        stage.machine(server).no_route = true;
    }
    stage.run(ms(3_000));
    assert_eq!(verdicts(&stage), [Verdict::Up; 3], "one who has a route reaches it");
    let status = stage.node("a").status(stage.now);
    let own = status.endpoints[0].probed_by.iter().find(|prober| prober.name == "a").unwrap();
    let said = (own.monitors[0].verdict.as_str(), own.monitors[0].reason.as_deref());
    assert_eq!(said, ("unknown", Some("this server has no route to it")));

    reach(&mut stage, &[("c", Some(false))]);
    stage.until(|stage| verdicts(stage) == [Verdict::Down; 3]);
    stage.machine("c").no_route = true;
    stage.until(|stage| verdicts(stage) == [Verdict::Unknown; 3]);
    stage.machine("a").no_route = false;
    let delay = stage.until(|stage| verdicts(stage) == [Verdict::Up; 3]);
    assert!(delay <= ms(1_200), "its first result decides: {delay:?}");
}

#[test]
fn who_begins_without_a_route_is_soon_sure_of_the_rest() {
    let mut stage = Stage::new(probed_by("a"));
    stage.machine("a").no_route = true;
    for server in ["a", "b", "c"] {
        stage.start(server);
    }
    let sure = stage.until(|stage| stage.node("a").health().settled);
    assert!(sure < ms(2_000), "what cannot be tried is not waited for: {sure:?}");
}

#[test]
fn the_dead_have_no_vote() {
    let mut stage = Stage::settled(probed_by("a b c"));
    reach(&mut stage, &[("a", Some(false)), ("b", Some(false))]);
    stage.until(|stage| verdicts(stage) == [Verdict::Down; 3]);
    stage.kill("b");
    stage.until(|stage| {
        let verdict = |server| stage.node(server).health().endpoints[&EndpointName::new("nt1")].verdict;
        ["a", "c"].map(verdict) == [Verdict::Up; 2]
    });
}

#[test]
fn only_those_who_are_told_to_probe_and_all_know() {
    let mut stage = Stage::settled(probed_by("b"));
    let probes = |server| stage.node(server).status(stage.now).endpoints[0].probed_by[0].monitors.len();
    assert_eq!(["a", "b", "c"].map(probes), [2; 3], "one monitor at two addresses, as b says");
    reach(&mut stage, &[("b", Some(false))]);
    stage.until(|stage| verdicts(stage) == [Verdict::Down; 3]);
    let status = stage.node("b").status(stage.now);
    assert_eq!(status.endpoints[0].verdict, "down");
    assert_eq!(status.endpoints[0].probed_by[0].monitors[1].reason.as_deref(), Some("connection refused"));
    let others = ["a", "c"].map(|server| {
        let about_it = |event: &&&Event| {
            matches!(event, Event::MonitorChanged { monitor, .. } if matches!(monitor.subject, Subject::Endpoint(..)))
        };
        stage.events(server).iter().filter(about_it).count()
    });
    assert_eq!(others, [0, 0]);
}

#[test]
fn nobody_has_probed_it_so_far() {
    let mut stage = Stage::new(probed_by("a b c"));
    reach(&mut stage, &[("a", None), ("b", None), ("c", None)]);
    ["a", "b", "c"].iter().for_each(|server| stage.start(server));
    stage.run(ms(500));
    assert_eq!(verdicts(&stage), [Verdict::Unknown; 3]);
    assert!(!stage.node("a").health().settled);
    reach(&mut stage, &[("c", Some(true))]);
    stage.until(|stage| verdicts(stage) == [Verdict::Up; 3]);
}

#[test]
fn a_server_on_standby_still_has_a_vote() {
    let mut stage = Stage::settled(probed_by("a"));
    stage.command("a", Command::Standby(name("a")));
    stage.run(ms(100));
    assert_eq!(verdicts(&stage), [Verdict::Up; 3]);
}

#[test]
fn without_monitors_it_is_always_up() {
    let mut config = probed_by("a b c");
    config.endpoints.values_mut().for_each(|endpoint| endpoint.monitors.clear());
    let stage = Stage::settled(config);
    assert_eq!(verdicts(&stage), [Verdict::Up; 3]);
}

#[test]
fn three_of_many_probe_and_another_takes_the_place_of_a_dead_one() {
    let mut config = probed_by("a b c");
    config.servers = super::stage::config("a b c d e f", &["v1: a"]).servers;
    config.endpoints.get_mut(&EndpointName::new("nt1")).unwrap().probed_by = config.servers.keys().cloned().collect();
    let mut stage = Stage::settled(config);
    let observers = |stage: &Stage| -> Vec<&str> {
        let status = stage.node(if stage.machines[&name("f")].node.is_some() { "f" } else { "e" }).status(stage.now);
        let probes = |server: &&&str| {
            let prober = status.endpoints[0].probed_by.iter().find(|prober| prober.name == ***server).unwrap();
            !prober.monitors.is_empty()
        };
        ["a", "b", "c", "d", "e", "f"].iter().filter(probes).copied().collect()
    };
    let before = observers(&stage);
    assert_eq!(before.len(), 3, "{before:?}");
    stage.kill(before[0]);
    stage.run(ms(1_000));
    let after = observers(&stage);
    assert_eq!(after.len(), 3, "{after:?}");
    assert_eq!(before[1..].iter().filter(|server| after.contains(server)).count(), 2);
    // The newcomer's vote counts as soon as it knows something.
    let new = *after.iter().find(|server| !before.contains(server)).unwrap();
    reach(&mut stage, &[(new, Some(false)), (before[1], Some(false))]);
    let verdict = |stage: &Stage| stage.node(before[2]).health().endpoints[&EndpointName::new("nt1")].verdict;
    stage.until(|stage| verdict(stage) == Verdict::Down);
    assert_eq!(verdict(&stage), Verdict::Down, "two of the three who probe");
}
