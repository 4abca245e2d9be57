//! Heartbeats over two paths on real kernels: what packet filters, a missing address and a closed port do to a cluster.
//!
//! Asserted is who lives, who holds, and what the status says of each path. Without the right to make namespaces, or without
//! `nft`, the tests say so and pass; with CI=true they fail.

mod stage_support;

use std::{fs, net::SocketAddr, time::Instant};

use host::lab::{
    probe::{Probe, Question},
    stage::{Stage, WEB_PORT},
};
use model::api::Status;
use stage_support::{
    CLUSTER, PATIENCE, await_log, await_status, installed, log, nft, on_stage, set, status, three, v4,
};

const SERVERS: [&str; 3] = ["web1", "web2", "web3"];
const SIGKILL: i32 = 9;

/// No heartbeat over UDP comes in or gets out.
const DROP_UDP: &str = "table inet test {
    chain input { type filter hook input priority 0; udp dport 7946 drop; }
    chain output { type filter hook output priority 0; udp dport 7946 drop; }
}";
/// Heartbeats so slow that what comes at once comes long before silence tells anything.
const SLOW: &str = "name = \"example\"\nheartbeat = { interval = \"500ms\", misses = 3 }";

/// Nor in silence.
const REJECT_UDP: &str = "table inet test {
    chain input { type filter hook input priority 0; udp dport 7946 counter reject; }
}";
/// No heartbeat comes in as a frame.
const DROP_FRAMES: &str = "table netdev test {
    chain ingress { type filter hook ingress device eth0 priority 0; ether type 0x88b5 drop; }
}";

/// How many datagrams [`REJECT_UDP`] has met.
fn refused(stage: &Stage, server: &str) -> u64 {
    let output = stage.host(server).expect("a server").command("nft").args(["list", "table", "inet", "test"]).output();
    let text = String::from_utf8(output.expect("nft runs").stdout).expect("text");
    let count = text.split_once("counter packets ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    count.unwrap_or_else(|| unreachable!("a counter: {text}"))
}

fn everywhere(stage: &Stage, rules: &str) {
    SERVERS.iter().for_each(|server| nft(stage, server, rules));
}

/// Every peer is alive; its paths are in these states.
fn paths_are(status: &Status, udp: &str, ethernet: &str) -> bool {
    let peers = status.servers.iter().filter(|server| server.state != "self");
    let states = |server: &model::api::ServerStatus| {
        let states: Vec<_> = server.paths.iter().map(|path| (path.path.clone(), path.state.clone())).collect();
        states == [("udp".to_owned(), udp.to_owned()), ("ethernet".to_owned(), ethernet.to_owned())]
    };
    peers.clone().count() == 2 && peers.into_iter().all(|server| server.state == "alive" && states(server))
}

fn await_paths(stage: &Stage, udp: &str, ethernet: &str) {
    for server in SERVERS {
        let what = format!("UDP {udp}, Ethernet {ethernet}, all alive");
        await_status(stage, server, &what, |status| paths_are(status, udp, ethernet));
    }
}

/// Who holds what, under which number: any change of hands shows.
fn holdings(stage: &Stage) -> Vec<(String, Option<String>, u64)> {
    let status = status(stage, "web1").expect("a status");
    status.virtual_hosts.into_iter().map(|host| (host.name, host.active, host.term)).collect()
}

/// A client of virtual1 that has had its first answer.
fn client(stage: &Stage) -> Probe {
    let probe = Probe::start(&stage.client, SocketAddr::new(v4(101), WEB_PORT), Question::Echo).expect("a client");
    probe.wait_for(Instant::now(), PATIENCE, |_| true).expect("a first answer");
    probe
}

#[test]
fn either_path_may_be_cut_and_nothing_moves() {
    on_stage("either_path_may_be_cut_and_nothing_moves", || {
        let Some(_) = installed("nft") else { return };
        let directory = tempfile::tempdir().unwrap();
        let stage = three(directory.path(), CLUSTER);
        await_paths(&stage, "up", "up");
        let probe = client(&stage);
        let before = holdings(&stage);

        everywhere(&stage, DROP_UDP);
        await_paths(&stage, "lost", "up");
        assert_eq!(holdings(&stage), before);
        everywhere(&stage, "delete table inet test");
        await_paths(&stage, "up", "up");

        everywhere(&stage, DROP_FRAMES);
        await_paths(&stage, "up", "lost");
        assert_eq!(holdings(&stage), before);
        everywhere(&stage, "delete table netdev test");
        await_paths(&stage, "up", "up");

        let others = probe.report().answers.into_iter().filter(|(_, who)| **who != *"web1").count();
        assert_eq!(others, 0, "web1 alone has answered all the time");
        for server in SERVERS {
            let log = log(&stage, server);
            assert!(!log.contains("is dead") && !log.contains("refused "), "{server}:\n{log}");
            for said in ["is not heard over UDP", "is heard over UDP again", "is not heard over Ethernet"] {
                assert_eq!(log.matches(said).count(), 2, "{server}, once for each peer: {said}\n{log}");
            }
        }

        // Both at once: there is no path left.
        nft(&stage, "web1", DROP_UDP);
        nft(&stage, "web1", DROP_FRAMES);
        let frames_out = "add table netdev out; add chain netdev out egress { type filter hook egress device eth0 priority 0; }; \
                          add rule netdev out egress ether type 0x88b5 drop";
        nft(&stage, "web1", frames_out);
        for server in ["web2", "web3"] {
            await_status(&stage, server, "web1 is dead", |status| status.servers[0].state == "dead");
        }
    });
}

#[test]
fn a_firewall_that_refuses_openly_makes_suspect_once_and_moves_nothing() {
    on_stage("a_firewall_that_refuses_openly_makes_suspect_once_and_moves_nothing", || {
        let Some(_) = installed("nft") else { return };
        let directory = tempfile::tempdir().unwrap();
        let stage = three(directory.path(), CLUSTER);
        await_paths(&stage, "up", "up");
        let before = holdings(&stage);
        everywhere(&stage, REJECT_UDP);
        await_paths(&stage, "lost", "up");
        // Kernels refuse about once a second, after the first few: several more.
        let begun = Instant::now();
        while refused(&stage, "web1") < 150 {
            assert!(begun.elapsed() < PATIENCE, "heartbeats go on");
        }
        assert_eq!(holdings(&stage), before);
        for server in SERVERS {
            let log = log(&stage, server);
            assert_eq!(log.matches("refuses heartbeats").count(), 2, "{server}, once for each peer:\n{log}");
            assert!(!log.contains("is dead"), "{server}:\n{log}");
        }
    });
}

#[test]
fn frames_need_no_address() {
    on_stage("frames_need_no_address", || {
        let Some(_) = installed("ip") else { return };
        let directory = tempfile::tempdir().unwrap();
        let stage = three(directory.path(), CLUSTER);
        let mut command = stage.host("web3").expect("a server").command("ip");
        let deleted = command.args(["address", "delete", "10.77.0.13/24", "dev", "eth0"]).status().expect("ip runs");
        assert!(deleted.success());
        for server in ["web1", "web2"] {
            await_status(&stage, server, "web3 lives, by Ethernet alone", |status| {
                let web3 = &status.servers[2];
                web3.state == "alive" && web3.paths[0].state == "lost" && web3.paths[1].state == "up"
            });
        }
        assert!(!log(&stage, "web1").contains("web3 is dead"), "{}", log(&stage, "web1"));
    });
}

#[test]
fn a_closed_port_makes_suspect_at_once() {
    on_stage("a_closed_port_makes_suspect_at_once", || {
        let directory = tempfile::tempdir().unwrap();
        // So slow that a refusal comes before silence tells anything, however busy this machine is.
        let mut stage = three(directory.path(), &CLUSTER.replace("name = \"example\"", SLOW));
        stage.signal_all("web1", SIGKILL).unwrap();
        for server in ["web2", "web3"] {
            await_log(&stage, server, "web1 refuses heartbeats");
            await_status(&stage, server, "web1 is dead", |status| status.servers[0].state == "dead");
            let log = log(&stage, server);
            let place = |text: &str| log.find(text);
            assert!(place("web1 refuses heartbeats") < place("web1 is overdue"), "{server}:\n{log}");
        }
    });
}

#[test]
fn a_farewell_needs_no_udp() {
    on_stage("a_farewell_needs_no_udp", || {
        let Some(_) = installed("nft") else { return };
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), &CLUSTER.replace("name = \"example\"", SLOW));
        everywhere(&stage, DROP_UDP);
        await_paths(&stage, "lost", "up");
        stage.signal_daemon("web1", SIGKILL).unwrap();
        for server in ["web2", "web3"] {
            await_log(&stage, server, "the daemon of web1 has ended");
            let log = log(&stage, server);
            assert!(!log.contains("web1 is dead") && !log.contains("replayed"), "{server}:\n{log}");
        }
        await_status(&stage, "web2", "virtual1 on web2", |status| {
            status.virtual_hosts[0].active.as_deref() == Some("web2")
        });
    });
}

#[test]
fn the_second_path_can_be_switched_off() {
    on_stage("the_second_path_can_be_switched_off", || {
        let directory = tempfile::tempdir().unwrap();
        let servers = [("web1", "10.77.0.11", "fd00:77::11"), ("web2", "10.77.0.12", "fd00:77::12")];
        let cluster = "[cluster]\nname = \"two\"\n[server.web1]\naddress = \"10.77.0.11\"\n\
                       [server.web2]\naddress = \"10.77.0.12\"\n";
        let mut stage = set(directory.path(), cluster, &servers);
        let file = stage.config("web2");
        let text = fs::read_to_string(&file).unwrap().replace("[heartbeat]\n", "[heartbeat]\nethernet = false\n");
        fs::write(&file, text).unwrap();
        for (server, ..) in servers {
            stage.start(server).unwrap();
        }
        let alive = |peer: usize| move |status: &Status| status.servers[peer].state == "alive";
        let off = await_status(&stage, "web2", "web1 is alive", alive(0));
        assert_eq!((off.ethernet.state.as_str(), off.servers[0].paths[1].state.as_str()), ("off", "never"));
        let on = await_status(&stage, "web1", "web2 is alive, Ethernet is on", |status| {
            alive(1)(status) && status.ethernet.state == "on"
        });
        assert_eq!((on.ethernet.interfaces, on.servers[1].paths[1].state.as_str()), (vec!["eth0".into()], "never"));
    });
}
