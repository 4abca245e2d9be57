use std::{net::SocketAddr, path::Path, time::Duration};

use insta::assert_snapshot;
use proptest::prelude::*;

use super::{parse_cluster, parse_node};
use crate::{
    ServerName, VirtualHostName, ZoneName,
    config::{
        AllDown, ClusterConfig, Failback, Hook, PartitionPolicy, PoolMember, RateLimit, SharedCause, Ttl,
        UnknownPolicy, locate,
        probe::{HttpProbe, ProbeKind, TcpProbe},
    },
    diagnostic::Diagnostic,
    digest::digest64,
    hook::HookMoment,
};

/// The example of the design, with every setting that there is.
const CLUSTER: &str = r#"
[cluster]
name = "example"
heartbeat = { interval = "100ms", misses = 4 }
partition = { policy = "gateway", witness = ["10.77.0.254", "fd00:77::1"] }

[dns]
max-udp-size = 1400
identity = false
rate-limit = { enabled = false }

[server.web2]
address = "10.77.0.12"
also = ["fd00:77::12"]
heartbeat = "192.168.9.12:7000"
[server.web1]
address = "10.77.0.11"
[server.web3]
address = "10.77.0.13"

[virtual-host.virtual1]
addresses = ["10.77.0.101", "fd00:77::101"]
servers = ["web1", "web2", "web3"]
failback = "sticky"
failback-delay = "5m"
always-active = false
[[virtual-host.virtual1.monitor]]
type = "http"
path = "/health?full=1"
host = "www.example.org"
status = [204, "200-202"]
body = "all is well"
interval = "2s"
timeout = "500ms"
recheck = "250ms"
rise = 3
fall = 1
priority = 7
severity = "failover"
[[virtual-host.virtual1.monitor]]
name = "mail"
type = "tcp"
port = 25
[[virtual-host.virtual1.hook]]
on = "before-take"
command = ["/usr/local/libexec/standin/mount-data", "--now"]
user = "nobody"
timeout = "200ms"
[[virtual-host.virtual1.hook]]
on = "after-release"
command = ["/usr/local/libexec/standin/tell"]
[virtual-host.virtual2]
addresses = ["10.77.0.102"]
servers = "all"
[[virtual-host.virtual2.monitor]]
type = "http"
interval = "1m"
[virtual-host."v10.77.0.103"]
addresses = ["10.77.0.103"]
servers = "all"

[pool.www]
members = ["virtual1", "virtual2", "web3"]
ttl = 10
max-answers = 2
policy = "round-robin"
doubled = "keep"
all-down = "nodata"
unknown = "all"
[pool.plain]
members = ["virtual1"]

[zone."LB.example.test."]
template = "lb.zone"
variables = { office = "192.0.2.1" }
"#;

const NODE: &str = r#"
name = "web1"
state-dir = "/var/lib/standin"
cluster-file = "/etc/standin/cluster.toml"
socket = "/run/standin/standin.sock"
[heartbeat]
listen = "10.77.0.11:7946"
key-file = "/etc/standin/cluster.key"
[dns]
listen = ["10.77.0.11:53", "[fd00:77::11]:53"]
threads = 2
[admin]
listen = "10.77.0.11:8053"
[metrics]
listen = "127.0.0.1:9853"
"#;

/// All mistakes of a cluster file, drawn.
fn mistakes(text: &str) -> String {
    draw(parse_cluster("cluster.toml", text).expect_err("the file has a mistake"))
}

/// All mistakes of a node file, drawn.
fn node_mistakes(text: &str) -> String {
    draw(parse_node("standin.toml", text).expect_err("the file has a mistake"))
}

fn draw(mistakes: Vec<Diagnostic>) -> String {
    mistakes.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n\n")
}

fn cluster(text: &str) -> ClusterConfig {
    parse_cluster("cluster.toml", text).map_err(draw).unwrap()
}

/// A cluster of two servers and what the test adds.
fn two_and(more: &str) -> String {
    format!("[cluster]\nname = \"x\"\n[server.a]\naddress = \"10.0.0.1\"\n[server.b]\naddress = \"10.0.0.2\"\n{more}")
}

fn names(list: &[ServerName]) -> Vec<&str> {
    list.iter().map(ServerName::as_str).collect()
}

#[test]
fn a_cluster_file_with_every_setting() {
    let config = cluster(CLUSTER);
    assert_eq!(&*config.name, "example");
    assert_eq!(config.digest, digest64(&[CLUSTER]));
    assert_eq!(config.heartbeat.detection(), Duration::from_millis(400));
    let witness = ["10.77.0.254", "fd00:77::1"].map(|address| address.parse().unwrap());
    assert_eq!(config.partition, PartitionPolicy::Gateway { witness: witness.into() });
    assert_eq!((config.dns.max_udp_size, config.dns.identity), (1400, false));
    assert_eq!(config.dns.rate_limit, None);

    let web2 = &config.servers[&ServerName::new("web2")];
    assert_eq!(web2.addresses().count(), 2);
    assert_eq!(web2.heartbeat, "192.168.9.12:7000".parse::<SocketAddr>().unwrap());
    let web1 = &config.servers[&ServerName::new("web1")];
    assert_eq!(web1.heartbeat, "10.77.0.11:7946".parse::<SocketAddr>().unwrap());

    let host = &config.virtual_hosts[&VirtualHostName::new("virtual1")];
    assert_eq!((host.failback, host.failback_delay), (Failback::Sticky, Duration::from_secs(300)));
    assert!(!host.always_active);
    assert_eq!(names(&host.servers), ["web1", "web2", "web3"]);
    assert_eq!(host.monitors.len(), 2);
    let (web, mail) = (&host.monitors[0], &host.monitors[1]);
    assert_eq!((&*web.name, web.port, web.rise, web.fall, web.priority), ("http-80", Some(80), 3, 1, 7));
    assert_eq!(web.recheck, Duration::from_millis(250));
    let request = HttpProbe {
        path: "/health?full=1".into(),
        host: Some("www.example.org".into()),
        status: vec![(204, 204), (200, 202)],
        body: Some("all is well".into()),
        ..HttpProbe::default()
    };
    assert_eq!(web.kind, ProbeKind::Http(request));
    assert_eq!((&*mail.name, &mail.kind, mail.port), ("mail", &ProbeKind::Tcp(TcpProbe::default()), Some(25)));

    let pool = &config.pools.values().last().unwrap();
    assert_eq!((pool.ttl, pool.max_answers, pool.keep_doubled), (Ttl::fixed(10), Some(2), true));
    assert_eq!((pool.all_down, pool.unknown), (AllDown::Nodata, UnknownPolicy::All));
    let members = [
        PoolMember::VirtualHost(VirtualHostName::new("virtual1")),
        PoolMember::VirtualHost(VirtualHostName::new("virtual2")),
        PoolMember::Server(ServerName::new("web3")),
    ];
    assert_eq!(pool.members, members);
    let zone = &config.zones[&ZoneName::new("lb.example.test")];
    assert_eq!(zone.template, Path::new("lb.zone"));
    assert_eq!(zone.variables["office"], "192.0.2.1");
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = cluster(CLUSTER);
    let host = &config.virtual_hosts[&VirtualHostName::new("virtual2")];
    assert_eq!((host.failback, host.failback_delay), (Failback::Auto, Duration::from_secs(1)));
    assert!(host.always_active);
    let web = &host.monitors[0];
    assert_eq!(
        (web.interval, web.recheck, web.timeout),
        (Duration::from_secs(60), Duration::from_secs(6), Duration::from_secs(5))
    );
    assert_eq!((web.rise, web.fall, web.priority), (2, 2, 0));
    let plain = &config.pools[&crate::PoolName::new("plain")];
    assert_eq!((plain.ttl, plain.max_answers, plain.keep_doubled), (Ttl::fixed(5), None, false));
    assert_eq!((plain.degraded_weight, config.shared_cause), (100, SharedCause::Automatic));
    assert_eq!((plain.all_down, plain.unknown), (AllDown::All, UnknownPolicy::Servfail));

    let least = cluster("[cluster]\nname = \"x\"\n[server.a]\naddress = \"127.0.0.1\"\n");
    assert_eq!(least.heartbeat.detection(), Duration::from_millis(150));
    assert_eq!(least.partition, PartitionPolicy::Gateway { witness: Vec::new() });
    assert_eq!(least.dns, crate::config::DnsSettings::default());

    let node = parse_node("standin.toml", "name = \"a\"\nheartbeat = { listen = \"0.0.0.0:7946\" }\n").unwrap();
    assert_eq!(node.state_dir, Path::new("/var/lib/standin"));
    assert_eq!(node.key_file, Path::new("/etc/standin/cluster.key"));
    assert_eq!(node.dns_listen, ["0.0.0.0:53", "[::]:53"].map(|socket| socket.parse().unwrap()));
    assert_eq!((node.dns_threads, node.admin_listen, node.metrics_listen), (1, None, None));
}

#[test]
fn all_lists_the_servers_in_file_order_and_spreads_the_primaries() {
    let config = cluster(CLUSTER);
    let servers = |host| names(&config.virtual_hosts[&VirtualHostName::new(host)].servers).join(" ");
    assert_eq!(servers("virtual2"), "web2 web1 web3");
    assert_eq!(servers("v10.77.0.103"), "web1 web3 web2");
}

#[test]
fn a_node_file_with_every_setting() {
    let node = parse_node("standin.toml", NODE).unwrap();
    assert_eq!(node.name, ServerName::new("web1"));
    assert_eq!(node.heartbeat_listen, "10.77.0.11:7946".parse().unwrap());
    assert_eq!(node.dns_listen, ["10.77.0.11:53", "[fd00:77::11]:53"].map(|socket| socket.parse().unwrap()));
    assert_eq!(node.dns_threads, 2);
    assert_eq!(node.admin_listen, Some("10.77.0.11:8053".parse().unwrap()));
    assert_eq!(node.metrics_listen, Some("127.0.0.1:9853".parse().unwrap()));
}

#[test]
fn the_digest_covers_templates_in_order() {
    let digest = |texts: &[&str]| {
        let mut config = cluster(CLUSTER);
        config.with_digest_of(texts.iter().copied());
        config.digest
    };
    assert_eq!(digest(&[]), cluster(CLUSTER).digest);
    assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
    assert_ne!(digest(&["a", "b"]), digest(&["b", "a"]));
    assert_ne!(digest(&["ab"]), digest(&["a", "b"]));
}

#[test]
fn ten_mistakes_are_reported_at_once() {
    let text = r#"[cluster]
name = "my cluster"
heartbeat = { intervall = "50ms", misses = 1 }

[server.web1]
address = "10.77.0.11/24"
[server.web2]
address = "10.77.0.12"

[virtual-host.virtual1]
addresses = ["10.77.0.101", "10.77.0.12"]
servers = ["web1", "web3"]
failback-delay = 5
[[virtual-host.virtual1.monitor]]
type = "htttp"
port = 0

[pool.www]
members = ["vritual1"]
ttl = "5s"
"#;
    assert_snapshot!(mistakes(text), @r#"
    cluster.toml:2:8: `my cluster` is not a valid name
      |
    2 | name = "my cluster"
      |        ^^^^^^^^^^^^
      |
      = help: a name has 1 to 63 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, and begins with a letter or digit

    cluster.toml:3:15: unknown field `intervall` in `heartbeat`
      |
    3 | heartbeat = { intervall = "50ms", misses = 1 }
      |               ^^^^^^^^^
      |
      = help: did you mean `interval`?

    cluster.toml:3:44: `misses` must be 2 to 20, not 1
      |
    3 | heartbeat = { intervall = "50ms", misses = 1 }
      |                                            ^
      |
      = help: write a whole number from 2 to 20

    cluster.toml:6:11: "10.77.0.11/24" is not an IP address
      |
    6 | address = "10.77.0.11/24"
      |           ^^^^^^^^^^^^^^^
      |
      = help: write `"10.77.0.11"`: the prefix length is the interface's own

    cluster.toml:11:29: 10.77.0.12 already belongs to server `web2` (line 8)
       |
    11 | addresses = ["10.77.0.101", "10.77.0.12"]
       |                             ^^^^^^^^^^^^
       |
       = help: a virtual address is free: no server's own, and in one virtual host only

    cluster.toml:12:20: there is no server `web3`
       |
    12 | servers = ["web1", "web3"]
       |                    ^^^^^^
       |
       = help: did you mean `web1`? there is: web1, web2

    cluster.toml:13:18: `failback-delay` is 5, without a unit
       |
    13 | failback-delay = 5
       |                  ^
       |
       = help: a duration is a whole number with the unit ms, s, m or h: "50ms", "1s"

    cluster.toml:15:8: there is no monitor type "htttp"
       |
    15 | type = "htttp"
       |        ^^^^^^^
       |
       = help: did you mean "http"? possible here: tcp, http, https, smtp, ftp, telnet, imap, pop3, nntp, ssh, dns, ldap, mysql, postgresql, redis, grpc, icmp, ntp, smb, nfs, exec, process, systemd, disk, file, push

    cluster.toml:16:8: `port` must be 1 to 65535, not 0
       |
    16 | port = 0
       |        ^
       |
       = help: write a whole number from 1 to 65535

    cluster.toml:19:12: there is no virtual host, server or endpoint `vritual1`
       |
    19 | members = ["vritual1"]
       |            ^^^^^^^^^^
       |
       = help: did you mean `virtual1`? there is: virtual1, web1, web2

    cluster.toml:20:7: `ttl` must be a whole number, not a text
       |
    20 | ttl = "5s"
       |       ^^^^
       |
       = help: write `ttl = 5`
    "#);
}

#[test]
fn toml_itself_is_checked_first() {
    assert_snapshot!(mistakes("[cluster\nname = x\n[server.a]\naddress = \"1\nalso = []\n"), @r#"
    cluster.toml:1:9: not TOML: unclosed table, expected `]`
      |
    1 | [cluster
      |         ^

    cluster.toml:4:13: not TOML: invalid basic string, expected `"`
      |
    4 | address = "1
      |             ^
    "#);
    assert_snapshot!(mistakes(&two_and("[server.a]\naddress = \"10.0.0.3\"\n")), @r#"
    cluster.toml:7:9: this name is here for the second time
      |
    7 | [server.a]
      |         ^
      |
      = help: merge the two, or rename one
    "#);
}

#[test]
fn an_empty_file() {
    assert_snapshot!(mistakes(""), @r#"
    cluster.toml:1:1: the cluster file lacks `cluster`
      |
    1 |
      | ^
      |
      = help: add `[cluster]` with `name = "example"`

    cluster.toml:1:1: the cluster has no server
      |
    1 |
      | ^
      |
      = help: add `[server.NAME]` with `address = "10.77.0.11"`
    "#);
    assert_snapshot!(node_mistakes(""), @r#"
    standin.toml:1:1: the node file lacks `name`
      |
    1 |
      | ^
      |
      = help: add `name = "web1"`

    standin.toml:1:1: the node file lacks `heartbeat`
      |
    1 |
      | ^
      |
      = help: add `[heartbeat]` with `listen = "10.77.0.11:7946"`
    "#);
}

#[test]
fn shapes_that_do_not_fit() {
    let text = "cluster = 1\nserver = [1]\npool = { www = 3 }\n[virtual-host.v]\naddresses = \"10.0.0.9\"\nservers = 1.5\n\
                monitor = { type = \"tcp\" }\nalways-active = \"yes\"\n";
    assert_snapshot!(mistakes(text), @r#"
    cluster.toml:1:1: the cluster has no server
      |
    1 | cluster = 1
      | ^
      |
      = help: add `[server.NAME]` with `address = "10.77.0.11"`

    cluster.toml:1:11: `cluster` must be a table, not a whole number
      |
    1 | cluster = 1
      |           ^
      |
      = help: write `cluster = { ... }`

    cluster.toml:2:10: `server` must be a table of named entries, not a list
      |
    2 | server = [1]
      |          ^^^
      |
      = help: write `[server.NAME]`

    cluster.toml:3:16: `www` must be a table, not a whole number
      |
    3 | pool = { www = 3 }
      |                ^
      |
      = help: write `www = { ... }`

    cluster.toml:5:13: `addresses` must be a list, not a text
      |
    5 | addresses = "10.0.0.9"
      |             ^^^^^^^^^^
      |
      = help: write `addresses = ["10.77.0.101"]`

    cluster.toml:6:11: `servers` must be a list, not a number with a fraction
      |
    6 | servers = 1.5
      |           ^^^
      |
      = help: write `servers = ["web1"]`

    cluster.toml:7:1: `monitor` must be a list
      |
    7 | monitor = { type = "tcp" }
      | ^^^^^^^
      |
      = help: write `[[virtual-host.NAME.monitor]]`, with two brackets

    cluster.toml:8:17: `always-active` must be true or false, not a text
      |
    8 | always-active = "yes"
      |                 ^^^^^
      |
      = help: write `always-active = true`
    "#);
}

#[test]
fn addresses_that_cannot_be_virtual() {
    let list = [
        "127.0.0.9",
        "0.0.0.0",
        "224.0.0.18",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "ff02::1",
        "::ffff:10.0.0.9",
        "web.example.org",
        "0.1.2.3",
    ];
    let host = |list: String| two_and(&format!("[virtual-host.v]\nservers = \"all\"\naddresses = [\n{list}]\n"));
    assert_snapshot!(mistakes(&host(list.map(|address| format!("\"{address}\",\n")).concat())), @r#"
    cluster.toml:10:1: 127.0.0.9 is a loopback address: it cannot move between servers
       |
    10 | "127.0.0.9",
       | ^^^^^^^^^^^
       |
       = help: write a free address of the servers' subnet

    cluster.toml:11:1: 0.0.0.0 is the unspecified address: no machine can have it
       |
    11 | "0.0.0.0",
       | ^^^^^^^^^
       |
       = help: write an address of one machine on your subnet

    cluster.toml:12:1: 224.0.0.18 is a multicast address: no machine can have it
       |
    12 | "224.0.0.18",
       | ^^^^^^^^^^^^
       |
       = help: write an address of one machine on your subnet

    cluster.toml:13:1: 255.255.255.255 is the broadcast address: no machine can have it
       |
    13 | "255.255.255.255",
       | ^^^^^^^^^^^^^^^^^
       |
       = help: write an address of one machine on your subnet

    cluster.toml:14:1: ::1 is a loopback address: it cannot move between servers
       |
    14 | "::1",
       | ^^^^^
       |
       = help: write a free address of the servers' subnet

    cluster.toml:15:1: fe80::1 is a link-local address: it cannot move between servers
       |
    15 | "fe80::1",
       | ^^^^^^^^^
       |
       = help: write a free address of the servers' subnet

    cluster.toml:16:1: ff02::1 is a multicast address: no machine can have it
       |
    16 | "ff02::1",
       | ^^^^^^^^^
       |
       = help: write an address of one machine on your subnet

    cluster.toml:17:1: ::ffff:10.0.0.9 is an IPv4-mapped address (RFC 4291): no machine can have it
       |
    17 | "::ffff:10.0.0.9",
       | ^^^^^^^^^^^^^^^^^
       |
       = help: write an address of one machine on your subnet

    cluster.toml:18:1: "web.example.org" is not an IP address
       |
    18 | "web.example.org",
       | ^^^^^^^^^^^^^^^^^
       |
       = help: write an IPv4 or IPv6 address such as "10.77.0.101"; names are not looked up

    cluster.toml:19:1: 0.1.2.3 is an address of "this network" (RFC 6890): no machine can have it
       |
    19 | "0.1.2.3",
       | ^^^^^^^^^
       |
       = help: write an address of one machine on your subnet
    "#);
}

#[test]
fn an_address_is_used_once() {
    let text = two_and(
        "heartbeat = \"192.168.0.2:7946\"\nalso = [\"10.0.0.1\"]\n\
         [virtual-host.v]\nservers = \"all\"\naddresses = [\"10.0.0.9\", \"10.0.0.9\", \"192.168.0.2\"]\n\
         [virtual-host.w]\nservers = \"all\"\naddresses = [\"10.0.0.9\", \"10.0.0.2\"]\n\
         [cluster.partition]\nwitness = [\"10.0.0.1\", \"10.0.0.9\", \"10.0.0.254\", \"10.0.0.254\"]\n",
    );
    assert_snapshot!(mistakes(&text), @r#"
    cluster.toml:8:9: 10.0.0.1 already belongs to server `a` (line 4)
      |
    8 | also = ["10.0.0.1"]
      |         ^^^^^^^^^^
      |
      = help: every address belongs to one server, and is listed once

    cluster.toml:11:26: 10.0.0.9 already belongs to virtual host `v` (line 11)
       |
    11 | addresses = ["10.0.0.9", "10.0.0.9", "192.168.0.2"]
       |                          ^^^^^^^^^^
       |
       = help: a virtual address is free: no server's own, and in one virtual host only

    cluster.toml:11:38: 192.168.0.2 already belongs to server `b` (line 7)
       |
    11 | addresses = ["10.0.0.9", "10.0.0.9", "192.168.0.2"]
       |                                      ^^^^^^^^^^^^^
       |
       = help: a virtual address is free: no server's own, and in one virtual host only

    cluster.toml:14:14: 10.0.0.9 already belongs to virtual host `v` (line 11)
       |
    14 | addresses = ["10.0.0.9", "10.0.0.2"]
       |              ^^^^^^^^^^
       |
       = help: a virtual address is free: no server's own, and in one virtual host only

    cluster.toml:14:26: 10.0.0.2 already belongs to server `b` (line 6)
       |
    14 | addresses = ["10.0.0.9", "10.0.0.2"]
       |                          ^^^^^^^^^^
       |
       = help: a virtual address is free: no server's own, and in one virtual host only

    cluster.toml:16:12: 10.0.0.1 cannot be a witness: it belongs to server `a` (line 4)
       |
    16 | witness = ["10.0.0.1", "10.0.0.9", "10.0.0.254", "10.0.0.254"]
       |            ^^^^^^^^^^
       |
       = help: a witness is a machine outside the cluster, such as the router

    cluster.toml:16:24: 10.0.0.9 cannot be a witness: it belongs to virtual host `v` (line 11)
       |
    16 | witness = ["10.0.0.1", "10.0.0.9", "10.0.0.254", "10.0.0.254"]
       |                        ^^^^^^^^^^
       |
       = help: a witness is a machine outside the cluster, such as the router

    cluster.toml:16:50: `10.0.0.254` is listed twice
       |
    16 | witness = ["10.0.0.1", "10.0.0.9", "10.0.0.254", "10.0.0.254"]
       |                                                  ^^^^^^^^^^^^
       |
       = help: remove one of the two
    "#);
}

#[test]
fn servers_receive_heartbeats_at_places_of_their_own() {
    let text = "[cluster]\nname = \"x\"\n[server.a]\naddress = \"10.0.0.1\"\nheartbeat = \"10.0.0.1:7000\"\n\
                [server.b]\naddress = \"10.0.0.2\"\nheartbeat = \"10.0.0.1:7000\"\n\
                [server.c]\naddress = \"fe80::1\"\nheartbeat = \"0.0.0.0:7000\"\n\
                [server.d]\naddress = \"10.0.0.4\"\nheartbeat = \"10.0.0.4\"\n\
                [server.e]\naddress = \"10.0.0.5\"\nheartbeat = \"10.0.0.5:0\"\n";
    assert_snapshot!(mistakes(text), @r#"
    cluster.toml:8:13: 10.0.0.1:7000 is where server `a` receives its heartbeats (line 5)
      |
    8 | heartbeat = "10.0.0.1:7000"
      |             ^^^^^^^^^^^^^^^
      |
      = help: give each server a `heartbeat` address of its own

    cluster.toml:10:11: fe80::1 is a link-local address, which means a different machine on every link
       |
    10 | address = "fe80::1"
       |           ^^^^^^^^^
       |
       = help: write its global or unique local (fd00::/8) address

    cluster.toml:11:13: the other servers cannot send heartbeats to 0.0.0.0
       |
    11 | heartbeat = "0.0.0.0:7000"
       |             ^^^^^^^^^^^^^^
       |
       = help: write the address of this server that the others reach

    cluster.toml:14:13: "10.0.0.4" has no port
       |
    14 | heartbeat = "10.0.0.4"
       |             ^^^^^^^^^^
       |
       = help: write address and port, such as "10.77.0.11:7946" or "[fd00::1]:7946"

    cluster.toml:17:13: "10.0.0.5:0" has port 0
       |
    17 | heartbeat = "10.0.0.5:0"
       |             ^^^^^^^^^^^^
       |
       = help: write address and port, such as "10.77.0.11:7946" or "[fd00::1]:7946"
    "#);
}

#[test]
fn references_must_resolve() {
    let text = two_and(
        "[virtual-host.b]\naddresses = [\"10.0.0.9\"]\nservers = [\"a\", \"B\", \"a\"]\n\
         [virtual-host.w]\naddresses = []\nservers = []\n\
         [virtual-host.x]\naddresses = [\"10.0.0.8\"]\nservers = \"any\"\n\
         [pool.p]\nmembers = [\"a\", \"b\", \"bb\", \"a\"]\n[pool.q]\nmembers = []\n[pool.r]\n",
    );
    assert_snapshot!(mistakes(&text), @r#"
    cluster.toml:9:17: there is no server `B`
      |
    9 | servers = ["a", "B", "a"]
      |                 ^^^
      |
      = help: did you mean `b`? there is: a, b

    cluster.toml:9:22: `a` is listed twice
      |
    9 | servers = ["a", "B", "a"]
      |                      ^^^
      |
      = help: remove one of the two

    cluster.toml:11:13: a virtual host has at least one address
       |
    11 | addresses = []
       |             ^^
       |
       = help: write `addresses = ["10.77.0.101"]`

    cluster.toml:12:11: a virtual host has at least one server
       |
    12 | servers = []
       |           ^^
       |
       = help: name servers, the primary first, or write `"all"`

    cluster.toml:15:11: `servers` cannot be "any"
       |
    15 | servers = "any"
       |           ^^^^^
       |
       = help: possible here: "all"

    cluster.toml:17:17: `b` is both a virtual host (line 7) and a server (line 5)
       |
    17 | members = ["a", "b", "bb", "a"]
       |                 ^^^
       |
       = help: rename one of the two: members of a pool share one name space

    cluster.toml:17:22: there is no virtual host, server or endpoint `bb`
       |
    17 | members = ["a", "b", "bb", "a"]
       |                      ^^^^
       |
       = help: there is: b, w, x, a, b

    cluster.toml:17:28: `a` is listed twice
       |
    17 | members = ["a", "b", "bb", "a"]
       |                            ^^^
       |
       = help: remove one of the two

    cluster.toml:19:11: a pool has at least one member
       |
    19 | members = []
       |           ^^
       |
       = help: name virtual hosts, servers or endpoints

    cluster.toml:20:7: pool `r` lacks `members`
       |
    20 | [pool.r]
       |       ^
       |
       = help: add `members = ["virtual1"]`
    "#);
}

#[test]
fn names_are_checked() {
    let text = "[cluster]\nname = \"-x\"\n[server.\"a b\"]\naddress = \"10.0.0.1\"\n[pool.\"\"]\nmembers = [\"a b\"]\n\
                [zone.\"lb..example\"]\ntemplate = \"x\"\n[zone.\"*.example\"]\ntemplate = \"x\"\n[zone.\".\"]\ntemplate = \"x\"\n\
                [zone.a]\ntemplate = \"\"\n[zone.\"A.\"]\ntemplate = \"y\"\n[zone.b]\nvariables = { \"1a\" = \"x\", b = 2 }\n";
    assert_snapshot!(mistakes(text), @r#"
    cluster.toml:2:8: `-x` is not a valid name
      |
    2 | name = "-x"
      |        ^^^^
      |
      = help: a name has 1 to 63 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, and begins with a letter or digit

    cluster.toml:3:9: `a b` is not a valid name
      |
    3 | [server."a b"]
      |         ^^^^^
      |
      = help: a name has 1 to 63 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, and begins with a letter or digit

    cluster.toml:5:7: `` is not a valid name
      |
    5 | [pool.""]
      |       ^^
      |
      = help: a name has 1 to 63 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, and begins with a letter or digit

    cluster.toml:7:7: `lb..example` is not the name of a zone
      |
    7 | [zone."lb..example"]
      |       ^^^^^^^^^^^^^
      |
      = help: write a domain name in quotes, such as `[zone."lb.example.org"]`; other than ASCII in its xn-- form

    cluster.toml:9:7: `*.example` is not the name of a zone
      |
    9 | [zone."*.example"]
      |       ^^^^^^^^^^^
      |
      = help: write a domain name in quotes, such as `[zone."lb.example.org"]`; other than ASCII in its xn-- form

    cluster.toml:11:7: `.` is not the name of a zone
       |
    11 | [zone."."]
       |       ^^^
       |
       = help: write a domain name in quotes, such as `[zone."lb.example.org"]`; other than ASCII in its xn-- form

    cluster.toml:14:12: `template` is empty
       |
    14 | template = ""
       |            ^^
       |
       = help: write `template = "lb.zone"`

    cluster.toml:15:7: the zone `a` is already there (line 13)
       |
    15 | [zone."A."]
       |       ^^^^
       |
       = help: a zone has one template; letter case and a final dot make no difference

    cluster.toml:17:7: zone `b` lacks `template`
       |
    17 | [zone.b]
       |       ^
       |
       = help: add `template = "lb.zone"`

    cluster.toml:18:15: `1a` is not a name of a variable
       |
    18 | variables = { "1a" = "x", b = 2 }
       |               ^^^^
       |
       = help: write letters, digits, `_`, `-` and `.`, a letter first; the template uses it as `${name}`

    cluster.toml:18:31: `b` must be a text, not a whole number
       |
    18 | variables = { "1a" = "x", b = 2 }
       |                               ^
       |
       = help: write `b = "value"`
    "#);
}

#[test]
fn what_is_in_doubt_is_probed_ten_times_as_often_and_never_less_often() {
    for (interval, recheck) in [("20ms", 20), ("30ms", 30), ("200ms", 50), ("1s", 100), ("1m", 6000)] {
        let monitor = format!("[[virtual-host.v.monitor]]\ntype = \"tcp\"\nport = 1\ninterval = \"{interval}\"\n");
        let text = two_and(&format!("[virtual-host.v]\nservers = \"all\"\naddresses = [\"10.0.0.9\"]\n{monitor}"));
        let found = &cluster(&text).virtual_hosts[&VirtualHostName::new("v")].monitors[0];
        assert_eq!(found.recheck, Duration::from_millis(recheck), "{interval}");
    }
}

#[test]
fn monitors_are_checked() {
    let monitors = [
        "port = 80",
        "type = \"tcp\"",
        "type = \"smtp\"\nport = 25",
        "type = \"tcp\"\nport = 70000\npath = \"/\"",
        "type = \"http\"\npath = \"health\"\nhost = \"a b\"\nstatus = [99, \"300-200\", \"x\"]\nname = \"w\"",
        "type = \"tcp\"\nport = 1\ninterval = \"1s\"\ntimeout = \"2s\"\nrecheck = \"1500ms\"\nname = \"w\"",
        "type = \"tcp\"\nport = 3\ntimeout = \"2s\"\nnote = \"meant\"\nname = \"n\"",
        "type = \"tcp\"\nport = 4\ntimeout = \"2s\"\nnote = \"\"\nname = \"e\"",
        "type = \"tcp\"\nport = 2\ninterval = \"10ms\"\nrise = 0\nfall = 101\npriority = 256",
        "type = \"http\"\nseverity = \"latch\"\nstatus = []",
        "type = \"http\"\nbody = \"\"",
    ];
    let monitors = monitors.map(|monitor| format!("[[virtual-host.v.monitor]]\n{monitor}\n")).concat();
    let text = two_and(&format!("[virtual-host.v]\nservers = \"all\"\naddresses = [\"10.0.0.9\"]\n{monitors}"));
    assert_snapshot!(mistakes(&text), @r#"
    cluster.toml:10:1: the monitor lacks `type`
       |
    10 | [[virtual-host.v.monitor]]
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add `type = "tcp"`

    cluster.toml:12:1: the monitor of type "tcp" lacks `port`
       |
    12 | [[virtual-host.v.monitor]]
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add `port = 80`

    cluster.toml:19:8: `port` must be 1 to 65535, not 70000
       |
    19 | port = 70000
       |        ^^^^^
       |
       = help: write a whole number from 1 to 65535

    cluster.toml:20:1: `path` means nothing to a monitor of type "tcp"
       |
    20 | path = "/"
       | ^^^^
       |
       = help: remove it; it belongs to the types "http", "https", "disk", "file"

    cluster.toml:23:8: "health" is not the path of a request
       |
    23 | path = "health"
       |        ^^^^^^^^
       |
       = help: write a path from `/` on, such as "/health"; other than plain ASCII is written %XX

    cluster.toml:24:8: "a b" is not a host name
       |
    24 | host = "a b"
       |        ^^^^^
       |
       = help: write a name such as "www.example.org"

    cluster.toml:25:11: `status` must be 100 to 599, not 99
       |
    25 | status = [99, "300-200", "x"]
       |           ^^
       |
       = help: write a whole number from 100 to 599

    cluster.toml:25:15: "300-200" is not a range of status codes
       |
    25 | status = [99, "300-200", "x"]
       |               ^^^^^^^^^
       |
       = help: write codes from 100 to 599: `200`, or `"200-299"`

    cluster.toml:25:26: "x" is not a range of status codes
       |
    25 | status = [99, "300-200", "x"]
       |                          ^^^
       |
       = help: write codes from 100 to 599: `200`, or `"200-299"`

    cluster.toml:31:11: `timeout` (2s) is longer than `interval` (1s), and no `note` says why
       |
    31 | timeout = "2s"
       |           ^^^^
       |
       = help: shorten `timeout` or lengthen `interval`; if it is meant, add `note = "why"`: the next probe waits for a slow one

    cluster.toml:32:11: `recheck` (1500ms) is longer than `interval` (1s)
       |
    32 | recheck = "1500ms"
       |           ^^^^^^^^
       |
       = help: shorten `recheck` or lengthen `interval`: in doubt a monitor probes more often, not less

    cluster.toml:33:8: this virtual host already has a monitor `w` (line 26)
       |
    33 | name = "w"
       |        ^^^
       |
       = help: give one of them another `name`; without one it is called by type and port

    cluster.toml:44:8: `note` is empty
       |
    44 | note = ""
       |        ^^
       |
       = help: write `note = "the report takes minutes"`

    cluster.toml:49:12: `interval` must be 20ms to 1h, not 10ms
       |
    49 | interval = "10ms"
       |            ^^^^^^
       |
       = help: write a duration from "20ms" to "1h"

    cluster.toml:50:8: `rise` must be 1 to 100, not 0
       |
    50 | rise = 0
       |        ^
       |
       = help: write a whole number from 1 to 100

    cluster.toml:51:8: `fall` must be 1 to 100, not 101
       |
    51 | fall = 101
       |        ^^^
       |
       = help: write a whole number from 1 to 100

    cluster.toml:52:12: `priority` must be 0 to 255, not 256
       |
    52 | priority = 256
       |            ^^^
       |
       = help: write a whole number from 0 to 255

    cluster.toml:56:10: no status would be a success
       |
    56 | status = []
       |          ^^
       |
       = help: write the codes that are, such as `[200, "300-399"]`

    cluster.toml:59:8: `body` is empty
       |
    59 | body = ""
       |        ^^
       |
       = help: write `body = "ok"`
    "#);
}

#[test]
fn numbers_and_durations_have_limits() {
    let text = "[cluster]\nname = \"x\"\nheartbeat = { interval = \"9ms\", misses = 21 }\npartition = { policy = \"majority\", witness = [] }\n\
                [dns]\nmax-udp-size = 0x1_0000\n[server.a]\naddress = \"10.0.0.1\"\n\
                [virtual-host.v]\naddresses = [\"10.0.0.9\"]\nservers = \"all\"\nfailback-delay = \"2 s\"\nfailback = \"Sticky\"\n\
                [pool.p]\nmembers = [\"v\"]\nttl = 0\nmax-answers = 99999999999999999999\n";
    assert_snapshot!(mistakes(text), @r#"
    cluster.toml:3:26: `interval` must be 10ms to 10s, not 9ms
      |
    3 | heartbeat = { interval = "9ms", misses = 21 }
      |                          ^^^^^
      |
      = help: write a duration from "10ms" to "10s"

    cluster.toml:3:42: `misses` must be 2 to 20, not 21
      |
    3 | heartbeat = { interval = "9ms", misses = 21 }
      |                                          ^^
      |
      = help: write a whole number from 2 to 20

    cluster.toml:4:46: `witness` is asked only under the policy "gateway"
      |
    4 | partition = { policy = "majority", witness = [] }
      |                                              ^^
      |
      = help: remove `witness`, or write `policy = "gateway"`

    cluster.toml:6:16: `max-udp-size` must be 512 to 4096, not 0x10000
      |
    6 | max-udp-size = 0x1_0000
      |                ^^^^^^^^
      |
      = help: write a whole number from 512 to 4096

    cluster.toml:12:18: `failback-delay`: "2 s" is not a duration
       |
    12 | failback-delay = "2 s"
       |                  ^^^^^
       |
       = help: a duration is a whole number with the unit ms, s, m or h: "50ms", "1s"

    cluster.toml:13:12: `failback` cannot be "Sticky"
       |
    13 | failback = "Sticky"
       |            ^^^^^^^^
       |
       = help: did you mean "sticky"? possible here: "auto", "sticky"

    cluster.toml:16:7: `ttl` must be 1 to 86400, not 0
       |
    16 | ttl = 0
       |       ^
       |
       = help: write a whole number from 1 to 86400

    cluster.toml:17:15: `max-answers` must be 1 to 1000, not 99999999999999999999
       |
    17 | max-answers = 99999999999999999999
       |               ^^^^^^^^^^^^^^^^^^^^
       |
       = help: write a whole number from 1 to 1000
    "#);
}

#[test]
fn node_files_are_checked() {
    let long = "x".repeat(120);
    let text = format!(
        "name = \"web 1\"\nsocket = \"/run/{long}\"\nstate_dir = \"/x\"\n\
         [heartbeat]\nlisten = \"10.0.0.1\"\n\
         [dns]\nlisten = [\"10.0.0.1:53\", \"10.0.0.1:53\"]\nthreads = 0\n\
         [admin]\nlisten = \"10.0.0.1:53\"\n[metrics]\nport = 9853\n[metric]\n"
    );
    assert_snapshot!(node_mistakes(&text), @r#"
    standin.toml:1:8: `web 1` is not a valid name
      |
    1 | name = "web 1"
      |        ^^^^^^^
      |
      = help: a name has 1 to 63 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, and begins with a letter or digit

    standin.toml:2:10: the path of a Unix socket has at most 107 bytes, not 125
      |
    2 | socket = "/run/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: choose a shorter path, such as "/run/standin/standin.sock"

    standin.toml:3:1: unknown field `state_dir` in the node file
      |
    3 | state_dir = "/x"
      | ^^^^^^^^^
      |
      = help: did you mean `state-dir`?

    standin.toml:5:10: "10.0.0.1" has no port
      |
    5 | listen = "10.0.0.1"
      |          ^^^^^^^^^^
      |
      = help: write address and port, such as "10.77.0.11:7946" or "[fd00::1]:7946"

    standin.toml:7:26: `10.0.0.1:53` is listed twice
      |
    7 | listen = ["10.0.0.1:53", "10.0.0.1:53"]
      |                          ^^^^^^^^^^^^^
      |
      = help: remove one of the two

    standin.toml:8:11: `threads` must be 1 to 64, not 0
      |
    8 | threads = 0
      |           ^
      |
      = help: write a whole number from 1 to 64

    standin.toml:10:10: the DNS already listens on 10.0.0.1:53 (line 7)
       |
    10 | listen = "10.0.0.1:53"
       |          ^^^^^^^^^^^^^
       |
       = help: choose another port

    standin.toml:11:2: [metrics] lacks `listen`
       |
    11 | [metrics]
       |  ^^^^^^^
       |
       = help: add `listen = "127.0.0.1:9853"`

    standin.toml:12:1: unknown field `port` in [metrics]
       |
    12 | port = 9853
       | ^^^^
       |
       = help: known here: listen

    standin.toml:13:2: unknown section `metric` in the node file
       |
    13 | [metric]
       |  ^^^^^^
       |
       = help: did you mean `metrics`?
    "#);
}

#[test]
fn equal_wire_keys_are_refused() {
    // No two short names are known to collide, so the check is given equal keys.
    let text = "a\nb\n";
    let source = super::Source::new("cluster.toml", text);
    let things =
        [("server `a`", 7, 0..1), ("server `b`", 7, 2..3)].map(|(what, key, span)| (what.to_owned(), key, span));
    super::cluster::refuse_equal_keys(&source, things);
    assert_snapshot!(draw(source.into_mistakes()), @r#"
    cluster.toml:2:1: server `b` and server `a` (line 1) have the same key on the wire
      |
    2 | b
      | ^
      |
      = help: rename one of the two
    "#);
}

#[test]
fn hooks_have_a_moment_each_and_limits_that_suit_it() {
    let config = cluster(CLUSTER);
    let hooks = &config.virtual_hosts[&VirtualHostName::new("virtual1")].hooks;
    let expected = Hook {
        position: 0,
        program: "/usr/local/libexec/standin/mount-data".into(),
        arguments: vec!["--now".into()],
        user: Some("nobody".into()),
        timeout: Duration::from_millis(200),
    };
    assert_eq!(hooks[&HookMoment::BeforeTake], expected);
    let expected = Hook {
        position: 1,
        program: "/usr/local/libexec/standin/tell".into(),
        arguments: Vec::new(),
        user: None,
        timeout: Duration::from_secs(5),
    };
    assert_eq!(hooks[&HookMoment::AfterRelease], expected);
    assert_eq!(hooks.len(), 2);
    let default = |on: &str| {
        let host = "[virtual-host.v]\naddresses = [\"10.0.0.9\"]\nservers = [\"a\"]\n";
        let hook = format!("[[virtual-host.v.hook]]\non = \"{on}\"\ncommand = [\"/bin/true\"]\n");
        let config = cluster(&two_and(&format!("{host}{hook}")));
        config.virtual_hosts[&VirtualHostName::new("v")].hooks.values().next().unwrap().timeout
    };
    assert_eq!(default("before-take"), Duration::from_millis(500));
    assert_eq!(default("before-release"), Duration::from_secs(5));
}

#[test]
fn later_mistakes_find_their_place() {
    let at = |path: &[&str]| &CLUSTER[locate(CLUSTER, path)];
    assert_eq!(at(&["zone", "lb.example.test", "template"]), "\"lb.zone\"");
    assert_eq!(at(&["zone", "lb.example.test"]), "\"LB.example.test.\"");
    assert_eq!(at(&["server", "web2", "nothing"]), "web2");
    assert_eq!(at(&["nothing"]), "");
    let hook = |path: &[&str]| at(&[&["virtual-host", "virtual1", "hook"], path].concat());
    assert_eq!(hook(&["1", "command", "0"]), "\"/usr/local/libexec/standin/tell\"");
    assert_eq!(hook(&["0", "command", "1"]), "\"--now\"");
    assert_eq!(hook(&["1", "timeout"]), "hook", "the list's name, where the field is not");
}

const EXAMPLE: &str = include_str!("../../../../../deploy/examples/three-servers/cluster.toml");
const EXAMPLE_NODE: &str = include_str!("../../../../../deploy/examples/three-servers/standin.toml");

/// Cuts, overwrites, inserts and repeats bytes of a good file.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let length = text.len();
    let edit = (0..length, 0..40_usize, prop_oneof![".{0,3}", "[\\[\\]{}\"=,.#\n ]{1,4}", "(0|-1|1e9|true|\"\"|inf)"]);
    (prop::collection::vec(edit, 1..6), any::<bool>()).prop_map(move |(edits, truncate)| {
        let mut bytes = text.as_bytes().to_vec();
        for (start, cut, with) in &edits {
            let start = (*start).min(bytes.len());
            let end = (start + cut).min(bytes.len());
            bytes.splice(start..end, with.bytes());
        }
        if truncate {
            bytes.truncate(edits[0].0);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn positions_are_valid(text: &str, mistakes: &[Diagnostic]) -> Result<(), TestCaseError> {
    prop_assert!(!mistakes.is_empty());
    prop_assert!(mistakes.is_sorted_by_key(|mistake| (mistake.line, mistake.column)));
    for mistake in mistakes {
        let line = text.split('\n').nth(mistake.line - 1).map(|line| line.trim_end_matches('\r'));
        prop_assert_eq!(line, Some(&*mistake.text));
        prop_assert!(mistake.column >= 1 && mistake.column <= mistake.text.chars().count() + 2);
        prop_assert!(mistake.to_string().starts_with(&mistake.brief()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_damaged_cluster_file_is_read_or_refused_at_a_valid_place(text in prop_oneof![damaged(CLUSTER), damaged(EXAMPLE)]) {
        if let Err(mistakes) = parse_cluster("f", &text) {
            positions_are_valid(&text, &mistakes)?;
        }
    }

    #[test]
    fn a_damaged_node_file_is_read_or_refused_at_a_valid_place(text in prop_oneof![damaged(NODE), damaged(EXAMPLE_NODE)]) {
        if let Err(mistakes) = parse_node("f", &text) {
            positions_are_valid(&text, &mistakes)?;
        }
    }
}

#[test]
fn replies_are_limited_unless_the_file_says_otherwise() {
    let limit = |dns: &str| cluster(&two_and(dns)).dns.rate_limit;
    assert_eq!(limit(""), Some(RateLimit::default()));
    assert_eq!(limit("[dns]\nrate-limit = { enabled = false, slip = 3 }\n"), None);
    let allow = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    assert_eq!(
        limit("[dns]\nrate-limit = { per-second = 50, slip = 0, allow = [\"10.0.0.0/8\", \"fd00::/8\"] }\n"),
        Some(RateLimit { per_second: 50, slip: 0, allow })
    );
}

#[test]
fn who_joins_later_is_the_last_backup_of_every_list_of_all() {
    let cluster = |later: &str| {
        let text = format!(
            "[cluster]\nname = \"c\"\n[server.b]\naddress = \"10.0.0.2\"\n[server.a0]\naddress = \"10.0.0.9\"\njoined = 2\n{later}\
             [server.c]\naddress = \"10.0.0.3\"\n[virtual-host.v1]\naddresses = [\"10.0.0.101\"]\nservers = \"all\"\n\
             [virtual-host.v2]\naddresses = [\"10.0.0.102\"]\nservers = \"all\"\n"
        );
        let config = parse_cluster("cluster.toml", &text).unwrap();
        let lists = config
            .virtual_hosts
            .values()
            .map(|host| host.servers.iter().map(|server| server.as_str().to_owned()).collect::<Vec<_>>().join(" "));
        lists.collect::<Vec<_>>()
    };
    assert_eq!(cluster(""), ["b c a0", "c b a0"]);
    assert_eq!(cluster("[server.first]\naddress = \"10.0.0.1\"\njoined = 1\n"), ["b c first a0", "c b first a0"]);
}

#[test]
fn a_pool_says_what_a_degraded_member_weighs() {
    let text = |more: &str| {
        format!("[cluster]\nname = \"x\"\n[server.a]\naddress = \"127.0.0.1\"\n[pool.p]\nmembers = [\"a\"]\n{more}\n")
    };
    let weight = |more: &str| cluster(&text(more)).pools[&crate::PoolName::new("p")].degraded_weight;
    assert_eq!(["", "degraded-weight = 0", "degraded-weight = 50"].map(weight), [100, 0, 50]);
}

#[test]
fn the_rule_for_shared_causes_is_tuned_or_off() {
    let rule = |more: &str| {
        let text = format!("[cluster]\nname = \"x\"\n{more}\n[server.a]\naddress = \"127.0.0.1\"\n");
        cluster(&text).shared_cause
    };
    assert_eq!(rule("shared-cause = true"), SharedCause::Automatic);
    assert_eq!(rule("shared-cause = false"), SharedCause::Off);
    assert_eq!(rule("shared-cause = { within = \"5s\" }"), SharedCause::Within(Duration::from_secs(5)));
}
