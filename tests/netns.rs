//! The main job on real kernels: daemons of this very build on servers in network namespaces, real ARP, real DNS.
//!
//! Each test sets its own stage. Nothing is timed here except for the reader: gaps are printed, and what is asserted is
//! who answers, who holds, what DNS says. Without the right to make namespaces the tests say so and pass; with CI=true
//! they fail.

#![allow(clippy::print_stdout)] // tells its reader the gaps

mod stage_support;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use host::lab::{
    Host,
    ask::ask,
    probe::{Probe, Question},
    stage::{Stage, WEB_PORT},
};
use model::api::Status;
use stage_support::{CLUSTER, PATIENCE, await_status, on_stage, set, status, three, v4, v6};

const NAME: &str = "www.lb.example.test";
const A: u16 = 1;
const AAAA: u16 = 28;

/// Between two looks at a kernel.
const POLL: Duration = Duration::from_millis(20);

fn await_answer(client: &Host, server: &str, what: &str, wanted: impl Fn(&[IpAddr]) -> bool) -> Instant {
    let begun = Instant::now();
    loop {
        let answer = ask(client, dns(server), NAME, A);
        if answer.as_ref().is_ok_and(|answer| wanted(&answer.addresses)) {
            return Instant::now();
        }
        assert!(begun.elapsed() < PATIENCE, "{server}'s DNS never said: {what}; last: {answer:?}");
    }
}

fn dns(server: &str) -> SocketAddr {
    let digit = server.as_bytes()[server.len() - 1] - b'0';
    SocketAddr::from((Ipv4Addr::new(10, 77, 0, 10 + digit), 53))
}

/// A client of one virtual address that has had its first answer.
fn client(stage: &Stage, address: IpAddr) -> Probe {
    let probe = Probe::start(&stage.client, SocketAddr::new(address, WEB_PORT), Question::Echo).expect("a client");
    probe.wait_for(Instant::now(), PATIENCE, |_| true).expect("a first answer");
    probe
}

fn moved(probe: &Probe, since: Instant, to: &str) {
    let answered = probe.wait_for(since, PATIENCE, |who| who == to);
    let last = probe.report().answers.last().cloned();
    assert!(answered.is_some(), "{to} never answered; the last answer was {last:?}");
}

/// The servers whose kernels have the address.
fn holders(stage: &Stage, address: IpAddr) -> Vec<String> {
    let has = |server: &&str| {
        let host = stage.host(server).expect("a server");
        // Binding works only where the kernel has the address.
        host.run(|| std::net::UdpSocket::bind((address, 0)).is_ok()).expect("a thread")
    };
    stage.servers().filter(has).map(str::to_owned).collect()
}

#[test]
fn a_server_cut_off_is_stood_in_for_and_comes_back() {
    on_stage("a_server_cut_off_is_stood_in_for_and_comes_back", || {
        let directory = tempfile::tempdir().unwrap();
        let stage = three(directory.path(), CLUSTER);
        let (four, six) = (client(&stage, v4(101)), client(&stage, v6(0x101)));

        let cut = Instant::now();
        stage.lab.unplug("web1").unwrap();
        thread::scope(|scope| {
            for server in ["web2", "web3"] {
                let stage = &stage;
                scope.spawn(move || {
                    await_status(stage, server, "web1 is dead", |status| status.servers[0].state == "dead");
                    let detected = Instant::now();
                    let gone = await_answer(&stage.client, server, "no .101", |all| !all.is_empty() && !all.contains(&v4(101)));
                    println!(
                        "{server}: DNS without the dead {:.1} ms after the fault, {:.1} ms after status told of the death",
                        (gone - cut).as_secs_f64() * 1e3,
                        (gone - detected).as_secs_f64() * 1e3
                    );
                });
            }
        });
        for (probe, family) in [(&four, "IPv4"), (&six, "IPv6")] {
            moved(probe, cut, "web2");
            println!("{family} client's gap: {:?}", probe.report().longest_gap(cut).expect("a gap").length());
        }
        let seen = await_status(&stage, "web3", "virtual1 on web2", |status| {
            status.virtual_hosts[0].active.as_deref() == Some("web2")
        });
        assert_eq!(seen.virtual_hosts[0].name, "virtual1");

        let plugged = Instant::now();
        stage.lab.plug("web1").unwrap();
        for probe in [&four, &six] {
            moved(probe, plugged, "web1");
        }
        for server in ["web1", "web2", "web3"] {
            await_answer(&stage.client, server, "all three again", |all| all.len() == 3);
        }
        assert_eq!(holders(&stage, v4(101)), ["web1"]);
        assert_eq!(holders(&stage, v6(0x101)), ["web1"]);
    });
}

#[test]
fn a_dead_service_moves_its_address_and_a_living_one_takes_it_back() {
    on_stage("a_dead_service_moves_its_address_and_a_living_one_takes_it_back", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let probe = client(&stage, v4(102));
        let struck = Instant::now();
        stage.stop_web("web2").unwrap();
        let backup = {
            let seen = await_status(&stage, "web1", "virtual2 moved", |status| {
                status.virtual_hosts[1].state == "active" && status.virtual_hosts[1].active.as_deref() != Some("web2")
            });
            assert_eq!(seen.virtual_hosts[1].active.as_deref(), Some(seen.virtual_hosts[1].servers[1].name.as_str()));
            seen.virtual_hosts[1].active.clone().expect("a holder")
        };
        moved(&probe, struck, &backup);
        for server in ["web1", "web2", "web3"] {
            await_answer(&stage.client, server, "no .102", |all| all.len() == 2 && !all.contains(&v4(102)));
        }
        println!("client's gap: {:?}", probe.report().longest_gap(struck).expect("a gap").length());
        let back = Instant::now();
        stage.start_web("web2").unwrap();
        moved(&probe, back, "web2");
        for server in ["web1", "web2", "web3"] {
            await_answer(&stage.client, server, "all three again", |all| all.len() == 3);
        }
    });
}

#[test]
fn a_planned_stop_hands_over_and_leaves_nothing_behind() {
    on_stage("a_planned_stop_hands_over_and_leaves_nothing_behind", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let probe = client(&stage, v4(103));
        let stopped = Instant::now();
        let exit = stage.stop("web3").unwrap();
        assert!(exit.success(), "{exit}");
        assert!(!holders(&stage, v4(103)).contains(&"web3".to_owned()));
        let after = Instant::now();
        assert!(probe.wait_for(after, PATIENCE, |who| who != "web3").is_some());
        println!("client's gap: {:?}", probe.report().longest_gap(stopped).expect("a gap").length());
        let seen = await_status(&stage, "web1", "web3 left", |status| status.servers[2].state == "left");
        assert_eq!(seen.virtual_hosts[2].state, "active");
        for server in ["web1", "web2"] {
            await_answer(&stage.client, server, "no .103", |all| all.len() == 2 && !all.contains(&v4(103)));
        }
    });
}

#[test]
fn what_a_killed_daemon_held_leaves_its_kernel_by_itself() {
    on_stage("what_a_killed_daemon_held_leaves_its_kernel_by_itself", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let killed = Instant::now();
        stage.signal_all("web1", SIGKILL).unwrap();
        stage.wait("web1").unwrap();
        await_status(&stage, "web2", "virtual1 is here", |status| {
            status.virtual_hosts[0].state == "active" && status.virtual_hosts[0].active.as_deref() == Some("web2")
        });
        println!("taken over {:?} after SIGKILL", killed.elapsed());
        for address in [v4(101), v6(0x101)] {
            while holders(&stage, address) != ["web2"] {
                assert!(killed.elapsed() < PATIENCE, "{address} is on {:?}", holders(&stage, address));
                thread::sleep(POLL);
            }
            println!("{address} on web2 alone {:?} after SIGKILL", killed.elapsed());
        }
        // And the holder's own lease is renewed.
        let after = Instant::now();
        let probe = client(&stage, v4(101));
        assert!(probe.wait_for(after, PATIENCE, |who| who == "web2").is_some());
    });
}

#[test]
fn a_daemon_that_was_stopped_for_longer_than_the_lease_brings_nothing_back() {
    on_stage("a_daemon_that_was_stopped_for_longer_than_the_lease_brings_nothing_back", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        stage.signal_all("web1", SIGSTOP).unwrap();
        let stopped = Instant::now();
        while holders(&stage, v4(101)) != ["web2"] {
            assert!(stopped.elapsed() < PATIENCE, "it is on {:?}", holders(&stage, v4(101)));
            thread::sleep(POLL);
        }
        println!("on web2 alone {:?} after SIGSTOP", stopped.elapsed());
        stage.signal_all("web1", SIGCONT).unwrap();
        // From here to the orderly failback there is never a second one.
        let continued = Instant::now();
        loop {
            let on = holders(&stage, v4(101));
            assert!(on.len() < 2, "two owners: {on:?}");
            if on == ["web1"] {
                break;
            }
            assert!(continued.elapsed() < PATIENCE, "no failback: {on:?}");
        }
        println!("back on web1 {:?} after SIGCONT", continued.elapsed());
    });
}

#[test]
fn partitioned_servers_settle_on_one_holder_that_the_client_reaches() {
    on_stage("partitioned_servers_settle_on_one_holder_that_the_client_reaches", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let probe = client(&stage, v4(101));
        let cut = Instant::now();
        // The client is with the majority; web1 keeps its carrier.
        stage.lab.partition(&[&["web2", "web3", "client"], &["web1"]]).unwrap();
        moved(&probe, cut, "web2");
        let healed = Instant::now();
        stage.lab.heal().unwrap();
        moved(&probe, healed, "web1");
        await_status(&stage, "web2", "virtual1 is home", |status| {
            status.virtual_hosts[0].state == "active" && status.virtual_hosts[0].active.as_deref() == Some("web1")
        });
        assert_eq!(holders(&stage, v4(101)), ["web1"]);
    });
}

#[test]
fn an_address_in_use_is_refused_with_its_owner() {
    on_stage("an_address_in_use_is_refused_with_its_owner", || {
        let directory = tempfile::tempdir().unwrap();
        let servers = [("web1", "10.77.0.11", "fd00:77::11"), ("web2", "10.77.0.12", "fd00:77::12")];
        let cluster = r#"
            [cluster]
            name = "taken"
            [server.web1]
            address = "10.77.0.11"
            [server.web2]
            address = "10.77.0.12"
            [virtual-host.used]
            addresses = ["10.77.0.200"]
            servers = ["web1", "web2"]
            [virtual-host.free]
            addresses = ["10.77.0.101"]
            servers = ["web2", "web1"]
        "#;
        let mut stage = set(directory.path(), cluster, &servers);
        for (server, ..) in servers {
            stage.start(server).unwrap();
        }
        let seen = await_status(&stage, "web1", "refused", |status| {
            status.virtual_hosts.iter().any(|host| host.name == "used" && host.state == "refused")
        });
        let used = seen.virtual_hosts.iter().find(|host| host.name == "used").unwrap();
        let reason = used.reason.clone().unwrap_or_default();
        assert!(reason.matches(':').count() >= 5, "the owner's MAC is named: {reason:?}");
        await_status(&stage, "web1", "the other is served", |status| {
            status.virtual_hosts.iter().any(|host| host.name == "free" && host.active.as_deref() == Some("web2"))
        });
        for server in ["web1", "web2"] {
            assert!(!holders(&stage, v4(200)).contains(&server.to_owned()));
        }
    });
}

#[test]
fn reload_moves_nothing_that_stays_and_a_bad_file_changes_nothing() {
    on_stage("reload_moves_nothing_that_stays_and_a_bad_file_changes_nothing", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = three(directory.path(), CLUSTER);
        let before = status(&stage, "web1").expect("a status");
        let terms = |status: &Status| status.virtual_hosts.iter().map(|host| host.term).collect::<Vec<_>>();

        std::fs::write(directory.path().join("cluster.toml"), format!("{CLUSTER}\n[nonsense]\n")).unwrap();
        stage.signal("web1", SIGHUP).unwrap();
        let seen = await_status(&stage, "web1", "refused", |status| status.config.refused.is_some());
        assert_eq!(seen.config.hash, before.config.hash);
        assert!(seen.config.refused.unwrap().contains("cluster.toml:"));

        let more = "\n[virtual-host.extra]\naddresses = [\"10.77.0.110\"]\nservers = [\"web2\", \"web1\"]\n";
        std::fs::write(directory.path().join("cluster.toml"), format!("{CLUSTER}{more}")).unwrap();
        stage.signal("web1", SIGHUP).unwrap();
        await_status(&stage, "web2", "web1 differs", |status| status.config.conflicts == ["web1"]);
        for server in ["web2", "web3"] {
            stage.signal(server, SIGHUP).unwrap();
        }
        let seen = await_status(&stage, "web1", "the new one is held, and all agree", |status| {
            status.config.conflicts.is_empty()
                && status
                    .virtual_hosts
                    .iter()
                    .any(|host| host.name == "extra" && host.active.as_deref() == Some("web2"))
        });
        let stayed: Vec<u64> =
            seen.virtual_hosts.iter().filter(|host| host.name != "extra").map(|host| host.term).collect();
        assert_eq!(stayed, terms(&before), "nothing that stays has moved");
        assert_eq!(holders(&stage, v4(110)), ["web2"]);
    });
}

#[test]
fn one_server_alone_serves_too() {
    on_stage("one_server_alone_serves_too", || {
        let directory = tempfile::tempdir().unwrap();
        let cluster = r#"
            [cluster]
            name = "alone"
            [server.web1]
            address = "10.77.0.11"
            [virtual-host.virtual1]
            addresses = ["10.77.0.101", "fd00:77::101"]
            servers = "all"
        "#;
        let mut stage = set(directory.path(), cluster, &[("web1", "10.77.0.11", "fd00:77::11")]);
        stage.start("web1").unwrap();
        await_status(&stage, "web1", "active", |status| status.virtual_hosts[0].state == "active");
        let answer = ask(&stage.client, dns("web1"), NAME, AAAA);
        // It serves no zone: REFUSED, and quickly.
        assert_eq!(u16::from(answer.unwrap().rcode), 5);
        client(&stage, v6(0x101));
    });
}

const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;
