//! A cluster of three servers with people, and what looks at its console: plain requests, and a browser.

#![allow(dead_code)] // each test uses its part
#![allow(clippy::panic)] // a test fails by panicking

pub(crate) mod browser;
pub(crate) mod http;

use std::{
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

use host::lab::stage::Stage;

use crate::stage_support::{CLUSTER, SERVERS, await_status, set};

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");
/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// Who there is, by role.
pub(crate) const PEOPLE: [(&str, &str); 3] = [("ada", "admin"), ("ann", "operator"), ("vic", "viewer")];

pub(crate) fn run(stage: &Stage, host: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = stage.host(host).expect("a server").command(PROGRAM);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

/// What the program says on a server, which must be well.
pub(crate) fn ask(stage: &Stage, server: &str, arguments: &[&str], input: &str) -> String {
    let socket = stage.socket(server);
    let output = run(stage, server, &[arguments, &["--socket", socket.to_str().expect("text")]].concat(), input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The first `count` of the example's servers as a cluster, with [`PEOPLE`].
pub(crate) fn cluster(directory: &Path, count: usize) -> Stage {
    cluster_beside(directory, count, 0)
}

/// Joins a server with a token, by the command as it is shown; what it has said.
pub(crate) fn join(stage: &Stage, server: &str, command: &str, token: &str) -> Output {
    let config = stage.config(server).to_str().expect("text").to_owned();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    run(stage, server, &[&words[..], &["--config", &config]].concat(), token)
}

/// The same, and machines that are no servers yet.
pub(crate) fn cluster_beside(directory: &Path, count: usize, spare: usize) -> Stage {
    let servers = &SERVERS[..count];
    let mut stage = set(directory, &of(count), &SERVERS[..count + spare]);
    let config = stage.config("web1").to_str().expect("text").to_owned();
    assert!(run(&stage, "web1", &["init", "--config", &config], "").status.success());
    stage.start("web1").expect("a daemon");
    await_status(&stage, "web1", "up", |_| true);
    for (server, ..) in &servers[1..] {
        let token = ask(&stage, "web1", &["token"], "");
        let joined = join(&stage, server, "standin join 10.77.0.11", &token);
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        stage.start(server).expect("a daemon");
    }
    for (user, role) in PEOPLE {
        ask(&stage, "web1", &["user", "add", user, "--role", role], &format!("{PASSWORD}\n"));
    }
    for (server, ..) in servers {
        await_status(&stage, server, "all alive and at home", |status| {
            status.servers.len() == count
                && status.servers.iter().all(|one| matches!(one.state.as_str(), "alive" | "self"))
                && status.virtual_hosts.iter().all(|host| host.active.as_ref() == Some(&host.servers[0].name))
                && status.pools.iter().flat_map(|pool| &pool.members).all(|member| member.answered)
        });
    }
    stage
}

/// The example's cluster file for its first servers.
fn of(count: usize) -> String {
    let mut file = CLUSTER.to_owned();
    if count < 3 {
        file = file.replace("[server.web3]\naddress = \"10.77.0.13\"\nalso = [\"fd00:77::13\"]\n", "");
        file = file.replace("\"web3\", ", "").replace(", \"web3\"", "");
    }
    file
}
