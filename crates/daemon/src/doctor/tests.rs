//! Each check as a table: what was seen, what is found. A machine on which all is well gives nothing.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use host::survey::{Firewall, Guarded, Holder, Link, Machine, Manager, Process, Refused, Settings, Transport};
use serde_json::{Value, json};

use super::*;

fn link(name: &str, index: u32, addresses: &[&str]) -> Link {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Link { name: name.into(), index, mtu: 1500, addresses }
}

fn status() -> Value {
    let path = |path: &str, state: &str| json!({ "path": path, "state": state, "heard_ms": 20, "since_ms": 9000 });
    let server = |name: &str, address: &str, state: &str, paths: Value| {
        json!({ "name": name, "address": address, "state": state, "standby": false, "heard_ms": 20, "hears_us_ms": 30,
                "config_agrees": true, "paths": paths })
    };
    json!({
        "cluster": "example", "self": "web1", "state": "normal", "uptime_seconds": 9, "guardian": "up",
        "ethernet": { "state": "on", "interfaces": ["eth0"], "reason": null },
        "servers": [server("web1", "10.77.0.11", "self", json!([])),
                    server("web2", "10.77.0.12", "alive", json!([path("udp", "up"), path("ethernet", "up")]))],
        "virtual_hosts": [], "pools": [],
        "config": { "version": 1, "hash": "0", "conflicts": [], "refused": null },
        "dns": { "serial": 1, "zones": [], "listening": ["10.77.0.11:53"] }
    })
}

/// All is well: the daemon runs as its own user, with what it needs.
fn well() -> Facts {
    let settings = [
        ("ipv4", "rp_filter", 2),
        ("ipv4", "arp_ignore", 0),
        ("ipv4", "arp_announce", 0),
        ("ipv4", "promote_secondaries", 1),
        ("ipv4", "drop_gratuitous_arp", 0),
        ("ipv6", "disable_ipv6", 0),
        ("ipv6", "accept_dad", 1),
        ("ipv6", "drop_unsolicited_na", 0),
    ];
    let settings = settings.into_iter().flat_map(|(family, name, value)| {
        ["eth0", "all"].map(|of| (format!("net/{family}/conf/{of}/{name}"), if of == "all" { 0 } else { value }))
    });
    let machine = Machine {
        settings: Settings(settings.collect()),
        links: vec![link("eth0", 2, &["10.77.0.11/24", "fd00:77::11/64"])],
        ..Machine::default()
    };
    let process = Process {
        user: 990,
        effective: 0x80_7400,
        no_new_privileges: true,
        filtered: false,
        lockable: None,
        real_time: 10,
    };
    let confinement = ["landlock", "seccomp"].map(|name| json!({ "name": name, "state": "on", "reason": null }));
    let diagnosis = json!({ "pid": 4711, "confinement": confinement,
        "clocks": [{ "server": "web2", "ahead_ms": -40, "round_trip_ms": 2 }], "unreachable": [] });
    let servers = json!({ "servers": [{ "name": "web2", "reach": "10.77.0.12:8053", "link": "linked", "starts": 1 }],
        "rotating": [] });
    let running = Running {
        status: serde_json::from_value(status()).unwrap(),
        diagnosis: serde_json::from_value(diagnosis).unwrap(),
        servers: Some(serde_json::from_value(servers).unwrap()),
    };
    let wanted = Wanted {
        heartbeat: "10.77.0.11:7946".parse().unwrap(),
        dns: vec!["10.77.0.11:53".parse().unwrap()],
        admin: Some("10.77.0.11:8053".parse().unwrap()),
        metrics: None,
        peers: vec![("web2".into(), ip("10.77.0.12"))],
        virtual_addresses: vec![ip("10.77.0.101"), ip("fd00:77::101")],
    };
    Facts { machine, process: Some(process), running: Some(running), wanted: Some(wanted), ..Facts::default() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What is found, as `check severity: seen`, and the commands.
fn found(facts: &Facts) -> Vec<(String, Vec<String>)> {
    let each = examine(facts).into_iter().flat_map(|checked| {
        let name = checked.check;
        checked.findings.into_iter().map(move |finding| {
            assert!(!finding.why.is_empty());
            let remedy = &finding.remedy;
            assert!(!remedy.run.is_empty() || !remedy.then.is_empty(), "{} has no remedy", finding.seen);
            (format!("{name} {}: {}", finding.severity.word(), finding.seen), finding.remedy.run)
        })
    });
    each.collect()
}

/// One thing is wrong, and that is found, in these words and with these commands.
#[track_caller]
fn finds(change: impl FnOnce(&mut Facts), expected: &[(&str, &[&str])]) {
    let mut facts = well();
    change(&mut facts);
    let found = found(&facts);
    let found: Vec<(&str, Vec<&str>)> =
        found.iter().map(|(seen, run)| (seen.as_str(), run.iter().map(String::as_str).collect())).collect();
    let expected: Vec<(&str, Vec<&str>)> = expected.iter().map(|(seen, run)| (*seen, run.to_vec())).collect();
    assert_eq!(found, expected);
}

fn set(facts: &mut Facts, path: &str, value: i64) {
    facts.machine.settings.0.insert(format!("net/{path}"), value);
}

#[test]
fn where_all_is_well_nothing_is_found() {
    finds(|_| {}, &[]);
    assert_eq!(examine(&well()).len(), CHECKS.len());
    assert!(examine(&well()).iter().all(|check| check.skipped.is_none()));
    // What cannot be looked at is not called well.
    let skipped = |facts: &Facts| examine(facts).iter().filter(|check| check.skipped.is_some()).count();
    assert_eq!(skipped(&Facts { running: None, ..well() }), 2);
    assert_eq!(skipped(&Facts { wanted: None, ..well() }), 5);
}

#[test]
fn privileges() {
    finds(
        |facts| facts.process.as_mut().unwrap().effective = 1 << 10 | 1 << 13,
        &[("privileges error: the daemon (user 990) has no CAP_NET_ADMIN", &[])],
    );
    finds(
        |facts| {
            let process = facts.process.as_mut().unwrap();
            (process.effective, process.real_time, process.lockable) = (1 << 12, 0, Some(8192));
        },
        &[
            ("privileges error: the daemon (user 990) has no CAP_NET_RAW", &[]),
            ("privileges error: the daemon (user 990) has no CAP_NET_BIND_SERVICE", &[]),
            ("privileges warning: the daemon (user 990) has no CAP_SYS_NICE", &[]),
            ("privileges warning: the daemon (user 990) has no CAP_IPC_LOCK", &[]),
        ],
    );
    finds(
        |facts| {
            facts.process.as_mut().unwrap().effective = 1 << 12 | 1 << 13;
            set(facts, "ipv4/ip_unprivileged_port_start", 53);
        },
        &[],
    );
    finds(
        |facts| {
            let confinement = &mut facts.running.as_mut().unwrap().diagnosis.confinement[0];
            (confinement.state, confinement.reason) = ("absent".into(), Some("the kernel has none".into()));
            facts.process.as_mut().unwrap().no_new_privileges = false;
        },
        &[
            ("privileges note: the daemon has not given up new privileges", &[]),
            ("privileges note: landlock is absent: the kernel has none", &[]),
        ],
    );
    finds(|facts| facts.process = None, &[("privileges note: the daemon's process cannot be looked at", &[])]);
}

#[test]
fn files() {
    let file = |path: &str, mode, owner, directory| Guarded { path: PathBuf::from(path), mode, owner, directory };
    finds(
        |facts| {
            facts.guarded = vec![
                file("/var/lib/standin", 0o755, 990, true),
                file("/var/lib/standin/trust.json", 0o640, 990, false),
                file("/etc/standin/it's.key", 0o600, 0, false),
            ];
        },
        &[
            ("files warning: /var/lib/standin has mode 755", &["chmod 700 /var/lib/standin"]),
            ("files error: /var/lib/standin/trust.json has mode 640", &["chmod 600 /var/lib/standin/trust.json"]),
            (
                "files error: /etc/standin/it's.key belongs to user 0, and the daemon is user 990",
                &["chown -R 990 '/etc/standin/it'\\''s.key'"],
            ),
        ],
    );
}

#[test]
fn ports() {
    let holder = |transport, address: &str, processes: &[(u32, &str)]| Holder {
        transport,
        address: address.parse().unwrap(),
        processes: processes.iter().map(|(pid, name)| (*pid, (*name).to_owned())).collect(),
    };
    let resolved = || holder(Transport::Udp, "127.0.0.53:53", &[(300, "systemd-resolve")]);
    // The stub is no obstacle to an address of one's own.
    finds(|facts| facts.machine.holders = vec![resolved()], &[]);
    finds(
        |facts| {
            facts.machine.holders = vec![resolved()];
            facts.wanted.as_mut().unwrap().dns = vec!["0.0.0.0:53".parse().unwrap()];
        },
        &[(
            "ports error: systemd-resolve (process 300) has UDP 127.0.0.53:53, and [dns] wants 0.0.0.0:53",
            &[
                "mkdir -p /etc/systemd/resolved.conf.d",
                "printf '[Resolve]\\nDNSStubListener=no\\n' > /etc/systemd/resolved.conf.d/standin.conf",
                "systemctl restart systemd-resolved",
            ],
        )],
    );
    finds(
        |facts| {
            facts.machine.holders = vec![
                holder(Transport::Udp, "0.0.0.0:53", &[(77, "dnsmasq")]),
                holder(Transport::Tcp, "10.77.0.11:8053", &[]),
                holder(Transport::Tcp, "10.77.0.11:7946", &[(78, "other")]),
                holder(Transport::Udp, "10.77.0.11:53", &[(4711, "renamed")]),
                holder(Transport::Udp, "10.77.0.11:7946", &[(4710, "standin")]),
                holder(Transport::Tcp, "10.77.0.11:53", &[]),
            ];
        },
        &[
            ("ports error: dnsmasq (process 77) has UDP 0.0.0.0:53, and [dns] wants 10.77.0.11:53", &["kill 77"]),
            (
                "ports error: a program that this user may not see has TCP 10.77.0.11:8053, and [admin] wants 10.77.0.11:8053",
                &[],
            ),
        ],
    );
}

#[test]
fn settings_of_the_kernel() {
    finds(
        |facts| {
            set(facts, "ipv4/conf/all/arp_ignore", 8);
            set(facts, "ipv4/conf/eth0/drop_gratuitous_arp", 1);
            set(facts, "ipv6/conf/eth0/disable_ipv6", 1);
            set(facts, "ipv6/conf/eth0/accept_dad", 2);
        },
        &[
            (
                "network error: eth0 answers no ARP request (arp_ignore 8)",
                &["sysctl -w net/ipv4/conf/all/arp_ignore=1", "sysctl -w net/ipv4/conf/eth0/arp_ignore=1"],
            ),
            (
                "network warning: eth0 drops announcements by ARP (drop_gratuitous_arp 1)",
                &["sysctl -w net/ipv4/conf/eth0/drop_gratuitous_arp=0"],
            ),
            ("network error: IPv6 is off on eth0 (disable_ipv6 1)", &["sysctl -w net/ipv6/conf/eth0/disable_ipv6=0"]),
            (
                "network warning: a duplicate link-local address turns IPv6 off on eth0 (accept_dad 2)",
                &["sysctl -w net/ipv6/conf/eth0/accept_dad=1"],
            ),
        ],
    );
    // Strict filtering hurts only where there is another way in.
    finds(|facts| set(facts, "ipv4/conf/eth0/rp_filter", 1), &[]);
    finds(
        |facts| {
            set(facts, "ipv4/conf/eth0/rp_filter", 1);
            facts.machine.links.push(link("eth1", 3, &["192.0.2.1/24"]));
        },
        &[(
            "network warning: eth0 drops what comes in by another interface than answers leave by (rp_filter 1)",
            &["sysctl -w net/ipv4/conf/eth0/rp_filter=2"],
        )],
    );
    // The machine's own second address; a virtual one is no secondary.
    finds(
        |facts| {
            set(facts, "ipv4/conf/eth0/promote_secondaries", 0);
            facts.machine.links[0] = link("eth0", 2, &["10.77.0.11/24", "10.77.0.101/32"]);
        },
        &[],
    );
    finds(
        |facts| {
            set(facts, "ipv4/conf/eth0/promote_secondaries", 0);
            facts.machine.links[0] = link("eth0", 2, &["10.77.0.11/24", "10.77.0.12/24"]);
        },
        &[(
            "network warning: eth0 has several addresses, and does not promote secondary ones (promote_secondaries 0)",
            &["sysctl -w net/ipv4/conf/eth0/promote_secondaries=1"],
        )],
    );
    finds(
        |facts| facts.machine.links.push(link("eth1", 3, &["10.77.0.111/24"])),
        &[
            (
                "network warning: eth0 shares its subnet with another interface, and answers ARP for addresses of other interfaces (arp_ignore 0)",
                &["sysctl -w net/ipv4/conf/eth0/arp_ignore=1"],
            ),
            (
                "network warning: eth0 shares its subnet with another interface, and asks by ARP with addresses of other interfaces (arp_announce 0)",
                &["sysctl -w net/ipv4/conf/eth0/arp_announce=2"],
            ),
            (
                "network warning: eth1 shares its subnet with another interface, and answers ARP for addresses of other interfaces (arp_ignore 0)",
                &["sysctl -w net/ipv4/conf/eth1/arp_ignore=1"],
            ),
            (
                "network warning: eth1 shares its subnet with another interface, and asks by ARP with addresses of other interfaces (arp_announce 0)",
                &["sysctl -w net/ipv4/conf/eth1/arp_announce=2"],
            ),
        ],
    );
}

#[test]
fn managers_of_addresses() {
    let networkd = |keeps: Option<&str>| Manager::Networkd {
        link: "eth0".into(),
        file: "/etc/systemd/network/10-eth0.network".into(),
        keeps: keeps.map(str::to_owned),
    };
    finds(|facts| facts.machine.managers = vec![networkd(Some("yes"))], &[]);
    finds(
        |facts| {
            facts.machine.managers = vec![networkd(None), Manager::NetworkManager { link: "eth0".into() }];
        },
        &[
            (
                "managers warning: systemd-networkd manages eth0 by /etc/systemd/network/10-eth0.network, with no KeepConfiguration=",
                &[
                    "mkdir -p /etc/systemd/network/10-eth0.network.d",
                    "printf '[Network]\\nKeepConfiguration=yes\\n' > /etc/systemd/network/10-eth0.network.d/standin.conf",
                    "networkctl reload",
                ],
            ),
            ("managers warning: NetworkManager manages eth0", &[]),
        ],
    );
}

#[test]
fn the_kernel_and_the_configuration() {
    finds(
        |facts| facts.machine.socket_diagnosis = Some(Refused::Unable),
        &[(
            "kernel warning: the kernel has no socket diagnosis (inet_diag, tcp_diag)",
            &["modprobe -a inet_diag tcp_diag"],
        )],
    );
    finds(
        |facts| facts.mistakes = Some("cluster.toml:1:1: no".into()),
        &[("configuration error: cluster.toml:1:1: no", &[])],
    );
}

fn peer(facts: &mut Facts) -> &mut model::api::ServerStatus {
    &mut facts.running.as_mut().unwrap().status.servers[1]
}

#[test]
fn peers_and_clouds() {
    finds(
        |facts| {
            (peer(facts).state, peer(facts).heard_ms) = ("dead".into(), Some(61_000));
        },
        &[("peers error: web2 (10.77.0.12) is dead; it was last heard 61 s ago", &[])],
    );
    finds(
        |facts| peer(facts).paths[0].state = "lost".into(),
        &[("peers warning: heartbeats of web2 do not come by UDP (lost)", &[])],
    );
    finds(|facts| peer(facts).hears_us_ms = None, &[("peers warning: web2 does not hear us directly", &[])]);
    finds(
        |facts| peer(facts).paths[1].state = "never".into(),
        &[("peers warning: no Ethernet frames come from web2 (by eth0)", &[])],
    );
    // A cloud is no trouble by itself: some have links.
    finds(|facts| facts.machine.firmware = vec!["Amazon EC2".into()], &[]);
    finds(
        |facts| {
            facts.machine.firmware = vec!["Amazon EC2".into(), "t3.micro".into()];
            peer(facts).paths[1].state = "never".into();
        },
        &[("peers error: this is Amazon EC2, and no Ethernet frame comes from web2", &[])],
    );
    finds(
        |facts| facts.running.as_mut().unwrap().servers.as_mut().unwrap().servers[0].link = "not linked".into(),
        &[("peers warning: there is no link to web2 at 10.77.0.12:8053", &[])],
    );
    finds(
        |facts| facts.running = None,
        &[
            ("privileges note: the daemon does not run, or not for this user", &[]),
            ("peers note: the daemon does not run, or does not answer", &[]),
        ],
    );
}

#[test]
fn clocks_and_packets() {
    let clock = |facts: &mut Facts, ahead| facts.running.as_mut().unwrap().diagnosis.clocks[0].ahead_ms = ahead;
    finds(|facts| clock(facts, 2_000), &[]);
    finds(
        |facts| clock(facts, -7_500),
        &[("clocks warning: the clock of web2 is 7 s behind ours", &["timedatectl set-ntp true"])],
    );
    finds(
        |facts| clock(facts, 3_600_001),
        &[("clocks error: the clock of web2 is 3600 s ahead of ours", &["timedatectl set-ntp true"])],
    );
    let passage = |short, long| Passage { server: "web2".into(), address: ip("10.77.0.12"), mtu: 9000, short, long };
    // Who answers no echo at all says nothing of sizes.
    finds(|facts| facts.passages = vec![passage(false, false), passage(true, true)], &[]);
    finds(
        |facts| facts.passages = vec![passage(true, false)],
        &[("packets warning: packets of 9000 bytes do not get to web2 (10.77.0.12) and back, and short ones do", &[])],
    );
    finds(
        |facts| facts.machine.links[0].mtu = 1200,
        &[("packets error: packets on eth0 have 1200 bytes at most", &["ip link set eth0 mtu 1500"])],
    );
}

/// A rule set of `nft --json`, with these rules in the chain `input` of the table `inet filter`, and what is found.
#[track_caller]
fn filtered(policy: &str, rules: &[Value], expected: &[(&str, &[&str])]) {
    let chain = json!({ "chain": { "family": "inet", "table": "filter", "name": "input", "handle": 1, "type": "filter",
        "hook": "input", "prio": 0, "policy": policy } });
    let rule = |(number, (chain, expr)): (usize, (&str, &Value))| json!({ "rule": { "family": "inet", "table": "filter", "chain": chain, "handle": number + 2, "expr": expr } });
    let rules = rules.iter().map(|rule| match rule.get("other") {
        Some(expr) => ("other", expr),
        None => ("input", rule),
    });
    let all: Vec<Value> = [json!({ "metainfo": {} }), chain].into_iter().chain(rules.enumerate().map(rule)).collect();
    let text = json!({ "nftables": all }).to_string();
    finds(|facts| facts.machine.firewall = Firewall { nftables: Some(Ok(text)), legacy: false }, expected);
}

fn dport(protocol: &str, port: impl Into<Value>) -> Value {
    let left = json!({ "payload": { "protocol": protocol, "field": "dport" } });
    json!({ "match": { "op": "==", "left": left, "right": port.into() } })
}

#[test]
fn rules_of_the_firewall() {
    let (accept, drop) = (json!({ "accept": null }), json!({ "drop": null }));
    let state =
        |states: Value| json!({ "match": { "op": "in", "left": { "ct": { "key": "state" } }, "right": states } });
    let known = json!([state(json!(["established", "related"])), accept]);
    filtered("accept", &[], &[]);
    filtered(
        "accept",
        &[json!([dport("udp", 7946), { "counter": {} }, drop]), json!([dport("tcp", 22), drop])],
        &[(
            "firewall error: rule 2 of chain inet filter input drops heartbeats from 10.77.0.12 (udp port 7946)",
            &["nft delete rule inet filter input handle 2"],
        )],
    );
    // By the policy: heartbeats may belong to a conversation that we began, DNS does not.
    let dropped = |transport: &str| {
        format!("firewall error: the policy of chain inet filter input drops DNS ({transport} port 53)")
    };
    filtered(
        "drop",
        &[known.clone(), json!([dport("tcp", json!({ "set": [22, { "range": [8000, 8100] }] })), accept])],
        &[
            (
                "firewall note: the policy of chain inet filter input may drop heartbeats from 10.77.0.12 (udp port 7946)",
                &["nft insert rule inet filter input udp dport 7946 accept"],
            ),
            (&dropped("udp"), &["nft insert rule inet filter input udp dport 53 accept"]),
            (&dropped("tcp"), &["nft insert rule inet filter input tcp dport 53 accept"]),
        ],
    );
    // By peers' addresses, and another chain.
    let prefix = json!({ "prefix": { "addr": "10.77.0.0", "len": 24 } });
    let from = json!({ "match": { "op": "==", "left": { "payload": { "protocol": "ip", "field": "saddr" } }, "right": prefix } });
    let protocol = json!({ "match": { "op": "==", "left": { "meta": { "key": "l4proto" } }, "right": { "set": ["tcp", "udp"] } } });
    let th = dport("th", 53);
    filtered(
        "drop",
        &[
            known,
            json!([from, accept]),
            json!([{ "jump": { "target": "other" } }]),
            json!({ "other": [protocol, th, accept] }),
        ],
        &[],
    );
    // A limit may let through, and a set by its name may have it.
    filtered("accept", &[json!([dport("udp", "@ours"), drop]), json!([{ "limit": { "rate": 1 } }, drop])], &[]);
    // A rule about everything is not to be deleted.
    filtered(
        "accept",
        &[json!([dport("udp", json!({ "range": [53, 8000] })), { "reject": {} }])],
        &[
            (
                "firewall error: rule 2 of chain inet filter input drops heartbeats from 10.77.0.12 (udp port 7946)",
                &["nft insert rule inet filter input udp dport 7946 accept"],
            ),
            (
                "firewall error: rule 2 of chain inet filter input drops DNS (udp port 53)",
                &["nft insert rule inet filter input udp dport 53 accept"],
            ),
        ],
    );
}

#[test]
fn a_firewall_that_cannot_be_read_is_told() {
    finds(
        |facts| facts.machine.firewall = Firewall { nftables: Some(Err("not permitted".into())), legacy: true },
        &[
            ("firewall note: tables of the old iptables are loaded", &[]),
            ("firewall note: nftables cannot be read: not permitted", &[]),
        ],
    );
}

#[test]
fn findings_are_json() {
    let mut facts = well();
    facts.machine.socket_diagnosis = Some(Refused::Unable);
    let checks: BTreeMap<&str, Value> =
        examine(&facts).iter().map(|check| (check.check, serde_json::to_value(check).unwrap())).collect();
    let finding = &checks["kernel"]["findings"][0];
    assert_eq!(
        (&finding["severity"], &finding["remedy"]["run"][0]),
        (&"warning".into(), &"modprobe -a inet_diag tcp_diag".into())
    );
}
