//! A cluster's life with real daemons in network namespaces: made, joined, keys changed under way, servers removed, copied
//! and sent away, strangers refused; and every refusal is in the log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]
#![allow(clippy::print_stdout)] // tells its reader how long rotations took

mod stage_support;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use host::lab::{Host, stage::Stage};
use serde_json::Value;
use stage_support::{CLUSTER, PATIENCE, await_status, installed, on_stage, set};

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");
const SERVERS: [(&str, &str, &str); 3] = [
    ("web1", "10.77.0.11", "fd00:77::11"),
    ("web2", "10.77.0.12", "fd00:77::12"),
    ("web3", "10.77.0.13", "fd00:77::13"),
];
const EXPELLED: i32 = 4;
const SIGKILL: i32 = 9;

/// Runs the program on a host, with `input` on standard input.
fn standin_on(host: &Host, arguments: &[&str], input: &str, home: &Path) -> Output {
    let mut command = host.command(PROGRAM);
    command.args(arguments).env("XDG_CONFIG_HOME", home);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Asks the server's daemon by its socket; it must go well.
fn ask(stage: &Stage, server: &str, arguments: &[&str], input: &str) -> String {
    let output = try_ask(stage, server, arguments, input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} on {server}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn try_ask(stage: &Stage, server: &str, arguments: &[&str], input: &str) -> Output {
    let socket = stage.socket(server);
    let arguments = [arguments, &["--socket", socket.to_str().unwrap()]].concat();
    standin_on(stage.host(server).unwrap(), &arguments, input, &home(stage, server))
}

/// A configuration directory of a user's own.
fn home(stage: &Stage, server: &str) -> PathBuf {
    stage.config(server).with_extension("home")
}

fn config(stage: &Stage, server: &str) -> String {
    stage.config(server).to_str().unwrap().to_owned()
}

fn events(stage: &Stage, server: &str) -> Vec<Value> {
    let text = ask(stage, server, &["events", "--json"], "");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is(event: &Value, kind: &str, field: &str, text: &str) -> bool {
    event["event"] == kind && event[field].as_str().is_some_and(|said| said.contains(text))
}

/// Waits for an event whose field contains the text.
fn await_event(stage: &Stage, server: &str, kind: &str, field: &str, text: &str) -> Value {
    let begun = Instant::now();
    loop {
        let seen = events(stage, server);
        if let Some(event) = seen.iter().find(|event| is(event, kind, field, text)) {
            return event.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{server} has no {kind} with {field} {text}: {seen:#?}");
    }
}

fn invite(stage: &Stage, server: &str, time: &str) -> String {
    ask(stage, server, &["token", "--for", time], "").trim().to_owned()
}

/// The server joins at `host`; its daemon is not started.
fn join(stage: &Stage, server: &str, host: &str, token: &str) -> Output {
    let config = config(stage, server);
    standin_on(stage.host(server).unwrap(), &["join", host, "--config", &config], token, &home(stage, server))
}

fn linked(stage: &Stage, server: &str, others: usize) {
    let begun = Instant::now();
    loop {
        let output = try_ask(stage, server, &["server", "list", "--json"], "");
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let up = seen["servers"].as_array().map_or(0, |all| all.iter().filter(|one| one["link"] == "linked").count());
        if up == others {
            return;
        }
        let log = fs::read_to_string(stage.log(server)).unwrap_or_default();
        assert!(begun.elapsed() < PATIENCE, "{server} is linked to {up} others: {seen:#}\n{log}");
    }
}

/// Three servers: web1 makes the cluster, web2 joins there, web3 joins at web2.
fn cluster(directory: &Path) -> Stage {
    let mut stage = set(directory, CLUSTER, &SERVERS);
    let made = standin_on(stage.host("web1").unwrap(), &["init", "--config", &config(&stage, "web1")], "", directory);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    stage.start("web1").unwrap();
    await_status(&stage, "web1", "up", |_| true);
    for (server, at, host) in [("web2", "web1", "10.77.0.11"), ("web3", "web2", "10.77.0.12:8053")] {
        let token = invite(&stage, at, "10m");
        let joined = join(&stage, server, host, &token);
        assert!(joined.status.success(), "{server}: {}", String::from_utf8_lossy(&joined.stderr));
        stage.start(server).unwrap();
        await_status(&stage, server, "up", |_| true);
    }
    for (server, ..) in SERVERS {
        linked(&stage, server, 2);
        await_status(&stage, server, "everybody alive and at home", |status| {
            status.servers.iter().all(|server| server.state == "alive" || server.state == "self")
                && status.virtual_hosts.iter().all(|host| host.active.as_ref() == Some(&host.servers[0].name))
        });
    }
    stage
}

/// The cookie that a server's DNS gives to a client which shows this one; none without dig.
fn cookie(stage: &Stage, server: &str, shown: Option<&str>) -> Option<String> {
    let mut command = stage.client.command(installed("dig")?);
    let shown = format!("+cookie={}", shown.unwrap_or("0123456789abcdef"));
    let output = command.args([&format!("@{server}"), "www.lb.example.test", "A", &shown]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("; COOKIE: "));
    Some(line.unwrap_or_else(|| panic!("no cookie in {said}")).split(' ').next().unwrap().to_owned())
}

/// Two threads that never rest, and a client that asks web2's DNS one question after the other.
struct Busy {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Busy {
    fn start(stage: &Stage) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let spin = || {
            let over = over.clone();
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                0
            })
        };
        let (client, ended) = (stage.client.clone(), over.clone());
        let ask = move || {
            let mut answered = 0;
            while !ended.load(Ordering::Relaxed) {
                let server = SocketAddr::from(([10, 77, 0, 12], 53));
                answered += u64::from(host::lab::ask::ask(&client, server, "www.lb.example.test", 1).is_ok());
            }
            answered
        };
        Self { threads: vec![spin(), spin(), thread::spawn(ask)], over }
    }

    /// How many questions were answered.
    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

fn restart(stage: &mut Stage, server: &str) {
    stage.start(server).unwrap();
    await_status(stage, server, "up", |_| true);
}

#[test]
fn keys_change_under_way_and_no_heartbeat_is_lost() {
    on_stage("keys_change_under_way_and_no_heartbeat_is_lost", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path());
        let terms = |stage: &Stage| {
            let status = await_status(stage, "web1", "a status", |_| true);
            status.virtual_hosts.iter().map(|host| host.term).collect::<Vec<_>>()
        };
        let before = terms(&stage);
        let old_cookie = cookie(&stage, "10.77.0.11", None);
        // Both cores are busy meanwhile, and clients ask.
        let busy = Busy::start(&stage);
        let counted: Vec<usize> = SERVERS.iter().map(|(server, ..)| events(&stage, server).len()).collect();
        for (key, word) in [("heartbeat", "heartbeat key"), ("authority", "authority"), ("server", "server key")] {
            ask(&stage, "web2", &["rotate", key], "");
            let last = if key == "server" { "it is used from now on" } else { "the old one is gone" };
            let begun = Instant::now();
            let done = |event: &Value| is(event, "rotation", "key", word) && is(event, "rotation", "step", last);
            // Whoever sees first that everybody has confirmed takes the step.
            while !SERVERS.iter().any(|(server, ..)| events(&stage, server).iter().any(done)) {
                assert!(begun.elapsed() < PATIENCE, "the {word} is not changed: {:#?}", events(&stage, "web2"));
            }
            println!("{word}: {:?}", begun.elapsed());
        }
        for ((server, ..), seen) in SERVERS.iter().zip(counted) {
            let all = events(&stage, server);
            let lost = ["peer-suspected", "peer-dead", "datagrams-refused", "one-way-loss", "path-lost"];
            let bad: Vec<&Value> =
                all[seen..].iter().filter(|event| lost.iter().any(|kind| event["event"] == *kind)).collect();
            assert!(bad.is_empty(), "{server} has lost heartbeats: {bad:#?}");
            linked(&stage, server, 2);
        }
        assert_eq!(terms(&stage), before, "nothing has moved");
        // The secret of DNS cookies has changed with the heartbeat key, and all servers have the same.
        if let Some(old_cookie) = old_cookie {
            let begun = Instant::now();
            while cookie(&stage, "10.77.0.12", Some(&old_cookie)).as_ref() == Some(&old_cookie) {
                assert!(begun.elapsed() < PATIENCE, "a cookie of the old key is still known");
            }
            let new = cookie(&stage, "10.77.0.11", Some(&old_cookie)).unwrap();
            for server in ["10.77.0.12", "10.77.0.13"] {
                while cookie(&stage, server, Some(&new)).as_ref() != Some(&new) {
                    assert!(begun.elapsed() < PATIENCE, "{server} does not know a cookie of web1");
                }
            }
        }
        let asked = busy.end();
        println!("{asked} DNS questions were answered meanwhile");
        assert!(asked > 0);
        let text = fs::read_to_string(directory.path().join("web2-state/trust.json")).unwrap();
        assert!(!text.is_empty());
        let key = serde_json::from_str::<Value>(&text).unwrap();
        let secrets: Vec<&str> =
            key.as_object().unwrap().values().filter_map(|e| e["item"]["secret"].as_str()).collect();
        assert_eq!(secrets.len(), 1, "one heartbeat key is left");
        for (server, ..) in SERVERS {
            let log = fs::read_to_string(stage.log(server)).unwrap();
            assert!(secrets.iter().all(|secret| !log.contains(secret)), "a secret is in the log of {server}");
        }
    });
}

#[test]
fn strangers_and_newcomers_without_a_token_are_refused_and_logged() {
    on_stage("strangers_and_newcomers_without_a_token_are_refused_and_logged", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = set(directory.path(), CLUSTER, &SERVERS);
        let init = ["init", "--config", &config(&stage, "web1")];
        assert!(standin_on(stage.host("web1").unwrap(), &init, "", directory.path()).status.success());
        stage.start("web1").unwrap();
        await_status(&stage, "web1", "up", |_| true);
        let refused = |output: &Output, why: &str| {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && said.contains(why), "{said}");
        };

        // A token of another cluster: the newcomer refuses before it says anything.
        let good = invite(&stage, "web1", "10m");
        let (head, _) = good.split_once('@').unwrap();
        let elsewhere = format!("{head}@{}", "A".repeat(52));
        refused(&join(&stage, "web2", "10.77.0.11", &elsewhere), "another cluster");
        await_event(&stage, "web1", "denied", "action", "handshake");

        // A wrong secret, an expired token, one that was used.
        let secret = head.split_once('.').unwrap().1;
        let wrong = good.replace(secret, &"A".repeat(secret.len()));
        refused(&join(&stage, "web2", "10.77.0.11", &wrong), "unknown, used, revoked or expired");
        let short = invite(&stage, "web1", "1s");
        thread::sleep(std::time::Duration::from_millis(2100)); // what is tested is the passing of time
        refused(&join(&stage, "web2", "10.77.0.11", &short), "unknown, used, revoked or expired");
        await_event(&stage, "web1", "denied", "action", "join");
        assert!(join(&stage, "web2", "10.77.0.11", &good).status.success());
        refused(&join(&stage, "web3", "10.77.0.11", &good), "unknown, used, revoked or expired");
        let again = invite(&stage, "web1", "10m");
        refused(&join(&stage, "web2", "10.77.0.11", &again), "a member of a cluster already");
        await_event(&stage, "web1", "done", "action", "join");

        // Nobody is logged in; TLS 1.2 is not spoken.
        if let Some(curl) = installed("curl") {
            let curl = |arguments: &[&str]| {
                let mut command = stage.client.command(&curl);
                command.args(["-sk", "-o", "/dev/null", "-w", "%{http_code}"]).args(arguments);
                String::from_utf8(command.output().unwrap().stdout).unwrap()
            };
            assert_eq!(curl(&["https://10.77.0.11:8053/v1/status"]), "401");
            assert_eq!(curl(&["-H", "Authorization: Bearer standin_AAAA", "https://10.77.0.11:8053/v1/status"]), "401");
            assert_eq!(curl(&["--tls-max", "1.2", "https://10.77.0.11:8053/v1/status"]), "000");
            await_event(&stage, "web1", "denied", "action", "token");
        }
        let text = fs::read_to_string(stage.log("web1")).unwrap();
        assert!(!text.contains(secret), "a token's secret is in the log");

        // What others may read is refused.
        stage.stop("web1").unwrap();
        let trust = directory.path().join("web1-state/trust.json");
        fs::set_permissions(&trust, fs::Permissions::from_mode(0o640)).unwrap();
        stage.start("web1").unwrap();
        assert_eq!(stage.wait("web1").unwrap().code(), Some(2));
        assert!(fs::read_to_string(stage.log("web1")).unwrap().contains("chmod 600"));
    });
}

#[test]
fn removed_and_copied_servers_stay_out() {
    on_stage("removed_and_copied_servers_stay_out", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path());

        // A copy of web2, on web3's machine, while web2 runs: it is told, and stops.
        stage.stop("web3").unwrap();
        let (state, copy) = (directory.path().join("web2-state"), directory.path().join("copy-state"));
        fs::create_dir(&copy).unwrap();
        for name in ["identity.json", "trust.json"] {
            fs::copy(state.join(name), copy.join(name)).unwrap();
        }
        let node = fs::read_to_string(stage.config("web3")).unwrap();
        let node = node.replace("name = \"web3\"", "name = \"web2\"").replace("web3-state", "copy-state");
        let original = fs::read_to_string(stage.config("web3")).unwrap();
        fs::write(stage.config("web3"), node).unwrap();
        stage.start("web3").unwrap();
        assert_eq!(stage.wait("web3").unwrap().code(), Some(EXPELLED));
        await_event(&stage, "web1", "cloned", "server", "web2");
        linked(&stage, "web2", 1);
        fs::write(stage.config("web3"), original).unwrap();

        // An old snapshot of web3 comes back: it goes on after the starts that others know of.
        let files = ["identity.json", "trust.json"].map(|name| directory.path().join("web3-state").join(name));
        let snapshot = files.each_ref().map(|file| fs::read(file).unwrap());
        restart(&mut stage, "web3");
        linked(&stage, "web3", 2);
        stage.stop("web3").unwrap();
        for (file, content) in files.iter().zip(snapshot) {
            fs::write(file, content).unwrap();
        }
        restart(&mut stage, "web3");
        await_event(&stage, "web1", "restored", "server", "web3");
        linked(&stage, "web3", 2);

        // web3 dies, is removed, and returns: it is told so and stays out, also with its certificate.
        stage.signal_all("web3", SIGKILL).unwrap();
        stage.wait("web3").unwrap();
        linked(&stage, "web1", 1);
        let refused = try_ask(&stage, "web1", &["server", "remove", "web1"], "");
        assert!(!refused.status.success());
        ask(&stage, "web1", &["server", "remove", "web3"], "");
        await_event(&stage, "web1", "done", "action", "remove-server");
        stage.start("web3").unwrap();
        assert_eq!(stage.wait("web3").unwrap().code(), Some(EXPELLED));
        let denied = ["web1", "web2"].iter().any(|server| {
            events(&stage, server).iter().any(|event| is(event, "denied", "reason", "removed from the cluster"))
        });
        assert!(denied, "nobody has logged the refusal");
        stage.start("web3").unwrap();
        assert_eq!(stage.wait("web3").unwrap().code(), Some(EXPELLED), "it does not even try");

        // The others have changed the heartbeat key, which web3 knows, and live.
        let begun = Instant::now();
        let gone = |event: &Value| is(event, "rotation", "step", "the old one is gone");
        while !["web1", "web2"].iter().any(|server| events(&stage, server).iter().any(gone)) {
            assert!(begun.elapsed() < PATIENCE, "the heartbeat key was not changed");
        }

        // web2 leaves by itself; web1, the last one, cannot.
        let leave = |server: &str| {
            let arguments = ["leave", "--config", &config(&stage, server)];
            standin_on(stage.host(server).unwrap(), &arguments, "", &home(&stage, server))
        };
        let left = leave("web2");
        assert!(left.status.success(), "{}", String::from_utf8_lossy(&left.stderr));
        let last = leave("web1");
        assert!(!last.status.success());
        stage.wait("web2").unwrap();
        assert!(!directory.path().join("web2-state/identity.json").exists());
        let said = String::from_utf8_lossy(&last.stderr);
        assert!(said.contains("the last server of the cluster"), "{said}");
        // It may come back with a new token.
        let token = invite(&stage, "web1", "10m");
        assert!(join(&stage, "web2", "10.77.0.11", &token).status.success());
        restart(&mut stage, "web2");
        linked(&stage, "web1", 1);
    });
}

#[test]
fn people_log_in_from_elsewhere_and_guessing_hurts_nobody() {
    on_stage("people_log_in_from_elsewhere_and_guessing_hurts_nobody", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path());
        let laptop = directory.path().join("laptop");
        let from_laptop = |arguments: &[&str], input: &str| standin_on(&stage.client, arguments, input, &laptop);
        let password = "correct horse battery staple\n";
        ask(&stage, "web1", &["user", "add", "ann", "--role", "operator"], password);
        let short = try_ask(&stage, "web1", &["user", "add", "ben", "--role", "viewer"], "short\n");
        assert!(!short.status.success());
        let token = invite(&stage, "web1", "1m");
        let authority = token.split_once('@').unwrap().1;
        let login = |host: &str, password: &str| {
            from_laptop(&["login", "--connect", host, "--user", "ann", "--fingerprint", authority], password)
        };

        // The person was added on web1 and is known to web3. She operates web1 by way of web3.
        let begun = Instant::now();
        while !login("10.77.0.13", password).status.success() {
            assert!(begun.elapsed() < PATIENCE);
        }
        let saw = from_laptop(&["status", "--json", "--connect", "10.77.0.13"], "");
        assert!(saw.status.success(), "{}", String::from_utf8_lossy(&saw.stderr));
        assert!(from_laptop(&["standby", "web1", "--connect", "10.77.0.13"], "").status.success());
        await_event(&stage, "web1", "done", "who", "ann by way of web3");
        assert!(from_laptop(&["resume", "web1", "--connect", "10.77.0.13"], "").status.success());
        let forbidden = from_laptop(&["server", "remove", "web2", "--connect", "10.77.0.13"], "");
        assert!(String::from_utf8_lossy(&forbidden.stderr).contains("the role operator may not"), "{forbidden:?}");
        await_event(&stage, "web3", "denied", "action", "remove-server");
        let all = from_laptop(&["events", "--json", "--cluster", "--connect", "10.77.0.13"], "");
        let all = String::from_utf8(all.stdout).unwrap();
        assert!(SERVERS.iter().all(|(server, ..)| all.contains(&format!("\"written_by\":\"{server}\""))));
        assert!(from_laptop(&["logout", "--connect", "10.77.0.13"], "").status.success());
        assert!(!from_laptop(&["status", "--connect", "10.77.0.13"], "").status.success());

        // Guesses: slowed and logged. A thousand connections that say nothing: the heartbeats do not notice.
        let seen = events(&stage, "web2").len();
        let silent: Vec<TcpStream> = stage
            .client
            .run(|| (0..1000).filter_map(|_| TcpStream::connect("10.77.0.12:8053").ok()).collect())
            .unwrap();
        let mut slowed = false;
        for _ in 0..6 {
            let said = standin_on(
                stage.host("web1").unwrap(),
                &["login", "--connect", "10.77.0.12", "--user", "ann", "--fingerprint", authority],
                "wrong wrong wrong\n",
                &laptop,
            );
            assert!(!said.status.success());
            slowed |= String::from_utf8_lossy(&said.stderr).contains("too many failures");
        }
        assert!(slowed, "guessing is not slowed");
        await_event(&stage, "web2", "denied", "reason", "name or password is wrong");
        await_event(&stage, "web2", "denied", "reason", "too many failures");
        await_event(&stage, "web2", "denied", "reason", "too many connections");
        let lost = ["peer-suspected", "peer-dead", "datagrams-refused"];
        let bad: Vec<Value> = events(&stage, "web2")
            .into_iter()
            .filter(|event| lost.iter().any(|kind| event["event"] == *kind))
            .filter(|event| event["sequence"].as_u64() > Some(seen as u64))
            .collect();
        assert!(bad.is_empty(), "{} silent connections have hurt: {bad:#?}", silent.len());
        let text: String = SERVERS.iter().map(|(server, ..)| fs::read_to_string(stage.log(server)).unwrap()).collect();
        assert!(!text.contains("correct horse"), "a password is in a log");
    });
}

/// Waits until a server's configuration has the text.
fn await_configuration(stage: &Stage, server: &str, arguments: &[&str], wanted: &str) {
    let begun = Instant::now();
    loop {
        let output = try_ask(stage, server, arguments, "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && said.contains(wanted) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{server} has no {wanted}: {said}{output:?}");
    }
}

/// What the doctor finds of peers, links and clocks.
fn ailments(stage: &Stage, server: &str) -> String {
    let config = config(stage, server);
    let arguments = ["doctor", "--json", "--config", &config];
    let output = standin_on(stage.host(server).unwrap(), &arguments, "", &home(stage, server));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["running"], true, "{said:#}");
    let checks = said["checks"].as_array().unwrap().iter();
    let wanted = checks.filter(|check| check["check"] == "peers" || check["check"] == "clocks");
    let findings = wanted.flat_map(|check| check["findings"].as_array().unwrap());
    findings.map(|finding| finding["seen"].as_str().unwrap().to_owned() + "\n").collect()
}

/// Waits until all servers have the same in force.
fn agreed(stage: &Stage, servers: &[&str]) {
    let begun = Instant::now();
    loop {
        let digests: Vec<String> =
            servers.iter().map(|server| await_status(stage, server, "up", |_| true).config.hash).collect();
        if digests.windows(2).all(|pair| pair[0] == pair[1]) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{servers:?} have {digests:?} in force");
    }
}

#[test]
fn an_edit_anywhere_is_in_force_everywhere_also_where_nobody_was_at_home() {
    on_stage("an_edit_anywhere_is_in_force_everywhere_also_where_nobody_was_at_home", || {
        let directory = tempfile::tempdir().unwrap();
        // The cluster file knows nothing of web3.
        let others = CLUSTER
            .replace("[server.web3]\naddress = \"10.77.0.13\"\nalso = [\"fd00:77::13\"]\n", "")
            .replace("\"web3\", ", "")
            .replace(", \"web3\"", "");
        assert!(!others.contains("web3"), "{others}");
        let mut stage = set(directory.path(), &others, &SERVERS);
        let init = ["init", "--config", &config(&stage, "web1")];
        let made = standin_on(stage.host("web1").unwrap(), &init, "", directory.path());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let again = standin_on(stage.host("web1").unwrap(), &init, "", directory.path());
        assert!(String::from_utf8_lossy(&again.stderr).contains("a member of a cluster already"));
        restart(&mut stage, "web1");
        for (server, host) in [("web2", "10.77.0.11"), ("web3", "10.77.0.12")] {
            let at = if server == "web2" { "web1" } else { "web2" };
            // Newcomers need no cluster file.
            fs::remove_file(stage.config(server).with_file_name("cluster.toml")).unwrap_or_default();
            let token = invite(&stage, at, "10m");
            let joined = join(&stage, server, host, &token);
            assert!(joined.status.success(), "{server}: {}", String::from_utf8_lossy(&joined.stderr));
            restart(&mut stage, server);
        }
        let all = ["web1", "web2", "web3"];
        all.iter().for_each(|server| linked(&stage, server, 2));
        await_configuration(&stage, "web1", &["server", "show", "web3"], "10.77.0.13");

        // By a person from elsewhere, at web3; a viewer may look, and no more.
        let (laptop, password) = (directory.path().join("laptop"), "correct horse battery staple\n");
        let from_laptop = |arguments: &[&str], input: &str| standin_on(&stage.client, arguments, input, &laptop);
        ask(&stage, "web3", &["user", "add", "ann", "--role", "operator"], password);
        ask(&stage, "web3", &["user", "add", "vic", "--role", "viewer"], password);
        let token = invite(&stage, "web3", "1m");
        let authority = token.split_once('@').unwrap().1;
        let log_in = |user| {
            let login = ["login", "--connect", "10.77.0.13", "--user", user, "--fingerprint", authority];
            assert!(from_laptop(&login, password).status.success());
        };
        let edit = ["pool", "set", "www", "ttl=9", "--why", "ticket 7", "--connect", "10.77.0.13"];
        log_in("vic");
        let refused = from_laptop(&edit, "");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("the role viewer may not"), "{refused:?}");
        assert!(from_laptop(&["pool", "show", "www", "--connect", "10.77.0.13"], "").status.success());
        log_in("ann");
        let edited = from_laptop(&edit, "");
        let said = String::from_utf8_lossy(&edited.stdout);
        assert!(said.contains("accepted on 3 of 3 (web1, web2, web3)"), "{said}{edited:?}");
        for server in all {
            await_configuration(&stage, server, &["pool", "show", "www"], "ttl = 9");
        }
        agreed(&stage, &all);
        let history: Value = serde_json::from_str(&ask(&stage, "web1", &["history", "--json"], "")).unwrap();
        assert_eq!((&history[0]["who"], &history[0]["server"]), (&"ann".into(), &"web3".into()), "{history:#}");
        await_event(&stage, "web3", "done", "action", "edit-configuration");

        // One is down meanwhile, which the doctor sees; the DNS cookies' secret changes, too.
        assert_eq!(ailments(&stage, "web1"), "");
        stage.stop("web3").unwrap();
        linked(&stage, "web1", 1);
        let found = ailments(&stage, "web1");
        assert!(found.contains("there is no link to web3 at 10.77.0.13:8053"), "{found}");
        assert!(found.contains("the clock of web3 is not known") && !found.contains("web2"), "{found}");
        ask(&stage, "web1", &["pool", "set", "www", "ttl=11"], "");
        await_configuration(&stage, "web2", &["pool", "show", "www"], "ttl = 11");
        // A rotation waits for who is away, and says so while it does.
        let socket = stage.socket("web2");
        let arguments = ["rotate", "heartbeat", "--wait", "--socket", socket.to_str().unwrap()];
        let mut rotation = Command::new(PROGRAM).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(rotation.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(told.next().as_deref(), Some("waits for web3"));
        restart(&mut stage, "web3");
        await_configuration(&stage, "web3", &["pool", "show", "www"], "ttl = 11");
        agreed(&stage, &all);
        assert_eq!(told.last().as_deref(), Some("the heartbeat key is changed"));
        assert!(rotation.wait().unwrap().success());
        let gone = |event: &Value| is(event, "rotation", "step", "the old one is gone");
        let begun = Instant::now();
        while !all.iter().any(|server| events(&stage, server).iter().any(gone)) {
            assert!(begun.elapsed() < PATIENCE, "the heartbeat key is not changed");
        }
        agreed(&stage, &all);

        // Whoever is removed is in no list any more, and has no say.
        ask(&stage, "web2", &["virtual-host", "set", "virtual1", "servers+=web3"], "");
        await_configuration(&stage, "web3", &["virtual-host", "show", "virtual1"], "web3");
        ask(&stage, "web1", &["server", "remove", "web3", "--why", "scrapped"], "");
        assert_eq!(stage.wait("web3").unwrap().code(), Some(EXPELLED));
        await_configuration(&stage, "web2", &["server", "show"], "web1\nweb2\n");
        assert!(!ask(&stage, "web2", &["export"], "").contains("web3"));
        agreed(&stage, &["web1", "web2"]);
    });
}

/// The program's own words are enough to find one's way.
#[test]
fn commands_without_a_cluster_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).env("XDG_CONFIG_HOME", directory.path()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(&["status", "--connect", "web1"]).contains("standin login --connect web1"));
    assert!(run(&["login", "--connect", "web1", "--user", "ann"]).contains("--fingerprint"));
    assert!(run(&["join", "web1", "--token", "nonsense"]).contains("this is no join token"));
}
