//! `standin check --parent` against a real parent: Knot DNS in a network namespace, with the example's delegation, right and
//! wrong.
//!
//! Debian package: knot. Where it is not installed the test is skipped and says so; with `CI=true` that is a failure.

mod resolver_support;
mod stage_support;

use std::process::Command;

use host::lab::stage::Stage;
use resolver_support::servers;
use stage_support::{CLUSTER, SERVERS, installed, on_stage, set};

/// What `standin check` prints after its summary, and its exit code.
fn check(stage: &Stage, parent: &str) -> (String, Option<i32>) {
    let mut command: Command = stage.client.command(env!("CARGO_BIN_EXE_standin"));
    command.args(["check", "--parent", parent, "--config"]).arg(stage.config("web1"));
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let about_parent = text.lines().filter(|line| line.contains("lb.example.test at ") || line.contains("delegated"));
    (about_parent.map(|line| format!("{line}\n")).collect(), output.status.code())
}

/// A stage without daemons, and the example's parent with a change.
fn with_parent(change: impl FnOnce(&str) -> String, test: impl FnOnce(&Stage)) {
    let Some(knotd) = installed("knotd") else { return };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    let mut stage = set(directory.path(), CLUSTER, &SERVERS);
    let text = change(servers::PARENT);
    let _parent = servers::parent_with(&mut stage.lab, &knotd, directory.path(), &text, servers::NO_CHILD);
    test(&stage);
}

#[test]
fn a_parent_that_delegates_rightly_is_told_so() {
    on_stage("a_parent_that_delegates_rightly_is_told_so", || {
        with_parent(str::to_owned, |stage| {
            let expected = "delegated as it should be: lb.example.test at 10.77.0.53\n";
            assert_eq!(check(stage, "10.77.0.53"), (expected.to_owned(), Some(0)));
            // Nobody is there.
            let (text, code) = check(stage, "10.77.0.99");
            assert!(code == Some(3) && text.starts_with("lb.example.test at 10.77.0.99: "), "{text}");
        });
    });
}

#[test]
fn each_difference_is_told_with_its_remedy() {
    on_stage("each_difference_is_told_with_its_remedy", || {
        let wrong = |text: &str| {
            let text = text.replace("ns1.lb  A       10.77.0.101", "ns1.lb  A       10.77.0.111");
            let text = text.replace("lb      NS      ns2.lb\n", "lb      NS      ns9.lb\n");
            let text = text.replace("ns2.lb  A       10.77.0.102", "ns9.lb  A       10.77.0.109");
            text.replace("ns2.lb  AAAA    fd00:77::102\n", "")
        };
        with_parent(wrong, |stage| {
            let expected = "lb.example.test at 10.77.0.53: it does not name ns2.lb.example.test.: add it to the delegation\n\
                            lb.example.test at 10.77.0.53: it names ns9.lb.example.test., which is no name server of the zone: remove it\n\
                            lb.example.test at 10.77.0.53: it does not give 10.77.0.101 for ns1.lb.example.test.: add this glue\n\
                            lb.example.test at 10.77.0.53: it gives 10.77.0.111 for ns1.lb.example.test., which has no such address: remove this glue\n";
            assert_eq!(check(stage, "10.77.0.53"), (expected.to_owned(), Some(3)));
        });
    });
}

#[test]
fn a_zone_that_is_not_delegated_is_told_so() {
    on_stage("a_zone_that_is_not_delegated_is_told_so", || {
        let without = |text: &str| {
            let is_delegation = |line: &&str| !line.starts_with("lb ") && !line.contains(".lb ");
            text.lines().filter(is_delegation).map(|line| format!("{line}\n")).collect()
        };
        with_parent(without, |stage| {
            let (text, code) = check(stage, "10.77.0.53");
            assert_eq!(
                (text.as_str(), code),
                ("lb.example.test at 10.77.0.53: it answers Non-Existent Domain\n", Some(3))
            );
        });
    });
}
