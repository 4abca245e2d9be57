//! The example's three servers on a stage of network namespaces, for tests with real daemons.

#![allow(dead_code)] // each test uses its part
#![allow(clippy::panic)] // a test fails by panicking

use std::{
    env, fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use host::lab::{
    enter,
    stage::{Play, Stage},
};
use model::api::Status;

/// The example's cluster file.
pub(crate) const CLUSTER: &str = include_str!("../../zones/example/cluster.toml");
/// The example's zone template.
pub(crate) const TEMPLATE: &str = include_str!("../../zones/example/lb.zone");

/// Long enough for a busy machine; what is awaited normally comes in milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The example's servers with their own addresses.
pub(crate) const SERVERS: [(&str, &str, &str); 3] = [
    ("web1", "10.77.0.11", "fd00:77::11"),
    ("web2", "10.77.0.12", "fd00:77::12"),
    ("web3", "10.77.0.13", "fd00:77::13"),
];

/// Runs `body` where networks may be made: here, or in a second run of this test program.
pub(crate) fn on_stage(test: &str, body: impl FnOnce()) {
    match enter::rerun_test(test) {
        Ok(None) => body(),
        Ok(Some(status)) => assert!(status.success(), "{test} failed inside"),
        Err(error) => missing(&error.to_string()),
    }
}

/// What a test needs is missing: it is skipped, or has failed where nothing may be missing.
pub(crate) fn missing(what: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{what}");
    eprintln!("skipped: {what}");
}

/// No program here can be trusted. In a user namespace that is how it is, because the root directory's owner seems to be nobody; for
/// the machine's own root it is a failure.
pub(crate) fn untrusted(why: &dyn std::fmt::Display) {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    assert!(!whole, "{why}");
    eprintln!("skipped: {why}");
}

/// Where a Debian package puts the program; nothing if it is not installed.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file());
    if found.is_none() {
        missing(&format!("{program} is not installed"));
    }
    found
}

/// Servers (name, IPv4 and IPv6 address) with the cluster file `cluster`; none is started.
pub(crate) fn set(directory: &Path, cluster: &str, servers: &[(&str, &str, &str)]) -> Stage {
    set_with(directory, cluster, TEMPLATE, servers)
}

/// The same with another zone template.
pub(crate) fn set_with(directory: &Path, cluster: &str, template: &str, servers: &[(&str, &str, &str)]) -> Stage {
    // A bench names another build.
    let program = env::var_os("STANDIN_BIN").map_or_else(|| env!("CARGO_BIN_EXE_standin").into(), PathBuf::from);
    let templates = &[("lb.zone", template)];
    Stage::set(&Play { program: &program, directory, cluster, templates, servers }).expect("a stage")
}

/// The three servers of the example, all started and settled, with the cluster file `cluster`.
pub(crate) fn three(directory: &Path, cluster: &str) -> Stage {
    three_with(directory, cluster, TEMPLATE)
}

/// The same with another zone template.
pub(crate) fn three_with(directory: &Path, cluster: &str, template: &str) -> Stage {
    let mut stage = set_with(directory, cluster, template, &SERVERS);
    for (server, ..) in SERVERS {
        stage.start(server).expect("a daemon");
    }
    for (server, ..) in SERVERS {
        await_status(&stage, server, "all at home and answered", |status| {
            let at_home = |host: &model::api::VirtualHostStatus| {
                host.state == "active" && host.active == Some(host.servers[0].name.clone())
            };
            status.virtual_hosts.iter().all(at_home)
                && status.pools.iter().flat_map(|pool| &pool.members).all(|member| member.answered)
        });
    }
    stage
}

/// The cluster as the program's own command tells it; none while nobody answers.
pub(crate) fn status(stage: &Stage, server: &str) -> Option<Status> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
    let output = command.args(["status", "--json", "--socket"]).arg(stage.socket(server)).output();
    serde_json::from_slice(&output.ok()?.stdout).ok()
}

/// Asks the server for its status until it is as `wanted`; `what` says so in words.
pub(crate) fn await_status(stage: &Stage, server: &str, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let begun = Instant::now();
    loop {
        let seen = status(stage, server);
        if let Some(status) = seen.as_ref().filter(|status| wanted(status)) {
            return status.clone();
        }
        if begun.elapsed() > PATIENCE {
            let log = fs::read_to_string(stage.log(server)).unwrap_or_default();
            panic!("{server} never said: {what}\n{seen:#?}\n{log}");
        }
    }
}

/// What the server's daemon has said.
pub(crate) fn log(stage: &Stage, server: &str) -> String {
    fs::read_to_string(stage.log(server)).expect("a log")
}

/// Waits until the server's daemon has said `text`.
pub(crate) fn await_log(stage: &Stage, server: &str, text: &str) {
    let begun = Instant::now();
    while !log(stage, server).contains(text) {
        assert!(begun.elapsed() < PATIENCE, "{server} never said: {text}\n{}", log(stage, server));
    }
}

/// Has the kernel of a server obey these rules, or no longer.
pub(crate) fn nft(stage: &Stage, server: &str, rules: &str) {
    let host = stage.host(server).expect("a server");
    let mut command = host.command("nft");
    let mut child = command.args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft runs");
    child.stdin.take().expect("piped").write_all(rules.as_bytes()).expect("nft reads");
    assert!(child.wait().expect("nft ends").success(), "{server}: nft refuses {rules}");
}

/// 10.77.0.`last`.
pub(crate) fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 77, 0, last).into()
}

/// fd00:77::`last`.
pub(crate) fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, last).into()
}
