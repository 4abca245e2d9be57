use std::net::IpAddr;

use model::api::{
    ConfigStatus, DnsStatus, EthernetStatus, HookStatus, MonitorStatus, OwnProbes, PathStatus, PoolStatus,
    SharedFaultStatus,
};

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn path(path: &str, state: &str, ms: u64) -> PathStatus {
    PathStatus { path: path.into(), state: state.into(), heard_ms: Some(ms), since_ms: Some(ms) }
}

fn server(name: &str, last: u8, state: &str, heard_ms: Option<u64>) -> ServerStatus {
    ServerStatus {
        name: name.into(),
        address: IpAddr::from([10, 77, 0, last]),
        state: state.into(),
        standby: false,
        heard_ms,
        hears_us_ms: heard_ms.map(|ms| ms + 3),
        config_agrees: heard_ms.map(|_| true),
        paths: heard_ms.map(|ms| vec![path("udp", "up", ms), path("ethernet", "up", ms)]).unwrap_or_default(),
    }
}

fn candidate(name: &str, role: &str, verdict: Option<(&str, Option<&str>)>) -> CandidateStatus {
    let monitors = verdict.into_iter().map(|(verdict, reason)| MonitorStatus {
        name: "http-80".into(),
        verdict: verdict.into(),
        reason: reason.map(Into::into),
        note: reason.map(|_| "ask Ann".into()),
        ..MonitorStatus::default()
    });
    CandidateStatus { name: name.into(), role: role.into(), monitors: monitors.collect() }
}

fn prober(name: &str, four: &str, six: &str) -> ProberStatus {
    let monitor = |at: &str, verdict: &str| MonitorStatus {
        name: "tcp-80".into(),
        address: Some(address(at)),
        verdict: verdict.into(),
        ..MonitorStatus::default()
    };
    ProberStatus { name: name.into(), monitors: vec![monitor("10.77.0.40", four), monitor("fd00:77::40", six)] }
}

fn member(name: &str, last: u8, answered: bool, why: &str) -> PoolMemberStatus {
    PoolMemberStatus { name: name.into(), addresses: vec![IpAddr::from([10, 77, 0, last])], answered, why: why.into() }
}

pub(crate) fn healthy() -> Status {
    Status {
        cluster: "example".into(),
        this: "web1".into(),
        state: "normal".into(),
        uptime_seconds: 192,
        guardian: "up".into(),
        ethernet: EthernetStatus { state: "on".into(), interfaces: vec!["eth0".into()], reason: None },
        servers: vec![server("web1", 11, "self", None), server("web2", 12, "alive", Some(12))],
        virtual_hosts: vec![VirtualHostStatus {
            name: "virtual1".into(),
            addresses: vec![address("10.77.0.101"), address("fd00:77::101")],
            state: "active".into(),
            active: Some("web1".into()),
            target: Some("web1".into()),
            term: 3,
            reason: None,
            servers: vec![
                candidate("web1", "active", Some(("up", None))),
                candidate("web2", "backup", Some(("up", None))),
            ],
            hooks: vec![],
            seen_by: vec![],
        }],
        shared_fault: None,
        endpoints: vec![EndpointStatus {
            name: "nt1".into(),
            addresses: vec![address("10.77.0.40"), address("fd00:77::40")],
            verdict: "up".into(),
            probed_by: vec![prober("web1", "up", "up"), prober("web2", "up", "up")],
        }],
        pools: vec![PoolStatus { name: "www".into(), members: vec![member("virtual1", 101, true, "up")] }],
        config: ConfigStatus {
            version: 1,
            hash: "0123456789abcdef".into(),
            conflicts: vec![],
            refused: None,
            ..ConfigStatus::default()
        },
        dns: DnsStatus { serial: 2026, zones: vec!["lb.example.test".into()], listening: vec!["10.77.0.11:53".into()] },
    }
}

pub(crate) fn broken() -> Status {
    let mut status = healthy();
    status.servers[1] = server("web2", 12, "dead", Some(4200));
    status.servers[1].config_agrees = Some(false);
    status.servers[1].paths = vec![path("udp", "lost", 9_000), path("ethernet", "lost", 4_200)];
    status.ethernet.reason = Some("eth1: Operation not permitted".into());
    status.servers[0].standby = true;
    let host = &mut status.virtual_hosts[0];
    host.state = "unheld".into();
    host.active = None;
    host.reason = Some("no server of its list can hold it".into());
    host.servers[0] = candidate("web1", "backup", Some(("down", Some("connection refused"))));
    host.servers[1] = candidate("web2", "away", None);
    status.endpoints[0].verdict = "down".into();
    status.endpoints[0].probed_by[0] = prober("web1", "up", "down");
    status.endpoints[0].probed_by[1].monitors.clear();
    status.pools[0].members[0].answered = false;
    status.pools[0].members[0].why = "nobody holds it".into();
    status.config.conflicts = vec!["web2".into()];
    status.config.refused = Some("cluster.toml:3:1: unknown field `heartbeet`".into());
    status
}

#[test]
fn a_healthy_cluster_reads_well() {
    insta::assert_snapshot!(render(&healthy(), Style::default()));
    assert!(complaints(&healthy()).is_empty());
}

#[test]
fn what_is_broken_is_named() {
    insta::assert_snapshot!(render(&broken(), Style::default()));
    assert_eq!(
        complaints(&broken()),
        [
            "web2 is dead",
            "virtual1 is unheld",
            "endpoint nt1 is down",
            "pool www has no answer",
            "web2 runs another configuration",
            "the last configuration was refused"
        ]
    );
}

#[test]
fn colours_change_nothing_but_colours() {
    let colored = render(&broken(), Style { color: true });
    assert!(colored.contains("\u{1b}["));
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some((text, escape)) = rest.split_once('\u{1b}') {
        plain.push_str(text);
        rest = escape.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
    let expected = render(&broken(), Style::default());
    assert_eq!(trimmed, expected.lines().map(str::trim_end).collect::<Vec<_>>());
}

#[test]
fn a_down_monitor_at_the_holder_is_a_complaint() {
    let mut status = healthy();
    status.virtual_hosts[0].servers[0] = candidate("web1", "active", Some(("down", None)));
    assert_eq!(complaints(&status), ["virtual1/http-80 is down where it is active"]);
}

#[test]
fn what_is_recovering_is_told_with_its_attempt() {
    let mut status = healthy();
    let reason = "recovering, attempt 1 of 2: connection refused";
    status.virtual_hosts[0].servers[0] = candidate("web1", "active", Some(("up", Some(reason))));
    let own = OwnProbes { recovering: Some("recovering, attempt 1 of 2".into()), ..OwnProbes::default() };
    let monitor = &mut status.virtual_hosts[0].servers[0].monitors[0];
    (monitor.own, monitor.recovering) = (Some(own), true);
    assert_eq!(complaints(&status), ["virtual1/http-80 is recovering here"]);
    let text = render(&status, Style::default());
    assert!(text.contains("http-80 up (recovering, attempt 1 of 2: connection refused; ask Ann)"), "{text}");
    // As another server sees it.
    status.this = "web2".into();
    let monitor = &mut status.virtual_hosts[0].servers[0].monitors[0];
    (monitor.own, monitor.reason) = (None, None);
    assert_eq!(complaints(&status), ["virtual1/http-80 is recovering on web1"]);
    let text = render(&status, Style::default());
    assert!(text.contains("http-80 up (recovering; ask Ann)"), "{text}");
}

#[test]
fn what_fails_everywhere_is_the_first_complaint() {
    let mut status = healthy();
    status.shared_fault = Some(SharedFaultStatus { failed: 5, watched: 9, since_ms: 200, stays: true });
    assert_eq!(complaints(&status), ["5 of 9 monitors have failed at once: a shared cause, nothing moves for it"]);
    let fault = status.shared_fault.as_mut().unwrap();
    fault.stays = false;
    assert_eq!(complaints(&status), ["5 of 9 monitors have failed at once: a shared cause"]);
}

#[test]
fn a_living_server_that_is_not_heard_over_a_path_is_a_complaint() {
    let mut status = healthy();
    let text = |status: &Status| render(status, Style::default());
    status.servers[1].paths[0] = path("udp", "lost", 3_000);
    assert_eq!(complaints(&status), ["web2 is not heard over udp"]);
    assert!(text(&status).contains("udp lost 3 s ago, ethernet"), "{}", text(&status));
    let never = |word: &str| PathStatus { heard_ms: None, since_ms: None, ..path(word, "never", 0) };
    status.servers[1].paths = vec![never("udp"), path("ethernet", "up", 3)];
    assert_eq!(complaints(&status), ["web2 is not heard over udp"]);
    // It may be switched off there.
    status.servers[1].paths = vec![path("udp", "up", 3), never("ethernet")];
    assert!(complaints(&status).is_empty());
    assert!(text(&status).contains("udp, ethernet never"), "{}", text(&status));
}

#[test]
fn a_hook_that_did_not_succeed_is_a_complaint() {
    let mut status = healthy();
    let hook = |on: &str, outcome: Option<&str>| HookStatus {
        on: on.into(),
        program: "/usr/local/libexec/standin/mount-data".into(),
        running: 0,
        outcome: outcome.map(Into::into),
        reason: None,
        took_us: Some(7),
    };
    status.virtual_hosts[0].hooks = vec![
        hook("before-take", Some("timed-out")),
        hook("after-take", Some("succeeded")),
        hook("after-release", None),
    ];
    assert_eq!(complaints(&status), ["the before-take hook of virtual1 ended as timed-out here"]);
}

#[test]
fn spans_have_the_unit_that_says_enough() {
    let said = [7, 2_000, 192_000, 7_260_000, 180_000_000].map(|ms| span(Duration::from_millis(ms)));
    assert_eq!(said, ["7 ms", "2 s", "3 min 12 s", "2 h 1 min", "2 d 2 h"]);
}
