//! Every type of monitor against a real server of its kind and against servers with faults: tests/monitors/table.txt shows
//! type, fault, verdict and reason.
//!
//! `UPDATE=1 cargo test --test monitors` writes the table anew. Programs that are missing are named; with `CI=true` that is
//! a failure.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod monitor_support;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use monitor_support::{
    NAME, PATIENCE, SHORT,
    certificates::{Authority, Identity},
    faults::{Fault, refusing, start, tls_before},
    grpc::{self, Health},
    probe,
    servers::{Place, Server, free_port, lacking},
};
use tokio::task::JoinSet;

/// A type of monitor, and what can be wrong with its servers.
#[derive(Clone, Copy)]
struct Kind {
    /// The type's word, and the name of its rows.
    word: &'static str,
    /// Settings of the monitor beyond type, port and TLS.
    settings: &'static str,
    /// What a server of this kind says first, or answers.
    right: &'static [u8],
    /// What servers say that it should not accept.
    wrong: &'static [&'static [u8]],
    /// Whether TLS may begin with the first byte, and whether the real server agrees to it later.
    tls: (bool, bool),
}

#[rustfmt::skip] // bytes of protocols read better on one line
const KINDS: &[Kind] = &[
    Kind {
        word: "tcp",
        settings: "send = \"GET /health HTTP/1.0\\r\\n\\r\\n\"\nexpect = \"^HTTP/1.1 200 \"",
        right: b"HTTP/1.1 200 OK\r\n\r\n",
        wrong: &[],
        tls: (true, false),
    },
    Kind {
        word: "http",
        settings: "path = \"/health\"\nbody = \"all is well\"",
        right: b"HTTP/1.1 200 OK\r\n\r\n",
        wrong: &[b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", b"SSH-2.0-x\r\n"],
        tls: (false, false),
    },
    Kind {
        word: "https",
        settings: "path = \"/health\"\nbody = \"all is well\"",
        right: b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc",
        wrong: &[b"HTTP/1.1 400 plain text\r\n\r\n"],
        tls: (true, false),
    },
    Kind {
        word: "smtp",
        settings: "expect = \"ESMTP\"",
        right: b"220 monitors.test ESMTP\r\n",
        wrong: &[b"554 no service here\r\n", b"220 other.test SMTP\r\n", b"SSH-2.0-x\r\n"],
        tls: (true, true),
    },
    Kind {
        word: "ftp",
        settings: "",
        right: b"220 welcome\r\n",
        wrong: &[b"421 too many users\r\n", b"* OK IMAP\r\n"],
        tls: (true, true),
    },
    Kind {
        word: "telnet",
        settings: "",
        right: b"\xff\xfd\x18\r\n\r\n\r\n\r\n\r\nlogin: ",
        wrong: &[],
        tls: (true, false),
    },
    Kind {
        word: "imap",
        settings: "",
        right: b"* OK ready\r\n",
        wrong: &[b"* BYE too many\r\n", b"220 smtp\r\n"],
        tls: (true, true),
    },
    Kind { word: "pop3", settings: "", right: b"+OK ready\r\n", wrong: &[b"-ERR busy\r\n"], tls: (true, true) },
    Kind {
        word: "nntp",
        settings: "",
        right: b"200 posting allowed\r\n",
        wrong: &[b"400 temporarily unavailable\r\n", b"502 not for you\r\n"],
        tls: (true, true),
    },
    Kind {
        word: "ssh",
        settings: "expect = \"OpenSSH\"",
        right: b"SSH-2.0-OpenSSH_9\r\n",
        wrong: &[b"SSH-1.5-old\r\n", b"SSH-2.0-other\r\n", b"SSH-2.0-OpenSSH_9\r\n\0\0\0\x0c\x0a\x01"],
        tls: (false, false),
    },
    Kind {
        word: "ldap",
        settings: "",
        right: b"\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
        wrong: &[b"220 smtp\r\n", b"\x30\x10\x02\x01\x02\x65\x0b\x0a\x01\x33\x04\x00\x04\x04busy"],
        tls: (true, true),
    },
    Kind {
        word: "mysql",
        settings: "user = \"root\"",
        right: b"\x4a\0\0\0\x0a5.5.5-10.11.6-MariaDB\0",
        wrong: &[b"\x1d\0\0\0\xff\x10\x04#08004Too many connections"],
        tls: (false, true),
    },
    Kind {
        word: "postgresql",
        settings: "user = \"monitor\"",
        right: b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
        wrong: &[b"E\0\0\0\x36SFATAL\0C57P03\0Mthe database system is starting up\0", b"R\0\0\0\x08\0\0\0\x03"],
        tls: (false, true),
    },
    Kind {
        word: "redis",
        settings: "",
        right: b"+PONG\r\n",
        wrong: &[b"-LOADING Redis is loading the dataset in memory\r\n"],
        tls: (true, false),
    },
    Kind { word: "grpc", settings: "service = \"mail\"", right: b"\0\x3f\xfc\x04\0\0\0\0\0", wrong: &[b"SSH-2.0-x\r\n"], tls: (true, false) },
    Kind {
        word: "smb",
        settings: "",
        right: b"\0\0\0\x80\xfeSMB\x40\0\0\0",
        wrong: &[b"\0\0\0\x04\xffSMB", &SMB_NOT_SUPPORTED],
        tls: (false, false),
    },
    Kind {
        word: "nfs",
        settings: "",
        right: b"\x80\0\0\x18WAND\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        wrong: &[b"\x80\0\0\x20WAND\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0\x03"],
        tls: (false, false),
    },
    Kind {
        word: "dns",
        settings: "query = \"www.monitors.test\"\nanswer = [\"192.0.2.80\", \"192.0.2.81\"]\ntransport = \"tcp\"",
        right: b"\0\x0c\0\0\x80\0\0\0\0\0\0\0",
        wrong: &[],
        tls: (false, false),
    },
];

/// An answer to NEGOTIATE with a dialect that was asked for, and STATUS_NOT_SUPPORTED.
const SMB_NOT_SUPPORTED: [u8; 4 + 72] = {
    let mut answer = [0; 4 + 72];
    let head = *b"\0\0\0\x48\xfeSMB\x40\0\0\0\xbb\0\0\xc0";
    let mut at = 0;
    while at < head.len() {
        answer[at] = head[at];
        at += 1;
    }
    [answer[4 + 64 + 4], answer[4 + 64 + 5]] = [0x10, 0x02];
    answer
};

/// Monitors of the real servers with other settings than above.
#[rustfmt::skip] // one line each: it is a table
const VARIANTS: &[(&str, &str, &str)] = &[
    ("http", "follows a redirection", "path = \"/old\"\nredirects = \"follow\"\nbody = \"well\""),
    ("http", "a redirection is an answer", "path = \"/old\"\nstatus = 301"),
    ("http", "redirected to another service", "path = \"/away\"\nredirects = \"follow\""),
    ("http", "redirected to another host", "path = \"/other\"\nredirects = \"follow\""),
    ("http", "redirected in a circle", "path = \"/round\"\nredirects = \"follow\""),
    ("http", "headers and host", "path = \"/head\"\nhost = \"www.test\"\nheaders = { X-Probe = \"yes\" }\nbody-matches = \"^GET www[.]test\""),
    ("http", "without the header", "path = \"/head\""),
    ("http", "HEAD", "path = \"/health\"\nmethod = \"HEAD\""),
    ("http", "keep-alive", "path = \"/health\"\nkeep-alive = true"),
    ("http", "another page", "path = \"/nothing\""),
    ("http", "a body that does not match", "path = \"/health\"\nbody-matches = \"^all is bad\""),
    ("tcp", "connects", ""),
    ("mysql", "a stranger", ""),
    ("mysql", "an unknown user", "user = \"nobody-here\""),
    ("postgresql", "a stranger", ""),
    ("postgresql", "an unknown user", "user = \"nobody-here\""),
    ("postgresql", "an unknown database", "user = \"monitor\"\ndatabase = \"none\""),
    ("grpc", "the whole server", ""),
    ("grpc", "a service that does not serve", "service = \"news\""),
    ("grpc", "an unknown service", "service = \"none\""),
    ("dns", "UDP", "query = \"www.monitors.test\""),
    ("dns", "cut short by UDP", "query = \"long.monitors.test\"\nrecord-type = \"TXT\""),
    ("dns", "MX", "query = \"monitors.test.\"\nrecord-type = \"MX\"\nanswer = \"10 mail.monitors.test\""),
    ("dns", "another answer", "query = \"www.monitors.test\"\nanswer = \"192.0.2.9\""),
    ("dns", "no such name", "query = \"none.monitors.test\""),
    ("dns", "no such record", "query = \"www.monitors.test\"\nrecord-type = \"AAAA\""),
    ("dns", "not its zone", "query = \"example.org\""),
    ("ntp", "up", ""),
    ("ntp", "too far from a clock", "max-stratum = 3"),
    ("nfs", "another version", "version = 3"),
];

#[rustfmt::skip]
const PROGRAMS: [&str; 19] = [
    "nginx", "exim4", "vsftpd", "inetd", "telnetd", "nnrpd", "dovecot", "sshd", "ssh-keygen", "kill", "redis-server",
    "slapd", "postgres", "mariadbd", "mariadb-install-db", "chronyd", "smbd", "ganesha.nfsd", "knotd",
];

/// The real servers, by type.
struct Real {
    ports: Vec<(&'static str, u16)>,
    _servers: Vec<Server>,
}

impl Real {
    fn start(folder: &Path, identity: &Identity, grpc: u16) -> Self {
        let place = Place::new(folder, identity);
        let words = [
            "http",
            "smtp",
            "ftp",
            "telnet",
            "nntp",
            "imap",
            "pop3",
            "ssh",
            "redis",
            "ldap",
            "postgresql",
            "mysql",
            "ntp",
            "smb",
            "nfs",
            "dns",
        ];
        let mut ports: Vec<(&'static str, u16)> = words.map(|word| (word, free_port())).into();
        let port = |word| ports.iter().find(|(other, _)| *other == word).unwrap().1;
        let mut servers = vec![
            (place.postgres(port("postgresql")), vec![port("postgresql")]),
            (place.mariadb(port("mysql")), vec![port("mysql")]),
            (place.redis(port("redis")), vec![port("redis")]),
            (place.slapd(port("ldap")), vec![port("ldap")]),
            (place.smbd(port("smb")), vec![port("smb")]),
            (place.ganesha(port("nfs")), vec![port("nfs")]),
            (place.knotd(port("dns")), vec![port("dns")]),
            // By UDP alone: probes ask again until it answers.
            (place.chronyd(port("ntp")), vec![]),
            (place.nginx(port("http")), vec![port("http")]),
            (place.exim(port("smtp")), vec![port("smtp")]),
            (place.vsftpd(port("ftp")), vec![port("ftp")]),
            (place.inetd(port("telnet"), port("nntp")), vec![port("telnet"), port("nntp")]),
            (place.dovecot(port("imap"), port("pop3")), vec![port("imap"), port("pop3")]),
            (place.sshd(port("ssh")), vec![port("ssh")]),
        ];
        for (server, ports) in &mut servers {
            ports.iter().for_each(|port| server.await_port(*port));
        }
        ports.push(("grpc", grpc));
        Self { ports, _servers: servers.into_iter().map(|(server, _)| server).collect() }
    }

    fn port(&self, word: &str) -> u16 {
        let word = if matches!(word, "tcp" | "https") { "http" } else { word };
        self.ports.iter().find(|(other, _)| *other == word).unwrap().1
    }
}

/// Verdicts, each with the row that it belongs to: the probes run side by side.
#[derive(Default)]
struct Rows(JoinSet<(usize, String)>);

impl Rows {
    fn add(&mut self, word: &'static str, fault: &str, settings: String, port: u16, timeout: Duration) {
        let (index, fault) = (self.0.len(), fault.to_owned());
        self.0.spawn(async move {
            let (verdict, reason) = probe(&settings, port, timeout).await;
            // What differs from machine to machine.
            let own = format!("process {}", std::process::id());
            let reason = reason.replace(&format!(":{port}"), ":PORT").replace(&own, "process PID");
            // How much of a slow answer was heard.
            let slow =
                fault.starts_with("a byte each").then(|| reason.split(';').next().unwrap_or_default().to_owned());
            let reason = slow.unwrap_or(reason);
            let reason = match (reason.split_once("% free"), reason.split_once(" s ago")) {
                (Some((_, rest)), _) if word == "disk" => format!("N% free{rest}"),
                (_, Some((_, rest))) if fault == "old" => format!("written N s ago{rest}"),
                _ => reason,
            };
            (index, format!("{word:<10} {fault:<34} {verdict:<9} {reason}").trim_end().to_owned() + "\n")
        });
    }

    async fn text(self) -> String {
        let mut rows = self.0.join_all().await;
        rows.sort();
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// The monitor's settings; `tls` are those of TLS.
fn settings(kind: &Kind, tls: &str) -> String {
    let insecure = if kind.word == "https" && tls.is_empty() { "verify = false" } else { "" };
    format!("type = \"{}\"\n{}\n{tls}\n{insecure}", kind.word, kind.settings)
}

/// TLS as an operator would set it up here.
fn verified(kind: &Kind, start: &str, authority: &Path) -> String {
    let start = if kind.word == "https" { String::new() } else { format!("tls = \"{start}\"\n") };
    format!("{start}server-name = \"{NAME}\"\nca-file = \"{}\"", authority.display())
}

async fn with_real_servers(rows: &mut Rows, kind: &Kind, real: &Real, authority: &Authority, file: &Path) {
    let (word, port) = (kind.word, real.port(kind.word));
    if word != "https" {
        rows.add(word, "up", settings(kind, ""), port, PATIENCE);
    }
    if kind.tls.1 {
        rows.add(word, "up, STARTTLS", settings(kind, &verified(kind, "starttls", file)), port, PATIENCE);
        let any = "tls = \"starttls\"\nserver-name = \"other.test\"";
        rows.add(word, "STARTTLS, not verified", settings(kind, &format!("{any}\nverify = false")), port, PATIENCE);
        let other = format!("{any}\nca-file = \"{}\"", file.display());
        rows.add(word, "STARTTLS, another name", settings(kind, &other), port, PATIENCE);
    }
    if !kind.tls.0 {
        return;
    }
    let (right, within) =
        (settings(kind, &verified(kind, "implicit", file)), |name, hours| authority.sign(name, hours));
    for (fault, identity) in [
        ("up, TLS", within(NAME, 24 * 60)),
        ("TLS, expires soon", within(NAME, 24 * 5 + 1)),
        ("TLS, expired", within(NAME, -24 * 3 - 1)),
        ("TLS, another name", within("other.test", 24 * 60)),
        ("TLS, another authority", Authority::new("another authority").sign(NAME, 24 * 60)),
    ] {
        rows.add(word, fault, right.clone(), tls_before(port, &identity).await, PATIENCE);
    }
    let not_verified = if word == "https" { "" } else { "tls = \"implicit\"\nverify = false" };
    let expired = tls_before(port, &within("other.test", -24 * 3 - 1)).await;
    rows.add(word, "TLS, expired, not verified", settings(kind, not_verified), expired, PATIENCE);
    // The others say nothing of it.
    if !matches!(word, "ldap" | "redis" | "grpc") {
        rows.add(word, "TLS asked of a server without", right, port, PATIENCE);
    }
}

async fn with_faults(rows: &mut Rows, kind: &Kind, refused: u16) {
    let (word, plain) = (kind.word, settings(kind, ""));
    rows.add(word, "refused", plain.clone(), refused, PATIENCE);
    rows.add(word, "closes at once", plain.clone(), start(Fault::HalfClosed(b"")).await, PATIENCE);
    let half = &kind.right[..kind.right.len() / 2];
    // Who speaks HTTP before it is asked does not speak HTTP.
    let closes = if word == "http" { Fault::HalfAnswers } else { Fault::HalfClosed };
    rows.add(word, "closes in the middle", plain.clone(), start(closes(half)).await, PATIENCE);
    let speaks = if word == "http" { Fault::Answers } else { Fault::Says };
    for (number, wrong) in (1..).zip(kind.wrong) {
        let said = String::from_utf8_lossy(wrong);
        let first = said.lines().next().unwrap_or_default();
        let readable = first.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let fault = if readable { format!("says {first:?}") } else { format!("wrong answer {number}") };
        rows.add(word, &fault, plain.clone(), start(speaks(wrong)).await, PATIENCE);
    }
}

/// Of all types together, while nothing else keeps the machine busy.
async fn too_slow(rows: &mut Rows) {
    for kind in KINDS {
        let (word, plain) = (kind.word, settings(kind, ""));
        rows.add(word, "silent", plain.clone(), start(Fault::Silent).await, SHORT);
        let drips = if word == "http" { Fault::DripsAnswers } else { Fault::Drips };
        rows.add(word, "a byte each 100 ms", plain, start(drips(kind.right)).await, SHORT);
    }
}

/// Monitors of what only the machine itself sees, in a place made for them: type, row, settings.
fn local(place: &Path) -> Vec<(&'static str, &'static str, String)> {
    use std::os::unix::fs::PermissionsExt;
    let at = place.display();
    let write = |name: &str, text: &str, mode: u32| {
        fs::write(place.join(name), text).unwrap();
        fs::set_permissions(place.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(place.join("programs")).unwrap();
    let shell = |text: &str| format!("command = [\"/bin/sh\", \"-c\", \"{text}\", \"plugin\", \"{{address}}\"]");
    write("plugin", "#!/bin/sh\n", 0o777);
    write("state-up", "up\n", 0o644);
    write("state-degraded", "degraded the tape is nearly full\n", 0o644);
    write("state-down", "down\n", 0o644);
    write("state-odd", "perhaps\n", 0o644);
    write("state-old", "up\n", 0o644);
    let old = fs::File::options().write(true).open(place.join("state-old")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    write("pid-own", &format!("{}\n", std::process::id()), 0o644);
    write("pid-none", "4194304\n", 0o644);
    write("pid-odd", "one\n", 0o644);
    vec![
        ("exec", "exit code 0", shell("echo OK - $1")),
        ("exec", "exit code 1", shell("echo 'WARNING - load 7 | load1=7;5;10'; exit 1")),
        ("exec", "exit code 2", shell("echo \\\"CRITICAL - $1 is unwell\\\" '| rta=9ms'; exit 2")),
        ("exec", "exit code 3", shell("echo no such option; exit 3")),
        ("exec", "exit code 4", shell("exit 4")),
        ("exec", "a complaint only", shell("echo cannot connect >&2; exit 2")),
        ("exec", "killed by a signal", shell("kill -SEGV $$")),
        ("exec", "writable by others", format!("command = [\"{at}/plugin\"]")),
        ("exec", "not there", "command = [\"/usr/lib/no-such-plugin\"]".to_owned()),
        ("exec", "an unknown user", "command = [\"/bin/true\"]\nuser = \"no-such-user\"".to_owned()),
        ("process", "this very process", format!("pid-file = \"{at}/pid-own\"")),
        ("process", "of another name", format!("pid-file = \"{at}/pid-own\"\nprogram = \"nginx\"")),
        ("process", "that is not there", format!("pid-file = \"{at}/pid-none\"")),
        ("process", "no number", format!("pid-file = \"{at}/pid-odd\"")),
        ("process", "no file", format!("pid-file = \"{at}/none\"")),
        ("process", "by name", "program = \"mariadbd\"".to_owned()),
        ("process", "by a name that none has", "program = \"no-such-program-anywhere\"".to_owned()),
        ("disk", "room", format!("path = \"{at}\"\nmin-free = \"1MiB\"")),
        ("disk", "little room", format!("path = \"{at}\"\nmin-free = \"1MiB\"\nwarn-free = \"100%\"")),
        ("disk", "no such room anywhere", format!("path = \"{at}\"\nmin-free = \"100%\"")),
        ("disk", "not there", format!("path = \"{at}/none\"")),
        ("file", "up", format!("path = \"{at}/state-up\"\nmax-age = \"1h\"")),
        ("file", "old", format!("path = \"{at}/state-old\"\nmax-age = \"1h\"")),
        ("file", "degraded", format!("path = \"{at}/state-degraded\"")),
        ("file", "down", format!("path = \"{at}/state-down\"")),
        ("file", "something else", format!("path = \"{at}/state-odd\"")),
        ("file", "as expected", format!("path = \"{at}/state-odd\"\nexpect = \"^per\"")),
        ("file", "not as expected", format!("path = \"{at}/state-odd\"\nexpect = \"^ok\"")),
        ("file", "not there", format!("path = \"{at}/none\"")),
        ("file", "a folder", format!("path = \"{at}/programs\"")),
    ]
}

#[test]
fn every_type_against_every_fault() {
    let lacking = lacking(&PROGRAMS);
    if !lacking.is_empty() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "not installed: {lacking:?}");
        eprintln!("skipped: not installed: {lacking:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the authority");
    let file: PathBuf = folder.path().join("authority.pem");
    fs::write(&file, &authority.certificate).unwrap();
    let identity = authority.sign(NAME, 24 * 90);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let health = [("", Health::Serving), ("mail", Health::Serving), ("news", Health::NotServing)];
    let grpc = runtime.block_on(grpc::start(health.into()));
    let real = Real::start(folder.path(), &identity, grpc);
    let found = runtime.block_on(async {
        let mut text = format!("{:<10} {:<34} {:<9} {}\n", "TYPE", "SERVER", "VERDICT", "REASON");
        for kind in KINDS {
            let (_kept, refused) = refusing();
            let mut rows = Rows::default();
            with_real_servers(&mut rows, kind, &real, &authority, &file).await;
            with_faults(&mut rows, kind, refused).await;
            writeln!(text, "\n{}", rows.text().await.trim_end()).unwrap();
        }
        let mut rows = Rows::default();
        too_slow(&mut rows).await;
        writeln!(text, "\n{}", rows.text().await.trim_end()).unwrap();
        let mut rows = Rows::default();
        for (word, fault, settings) in VARIANTS {
            let settings = format!("type = \"{word}\"\n{settings}");
            rows.add(word, fault, settings, real.port(word), PATIENCE);
        }
        rows.add("icmp", "this machine", "type = \"icmp\"".to_owned(), 0, PATIENCE);
        writeln!(text, "\n{}", rows.text().await.trim_end()).unwrap();
        // Of the test's own: nobody else could have changed what is run there.
        let place = tempfile::tempdir().unwrap();
        let place = place.path();
        let mut rows = Rows::default();
        for (word, fault, settings) in local(place) {
            rows.add(word, fault, format!("type = \"{word}\"\n{settings}"), 0, PATIENCE);
        }
        let text_of_place = place.display().to_string();
        writeln!(text, "\n{}", rows.text().await.trim_end().replace(&text_of_place, "PLACE")).unwrap();
        let stopped: Vec<_> = KINDS.iter().map(|kind| (kind, real.port(kind.word))).collect();
        drop(real);
        let mut rows = Rows::default();
        // The test's own does not stop.
        for (kind, port) in stopped.into_iter().filter(|(kind, _)| kind.word != "grpc") {
            rows.add(kind.word, "stopped", settings(kind, ""), port, PATIENCE);
        }
        text + "\n" + &rows.text().await
    });
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/monitors/table.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&table, &found).unwrap();
    }
    let expected = fs::read_to_string(&table).unwrap_or_default();
    let differ = expected.lines().zip(found.lines()).filter(|(a, b)| a != b);
    let differ: String = differ.map(|(a, b)| format!("- {a}\n+ {b}\n")).collect();
    assert!(found == expected, "{differ}");
}
