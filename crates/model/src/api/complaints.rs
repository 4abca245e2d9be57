//! What is not as it should be, in words for a person: the same in `standin status`, `standin top` and the console.

use super::{MonitorStatus, PathStatus, ServerStatus, SharedFaultStatus, Status};

/// What is not as it should be, in words; empty when all is well. `standin status` exits with 3 when there is any.
pub fn complaints(status: &Status) -> Vec<String> {
    let mut found = Vec::new();
    if status.state == "isolated" {
        found.push(format!("{} is isolated", status.this));
    }
    if status.guardian == "gone" {
        found.push(format!("{} has lost its guardian: restart it", status.this));
    }
    if let Some(fault) = &status.shared_fault {
        let stays = if fault.stays { ", nothing moves for it" } else { "" };
        let SharedFaultStatus { failed, watched, .. } = fault;
        found.push(format!("{failed} of {watched} monitors have failed at once: a shared cause{stays}"));
    }
    let servers = status.servers.iter().filter(|server| !matches!(server.state.as_str(), "self" | "alive"));
    found.extend(servers.map(|server| format!("{} is {}", server.name, server.state)));
    let lost = |server| missed(server).map(|path| format!("{} is not heard over {}", server.name, path.path));
    found.extend(status.servers.iter().flat_map(lost));
    let hosts = status.virtual_hosts.iter().filter(|host| host.state != "active");
    found.extend(hosts.map(|host| format!("{} is {}", host.name, host.state)));
    for host in &status.virtual_hosts {
        let holder = host.servers.iter().find(|server| Some(&server.name) == host.active.as_ref());
        let bad = |monitor: &&MonitorStatus| {
            matches!(monitor.verdict.as_str(), "down" | "degraded") && monitor.severity != "record"
        };
        for server in &host.servers {
            let place = if server.name == status.this { "here".into() } else { format!("on {}", server.name) };
            let recovering = server.monitors.iter().filter(|monitor| monitor.recovering);
            found.extend(recovering.map(|one| format!("{}/{} is recovering {place}", host.name, one.name)));
        }
        let bad = holder.into_iter().flat_map(|holder| &holder.monitors).filter(bad);
        let words = |one: &MonitorStatus| format!("{}/{} is {} where it is active", host.name, one.name, one.verdict);
        found.extend(bad.map(words));
        let unseen: Vec<&str> =
            host.seen_by.iter().filter(|seen| seen.verdict == "down").map(|seen| seen.server.as_str()).collect();
        if !unseen.is_empty() && host.state == "active" {
            found.push(format!("{} is not reached by {}", host.name, unseen.join(", ")));
        }
        let held = host.servers.iter().flat_map(|server| server.monitors.iter().map(move |one| (server, one)));
        let held = held.filter_map(|(server, one)| Some((server, one, one.held.as_ref()?)));
        found
            .extend(held.map(|(server, one, held)| format!("{}/{} is {held} on {}", host.name, one.name, server.name)));
    }
    let endpoints = status.endpoints.iter().filter(|endpoint| matches!(endpoint.verdict.as_str(), "down" | "degraded"));
    found.extend(endpoints.map(|endpoint| format!("endpoint {} is {}", endpoint.name, endpoint.verdict)));
    for host in &status.virtual_hosts {
        let failed = |outcome: &&str| *outcome != "succeeded";
        let failed = host.hooks.iter().filter_map(|hook| Some((hook, hook.outcome.as_deref().filter(failed)?)));
        found.extend(
            failed.map(|(hook, outcome)| format!("the {} hook of {} ended as {outcome} here", hook.on, host.name)),
        );
    }
    let silent = status.pools.iter().filter(|pool| !pool.members.iter().any(|member| member.answered));
    found.extend(silent.map(|pool| format!("pool {} has no answer", pool.name)));
    found.extend(status.config.conflicts.iter().map(|server| format!("{server} runs another configuration")));
    if !status.config.clashes.is_empty() {
        found.push(format!("{} with several values: see `standin conflicts`", status.config.clashes.join(", ")));
    }
    if !status.config.held.is_empty() {
        found.push(format!("{} not in force as edited: see `standin conflicts`", status.config.held.join(", ")));
    }
    if status.config.disk_failing {
        found.push("the disk does not keep the configuration: edits are refused".into());
    }
    if status.config.refused.is_some() {
        found.push("the last configuration was refused".into());
    }
    found
}

/// The paths that a living server should be heard over. Ethernet that never worked may be switched off there.
pub fn missed(server: &ServerStatus) -> impl Iterator<Item = &PathStatus> {
    let alive = matches!(server.state.as_str(), "alive" | "suspect");
    let missed = |path: &&PathStatus| path.state == "lost" || (path.state == "never" && path.path == "udp");
    server.paths.iter().filter(move |path| alive && missed(path))
}
