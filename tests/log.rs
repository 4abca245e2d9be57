//! The cluster's log with real daemons in network namespaces: a server that was away has everything within seconds, and each
//! staged fault is one incident, with its cause, its time and its gap.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod console_support;
mod stage_support;
mod tls_support;

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use console_support::{ask, cluster};
use host::lab::stage::Stage;
use serde_json::Value;
use stage_support::{PATIENCE, await_status, on_stage};

const SIGKILL: i32 = 9;

fn log(stage: &Stage, server: &str, arguments: &[&str]) -> Vec<Value> {
    let text = ask(stage, server, &[&["log", "--json"], arguments].concat(), "");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What of the log is the same on every server: which entries, in which order.
fn keys(entries: &[Value]) -> Vec<(String, u64)> {
    let key = |entry: &Value| (entry["stream"].as_str().unwrap().to_owned(), entry["sequence"].as_u64().unwrap());
    entries.iter().map(key).collect()
}

/// Waits until the servers' logs are the same, and gives it.
fn await_agreement(stage: &Stage, servers: &[&str]) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let logs: Vec<Vec<Value>> = servers.iter().map(|server| log(stage, server, &["--since", "1h"])).collect();
        if logs.iter().all(|one| keys(one) == keys(&logs[0])) {
            return logs.into_iter().next().unwrap();
        }
        let lengths: Vec<usize> = logs.iter().map(Vec::len).collect();
        assert!(
            begun.elapsed() < PATIENCE,
            "the logs of {servers:?} have {lengths:?} entries and do not become the same"
        );
    }
}

fn await_holder(stage: &Stage, server: &str, host: &str, holder: &str) {
    await_status(stage, server, &format!("{host} is on {holder}"), |status| {
        status.virtual_hosts.iter().any(|one| one.name == host && one.active.as_deref() == Some(holder))
    });
}

fn incidents(stage: &Stage, server: &str, about: &str) -> Vec<Value> {
    serde_json::from_str(&ask(stage, server, &["incidents", "--json", "--about", about], "")).unwrap()
}

/// Waits for the last incident about something to be as wanted.
fn await_incident(stage: &Stage, server: &str, about: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let all = incidents(stage, server, about);
        if let Some(last) = all.last().filter(|last| wanted(last)) {
            return last.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{all:#?}");
    }
}

/// Waits until every server's own last word about a pool is that it has so many answers, at one time: changes in quick succession
/// are told late, and virtual hosts that go home after the start change them again.
fn await_answers(stage: &Stage, servers: &[&str], pool: &str, count: u64) {
    let begun = Instant::now();
    loop {
        let told = servers.iter().map(|server| log(stage, server, &["--kind", "answers-changed", "--server", server]));
        let told: Vec<Vec<Value>> = told.collect();
        let last = |told: &Vec<Value>| told.iter().rfind(|entry| entry["pool"] == pool).cloned();
        if told.iter().all(|told| last(told).is_some_and(|entry| entry["after"]["count"] == count)) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{told:#?}");
    }
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn began(incident: &Value) -> u64 {
    incident["began_ms"].as_u64().unwrap()
}

#[test]
fn a_server_that_was_away_has_the_whole_log_also_of_one_that_is_gone() {
    on_stage("a_server_that_was_away_has_the_whole_log_also_of_one_that_is_gone", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path(), 3);
        await_agreement(&stage, &["web1", "web2", "web3"]);
        stage.stop("web3").unwrap();
        await_holder(&stage, "web1", "virtual3", "web1");
        for _ in 0..20 {
            ask(&stage, "web1", &["standby"], "");
            ask(&stage, "web1", &["resume"], "");
        }
        await_agreement(&stage, &["web1", "web2"]);
        // Who wrote most of it is gone when web3 returns: web2 has it.
        stage.signal_all("web1", SIGKILL).unwrap();
        stage.wait("web1").unwrap();
        await_status(&stage, "web2", "web1 is dead", |status| {
            status.servers.iter().any(|server| server.name == "web1" && server.state != "alive")
        });
        stage.start("web3").unwrap();
        await_status(&stage, "web3", "up", |_| true);
        let whole = await_agreement(&stage, &["web2", "web3"]);
        let standbys =
            whole.iter().filter(|entry| entry["event"] == "standby" && entry["written_by"] == "web1").count();
        assert_eq!(standbys, 40);
        let times: Vec<&str> = whole.iter().map(|entry| entry["time"].as_str().unwrap()).collect();
        assert!(times.is_sorted(), "in the order of time");
        let once: BTreeSet<_> = keys(&whole).into_iter().collect();
        assert_eq!(once.len(), whole.len(), "each entry once");

        let about = log(&stage, "web3", &["--about", "virtual3", "--kind", "active,released", "--server", "web1"]);
        assert!(!about.is_empty());
        assert!(
            about.iter().all(|entry| entry["written_by"] == "web1" && entry["virtual_host"] == "virtual3"),
            "{about:#?}"
        );
    });
}

#[test]
fn each_fault_is_one_incident_with_cause_time_and_gap() {
    on_stage("each_fault_is_one_incident_with_cause_time_and_gap", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path(), 3);
        let servers = ["web1", "web2", "web3"];
        for (host, home) in ["virtual1", "virtual2", "virtual3"].into_iter().zip(servers) {
            servers.iter().for_each(|server| await_holder(&stage, server, host, home));
        }
        await_answers(&stage, &servers, "www", 6);

        let killed = now_ms();
        stage.lab.unplug("web1").unwrap();
        await_holder(&stage, "web2", "virtual1", "web2");
        let cut = await_incident(&stage, "web2", "web1", |one| !one["moves"].as_array().unwrap().is_empty());
        assert!(began(&cut).abs_diff(killed) < 500, "{cut:#}");
        let moved = &cut["moves"][0];
        assert_eq!(
            (&moved["virtual_host"], &moved["from"], &moved["to"]),
            (&"virtual1".into(), &"web1".into(), &"web2".into())
        );
        let gap = moved["gap_ms"].as_u64().unwrap();
        assert_eq!(gap, moved["at_ms"].as_u64().unwrap() - began(&cut));
        assert!(
            cut["began_within_ms"].as_u64().unwrap() <= 25 && moved["gap_within_ms"] == cut["began_within_ms"],
            "{cut:#}"
        );
        assert!(cut["ended_ms"].is_null());
        stage.lab.plug("web1").unwrap();
        await_holder(&stage, "web2", "virtual1", "web1");
        // It goes home after that, and web1's own word comes with its log.
        let over = await_incident(&stage, "web2", "web1", |one| {
            let home = one["moves"].as_array().unwrap().iter().any(|moved| moved["to"] == "web1");
            !one["ended_ms"].is_null() && one["trouble"] == "cut-off" && home
        });
        // Now that web1's own word has come: it was not dead.
        assert_eq!((&over["subject"], &over["trouble"]), (&"web1".into(), &"cut-off".into()), "{over:#}");
        // All three virtual hosts are answered in `www`; one server's share is thinned out while it has two.
        let pool = over["answers"].as_array().unwrap().iter().find(|pool| pool["pool"] == "www").unwrap();
        let counts = |answers: &Value| answers["count"].as_u64();
        assert_eq!(counts(&pool["before"]), Some(6), "{pool:#}");
        let changes = pool["changes"].as_array().unwrap();
        assert!(changes.iter().any(|change| counts(&change["answers"]) == Some(4)), "{pool:#}");
        let back = over["moves"].as_array().unwrap().last().unwrap();
        assert_eq!((&back["to"], &back["cause"]), (&"web1".into(), &"failback".into()));

        stage.stop("web3").unwrap();
        await_holder(&stage, "web2", "virtual3", "web1");
        let stopped = await_incident(&stage, "web2", "web3", |one| !one["moves"].as_array().unwrap().is_empty());
        assert_eq!(stopped["trouble"], "stopped");
        stage.start("web3").unwrap();
        await_incident(&stage, "web2", "web3", |one| !one["ended_ms"].is_null());

        await_agreement(&stage, &["web1", "web2", "web3"]);
        let told: Vec<Vec<Value>> = ["web1", "web2", "web3"].map(|server| incidents(&stage, server, "web1")).into();
        assert!(told.iter().all(|stories| *stories == told[0]), "the same stories everywhere: {told:#?}");
        let others = incidents(&stage, "web2", "web2");
        assert!(
            others.iter().all(|story| story["subject"] != "web2"),
            "web1, alone, took the others for dead: {others:#?}"
        );
        let text = ask(&stage, "web3", &["incidents"], "");
        assert!(
            text.contains("web1 was cut off") && text.contains("web3 was stopped, 1 planned")
                || text.contains("1 planned"),
            "{text}"
        );
        let id = over["id"].as_str().unwrap();
        let whole = ask(&stage, "web3", &["incidents", id], "");
        assert!(whole.contains("web1     isolated") && whole.contains("answers of www"), "{whole}");
        let week = ask(&stage, "web3", &["incidents", "--summary", "week"], "");
        for part in ["server cut off 1", "stopped 1", "Availability: virtual", "virtual1 99.99", "web1 took"] {
            assert!(week.contains(part) && week.lines().count() <= 25, "{part}: {week}");
        }

        // As a file to send.
        let bundle = directory.path().join("bundle.tar");
        ask(&stage, "web3", &["incidents", id, "--bundle", bundle.to_str().unwrap()], "");
        let tar = |arguments: &[&str]| {
            let output = Command::new("tar").args(arguments).arg("-f").arg(&bundle).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let names = tar(&["-t"]);
        for name in [
            "incident.txt",
            "incident.json",
            "log.jsonl",
            "status.json",
            "heartbeats-web1.jsonl",
            "heartbeats-web2.jsonl",
            "heartbeats-web3.jsonl",
            "configuration/virtual-host/virtual1",
        ] {
            assert!(names.lines().any(|line| line == format!("incident-{id}/{name}")), "{name}: {names}");
        }
        let heartbeats = tar(&["-x", "-O", "--wildcards", "*/heartbeats-web2.jsonl"]);
        let of_web1 = heartbeats.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let times: Vec<u64> = of_web1
            .filter(|one| one["peer"] == "web1" && one["outcome"] == "fresh")
            .map(|one| one["at_us"].as_u64().unwrap() / 1_000)
            .collect();
        let silent = times.windows(2).any(|two| two[0] <= began(&over) + 25 && two[1] > began(&over) + 150);
        assert!(silent, "web2 has heard nothing of web1 from {} on: {times:?}", began(&over));
        let lines = tar(&["-x", "-O", "--wildcards", "*/log.jsonl"]);
        assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && lines.contains("isolated"));
    });
}
