//! The cluster's document from outside: `init`, and every command that reads and edits it, with a real daemon on loopback.
//! The second server of the cluster is never started: edits are taken all the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");
/// Long enough for a busy machine; what is awaited normally comes in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &str = "c3RhbmRpbiBiZW5jaCBrZXksIG5vdCBhIHNlY3JldCE=\n";
const ZONE: &str =
    "$TTL 60\n@ SOA ns1 hostmaster 0 3600 900 604800 5\n@ NAMESERVERS ns1=web1\nwww POOL www\n$INCLUDE inc/text.zone\n";

struct Server {
    directory: tempfile::TempDir,
    ip: Ipv4Addr,
}

/// A daemon; it ends with this.
struct Daemon {
    child: Child,
    _stdin: ChildStdin,
    log: Receiver<String>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = Command::new("kill").arg(self.child.id().to_string()).status();
        let _code = self.child.wait();
    }
}

impl Server {
    fn new(number: u8) -> Self {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 1 + high % 250, low, number);
        let this = Self { directory: tempfile::tempdir().unwrap(), ip };
        fs::create_dir(this.path("inc")).unwrap();
        this.write("cluster.toml", &this.cluster("5"));
        this.write("lb.zone", ZONE);
        this.write("inc/text.zone", "text TXT \"one\"\n");
        this.write("cluster.key", KEY);
        this.write(
            "standin.toml",
            &format!(
                "name = \"web1\"\nstate-dir = \"state\"\ncluster-file = \"cluster.toml\"\nsocket = \"run/standin.sock\"\n\
                 [heartbeat]\nlisten = \"{ip}:7946\"\nkey-file = \"cluster.key\"\nethernet = false\n\
                 [dns]\nlisten = [\"{ip}:5300\"]\n"
            ),
        );
        this
    }

    /// Two servers, of which the second is not there.
    fn cluster(&self, ttl: &str) -> String {
        let [a, b, c, _] = self.ip.octets();
        format!(
            "[cluster]\nname = \"test\"\npartition = {{ policy = \"availability\" }}\n[server.web1]\naddress = \"{}\"\n\
             [server.web2]\naddress = \"{a}.{b}.{c}.250\"\n[pool.www]\nmembers = [\"web1\", \"web2\"]\nttl = {ttl}\n\
             [zone.\"lb.example.test\"]\ntemplate = \"lb.zone\"\n",
            self.ip
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Starts the daemon and waits until it is ready.
    fn start(&self) -> Daemon {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--while-stdin", "--config"]).arg(self.path("standin.toml")).env("RUST_LOG", "info");
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, log) = sync_channel(4096);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let stdin = child.stdin.take().unwrap();
        let daemon = Daemon { child, _stdin: stdin, log };
        daemon.await_line("ready");
        daemon
    }

    fn ask_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).args(["--config".into(), self.path("standin.toml")]).current_dir(self.directory.path());
        command.envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap()
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        self.ask_with(arguments, &[("USER", "anna"), ("SUDO_USER", "anna")])
    }

    /// What a command prints that must end well.
    fn get(&self, arguments: &[&str]) -> String {
        self.expect(0, arguments)
    }

    fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
        out + &err
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.get(&[arguments, &["--json"]].concat())).unwrap()
    }
}

impl Daemon {
    fn await_line(&self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if line.contains(wanted) {
                return line;
            }
        }
    }
}

#[test]
fn in_file_mode_editing_commands_say_so_and_what_to_do() {
    let server = Server::new(1);
    let _daemon = server.start();
    for command in [&["pool", "set", "www", "ttl=9"][..], &["plan", "cluster.toml"], &["history"], &["conflicts"]] {
        let said = server.expect(1, command);
        assert!(said.contains("file mode") && said.contains("cluster.toml") && said.contains("standin init"), "{said}");
    }
}

#[test]
fn the_document_rules_after_init_and_is_edited_by_commands() {
    let server = Server::new(2);
    let made = server.get(&["init", "--why", "first"]);
    assert!(made.contains("7 objects"), "{made}");
    assert!(server.expect(1, &["init"]).contains("there is a document already"));
    // The file does not rule any more, not even a broken one.
    server.write("cluster.toml", "nonsense");
    let daemon = server.start();
    assert_eq!(server.get(&["pool", "show"]), "www\n");

    // An edit with the other server down.
    let said = server.get(&["pool", "set", "www", "ttl=9", "--why", "ticket 7"]);
    assert!(said.contains("accepted on 1 of 2 (web1)"), "{said}");
    daemon.await_line("is in force");
    assert!(server.get(&["pool", "show", "www"]).contains("ttl = 9"));
    // The same again is nothing.
    assert!(server.get(&["pool", "set", "www", "ttl=9"]).contains("nothing to change"));

    // A mistake is refused at its object, line and column, and changes nothing.
    let said = server.expect(2, &["pool", "set", "www", "members+=web9"]);
    assert!(said.contains("pool/www:2:") && said.contains("`web9`"), "{said}");
    assert!(server.expect(3, &["pool", "remove", "wwww"]).contains("did you mean `www`?"));
    assert!(server.expect(2, &["server", "remove", "web2"]).contains("pool/www:2:"));

    let history = server.json(&["history"]);
    assert_eq!(history[0]["why"], "ticket 7");
    assert_eq!((&history[0]["who"], &history[0]["server"]), (&"anna".into(), &"web1".into()));
    assert_eq!(history[1]["why"], "first");
    assert!(server.get(&["history"]).contains("ticket 7"));

    let status = server.ask(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["config"]["mode"], "document");

    // Back, over a restart.
    server.get(&["rollback"]);
    drop(daemon);
    let daemon = server.start();
    assert!(server.get(&["pool", "show", "www"]).contains("ttl = 5"));
    // SIGHUP is about the node file, and says so.
    let _sent = Command::new("kill").args(["-HUP", &daemon.child.id().to_string()]).status().unwrap();
    daemon.await_line("document mode: SIGHUP");
}

#[test]
fn files_are_planned_applied_exported_and_compared() {
    let server = Server::new(3);
    server.get(&["init"]);
    let _daemon = server.start();
    assert_eq!(server.get(&["diff", "cluster.toml"]), "");
    // A plan says what would change, and changes nothing.
    server.write("cluster.toml", &server.cluster("9"));
    server.write("inc/text.zone", "text TXT \"two\"\n");
    let plan = server.get(&["plan", "cluster.toml", "--sample", "text.lb.example.test/TXT"]);
    for wanted in
        ["changed pool/www", "+ ttl = 9", "changed template/inc/text.zone", "addresses  none moves", "\"two\""]
    {
        assert!(plan.contains(wanted), "{wanted} is not in\n{plan}");
    }
    assert!(server.expect(3, &["diff", "cluster.toml"]).contains("+ ttl = 9"));
    // All or nothing, and twice is once.
    assert!(server.get(&["apply", "cluster.toml"]).contains("accepted on 1 of 2"));
    assert!(server.get(&["apply", "cluster.toml"]).contains("nothing to change"));
    assert_eq!(server.get(&["diff", "cluster.toml"]), "");
    let broken = server.cluster("10").replace("\"web2\"]\nttl", "\"web3\"]\nttl");
    server.write("cluster.toml", &broken);
    let said = server.expect(2, &["apply", "cluster.toml"]);
    assert!(said.contains("cluster.toml:9:") && said.contains("web3"), "{said}");
    // What is exported is what there is.
    server.get(&["export", "--to", "out"]);
    assert_eq!(server.get(&["diff", "out/cluster.toml"]), "");
    assert_eq!(fs::read_to_string(server.path("out/lb.zone")).unwrap(), ZONE);
    // An older version is exported, compared and brought back.
    let first = server.json(&["history"])[1]["version"].as_str().unwrap().to_owned();
    assert!(server.get(&["export", "--version", &first]).contains("ttl = 5"));
    assert!(server.expect(3, &["diff", &first]).contains("- ttl = 5"));
    server.get(&["rollback", &first]);
    assert!(server.get(&["export"]).contains("ttl = 5"));
}

#[test]
fn an_apply_that_nobody_confirms_is_undone_and_one_that_is_stays() {
    let server = Server::new(4);
    server.get(&["init"]);
    let daemon = server.start();
    server.write("cluster.toml", &server.cluster("9"));
    assert!(server.get(&["apply", "cluster.toml", "--confirm", "1s"]).contains("undone in 1 s"));
    daemon.await_line("nobody confirmed the edit");
    assert!(server.get(&["pool", "show", "www"]).contains("ttl = 5"));
    assert!(server.expect(3, &["confirm"]).contains("no edit waits"));
    server.get(&["apply", "cluster.toml", "--confirm", "1h"]);
    server.get(&["confirm"]);
    assert!(server.get(&["pool", "show", "www"]).contains("ttl = 9"));
}

#[test]
fn a_zone_is_edited_in_the_operators_editor() {
    let server = Server::new(5);
    server.get(&["init"]);
    let _daemon = server.start();
    let mut editor = fs::File::options();
    let editor = editor.write(true).create(true).truncate(true).mode(0o700).open(server.path("editor"));
    std::io::Write::write_all(&mut editor.unwrap(), b"#!/bin/sh\nprintf '%s' \"$ADD\" >> \"$1\"\n").unwrap();
    let editor = server.path("editor").display().to_string();
    let edit = |add: &str| {
        let output = server.ask_with(
            &["zone", "edit", "lb.example.test", "--yes"],
            &[("EDITOR", &editor), ("VISUAL", ""), ("ADD", add), ("TMPDIR", server.directory.path().to_str().unwrap())],
        );
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = edit("new A 192.0.2.7\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("+ new.lb.example.test.") && said.contains("accepted on 1 of 2"), "{said}");
    let (code, said) = edit("bad POOL nowhere\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("template/lb.zone:7:") && said.contains("nowhere"), "{said}");
    assert!(server.get(&["zone", "show", "lb.example.test"]).contains("new A 192.0.2.7"));
    // Added, shown, removed.
    server.write("other.zone", "$TTL 60\n@ SOA ns1 hostmaster 0 1h 15m 1w 5\n@ NAMESERVERS ns1=web1\n");
    server.get(&["zone", "add", "other.test", "--template", "other.zone"]);
    assert_eq!(server.get(&["zone", "show"]), "lb.example.test\nother.test\n");
    server.get(&["zone", "remove", "other.test"]);
    assert!(!server.get(&["export", "--json"]).contains("other"));
}
