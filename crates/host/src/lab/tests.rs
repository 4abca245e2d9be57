use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Lab, enter,
    forward::Forward,
    probe::{Probe, Question},
    web::Web,
};

/// How long a test waits for what must happen before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `body` where networks may be made: here, or in a second run of this test program.
fn in_lab(test: &str, body: impl FnOnce()) {
    match enter::rerun_test(&format!("lab::tests::{test}")) {
        Ok(None) => body(),
        Ok(Some(status)) => assert!(status.success(), "{test} failed inside"),
        Err(error) => {
            assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{error}");
            eprintln!("skipped: {error}");
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

/// Two servers on a switch, named as they are addressed: 10.77.0.11 and .12, fd00:77::11 and ::12.
fn two_hosts() -> (Lab, super::Host, super::Host) {
    let mut lab = Lab::new().expect("a switch");
    let one = lab.host("web1", &["10.77.0.11/24", "fd00:77::11/64"]).expect("a host");
    let two = lab.host("web2", &["10.77.0.12/24", "fd00:77::12/64"]).expect("a host");
    (lab, one, two)
}

fn has_carrier(host: &super::Host) -> bool {
    let interfaces = host.run(pnet::datalink::interfaces).expect("run there");
    interfaces.iter().any(|interface| interface.name == "eth0" && interface.is_running())
}

#[test]
fn hosts_hear_each_other_until_the_cable_is_pulled_and_again_when_it_is_plugged() {
    in_lab("hosts_hear_each_other_until_the_cable_is_pulled_and_again_when_it_is_plugged", || {
        let (lab, one, two) = two_hosts();
        let _web = Web::start(&two, 8000).expect("a web service");
        for target in ["10.77.0.12:8000", "[fd00:77::12]:8000"] {
            let start = Instant::now();
            let probe = Probe::start(&one, address(target), Question::Echo).expect("a client");
            probe.wait_for(start, PATIENCE, |who| who == "web2").expect("an answer");
            lab.unplug("web2").expect("unplugged");
            // What was on its way has arrived by the time that the probe has asked some more in vain.
            let cut = Instant::now();
            while probe.wait_for(Instant::now(), Duration::from_millis(100), |_| true).is_some() {
                assert!(cut.elapsed() < PATIENCE, "the cable is pulled, and answers still come");
            }
            assert!(!has_carrier(&two));
            lab.plug("web2").expect("plugged");
            probe.wait_for(Instant::now(), PATIENCE, |who| who == "web2").expect("an answer again");
            let report = probe.stop();
            let gap = report.longest_gap(cut).expect("answers before and after");
            assert!(gap.length() >= Duration::from_millis(100), "{gap:?}");
            assert!(report.asked > report.answers.len() as u64);
        }
    });
}

#[test]
fn a_partition_keeps_the_carrier_and_cuts_only_between_the_groups() {
    in_lab("a_partition_keeps_the_carrier_and_cuts_only_between_the_groups", || {
        let (mut lab, one, two) = two_hosts();
        let three = lab.host("web3", &["10.77.0.13/24"]).expect("a host");
        let _web = [Web::start(&two, 8000).expect("a service"), Web::start(&three, 8000).expect("a service")];
        let across = Probe::start(&one, address("10.77.0.12:8000"), Question::Echo).expect("a client");
        let beside = Probe::start(&one, address("10.77.0.13:8000"), Question::Echo).expect("a client");
        for probe in [&across, &beside] {
            probe.wait_for(Instant::now(), PATIENCE, |_| true).expect("an answer");
        }
        lab.partition(&[&["web1", "web3"], &["web2"]]).expect("cut");
        assert!(has_carrier(&one) && has_carrier(&two));
        let cut = Instant::now();
        while across.wait_for(Instant::now(), Duration::from_millis(100), |_| true).is_some() {
            assert!(cut.elapsed() < PATIENCE, "the switch is cut, and answers still come");
        }
        beside.wait_for(Instant::now(), PATIENCE, |_| true).expect("the same side still answers");
        lab.heal().expect("healed");
        across.wait_for(Instant::now(), PATIENCE, |_| true).expect("an answer again");
        assert!(lab.partition(&[&["web1"], &["nobody"]]).is_err());
    });
}

#[test]
fn a_command_runs_on_its_host_and_not_on_the_machine() {
    in_lab("a_command_runs_on_its_host_and_not_on_the_machine", || {
        let (_lab, one, _two) = two_hosts();
        let seen = |command: &mut Command| {
            let output = command.arg("/proc/self/net/fib_trie").output().expect("cat runs");
            String::from_utf8(output.stdout).expect("text")
        };
        assert!(seen(&mut one.command("cat")).contains("10.77.0.11"));
        assert!(!seen(&mut Command::new("cat")).contains("10.77.0.11"));
    });
}

#[test]
fn a_process_on_a_host_ends_with_the_thread_that_started_it() {
    in_lab("a_process_on_a_host_ends_with_the_thread_that_started_it", || {
        let (_lab, one, _two) = two_hosts();
        let start = || one.command("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep runs");
        let mut child = std::thread::scope(|scope| scope.spawn(start).join().expect("no panic"));
        let status = child.wait().expect("waited");
        assert!(!status.success(), "killed, not ended");
    });
}

#[test]
fn the_web_service_answers_its_name_and_refuses_when_stopped() {
    in_lab("the_web_service_answers_its_name_and_refuses_when_stopped", || {
        let (_lab, one, two) = two_hosts();
        let web = Web::start(&two, 80).expect("a web service");
        let get = |target: &str, path: &str| -> std::io::Result<String> {
            let fetch = || {
                let mut stream = TcpStream::connect_timeout(&address(target), PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
                let mut reply = String::new();
                stream.read_to_string(&mut reply)?;
                Ok(reply)
            };
            one.run(fetch).flatten()
        };
        assert!(get("10.77.0.12:80", "/").expect("a reply").ends_with("\r\n\r\nweb2\n"));
        assert!(get("[fd00:77::12]:80", "/").expect("a reply").ends_with("\r\n\r\nweb2\n"));
        assert!(get("10.77.0.12:80", "/health").expect("a reply").starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(get("10.77.0.12:80", "/none").expect("a reply").starts_with("HTTP/1.1 404 "));
        web.stop();
        let refused = get("10.77.0.12:80", "/").expect_err("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let _again = Web::start(&two, 80).expect("started again");
        assert!(get("10.77.0.12:80", "/").expect("a reply").ends_with("web2\n"));
    });
}

#[test]
fn the_outer_world_reaches_a_host_through_a_forward() {
    in_lab("the_outer_world_reaches_a_host_through_a_forward", || {
        let (_lab, one, two) = two_hosts();
        let _web = Web::start(&two, 80).expect("a web service");
        let outer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = outer.local_addr().expect("bound");
        let _udp = Forward::udp(outer, &one, address("10.77.0.12:80")).expect("a relay");
        for _ in 0..3 {
            let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
            client.set_read_timeout(Some(PATIENCE)).expect("set");
            client.send_to(b"hello ", port).expect("sent");
            let mut reply = [0; 64];
            let (length, from) = client.recv_from(&mut reply).expect("a reply");
            assert_eq!((&reply[..length], from), (&b"hello web2"[..], port));
        }
        let outer = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = outer.local_addr().expect("bound");
        let relay = Forward::tcp(outer, &one, address("10.77.0.12:80")).expect("a relay");
        let mut stream = TcpStream::connect(port).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        assert!(reply.ends_with("web2\n"), "{reply}");
        drop(relay);
        assert!(TcpStream::connect(port).is_err(), "the relay is gone");
    });
}

#[test]
fn names_and_addresses_that_cannot_be_are_refused() {
    in_lab("names_and_addresses_that_cannot_be_are_refused", || {
        let (mut lab, ..) = two_hosts();
        for name in ["", "web1", "a-name-too-long", "a/b"] {
            assert!(matches!(lab.host(name, &[]), Err(super::LabError::Name(_))), "{name}");
        }
        assert!(matches!(lab.host("web9", &["10.77.0.300/24"]), Err(super::LabError::Address(_))));
        assert!(matches!(lab.unplug("web9"), Err(super::LabError::Name(_))));
    });
}
