//! The configuration files in deploy/: every example is accepted as it stands, every mistake gives its exact diagnostic.
//!
//! `UPDATE=1 cargo test --test config` writes the expected diagnostics anew.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use model::{
    config::{parse_cluster, parse_node},
    diagnostic::Diagnostic,
};
use tempfile::TempDir;

/// 32 bytes.
const KEY: &str = "c3RhbmRpbiBiZW5jaCBrZXksIG5vdCBhIHNlY3JldCE=\n";

fn deploy(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    entries.sort();
    entries
}

/// The files of `folder` as an operator would install them, in a directory of the test's own instead of /etc/standin.
fn installed(folder: &Path) -> TempDir {
    let home = TempDir::new().unwrap();
    for path in entries(folder) {
        let text = fs::read_to_string(&path).unwrap().replace("/etc/standin", &home.path().display().to_string());
        for secret in text.lines().filter_map(|line| line.strip_prefix("secret = \"")?.split('"').next()) {
            write_secret(&home, secret, 0o600);
        }
        fs::write(home.path().join(path.file_name().unwrap()), text).unwrap();
    }
    write_key(&home, KEY, 0o600);
    home
}

fn write_key(home: &TempDir, key: &str, mode: u32) {
    let path = home.path().join("cluster.key");
    fs::write(&path, key).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn write_secret(home: &TempDir, name: &str, mode: u32) {
    let path = home.path().join("secrets").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "not for everybody\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// `standin check` on the node file of `home`, run in that directory.
fn check(home: &TempDir) -> Output {
    Command::new(env!("CARGO_BIN_EXE_standin"))
        .args(["check", "--config", "standin.toml"])
        .current_dir(home.path())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_example_is_accepted_on_each_of_its_servers() {
    let examples = entries(&deploy("examples"));
    assert!(examples.len() >= 2, "two and three servers: {examples:?}");
    for example in examples {
        let cluster = fs::read_to_string(example.join("cluster.toml")).unwrap();
        let cluster = parse_cluster("cluster.toml", &cluster).map_err(draw).unwrap();
        let home = installed(&example);
        let node = fs::read_to_string(home.path().join("standin.toml")).unwrap();
        let first = cluster.servers.values().next().unwrap().addresses().collect::<Vec<_>>();
        for (name, server) in &cluster.servers {
            // What the file's comments tell the operator to change.
            let mut own = node.replace(cluster.servers.keys().next().unwrap().as_str(), name.as_str());
            for (from, to) in first.iter().zip(server.addresses()) {
                own = own.replace(&from.to_string(), &to.to_string());
            }
            fs::write(home.path().join("standin.toml"), own).unwrap();
            let output = check(&home);
            assert_eq!(output.status.code(), Some(0), "{}: {}", example.display(), text(&output.stderr));
            assert_eq!(text(&output.stderr), "", "{}: no warnings", example.display());
            assert!(text(&output.stdout).contains(&format!("server {name} of cluster {}", cluster.name)));
        }
    }
}

#[test]
fn every_mistake_gives_its_exact_diagnostic() {
    let update = std::env::var_os("UPDATE").is_some();
    let (mut tried, mut wrong) = (0, Vec::new());
    for path in entries(&deploy("invalid")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "toml")) {
        tried += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let source = fs::read_to_string(&path).unwrap();
        let mistakes = match name.starts_with("node-") {
            true => parse_node(name, &source).map(drop),
            false => parse_cluster(name, &source).map(drop),
        };
        let found = mistakes.err().map(draw).unwrap_or_else(|| "accepted\n".to_owned());
        let expect = path.with_extension("expect");
        if update {
            fs::write(&expect, &found).unwrap();
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        if found != expected || found == "accepted\n" {
            wrong.push(format!("{name}: expected\n{expected}\nfound\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried >= 50, "{tried} files in deploy/invalid");
}

fn draw(mistakes: Vec<Diagnostic>) -> String {
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect::<Vec<_>>().join("\n")
}

#[test]
fn check_prints_what_would_happen() {
    let home = installed(&deploy("examples/two-servers"));
    let output = check(&home);
    let digest = text(&output.stdout).split("configuration ").nth(1).unwrap()[..16].to_owned();
    assert!(digest.chars().all(|c| c.is_ascii_hexdigit()));
    insta::assert_snapshot!(text(&output.stdout).replace(&digest, "DIGEST"), @r#"
    no mistakes: server web1 of cluster example, configuration DIGEST

    heartbeats  every 50 ms, 3 misses: a dead server is noticed after 150 ms
    partition   a server that hears no other must reach 192.0.2.1
    dns         on 192.0.2.11:53

    SERVER  ADDRESSES   HEARTBEATS TO
    web1    192.0.2.11  192.0.2.11:7946  this machine
    web2    192.0.2.12  192.0.2.12:7946

    VIRTUAL HOST  ADDRESSES    PRIMARY, BACKUPS  MONITORS
    virtual1      192.0.2.101  web1, web2        http-80 every 1 s
    virtual2      192.0.2.102  web2, web1        http-80 every 1 s

    POOL  MEMBERS             POLICY       TTL
    www   virtual1, virtual2  round-robin  5 s

    ZONE            TEMPLATE  NAMES  OF POOLS
    lb.example.org  lb.zone   6      2
    "#);
}

#[test]
fn check_prints_the_mistakes_of_all_files() {
    let home = installed(&deploy("examples/two-servers"));
    let spoil = |file: &str, from: &str, to: &str| {
        let path = home.path().join(file);
        let good = fs::read_to_string(&path).unwrap();
        assert!(good.contains(from), "{from}");
        fs::write(&path, good.replace(from, to)).unwrap();
    };
    spoil("standin.toml", "name = \"web1\"", "name = \"web3\"");
    spoil("lb.zone", "POOL    www", "POOL    wwww");
    write_key(&home, "c2hvcnQ=", 0o600);
    let output = check(&home);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let home = home.path().display().to_string();
    insta::assert_snapshot!(text(&output.stderr).replace(&home, "HOME"), @r#"
    standin.toml:10:8: there is no server `web3` in HOME/cluster.toml
       |
    10 | name = "web3"
       |        ^^^^^^
       |
       = help: write the name of this machine's [server.NAME] section; there is: web1, web2

    standin.toml:26:12: the key file HOME/cluster.key: a cluster key has at least 32 bytes, this one has 5
       |
    26 | key-file = "HOME/cluster.key"
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: make one with `head -c 32 /dev/urandom | base64`, the same on every server, mode 600

    HOME/lb.zone:19:25: no pool is called `wwww`
       |
    19 | @               POOL    wwww
       |                         ^^^^
       |
       = help: did you mean `www`?

    HOME/lb.zone:20:25: no pool is called `wwww`
       |
    20 | www             POOL    wwww
       |                         ^^^^
       |
       = help: did you mean `www`?

    4 mistakes in 2 files
    "#);
}

#[test]
fn a_draft_of_a_template_is_tried_without_a_daemon() {
    let home = installed(&deploy("examples/two-servers"));
    let good = fs::read_to_string(home.path().join("lb.zone")).unwrap();
    let query = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
        command.args(["zone", "query", "--config", "standin.toml"]).args(arguments);
        command.current_dir(home.path()).output().unwrap()
    };
    fs::write(home.path().join("draft.zone"), format!("{good}new A 192.0.2.99\n")).unwrap();
    let drafted = query(&["--template", "draft.zone", "lb.example.org", "new"]);
    assert_eq!(drafted.status.code(), Some(0), "{drafted:?}");
    assert!(text(&drafted.stdout).contains("192.0.2.99"), "{}", text(&drafted.stdout));
    // The pools are the configuration's.
    let pool = query(&["--template", "draft.zone", "--down", "virtual1", "lb.example.org", "www"]);
    assert!(text(&pool.stdout).contains("192.0.2.102"), "{}", text(&pool.stdout));
    let configured = query(&["lb.example.org", "new"]);
    assert!(text(&configured.stdout).contains("NXDOMAIN"), "{}", text(&configured.stdout));

    fs::write(home.path().join("draft.zone"), format!("{good}new A here\n")).unwrap();
    let broken = query(&["--template", "draft.zone", "lb.example.org", "new"]);
    assert_eq!(broken.status.code(), Some(2), "{broken:?}");
    let last = good.lines().count() + 1;
    assert!(text(&broken.stderr).starts_with(&format!("draft.zone:{last}:7: ")), "{}", text(&broken.stderr));
}

#[test]
fn check_warns_of_a_key_that_others_may_read() {
    let home = installed(&deploy("examples/two-servers"));
    write_key(&home, KEY, 0o644);
    let output = check(&home);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("mode 644"), "{}", text(&output.stderr));
}

#[test]
fn check_says_when_there_is_no_such_file() {
    let home = TempDir::new().unwrap();
    let output = check(&home);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("standin.toml:1:1: cannot be read: No such file"));
}

/// The two-server example with a hook whose program is `program`.
fn with_hook(program: &Path) -> TempDir {
    let home = installed(&deploy("examples/two-servers"));
    let path = home.path().join("cluster.toml");
    let hook = format!("on = \"before-take\"\ncommand = [\"{}\", \"--now\"]\n", program.display());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n[[virtual-host.virtual1.hook]]\n{hook}")).unwrap();
    home
}

#[test]
fn check_refuses_a_hook_that_others_could_change_and_warns_of_one_that_is_not_there() {
    let place = TempDir::new().unwrap();
    let program = place.path().join("mount-data");
    let home = with_hook(&program);
    let output = check(&home);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("warning: ") && said.contains("cluster.toml:"), "{said}");
    assert!(said.contains("before-take hook of virtual host `virtual1`") && said.contains("does not exist"), "{said}");

    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o775)).unwrap();
    let output = check(&home);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr).replace(&place.path().display().to_string(), "PLACE");
    let said = said.replace(&home.path().display().to_string(), "HOME");
    // The command is the file's last line.
    let lines = fs::read_to_string(home.path().join("cluster.toml")).unwrap().lines().count();
    let said = said.replace(&lines.to_string(), "99");
    insta::assert_snapshot!(said, @r#"
    HOME/cluster.toml:99:12: before-take hook of virtual host `virtual1`: PLACE/mount-data has mode 775: others than its owner could change what is run; `chmod go-w` it
       |
    99 | command = ["PLACE/mount-data", "--now"]
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: a program is run only if root or the daemon's user alone can change it and every directory above it

    1 mistake in 1 file
    "#);

    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = check(&home);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn check_refuses_a_monitors_program_that_others_could_change() {
    let place = TempDir::new().unwrap();
    let program = place.path().join("look-after-web");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o775)).unwrap();
    let command = format!("command = [\"{}\"]", program.display());
    for (monitor, place) in [
        (format!("type = \"tcp\"\nport = 7\nrecovery = {{ {command} }}\n"), "25: recovery of monitor `tcp-7`"),
        (format!("type = \"exec\"\nname = \"web\"\n{command}\n"), "12: monitor `web`"),
    ] {
        let home = installed(&deploy("examples/two-servers"));
        let path = home.path().join("cluster.toml");
        let text = fs::read_to_string(&path).unwrap() + "\n[[virtual-host.virtual1.monitor]]\n" + &monitor;
        fs::write(&path, &text).unwrap();
        let output = check(&home);
        let said = self::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let place = format!("cluster.toml:{}:{place} of virtual host `virtual1`: ", text.lines().count());
        assert!(said.contains(&place) && said.contains("has mode 775"), "{said}");
    }
}

#[test]
fn check_refuses_a_secret_that_others_may_read_and_warns_of_one_that_is_not_there() {
    let home = installed(&deploy("examples/three-servers"));
    write_secret(&home, "on-call", 0o644);
    let output = check(&home);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("notify `on-call`: the secret ") && said.contains("(mode 644): `chmod 600` it"), "{said}");
    assert!(!said.contains("not for everybody"), "{said}");
    fs::remove_file(home.path().join("secrets/on-call")).unwrap();
    let output = check(&home);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("warning: ") && said.contains("secrets/on-call: No such file"), "{said}");
}
