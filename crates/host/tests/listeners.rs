//! Closed listeners, as a real kernel tells of them.

mod support;

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    time::Duration,
};

use host::{
    Report,
    lab::{Host, Lab},
    listeners::Listeners,
    probe::Probes,
};
use model::{
    MonitorId, VirtualHostName,
    config::probe::{ProbeKind, TcpProbe},
    report::{ProbeOrder, ProbeResult},
};
use socket2::{Domain, Socket, Type};
use support::*;

fn one_host(lab: &mut Lab) -> Host {
    lab.host("web1", &["10.77.0.11/24", "fd00:77::11/64"]).expect("a host")
}

fn start(host: &Host, ports: &[u16]) -> (Listeners, Reports) {
    let (sink, reports) = reports();
    let listeners = host.run(|| Listeners::start(sink)).expect("a thread").expect("a socket");
    listeners.watch(ports.iter().copied().collect()).expect("the groups");
    (listeners, reports)
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// A listener on the host; several may share a port.
fn listen(host: &Host, address: &str) -> TcpListener {
    let open = || {
        let socket = Socket::new(Domain::for_address(at(address)), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&at(address).into())?;
        socket.listen(128)?;
        Ok::<TcpListener, std::io::Error>(socket.into())
    };
    host.run(open).expect("a thread").expect("a listener")
}

fn closed(reports: &Reports) -> u16 {
    reports.until("a closed port", |report| match report {
        Report::ListenerClosed { port } => Some(*port),
        _ => None,
    })
}

#[test]
fn a_closed_listener_is_reported_with_its_port() {
    in_lab("a_closed_listener_is_reported_with_its_port", |mut lab| {
        let host = one_host(&mut lab);
        let (listeners, reports) = start(&host, &[8080, 8081]);
        drop(listen(&host, "10.77.0.11:8080"));
        assert_eq!(closed(&reports), 8080);
        drop(listen(&host, "[::]:8081"));
        assert_eq!(closed(&reports), 8081);
        // What is not watched is not told; what is watched later is.
        drop(listen(&host, "10.77.0.11:8082"));
        listeners.watch(BTreeSet::new()).expect("none");
        drop(listen(&host, "10.77.0.11:8080"));
        listeners.watch(BTreeSet::from([8083])).expect("another");
        drop(listen(&host, "10.77.0.11:8083"));
        assert_eq!(closed(&reports), 8083);
        drop(listeners);
        assert!(reports.rest().is_empty());
    });
}

#[test]
fn a_killed_process_is_reported_by_its_listeners_port() {
    in_lab("a_killed_process_is_reported_by_its_listeners_port", |mut lab| {
        let host = one_host(&mut lab);
        let (_listeners, reports) = start(&host, &[8080]);
        let listener = listen(&host, "10.77.0.11:8080");
        // Somebody else has the socket now, as its standard input.
        let mut process = host
            .command("sleep")
            .arg("600")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .spawn()
            .expect("sleep");
        process.kill().expect("a kill");
        process.wait().expect("an end");
        assert_eq!(closed(&reports), 8080);
    });
}

#[test]
fn ten_thousand_connections_that_close_wake_nobody() {
    in_lab("ten_thousand_connections_that_close_wake_nobody", |mut lab| {
        let host = one_host(&mut lab);
        let (listeners, reports) = start(&host, &[8080, 8081]);
        let listener = listen(&host, "10.77.0.11:8080");
        host.run(|| {
            for number in 0..10_000 {
                let client = TcpStream::connect(at("10.77.0.11:8080")).expect("a connection");
                let (server, _) = listener.accept().expect("a connection");
                // Either end may close first: TIME-WAIT is on its side.
                if number % 2 == 0 {
                    drop((client, server));
                } else {
                    drop((server, client));
                }
            }
        })
        .expect("a thread");
        // The kernel tells in order: with the last one's closing, all others have been told of.
        drop(listen(&host, "10.77.0.11:8081"));
        assert_eq!(closed(&reports), 8081, "the first report of all");
        drop(listener);
        assert_eq!(closed(&reports), 8080);
        assert_eq!(listeners.messages(), 2, "the filter in the kernel keeps all others back");
        drop(listeners);
        assert!(reports.rest().is_empty());
    });
}

#[test]
fn a_probe_at_once_tells_a_closed_port_from_one_that_another_still_serves() {
    in_lab("a_probe_at_once_tells_a_closed_port_from_one_that_another_still_serves", |mut lab| {
        let host = one_host(&mut lab);
        let (_listeners, closings) = start(&host, &[8080]);
        let (one, other) = (listen(&host, "10.77.0.11:8080"), listen(&host, "10.77.0.11:8080"));
        let monitor = MonitorId::of_host(&VirtualHostName::new("virtual1"), &"tcp".into());
        let (interval, timeout) = (Duration::from_secs(3600), Duration::from_secs(5));
        let order = {
            let kind = ProbeKind::Tcp(TcpProbe::default());
            ProbeOrder { target: ip("10.77.0.11"), port: Some(8080), kind, interval, timeout }
        };
        let (sink, results) = reports();
        host.run(move || {
            // Their thread is on the host, as the one that makes it.
            let probes = Probes::start(sink).expect("a thread");
            probes.set([(monitor.clone(), order)].into());
            let result = || {
                results.until("a result", |report| match report {
                    Report::Probes(results) => Some(results[0].1.clone()),
                    _ => None,
                })
            };
            assert_eq!(result(), ProbeResult::Success, "the first");
            drop(one);
            assert_eq!(closed(&closings), 8080);
            probes.now(&monitor);
            assert_eq!(result(), ProbeResult::Success, "the other one listens");
            drop(other);
            assert_eq!(closed(&closings), 8080);
            probes.now(&monitor);
            assert_eq!(result(), ProbeResult::Failure("connection refused".into()));
        })
        .expect("a thread");
    });
}
