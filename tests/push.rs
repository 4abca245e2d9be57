//! A service that reports by itself, with real daemons: its own word moves its address.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod stage_support;

use std::process::{Command, Output};

use host::lab::stage::Stage;
use model::api::Status;
use stage_support::{await_status, on_stage, set};

const SERVERS: [(&str, &str, &str); 2] = [("web1", "10.77.0.11", "fd00:77::11"), ("web2", "10.77.0.12", "fd00:77::12")];

const CLUSTER: &str = r#"
[cluster]
name = "pushed"
[server.web1]
address = "10.77.0.11"
[server.web2]
address = "10.77.0.12"
[virtual-host.files]
addresses = ["10.77.0.101"]
servers = ["web1", "web2"]
[[virtual-host.files.monitor]]
type = "push"
name = "backup"
within = "1h"
"#;

fn push(stage: &Stage, server: &str, report: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
    command.arg("push").args(report).arg("--socket").arg(stage.socket(server)).output().unwrap()
}

fn is_on(status: &Status, server: &str) -> bool {
    let host = &status.virtual_hosts[0];
    host.state == "active" && host.active.as_deref() == Some(server)
}

#[test]
fn a_services_own_report_moves_its_address() {
    on_stage("a_services_own_report_moves_its_address", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = set(directory.path(), CLUSTER, &SERVERS);
        for (server, ..) in SERVERS {
            stage.start(server).unwrap();
        }
        for (server, ..) in SERVERS {
            await_status(&stage, server, "there is a daemon", |_| true);
            let output = push(&stage, server, &["files/backup", "up"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        await_status(&stage, "web1", "at home", |status| is_on(status, "web1"));
        assert!(push(&stage, "web1", &["files/backup", "down", "--message", "the tape is full"]).status.success());
        let seen = await_status(&stage, "web1", "moved", |status| is_on(status, "web2"));
        let reasons = seen.virtual_hosts[0].servers.iter().flat_map(|server| &server.monitors);
        assert!(reasons.filter_map(|monitor| monitor.reason.as_deref()).any(|reason| reason == "the tape is full"));

        let output = push(&stage, "web1", &["files/none", "up"]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("files/none: no such monitor runs on this server"), "{said}");
    });
}
