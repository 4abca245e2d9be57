use std::collections::BTreeSet;

use cluster::Counters;
use model::{
    api::{
        CandidateStatus, ConfigStatus, DnsStatus, EndpointStatus, EthernetStatus, MonitorStatus, PathStatus,
        PoolMemberStatus, PoolStatus, ProberStatus, ServerStatus, Status, VirtualHostStatus,
    },
    event::Refusal,
};

use super::{
    scrape::{Sampled, scrape},
    *,
};

fn status() -> Status {
    let address = "10.77.0.11".parse().unwrap();
    let path =
        |path: &str, state: &str| PathStatus { path: path.into(), state: state.into(), heard_ms: None, since_ms: None };
    let server = |name: &str, state: &str| ServerStatus {
        name: name.into(),
        address,
        state: state.into(),
        standby: false,
        heard_ms: None,
        hears_us_ms: None,
        config_agrees: None,
        paths: vec![path("udp", "lost"), path("ethernet", "up")],
    };
    let monitor =
        |verdict: &str| MonitorStatus { name: "http-80".into(), verdict: verdict.into(), ..MonitorStatus::default() };
    let probed = |server: &str, verdict: &str| ProberStatus {
        name: server.into(),
        monitors: vec![MonitorStatus { address: Some(address), ..monitor(verdict) }],
    };
    let candidate = |name: &str, verdict: &str| CandidateStatus {
        name: name.into(),
        role: "backup".into(),
        monitors: vec![monitor(verdict)],
    };
    let member = PoolMemberStatus { name: "v1".into(), addresses: vec![], answered: true, why: "up".into() };
    Status {
        cluster: "c".into(),
        this: "web1".into(),
        state: "normal".into(),
        uptime_seconds: 7,
        guardian: "up".into(),
        ethernet: EthernetStatus::default(),
        servers: vec![server("web1", "self"), server("web2", "dead")],
        virtual_hosts: vec![VirtualHostStatus {
            name: "v1".into(),
            addresses: vec![],
            state: "active".into(),
            active: Some("web1".into()),
            target: Some("web1".into()),
            term: 3,
            reason: None,
            servers: vec![candidate("web2", "down"), candidate("web1", "up")],
            hooks: vec![],
            seen_by: vec![],
        }],
        shared_fault: None,
        endpoints: vec![EndpointStatus {
            name: "nt1".into(),
            addresses: vec![address],
            verdict: "up".into(),
            probed_by: vec![probed("web2", "down"), probed("web1", "up")],
        }],
        pools: vec![PoolStatus { name: "www".into(), members: vec![member] }],
        config: ConfigStatus {
            version: 2,
            hash: "00ff".into(),
            conflicts: vec!["web2".into()],
            refused: None,
            ..ConfigStatus::default()
        },
        dns: DnsStatus { serial: 9, zones: vec![], listening: vec![] },
    }
}

/// A page with a value for every metric.
fn full() -> String {
    let metrics = Metrics::new();
    for vec in [&metrics.rivals, &metrics.addresses_restored, &metrics.addresses_refused] {
        vec.with_label_values(&["v1"]).inc();
    }
    metrics.moves.with_label_values(&["failback"]).inc();
    metrics.path_losses.with_label_values(&["web2", "udp"]).inc();
    metrics.monitor_flips.with_label_values(&["v1", "http-80"]).inc();
    metrics.endpoint_monitor_flips.with_label_values(&["nt1", "10.77.0.11", "http-80"]).inc();
    metrics.endpoint_flips.with_label_values(&["nt1"]).inc();
    metrics.notifications.with_label_values(&["ops", "delivered"]).inc();
    metrics.notifications_waiting.with_label_values(&["ops"]).set(1);
    metrics.events.with_label_values(&["listened", "info"]).inc();
    let counts = |label: &str| [(label.to_owned(), 5)].into();
    let sampled = Sampled {
        status: Some(status()),
        core: Some(Counters { heartbeats_sent: 11, refused: [(Refusal::Forged, 3)].into(), ..Counters::default() }),
        dns_queries: counts("A"),
        dns_responses: counts("NOERROR"),
        dns_dropped: counts("send"),
        dns_truncated: 1,
        dns_answered: [3, 0, 0, 0, 0, 0, 0, 0, 1, 1],
        dns_answering_micros: 44_000,
    };
    scrape(&metrics, &sampled)
}

#[test]
fn every_declared_metric_is_exported_and_no_other() {
    let page = full();
    let exported: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| !name.starts_with("process_"))
        .collect();
    let declared: BTreeSet<&str> = ALL.iter().map(|declaration| declaration.name).collect();
    assert_eq!(exported, declared);
}

#[test]
fn names_follow_prometheus_conventions() {
    for Declaration { name, help, .. } in ALL {
        assert!(name.starts_with("standin_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert!(help.ends_with('.'), "{name}: {help}");
    }
}

/// `docs/metrics.md` is this table. `UPDATE=1` writes it.
#[test]
fn the_documentation_lists_every_metric() {
    let kind = |name: &str| {
        let types = full();
        let line = types.lines().find_map(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_default().to_owned()
    };
    let mut text = String::from(
        "# Metrics\n\nWhat `GET /metrics` of a server says. Alerts and recording rules are in `deploy/prometheus`, a dashboard in \
         `deploy/grafana`.\nDurations are histograms in seconds. The process itself has `process_...`.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for Declaration { name, help, labels } in ALL {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        text += &format!("| `{name}` | {} | {} | {help} |\n", kind(name), labels.join(", "));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "UPDATE=1 writes it anew");
}

#[test]
fn values_are_those_of_the_status() {
    let page = full();
    for line in [
        "standin_heartbeats_sent_total 11",
        "standin_datagrams_refused_total{reason=\"forged\"} 3",
        "standin_datagrams_refused_total{reason=\"replayed\"} 0",
        "standin_servers{state=\"dead\"} 1",
        "standin_server_up{server=\"web1\"} 1",
        "standin_server_up{server=\"web2\"} 0",
        "standin_heartbeat_path_up{path=\"udp\",server=\"web2\"} 0",
        "standin_heartbeat_path_up{path=\"ethernet\",server=\"web2\"} 1",
        "standin_heartbeat_path_losses_total{path=\"udp\",server=\"web2\"} 1",
        "standin_virtual_host_active{virtual_host=\"v1\"} 1",
        "standin_virtual_host_at_primary{virtual_host=\"v1\"} 0",
        "standin_virtual_host_term{virtual_host=\"v1\"} 3",
        // This server's own verdict, not the other's.
        "standin_monitor_verdict{monitor=\"http-80\",verdict=\"up\",virtual_host=\"v1\"} 1",
        "standin_monitor_verdict{monitor=\"http-80\",verdict=\"down\",virtual_host=\"v1\"} 0",
        "standin_endpoint_monitor_verdict{address=\"10.77.0.11\",endpoint=\"nt1\",monitor=\"http-80\",verdict=\"up\"} 1",
        "standin_endpoint_monitor_verdict{address=\"10.77.0.11\",endpoint=\"nt1\",monitor=\"http-80\",verdict=\"down\"} 0",
        "standin_endpoint_verdict{endpoint=\"nt1\",verdict=\"up\"} 1",
        "standin_pool_member_answered{member=\"v1\",pool=\"www\"} 1",
        "standin_config_info{hash=\"00ff\"} 1",
        "standin_config_conflicts 1",
        "standin_dns_queries_total{type=\"A\"} 5",
        "standin_dns_truncated_total 1",
        "standin_dns_answer_duration_seconds_bucket{le=\"0.00001\"} 3",
        "standin_dns_answer_duration_seconds_bucket{le=\"0.025\"} 4",
        "standin_dns_answer_duration_seconds_bucket{le=\"+Inf\"} 5",
        "standin_dns_answer_duration_seconds_sum 0.044",
        "standin_dns_answer_duration_seconds_count 5",
        "standin_moves_total{cause=\"failback\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
    }
}

#[test]
fn a_driver_that_does_not_answer_hides_only_what_it_knows() {
    let page = scrape(&Metrics::new(), &Sampled::default());
    assert!(page.contains("standin_driver_lateness_seconds_count 0"), "{page}");
    assert!(page.contains("standin_build_info"), "{page}");
    assert!(!page.contains("standin_servers"), "{page}");
}
