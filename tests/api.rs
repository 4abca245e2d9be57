//! The admin API against its own description: schemathesis makes requests from the OpenAPI document, sensible ones and nonsense,
//! and compares what a real daemon answers with what the document promises.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod stage_support;

use std::{
    fs,
    process::{Command, Stdio},
};

use stage_support::{CLUSTER, SERVERS, await_status, installed, on_stage, set};

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");

#[test]
fn what_the_daemon_answers_is_what_the_description_says() {
    on_stage("what_the_daemon_answers_is_what_the_description_says", || {
        let Some(schemathesis) = installed("schemathesis") else { return };
        let directory = tempfile::tempdir().unwrap();
        let mut stage = set(directory.path(), CLUSTER, &SERVERS);
        let config = stage.config("web1");
        let on_web1 = |stage: &host::lab::stage::Stage, arguments: &[&str]| {
            let mut command = stage.host("web1").unwrap().command(PROGRAM);
            let output = command.args(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        on_web1(&stage, &["init", "--config", config.to_str().unwrap()]);
        stage.start("web1").unwrap();
        await_status(&stage, "web1", "up", |_| true);
        let socket = stage.socket("web1");
        let at = ["--socket", socket.to_str().unwrap()];
        let add = ["api-token", "add", "judge", "--role", "admin", "--for", "1h"];
        let token = on_web1(&stage, &[&add[..], &at[..]].concat());
        let token =
            token.split_whitespace().find(|word| word.starts_with("standin_")).unwrap_or_else(|| panic!("{token}"));

        let mut command = stage.client.command(schemathesis);
        command.args(["run", "https://10.77.0.11:8053/v1/openapi.json", "--tls-verify=false"]);
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
        // What would end the test itself: this token's end, and this server's. Restrictions between fields, and whether names are
        // those of anything, a schema does not say: so what fits it may be refused.
        command.args(["--exclude-path-regex", "^/v1/(logout|leave)$", "--exclude-checks", "positive_data_acceptance"]);
        // One worker: Debian's Python parses in two threads at once only with luck (its issue 106905).
        command.args([
            "--phases",
            "examples,coverage,fuzzing,stateful",
            "--max-examples",
            "20",
            "--seed",
            "1",
            "--workers",
            "1",
        ]);
        command.args(["--no-color", "--max-failures", "20"]);
        let output = command.current_dir(directory.path()).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let tried = said.lines().filter_map(|line| line.trim().strip_prefix("Tested: ")?.parse::<usize>().ok()).next();
        // The console's pages are for people, in no description, and tried by tests/console.rs.
        assert!(tried.is_some_and(|tried| tried >= 31), "hardly anything was tried: {said}");
        await_status(&stage, "web1", "still there", |_| true);
        let log = fs::read_to_string(stage.log("web1")).unwrap();
        assert!(!log.contains("panicked"), "{log}");
    });
}

#[test]
fn the_program_prints_the_same_description() {
    let output = Command::new(PROGRAM).arg("openapi").output().unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["openapi"], "3.1.0");
    assert!(printed["paths"]["/v1/status"]["get"]["responses"]["200"].is_object());
}
