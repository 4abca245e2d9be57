//! Endpoints with real daemons: who has no route to one has no say about it.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod stage_support;

use std::process::Command;

use host::lab::stage::Stage;
use stage_support::{SERVERS, await_status, on_stage, set};

const CLUSTER: &str = r#"
[cluster]
name = "routes"
[server.web1]
address = "10.77.0.11"
[server.web2]
address = "10.77.0.12"
[server.web3]
address = "10.77.0.13"
[endpoint.nt1]
addresses = ["10.77.0.200"]
[[endpoint.nt1.monitor]]
type = "icmp"
interval = "200ms"
timeout = "200ms"
"#;

fn route(stage: &Stage, server: &str, command: &str) {
    let mut ip: Command = stage.host(server).unwrap().command("ip");
    assert!(ip.args(["route", command, "unreachable", "10.77.0.200/32"]).status().unwrap().success());
}

#[test]
fn servers_without_a_route_to_an_endpoint_do_not_take_it_for_dead() {
    on_stage("servers_without_a_route_to_an_endpoint_do_not_take_it_for_dead", || {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = set(directory.path(), CLUSTER, &SERVERS);
        for (server, ..) in SERVERS {
            stage.start(server).unwrap();
        }
        let found = |stage: &Stage, server: &str, verdicts: [&str; 3]| {
            await_status(stage, server, &format!("probed as {verdicts:?}"), |status| {
                let of = |(name, verdict): (&(&str, &str, &str), &&str)| {
                    let prober = status.endpoints[0].probed_by.iter().find(|prober| prober.name == name.0);
                    prober.is_some_and(|prober| prober.monitors.iter().all(|monitor| monitor.verdict == **verdict))
                };
                SERVERS.iter().zip(&verdicts).all(of)
            })
        };
        found(&stage, "web2", ["up", "up", "up"]);
        route(&stage, "web1", "add");
        route(&stage, "web3", "add");
        let status = found(&stage, "web2", ["unknown", "up", "unknown"]);
        assert_eq!(status.endpoints[0].verdict, "up", "{:?}", status.endpoints);
        route(&stage, "web2", "add");
        found(&stage, "web2", ["unknown", "unknown", "unknown"]);
        await_status(&stage, "web2", "nobody knows", |status| status.endpoints[0].verdict == "unknown");
        route(&stage, "web1", "del");
        found(&stage, "web2", ["up", "unknown", "unknown"]);
    });
}
