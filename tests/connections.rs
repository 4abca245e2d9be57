//! TCP connections through virtual addresses, with real daemons: they live as long as their address stays, and end on both
//! sides when it goes.

mod stage_support;

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use host::lab::stage::Stage;
use stage_support::{CLUSTER, PATIENCE, await_status, on_stage, three, v4, v6};

const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;
const PORT: u16 = 8081;

/// A connection: the client's end and the server's.
struct Connection {
    ours: TcpStream,
    theirs: TcpStream,
}

impl Connection {
    fn passes(&self) {
        for (mut from, mut to) in [(&self.ours, &self.theirs), (&self.theirs, &self.ours)] {
            from.write_all(&[7]).expect("it can be sent");
            to.read_exact(&mut [0]).expect("it arrives");
        }
    }
}

/// Connections of the client to both addresses of virtual1, on web1.
fn connections(stage: &Stage) -> Vec<Connection> {
    let server = stage.host("web1").expect("a server");
    let listener = server.run(|| TcpListener::bind(("::", PORT))).expect("a thread").expect("a listener");
    let connect = |address: IpAddr| {
        let to = SocketAddr::new(address, PORT);
        let ours = stage.client.run(|| TcpStream::connect_timeout(&to, PATIENCE)).expect("a thread");
        let (ours, (theirs, _)) = (ours.expect("a connection"), listener.accept().expect("a connection"));
        for end in [&ours, &theirs] {
            end.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            end.set_nodelay(true).expect("an option");
        }
        Connection { ours, theirs }
    };
    let connections = vec![connect(v4(101)), connect(v6(0x101))];
    connections.iter().for_each(Connection::passes);
    connections
}

fn active(stage: &Stage, at: &str, name: &str, server: &str) {
    await_status(stage, at, &format!("{name} on {server}"), |status| {
        let host = status.virtual_hosts.iter().find(|host| host.name == name);
        host.is_some_and(|host| host.state == "active" && host.active.as_deref() == Some(server))
    });
}

#[test]
fn a_connection_through_a_kept_address_survives() {
    on_stage("a_connection_through_a_kept_address_survives", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let kept = connections(&stage);

        // A reload.
        let more = "\n[virtual-host.extra]\naddresses = [\"10.77.0.110\"]\nservers = [\"web1\", \"web2\"]\n";
        std::fs::write(directory.path().join("cluster.toml"), format!("{CLUSTER}{more}")).unwrap();
        for server in ["web1", "web2", "web3"] {
            stage.signal(server, SIGHUP).unwrap();
        }
        await_status(&stage, "web1", "the new one is held", |status| {
            status.virtual_hosts.iter().any(|host| host.name == "extra" && host.state == "active")
        });
        kept.iter().for_each(Connection::passes);

        // A peer's restart; meanwhile another address comes and goes here or there.
        stage.stop("web2").unwrap();
        await_status(&stage, "web1", "web2 left", |status| status.servers[1].state == "left");
        stage.start("web2").unwrap();
        active(&stage, "web1", "virtual2", "web2");
        kept.iter().for_each(Connection::passes);

        // A peer that is taken for dead and is not.
        stage.signal_all("web2", SIGSTOP).unwrap();
        await_status(&stage, "web1", "web2 is dead", |status| status.servers[1].state == "dead");
        stage.signal_all("web2", SIGCONT).unwrap();
        active(&stage, "web1", "virtual2", "web2");
        kept.iter().for_each(Connection::passes);
    });
}

/// The old holder's end is gone, and the client hears so when it goes on.
fn is_over(mut connection: Connection) {
    let error = connection.theirs.read(&mut [0]).expect_err("without us it would wait for ever");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    let begun = Instant::now();
    connection.ours.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let error = loop {
        let mut go_on = || connection.ours.write_all(&[7]).and_then(|()| connection.ours.read(&mut [0]));
        match go_on() {
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break error,
            Ok(_) | Err(_) => assert!(begun.elapsed() < PATIENCE, "the client never hears"),
        }
    };
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
}

#[test]
fn a_planned_stop_ends_connections_on_both_sides() {
    on_stage("a_planned_stop_ends_connections_on_both_sides", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let doomed = connections(&stage);
        stage.stop("web1").unwrap();
        active(&stage, "web2", "virtual1", "web2");
        doomed.into_iter().for_each(is_over);
    });
}

#[test]
fn the_guardian_ends_connections_after_a_dead_daemon() {
    on_stage("the_guardian_ends_connections_after_a_dead_daemon", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let doomed = connections(&stage);
        stage.signal_daemon("web1", SIGKILL).unwrap();
        doomed.into_iter().for_each(is_over);
        let log = std::fs::read_to_string(stage.log("web1")).unwrap();
        assert!(log.contains("connections through addresses that are removed"), "{log}");
    });
}
