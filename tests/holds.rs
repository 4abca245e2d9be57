//! Latches and operators' words about monitors with a real daemon, over every kind of restart, and over a damaged file.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod stage_support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use host::lab::stage::Stage;
use model::api::{MonitorStatus, Status};
use stage_support::{await_log, await_status, on_stage, set};

const SERVERS: [(&str, &str, &str); 2] = [("web1", "10.77.0.11", "fd00:77::11"), ("web2", "10.77.0.12", "fd00:77::12")];

const CLUSTER: &str = r#"
[cluster]
name = "holds"
[server.web1]
address = "10.77.0.11"
[server.web2]
address = "10.77.0.12"
[virtual-host.v1]
addresses = ["10.77.0.101"]
servers = ["web1", "web2"]
[[virtual-host.v1.monitor]]
type = "tcp"
port = 80
severity = "latch"
[virtual-host.v2]
addresses = ["10.77.0.102"]
servers = ["web1", "web2"]
[[virtual-host.v2.monitor]]
type = "tcp"
port = 80
"#;

const SIGKILL: i32 = 9;

fn command(stage: &Stage, words: &[&str]) {
    let mut standin = Command::new(env!("CARGO_BIN_EXE_standin"));
    let output = standin.arg("monitor").args(words).arg("--socket").arg(stage.socket("web1")).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The monitor of a virtual host on web1.
fn monitor(status: &Status, host: usize) -> &MonitorStatus {
    &status.virtual_hosts[host].servers[0].monitors[0]
}

fn held(status: &Status) -> [Option<&str>; 2] {
    [0, 1].map(|host| monitor(status, host).held.as_deref())
}

fn place(status: &Status) -> [Option<&str>; 2] {
    [0, 1].map(|host| status.virtual_hosts[host].active.as_deref())
}

/// Where a server keeps what must last.
fn state(stage: &Stage, server: &str) -> PathBuf {
    let config = fs::read_to_string(stage.config(server)).unwrap();
    let line = config.lines().find_map(|line| line.strip_prefix("state-dir = ")).expect("a state directory");
    Path::new(line.trim_matches('"')).to_owned()
}

/// web1's latch and force count, and keep both virtual hosts on web2.
fn kept(stage: &Stage, what: &str) -> Status {
    await_status(stage, "web1", what, |status| {
        held(status) == [Some("latched"), Some("forced-down")]
            && place(status) == [Some("web2"); 2]
            && monitor(status, 0).found == "up"
    })
}

#[test]
fn holds_outlive_every_restart_and_a_damaged_file_costs_them_alone() {
    on_stage("holds_outlive_every_restart_and_a_damaged_file_costs_them_alone", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = set(directory.path(), CLUSTER, &SERVERS);
        for (server, ..) in SERVERS {
            stage.start(server).unwrap();
        }
        await_status(&stage, "web1", "both at home", |status| {
            place(status) == [Some("web1"); 2] && [0, 1].map(|host| monitor(status, host).found == "up") == [true; 2]
        });
        stage.stop_web("web1").unwrap();
        await_status(&stage, "web1", "it has failed", |status| monitor(status, 0).held.as_deref() == Some("latched"));
        stage.start_web("web1").unwrap();
        command(&stage, &["force", "v2/tcp-80", "down", "--for", "10m"]);
        let before = kept(&stage, "latched and forced");
        let left = |status: &Status| monitor(status, 1).own.as_ref().unwrap().held_for_ms.unwrap();

        stage.stop("web1").unwrap();
        stage.start("web1").unwrap();
        let after = kept(&stage, "after a planned restart");
        assert!(left(&after) < left(&before) && left(&after) > left(&before) - 120_000, "{}", left(&after));

        let daemon = stage.signal_daemon("web1", SIGKILL).unwrap();
        await_status(&stage, "web2", "web1 is back", |status| status.servers[0].state == "alive");
        kept(&stage, "after its guardian has started it again");
        assert!(stage.daemon("web1").unwrap().is_some_and(|pid| pid != daemon));

        stage.stop("web1").unwrap();
        let file = state(&stage, "web1").join("holds");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, &bytes).unwrap();
        stage.start("web1").unwrap();
        await_status(&stage, "web1", "at home again", |status| {
            place(status) == [Some("web1"); 2] && held(status) == [None; 2]
        });
        await_log(&stage, "web1", "latches and forced monitors from before this start are lost");
        assert_eq!(fs::read(file.with_extension("bad")).unwrap(), bytes, "set aside");
    });
}
