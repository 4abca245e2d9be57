//! Witnesses beyond a router, on real kernels: a server that hears no other goes on while they answer, and lets go when they
//! do not, though its link is well and the router itself answers.
//!
//! Asserted is who holds, and what the servers say. Without the right to make namespaces, or without `nft`, the tests say so
//! and pass; with CI=true they fail.

mod stage_support;

use std::{fs, net::UdpSocket};

use host::lab::{Host, stage::Stage};
use stage_support::{CLUSTER, await_log, await_status, installed, log, missing, nft, on_stage, three, v4};

/// No heartbeat comes in or gets out, on either path. Everything else does.
const NO_HEARTBEATS: &str = "table inet test {
    chain input { type filter hook input priority 0; udp dport 7946 drop; }
    chain output { type filter hook output priority 0; udp dport 7946 drop; }
}
table netdev test {
    chain ingress { type filter hook ingress device eth0 priority 0; ether type 0x88b5 drop; }
    chain egress { type filter hook egress device eth0 priority 0; ether type 0x88b5 drop; }
}";

/// Has the host pass packets on, or not. False where this machine does not let it be set.
fn forward(router: &Host, on: bool) -> bool {
    let value = if on { "1" } else { "0" };
    let settings = [
        ("ipv4/ip_forward", value),
        ("ipv6/conf/all/forwarding", value),
        // Both networks are on one switch: who follows a redirect needs no router any more.
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/eth0/send_redirects", "0"),
    ];
    let set = || settings.iter().all(|(name, value)| fs::write(format!("/proc/sys/net/{name}"), value).is_ok());
    router.run(set).expect("a thread")
}

/// The witness's network behind a router of its own; every server has its default route through that one.
fn router(stage: &mut Stage) -> Host {
    let near = ["10.77.0.253/24", "fd00:77::253/64", "192.0.2.254/24", "fd00:99::254/64"];
    let router = stage.lab.host("gate", &near).expect("a router");
    let far = stage.lab.host("far", &["192.0.2.1/24", "fd00:99::1/64"]).expect("a witness");
    for gateway in ["192.0.2.254", "fd00:99::254"] {
        far.default_route(gateway.parse().expect("an address")).expect("a route");
    }
    for server in ["web1", "web2", "web3"] {
        for gateway in ["10.77.0.253", "fd00:77::253"] {
            let host = stage.host(server).expect("a server");
            host.default_route(gateway.parse().expect("an address")).expect("a route");
        }
    }
    router
}

/// Whether the server's kernel has the address: binding works only there.
fn has(stage: &Stage, server: &str) -> bool {
    stage.host(server).expect("a server").run(|| UdpSocket::bind((v4(101), 0)).is_ok()).expect("a thread")
}

fn cut_off(witness: &str) {
    let Some(_) = installed("nft") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    // So slow that a busy machine's answers are in time.
    let slow = "name = \"example\"\nheartbeat = { interval = \"500ms\", misses = 3 }";
    let cluster = CLUSTER.replace("10.77.0.254", witness).replace("name = \"example\"", slow);
    let mut stage = three(directory.path(), &cluster);
    let router = router(&mut stage);
    if !forward(&router, true) {
        return missing("the right to set net.ipv4.ip_forward in a namespace");
    }

    nft(&stage, "web1", NO_HEARTBEATS);
    await_status(&stage, "web1", "the others are dead", |status| {
        status.servers[1].state == "dead" && status.servers[2].state == "dead"
    });
    let seen = await_status(&stage, "web1", "alone, and at work", |status| status.state == "normal");
    assert_eq!(seen.virtual_hosts[0].active.as_deref(), Some("web1"));
    assert!(has(&stage, "web1") && !log(&stage, "web1").contains("isolated"), "{}", log(&stage, "web1"));

    // The router still answers on the link; what is behind it does not.
    assert!(forward(&router, false));
    await_log(&stage, "web1", "isolated: the partition policy says to hold nothing");
    await_status(&stage, "web2", "virtual1 on web2", |status| {
        status.virtual_hosts[0].active.as_deref() == Some("web2")
    });
    assert!(!has(&stage, "web1") && has(&stage, "web2"));

    assert!(forward(&router, true));
    await_log(&stage, "web1", "no longer isolated");
    nft(&stage, "web1", "delete table inet test; delete table netdev test");
    await_status(&stage, "web1", "virtual1 at home again", |status| {
        status.virtual_hosts[0].active.as_deref() == Some("web1")
    });
}

#[test]
fn a_witness_beyond_a_router_decides_over_ipv4() {
    on_stage("a_witness_beyond_a_router_decides_over_ipv4", || cut_off("192.0.2.1"));
}

#[test]
fn a_witness_beyond_a_router_decides_over_ipv6() {
    on_stage("a_witness_beyond_a_router_decides_over_ipv6", || cut_off("fd00:99::1"));
}
