//! The release chain's second link on real kernels: what happens when the daemon, or its guardian, is killed or stopped.
//!
//! Gaps are printed for the reader; asserted is who answers, who holds, and who lives. Without the right to make
//! namespaces the tests say so and pass; with CI=true they fail.

#![allow(clippy::print_stdout)] // tells its reader the gaps

mod stage_support;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Instant,
};

use host::lab::{
    probe::{Probe, Question},
    stage::{Stage, WEB_PORT},
};
use stage_support::{CLUSTER, PATIENCE, await_status, on_stage, set, status, three, v4, v6};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGSTOP: i32 = 19;

fn client(stage: &Stage, address: IpAddr) -> Probe {
    let probe = Probe::start(&stage.client, SocketAddr::new(address, WEB_PORT), Question::Echo).expect("a client");
    probe.wait_for(Instant::now(), PATIENCE, |_| true).expect("a first answer");
    probe
}

/// Whether the server's kernel has the address: binding works only there.
fn has(stage: &Stage, server: &str, address: IpAddr) -> bool {
    stage.host(server).expect("a server").run(|| UdpSocket::bind((address, 0)).is_ok()).expect("a thread")
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
    }
}

/// The daemon proper of web1 is struck: another stands in, nothing stays behind, and it comes back by itself.
fn struck(signal: i32) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut stage = three(directory.path(), CLUSTER);
    let (four, six) = (client(&stage, v4(101)), client(&stage, v6(0x101)));
    let began = Instant::now();
    let daemon = stage.signal_daemon("web1", signal).expect("a daemon");
    for (probe, family) in [(&four, "IPv4"), (&six, "IPv6")] {
        let answered = probe.wait_for(began, PATIENCE, |who| who == "web2");
        assert!(answered.is_some(), "web2 never answered over {family}");
        println!("{family} client's gap: {:?}", probe.report().longest_gap(began).expect("a gap").length());
    }
    // Restarted, it holds nothing before it has listened; then it takes back what is its own.
    await_status(&stage, "web2", "web1 is back and at home", |status| {
        status.servers[0].state == "alive" && status.virtual_hosts[0].active.as_deref() == Some("web1")
    });
    let back = Instant::now();
    assert!(four.wait_for(back, PATIENCE, |who| who == "web1").is_some());
    assert!(!has(&stage, "web2", v4(101)) && has(&stage, "web1", v4(101)));
    let successor = stage.daemon("web1").expect("a guardian");
    assert!(successor.is_some_and(|pid| pid != daemon), "{successor:?} after {daemon}");
    assert_eq!(status(&stage, "web1").expect("a status").guardian, "up");
    let log = std::fs::read_to_string(stage.log("web1")).expect("a log");
    assert!(log.contains("its addresses are removed"), "{log}");
    // What the successor would have to sweep the guardian has removed.
    assert!(!log.contains("an earlier run left behind"), "{log}");
    let events = std::fs::read_to_string(stage.log("web2")).expect("a log");
    assert!(events.contains("left"), "the farewell was heard: {events}");
    assert!(!events.contains("replayed"), "{events}");
}

#[test]
fn a_killed_daemon_is_cleaned_up_after_and_started_again() {
    on_stage("a_killed_daemon_is_cleaned_up_after_and_started_again", || struck(SIGKILL));
}

#[test]
fn a_stopped_daemon_is_killed_cleaned_up_after_and_started_again() {
    on_stage("a_stopped_daemon_is_killed_cleaned_up_after_and_started_again", || struck(SIGSTOP));
}

#[test]
fn without_its_guardian_the_daemon_goes_on_and_says_so() {
    on_stage("without_its_guardian_the_daemon_goes_on_and_says_so", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let term = status(&stage, "web1").expect("a status").virtual_hosts[0].term;
        let probe = client(&stage, v4(101));
        let began = Instant::now();
        stage.signal("web1", SIGKILL).unwrap();
        let seen = await_status(&stage, "web1", "the guardian is gone", |status| status.guardian == "gone");
        assert_eq!((seen.virtual_hosts[0].active.as_deref(), seen.virtual_hosts[0].term), (Some("web1"), term));
        assert!(probe.wait_for(Instant::now(), PATIENCE, |who| who == "web1").is_some());
        let report = probe.stop();
        assert!(report.answers.iter().all(|(_, who)| **who == *"web1"), "nothing has moved");
        println!("client's gap: {:?}", report.longest_gap(began).map(|gap| gap.length()));
    });
}

#[test]
fn a_planned_stop_goes_through_the_guardian() {
    on_stage("a_planned_stop_goes_through_the_guardian", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let daemon = stage.daemon("web1").unwrap().expect("a daemon");
        stage.signal("web1", SIGTERM).unwrap();
        assert_eq!(stage.wait("web1").unwrap().code(), Some(0));
        assert!(!std::path::Path::new(&format!("/proc/{daemon}")).exists(), "no zombie is left");
        assert!(!has(&stage, "web1", v4(101)) && !has(&stage, "web1", v6(0x101)));
        await_status(&stage, "web2", "web1 left", |status| status.servers[0].state == "left");
    });
}

#[test]
fn all_frozen_then_all_killed_starts_nothing_again() {
    on_stage("all_frozen_then_all_killed_starts_nothing_again", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let daemon = stage.signal_daemon("web1", SIGSTOP).unwrap();
        stage.signal("web1", SIGSTOP).unwrap();
        let log = || std::fs::read_to_string(directory.path().join("web1.log")).unwrap();
        let before = log().matches("started").count();
        // The child first: its guardian, frozen, must not get a chance to notice.
        stage.signal_daemon("web1", SIGKILL).unwrap();
        stage.signal("web1", SIGKILL).unwrap();
        assert_eq!(stage.wait("web1").unwrap().code(), None);
        until("the daemon is gone", || {
            // Init may leave it a zombie for a moment; it runs no more.
            std::fs::read_to_string(format!("/proc/{daemon}/stat")).map_or(true, |stat| stat.contains(") Z "))
        });
        await_status(&stage, "web2", "web1 is dead", |status| status.servers[0].state == "dead");
        assert_eq!(log().matches("started").count(), before);
    });
}

#[test]
fn bad_configuration_ends_the_guardian_too() {
    on_stage("bad_configuration_ends_the_guardian_too", || {
        let directory = tempfile::tempdir().unwrap();
        let servers = [("web1", "10.77.0.11", "fd00:77::11")];
        let mut stage = set(directory.path(), "[nonsense]\n", &servers);
        stage.start("web1").unwrap();
        assert_eq!(stage.wait("web1").unwrap().code(), Some(2));
        let log = std::fs::read_to_string(stage.log("web1")).unwrap();
        assert_eq!(log.matches("nonsense").count() > 0, !log.contains("starts again"), "{log}");
    });
}
