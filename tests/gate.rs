//! The admin port among strangers: what TLS it speaks, whom it believes, and what it does with who is slow, long or many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

mod stage_support;
mod tls_support;

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use host::lab::stage::Stage;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use stage_support::{CLUSTER, PATIENCE, await_status, installed, on_stage, set};
use tls_support::gullible;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");
const SERVERS: [(&str, &str, &str); 2] = [("web1", "10.77.0.11", "fd00:77::11"), ("web2", "10.77.0.12", "fd00:77::12")];
/// The last part of the client's address.
const CLIENT: u8 = 200;
const GATE: &str = "10.77.0.11:8053";

fn run(stage: &Stage, host: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = stage.host(host).unwrap().command(PROGRAM);
    let mut child =
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn ask(stage: &Stage, arguments: &[&str], input: &str) -> String {
    let socket = stage.socket("web1");
    let output = run(stage, "web1", &[arguments, &["--socket", socket.to_str().unwrap()]].concat(), input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A cluster of two servers.
fn cluster(directory: &Path) -> Stage {
    let file = CLUSTER
        .replace("[server.web3]\naddress = \"10.77.0.13\"\nalso = [\"fd00:77::13\"]\n", "")
        .replace("\"web3\", ", "")
        .replace(", \"web3\"", "");
    let mut stage = set(directory, &file, &SERVERS);
    let config = |stage: &Stage, server: &str| stage.config(server).to_str().unwrap().to_owned();
    assert!(run(&stage, "web1", &["init", "--config", &config(&stage, "web1")], "").status.success());
    stage.start("web1").unwrap();
    await_status(&stage, "web1", "up", |_| true);
    let token = ask(&stage, &["token"], "");
    let joined = run(&stage, "web2", &["join", "10.77.0.11", "--config", &config(&stage, "web2")], &token);
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    stage.start("web2").unwrap();
    for server in ["web1", "web2"] {
        await_status(&stage, server, "both alive and at home", |status| {
            status.servers.len() == 2
                && status.servers.iter().all(|one| one.state == "alive" || one.state == "self")
                && status.virtual_hosts.iter().all(|host| host.active.as_ref() == Some(&host.servers[0].name))
        });
    }
    stage
}

fn events(stage: &Stage) -> Vec<Value> {
    ask(stage, &["events", "--json"], "").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn await_denied(stage: &Stage, after: u64, action: &str, reason: &str) {
    let begun = Instant::now();
    loop {
        let seen = events(stage);
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let is = |event: &&Value| {
            event["event"] == "denied"
                && event["sequence"].as_u64() > Some(after)
                && text(event, "action") == action
                && text(event, "reason").contains(reason)
        };
        if seen.iter().any(|event| is(&event)) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no refusal of {action} with {reason}: {seen:#?}");
    }
}

fn last(stage: &Stage) -> u64 {
    events(stage).last().and_then(|event| event["sequence"].as_u64()).unwrap_or(0)
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A stranger's connection from 10.77.0.`last`, its handshake done.
fn connect(last: u8) -> io::Result<Tls> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([10, 77, 0, last], 0)).into())?;
    socket.connect_timeout(&GATE.parse::<SocketAddr>().unwrap().into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut tls = StreamOwned::new(gullible(), TcpStream::from(socket));
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// What the server says until it ends the connection.
fn rest(tls: &mut Tls) -> String {
    let mut said = Vec::new();
    let _cut_off = tls.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn tls_is_1_3_with_strong_suites_and_strange_authorities_are_refused() {
    on_stage("tls_is_1_3_with_strong_suites_and_strange_authorities_are_refused", || {
        let Some(openssl) = installed("openssl") else { return };
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path());
        let shake = |arguments: &[&str]| {
            let mut command = stage.client.command(&openssl);
            command.args(["s_client", "-connect", GATE, "-servername", "standin", "-brief"]).args(arguments);
            let output = command.stdin(Stdio::null()).output().unwrap();
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        for old in ["-tls1", "-tls1_1", "-tls1_2"] {
            let said = shake(&[old, "-cipher", "ALL:@SECLEVEL=0"]);
            assert!(!said.contains("CONNECTION ESTABLISHED") && said.contains("alert"), "{old}: {said}");
        }
        for suite in ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"] {
            let said = shake(&["-ciphersuites", suite]);
            assert!(said.contains("Protocol version: TLSv1.3") && said.contains(suite), "{suite}: {said}");
        }
        for weak in ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"] {
            let said = shake(&["-ciphersuites", weak]);
            assert!(!said.contains("CONNECTION ESTABLISHED"), "{weak}: {said}");
        }
        await_denied(&stage, 0, "handshake", "");

        // A certificate for web2 of an authority that calls itself like the cluster's, and is not.
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = Issuer::new(authority, key);
        let own = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec!["web2".to_owned(), "standin".to_owned()]).unwrap();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = leaf.signed_by(&own, &issuer).unwrap();
        let (certificate, secret) = (directory.path().join("leaf.pem"), directory.path().join("leaf.key"));
        fs::write(&certificate, leaf.pem()).unwrap();
        fs::write(&secret, own.serialize_pem()).unwrap();
        for protocol in ["standin-link/1", "standin-document/1", "http/1.1"] {
            let before = last(&stage);
            let shown = ["-cert", certificate.to_str().unwrap(), "-key", secret.to_str().unwrap(), "-alpn", protocol];
            shake(&shown);
            await_denied(&stage, before, "handshake", "certificate");
            // And who shows none is no server.
            if protocol != "http/1.1" {
                shake(&["-alpn", protocol]);
                await_denied(&stage, before, "link", "it shows no certificate");
            }
        }
    });
}

#[test]
fn who_is_slow_or_long_is_sent_away() {
    on_stage("who_is_slow_or_long_is_sent_away", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path());
        let on_client = |work: fn()| stage.client.run(work).unwrap();
        // Longer than a stranger's body may be: said beforehand, or only noticed.
        on_client(|| {
            let mut tls = connect(CLIENT).unwrap();
            let head = "POST /v1/login HTTP/1.1\r\nhost: standin\r\ncontent-length: 99999999999\r\n\r\n";
            tls.write_all(head.as_bytes()).unwrap();
            let mut said = [0; 12];
            tls.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"HTTP/1.1 413");
        });
        on_client(|| {
            let mut tls = connect(CLIENT).unwrap();
            let head = "POST /v1/join HTTP/1.1\r\nhost: standin\r\ntransfer-encoding: chunked\r\n\r\n";
            tls.write_all(head.as_bytes()).unwrap();
            let chunk = [b"4000\r\n", &[b'x'; 0x4000][..], b"\r\n"].concat();
            let cut = (0..1000).any(|_| tls.write_all(&chunk).is_err());
            let said = rest(&mut tls);
            assert!(cut || said.starts_with("HTTP/1.1 413"), "16 MiB are read: {said}");
        });
        // Headers and bodies that come a byte at a time, and more headers than anybody needs.
        let slow = |head: &'static str, drip: &'static str| {
            move || {
                let mut tls = connect(CLIENT).unwrap();
                let begun = Instant::now();
                tls.write_all(head.as_bytes()).unwrap();
                tls.sock.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                let mut said = Vec::new();
                loop {
                    let mut piece = [0; 1024];
                    match tls.read(&mut piece) {
                        Ok(0) => break,
                        Ok(length) => said.extend_from_slice(&piece[..length]),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            if tls.write_all(drip.as_bytes()).is_err() {
                                break;
                            }
                        }
                        Err(_) => break,
                    }
                    assert!(begun.elapsed() < PATIENCE, "still there: {}", String::from_utf8_lossy(&said));
                }
                String::from_utf8_lossy(&said).into_owned()
            }
        };
        std::thread::scope(|scope| {
            let client = &stage.client;
            let head =
                scope.spawn(move || client.run(slow("GET / HTTP/1.1\r\nhost: standin\r\n", "a: b\r\n")).unwrap());
            let login = "POST /v1/login HTTP/1.1\r\nhost: standin\r\ncontent-length: 1000\r\n\r\n";
            let body = scope.spawn(move || client.run(slow(login, " ")).unwrap());
            let _no_answer = head.join().unwrap();
            assert!(body.join().unwrap().contains("408"));
        });
        let many = "x: y\r\n".repeat(1000);
        let said = stage.client.run(move || {
            let mut tls = connect(CLIENT).unwrap();
            let _refused = tls.write_all(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes());
            rest(&mut tls)
        });
        assert!(said.unwrap().starts_with("HTTP/1.1 431"));
        await_denied(&stage, 0, "request", "is longer than 65536 bytes");
        await_denied(&stage, 0, "request", "did not come in time");
        await_status(&stage, "web1", "still there", |_| true);
    });
}

#[test]
fn a_thousand_half_open_logins_hurt_no_heartbeat() {
    on_stage("a_thousand_half_open_logins_hurt_no_heartbeat", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = cluster(directory.path());
        ask(&stage, &["user", "add", "ann", "--role", "admin"], "correct horse battery staple\n");
        let (before, terms) = (last(&stage), terms(&stage));
        // Many addresses: one alone gets no more than its share. Each says who it is, and never the end of its password.
        for last in 32..64 {
            let mut ip = stage.client.command("ip");
            assert!(
                ip.args(["address", "add", &format!("10.77.0.{last}/24"), "dev", "eth0"]).status().unwrap().success()
            );
        }
        let held = stage.client.run(move || {
            let mut held = Vec::new();
            for number in 0..1000_u16 {
                let from = 32 + number % 32;
                let Ok(mut tls) = connect(u8::try_from(from).unwrap()) else { continue };
                let head = "POST /v1/login HTTP/1.1\r\nhost: standin\r\ncontent-length: 60\r\n\r\n{\"user\": \"ann\", ";
                let _sent = tls.write_all(head.as_bytes());
                held.push(tls);
            }
            held
        });
        let held = held.unwrap();
        assert!(held.len() > 100, "{} logins are half open", held.len());
        // Whoever comes by the socket, and the peers, notice nothing.
        let status = await_status(&stage, "web1", "web2 is alive", |status| status.servers[1].state == "alive");
        assert_eq!(status.servers.len(), 2);
        let lost = ["peer-suspected", "peer-dead", "datagrams-refused", "one-way-loss", "path-lost"];
        let bad: Vec<Value> = events(&stage)
            .into_iter()
            .filter(|event| event["sequence"].as_u64() > Some(before))
            .filter(|event| lost.iter().any(|kind| event["event"] == *kind))
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
        assert_eq!(self::terms(&stage), terms, "nothing has moved");
        await_denied(&stage, before, "connect", "too many connections");
        drop(held);
    });
}

fn terms(stage: &Stage) -> Vec<u64> {
    await_status(stage, "web1", "a status", |_| true).virtual_hosts.iter().map(|host| host.term).collect()
}
