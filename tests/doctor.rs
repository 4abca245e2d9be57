//! `standin doctor` on a machine with several things broken: it sees each, and its own remedy mends it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod stage_support;

use std::{fs, net::UdpSocket, os::unix::fs::PermissionsExt, time::Instant};

use host::lab::stage::Stage;
use serde_json::Value;
use stage_support::{CLUSTER, PATIENCE, installed, missing, nft, on_stage, set, three};

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");

/// What the doctor finds on a server, but for notes: severity, words, commands. And its exit code.
fn doctor(stage: &Stage, server: &str) -> (i32, Vec<(String, String, Vec<String>)>) {
    let mut command = stage.host(server).unwrap().command(PROGRAM);
    let output = command.args(["doctor", "--json", "--config"]).arg(stage.config(server)).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = said["checks"].as_array().unwrap().iter().flat_map(|check| check["findings"].as_array().unwrap());
    let told = findings.filter(|finding| finding["severity"] != "note").map(|finding| {
        let run = finding["remedy"]["run"].as_array().unwrap().iter().map(text).collect();
        (text(&finding["severity"]), text(&finding["seen"]), run)
    });
    (output.status.code().unwrap(), told.collect())
}

/// Waits for a finding; returns its commands.
fn await_finding(stage: &Stage, server: &str, severity: &str, words: &str) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let (code, found) = doctor(stage, server);
        if let Some((_, _, run)) = found.iter().find(|(how, seen, _)| how == severity && seen.contains(words)) {
            assert_eq!(code, 3, "{found:?}");
            return run.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{server} does not find: {words}; but {found:#?}");
    }
}

fn await_health(stage: &Stage, server: &str) {
    let begun = Instant::now();
    loop {
        let (code, found) = doctor(stage, server);
        if found.is_empty() {
            assert_eq!(code, 0);
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{server} still finds {found:#?}");
    }
}

fn mend(stage: &Stage, server: &str, commands: &[String]) {
    assert!(!commands.is_empty(), "a remedy has a command");
    for line in commands {
        let mut shell = stage.host(server).unwrap().command("sh");
        let output = shell.args(["-c", line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_is_broken_is_seen_and_the_remedy_mends_it() {
    on_stage("what_is_broken_is_seen_and_the_remedy_mends_it", || {
        if installed("sysctl").is_none() || installed("nft").is_none() {
            return missing("sysctl or nft");
        }
        let directory = tempfile::tempdir().unwrap();
        let stage = three(directory.path(), CLUSTER);
        await_health(&stage, "web1");

        let setting = |name: &str, value: &str| {
            let path = format!("/proc/sys/net/{name}");
            stage.host("web1").unwrap().run(|| fs::write(path, value)).unwrap().unwrap();
        };
        setting("ipv4/conf/eth0/arp_ignore", "8");
        setting("ipv4/conf/eth0/drop_gratuitous_arp", "1");
        let key = fs::canonicalize(directory.path()).unwrap().join("cluster.key");
        let key =
            [key, stage.config("web1").with_file_name("cluster.key")].into_iter().find(|key| key.exists()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        nft(
            &stage,
            "web1",
            "table inet guard {\n chain input {\n  type filter hook input priority 0; policy accept;\n  udp dport 7946 drop\n }\n}\n",
        );
        let broken = [
            ("error", "eth0 answers no ARP request"),
            ("warning", "eth0 drops announcements by ARP"),
            ("error", "cluster.key has mode 644"),
            ("error", "rule 2 of chain inet guard input drops heartbeats from 10.77.0.12 (udp port 7946)"),
        ];
        let remedies = broken.map(|(severity, words)| await_finding(&stage, "web1", severity, words));
        // What the rule does is seen in the heartbeats, too.
        await_finding(&stage, "web1", "warning", "heartbeats of web2 do not come by UDP");
        remedies.iter().for_each(|remedy| mend(&stage, "web1", remedy));
        await_health(&stage, "web1");

        // The way is narrower than the link: long packets get lost, short ones do not.
        let mtu = |server: &str, bytes: &str| {
            let mut ip = stage.host(server).unwrap().command("ip");
            assert!(ip.args(["link", "set", "eth0", "mtu", bytes]).status().unwrap().success());
        };
        mtu("web2", "1300");
        await_finding(&stage, "web1", "warning", "packets of 1500 bytes do not get to web2");
        mtu("web2", "1500");
        await_health(&stage, "web1");
    });
}

#[test]
fn before_the_first_start_a_taken_port_and_a_mistake_are_seen() {
    on_stage("before_the_first_start_a_taken_port_and_a_mistake_are_seen", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = set(directory.path(), CLUSTER, &stage_support::SERVERS);
        let taken = stage.host("web1").unwrap().run(|| UdpSocket::bind("0.0.0.0:7946").unwrap()).unwrap();
        let (code, found) = doctor(&stage, "web1");
        assert_eq!(code, 3);
        assert!(
            found.iter().any(|(_, seen, _)| seen.contains("has UDP 0.0.0.0:7946, and [heartbeat] wants")),
            "{found:#?}"
        );
        drop(taken);
        let (code, found) = doctor(&stage, "web1");
        assert_eq!((code, &found[..]), (0, &[][..]));
        fs::write(stage.config("web1"), "name = 7\n").unwrap();
        let (code, found) = doctor(&stage, "web1");
        assert_eq!(code, 2);
        assert!(found[0].1.contains("name"), "{found:#?}");
    });
}
