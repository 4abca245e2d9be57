//! What Prometheus and Grafana get: the page of real daemons, the rules, the dashboard, the runbook; judged by promtool.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod stage_support;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use host::lab::stage::Stage;
use serde_json::Value;
use stage_support::{PATIENCE, await_status, installed, on_stage, set};

const SERVERS: [(&str, &str, &str); 2] = [("web1", "10.77.0.11", "fd00:77::11"), ("web2", "10.77.0.12", "fd00:77::12")];

const CLUSTER: &str = r#"
[cluster]
name = "measured"
[server.web1]
address = "10.77.0.11"
[server.web2]
address = "10.77.0.12"
[virtual-host.virtual1]
addresses = ["10.77.0.101"]
servers = ["web1", "web2"]
[[virtual-host.virtual1.monitor]]
type = "http"
port = 80
[endpoint.nt1]
addresses = ["10.77.0.200"]
[[endpoint.nt1.monitor]]
type = "icmp"
[pool.www]
members = ["virtual1"]
"#;

fn deploy(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder)
}

/// Runs promtool in the folder of the rules, and returns what it says where it is content.
fn promtool(arguments: &[&str], input: &str) {
    let Some(program) = installed("promtool") else { return };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(deploy("prometheus")).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}\n{}", String::from_utf8_lossy(&said));
}

fn page(stage: &Stage, server: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "http://standin/metrics", "--unix-socket"]).arg(stage.socket(server));
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// The value of the line that begins with `name`.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).expect(name)
}

#[test]
fn the_page_of_a_server_that_stood_in_is_in_order_and_says_how_long_it_took() {
    on_stage("the_page_of_a_server_that_stood_in_is_in_order_and_says_how_long_it_took", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = set(directory.path(), CLUSTER, &SERVERS);
        for (server, ..) in SERVERS {
            stage.start(server).unwrap();
        }
        let held_by = |stage: &Stage, by: &str| {
            await_status(stage, "web2", by, |status| status.virtual_hosts[0].active.as_deref() == Some(by));
        };
        held_by(&stage, "web1");
        let standby = |word: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
            let done = command.args([word, "web1", "--socket"]).arg(stage.socket("web1")).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        standby("standby");
        held_by(&stage, "web2");
        // It hears with the next heartbeat that the other one holds it, and its journal counts a moment later.
        let begun = Instant::now();
        loop {
            let giver = page(&stage, "web1");
            if (value(&giver, "standin_handover_duration_seconds_count") - 1.0).abs() < 1e-9 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{giver}");
        }
        standby("resume");
        held_by(&stage, "web1");
        stage.lab.unplug("web1").unwrap();
        held_by(&stage, "web2");
        let page = page(&stage, "web2");
        let detection = value(&page, "standin_detection_duration_seconds_sum");
        let failover = value(&page, "standin_failover_duration_seconds_sum");
        assert!((value(&page, "standin_failover_duration_seconds_count") - 1.0).abs() < 1e-9, "{page}");
        assert!(0.1 < detection && detection <= failover, "detection {detection} s, failover {failover} s");
        promtool(&["check", "metrics"], &page);
    });
}

#[test]
fn rules_check_and_say_what_their_tests_expect() {
    promtool(&["check", "rules", "recording.rules.yml", "alerts.rules.yml"], "");
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["test", "rules", "rules.test.yml"], "");
}

/// The alerts' names.
fn alerts() -> BTreeSet<String> {
    let rules = fs::read_to_string(deploy("prometheus").join("alerts.rules.yml")).unwrap();
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

#[test]
fn every_alert_has_an_entry_in_the_runbook_and_the_other_way_round() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runbook = fs::read_to_string(root.join("docs/runbook.md")).unwrap();
    let entries: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(alerts(), entries);
    let rules = fs::read_to_string(deploy("prometheus").join("alerts.rules.yml")).unwrap();
    for alert in alerts() {
        let link = format!("docs/runbook.md#{}", alert.to_lowercase());
        assert!(rules.contains(&format!("runbook_url: {link}\n")), "{alert} does not link to {link}");
    }
}

#[test]
fn the_runbook_names_only_commands_that_exist() {
    let runbook = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md")).unwrap();
    let commands: BTreeSet<&str> =
        runbook.split("`standin ").skip(1).filter_map(|rest| rest.split([' ', '`']).next()).collect();
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands {
        let help = Command::new(env!("CARGO_BIN_EXE_standin")).args([command, "--help"]).output().unwrap();
        assert!(help.status.success(), "there is no `standin {command}`");
    }
}

/// The expressions of the dashboard, with its variables filled in.
fn expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| collect(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let text = fs::read_to_string(deploy("grafana").join("standin.json")).unwrap();
    let mut found = Vec::new();
    collect(&serde_json::from_str(&text).unwrap(), &mut found);
    found.iter().map(|it| it.replace("$__rate_interval", "1m").replace("$cluster", "example")).collect()
}

#[test]
fn every_panel_asks_something_that_prometheus_understands() {
    let expressions = expressions();
    assert!(expressions.len() > 20, "{}", expressions.len());
    let directory = tempfile::tempdir().unwrap();
    let rules: Vec<Value> = (0..)
        .zip(&expressions)
        .map(|(number, expression)| serde_json::json!({ "record": format!("panel:{number}"), "expr": expression }))
        .collect();
    // JSON is YAML.
    let file = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string();
    let path = directory.path().join("panels.yml");
    fs::write(&path, file).unwrap();
    promtool(&["check", "rules", path.to_str().unwrap()], "");
}
