//! Services to monitor: real servers from their Debian packages, and servers with faults.

#![allow(dead_code)] // each test uses its part
#![allow(clippy::panic, reason = "a test fails by panicking")]

pub(crate) mod certificates;
pub(crate) mod faults;
pub(crate) mod grpc;
pub(crate) mod servers;

use std::{net::Ipv4Addr, time::Duration};

use host::probe::once;
use model::{
    config::parse_cluster,
    report::{ProbeOrder, ProbeResult},
};

/// The name that the certificates are for.
pub(crate) const NAME: &str = "monitors.test";
/// Long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Of probes that are to fail by it.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// What `standin run` would try for a monitor with these settings, at a port of loopback.
pub(crate) fn order(settings: &str, port: u16, timeout: Duration) -> ProbeOrder {
    let port_line = if port == 0 { String::new() } else { format!("port = {port}\n") };
    let text = format!(
        "[cluster]\nname = \"test\"\n[server.web1]\naddress = \"10.77.0.11\"\n[virtual-host.virtual1]\n\
         addresses = [\"10.77.0.101\"]\nservers = [\"web1\"]\n[[virtual-host.virtual1.monitor]]\n{port_line}{settings}"
    );
    let config = parse_cluster("cluster.toml", &text).unwrap_or_else(|mistakes| {
        panic!("{}", mistakes.iter().map(ToString::to_string).collect::<String>());
    });
    let (_, monitor) = config.monitors().next().expect("one monitor");
    ProbeOrder {
        target: Ipv4Addr::LOCALHOST.into(),
        port: monitor.port,
        kind: monitor.kind.clone(),
        interval: monitor.interval,
        timeout,
    }
}

/// One probe: its verdict and its words.
pub(crate) async fn probe(settings: &str, port: u16, timeout: Duration) -> (&'static str, String) {
    match once(&order(settings, port, timeout)).await {
        ProbeResult::Success => ("up", String::new()),
        ProbeResult::Degraded(reason) => ("degraded", reason.to_string()),
        ProbeResult::Failure(reason) => ("down", reason.to_string()),
        ProbeResult::NoRoute => ("unknown", "no route".to_owned()),
    }
}
