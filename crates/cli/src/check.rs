//! `standin check`: reads what `run` would read, and prints all mistakes or what would happen.
//!
//! Invariant: exit code 0 means that `run` would start with these files, as far as files can tell. Not the other way round:
//! a hook's program that this machine refuses to run is a mistake here, and keeps no daemon from holding addresses.

use std::{io::IsTerminal, net::IpAddr, path::Path, process::ExitCode, time::Duration};

use comfy_table::Table;
use daemon::{
    delegation::{Delegated, compare_with_parent},
    load::{LoadError, Loaded, load},
};
use model::config::{ClusterConfig, Monitor, PartitionPolicy, PoolMember, Ttl};

use crate::{
    exit,
    print::{Style, Tone, lines},
};

/// More rows of one kind are counted, not shown: the summary fits on a screen.
const ROWS: usize = 12;

/// Checks all files that belong to the node file `config`, and what the parent's servers say of the zones; prints to
/// standard output and standard error.
pub(crate) fn run(config: &Path, parent: &[IpAddr]) -> ExitCode {
    let loaded = load(config).and_then(|loaded| match loaded.refused_hooks.as_slice() {
        [] => Ok(loaded),
        mistakes => Err(LoadError { mistakes: mistakes.to_vec() }),
    });
    match loaded {
        Ok(loaded) => {
            let style = Style::of_stdout();
            for warning in &loaded.warnings {
                crate::complain(&format!("warning: {warning}"));
            }
            let delegated = compare_with_parent(&loaded, parent);
            let differs = delegated.iter().any(|one| !one.found.as_ref().is_ok_and(Vec::is_empty));
            match crate::say(&(summary(&loaded, style) + &delegations(&delegated))) {
                Ok(()) if differs => ExitCode::from(exit::DEGRADED),
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            let terminal = std::io::stderr().is_terminal();
            let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            crate::complain(&format!("{}\n\n{}", error.render(colour), count(&error)));
            ExitCode::from(exit::BAD_CONFIGURATION)
        }
    }
}

/// What the parent's servers say, a line for each thing that is wrong.
fn delegations(delegated: &[Delegated]) -> String {
    let told = |one: &Delegated| {
        let at = format!("{} at {}", one.zone, one.server);
        match &one.found {
            Ok(differences) if differences.is_empty() => format!("delegated as it should be: {at}\n"),
            Ok(differences) => differences.iter().map(|difference| format!("{at}: {difference}\n")).collect(),
            Err(reason) => format!("{at}: {reason}\n"),
        }
    };
    let lines: String = delegated.iter().map(told).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

fn count(error: &LoadError) -> String {
    let (mistakes, files) = (error.mistakes.len(), error.files());
    let plural = |number, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    format!("{} in {}", plural(mistakes, "mistake"), plural(files, "file"))
}

/// What would happen, on one screen.
fn summary(loaded: &Loaded, style: Style) -> String {
    let cluster = &loaded.cluster;
    let mut text = format!(
        "{}: server {} of cluster {}, configuration {:016x}\n\n",
        style.paint("no mistakes", Tone::Good),
        loaded.node.name,
        cluster.name,
        cluster.digest
    );
    let heartbeat = cluster.heartbeat;
    text += &format!(
        "heartbeats  every {}, {} misses: a dead server is noticed after {}\n",
        spell(heartbeat.interval),
        heartbeat.misses,
        spell(heartbeat.detection())
    );
    text += &format!("partition   {}\n", partition(&cluster.partition));
    text += &format!("dns         {}\n", dns(loaded));
    let tables = [
        servers(loaded, style),
        virtual_hosts(cluster, style),
        endpoints(cluster, style),
        pools(cluster, style),
        zones(loaded, style),
    ];
    for table in tables {
        text += &table.map(|table| format!("\n{table}")).unwrap_or_default();
    }
    text
}

fn partition(policy: &PartitionPolicy) -> String {
    match policy {
        PartitionPolicy::Gateway { witness } if witness.is_empty() => {
            "a server that hears no other must reach its default gateway, where it has one".to_owned()
        }
        PartitionPolicy::Gateway { witness } => {
            format!("a server that hears no other must reach {}", join(witness.iter(), " or "))
        }
        PartitionPolicy::Majority => "a server must hear more than half of the servers, itself included".to_owned(),
        PartitionPolicy::Availability => "a server that hears no other goes on".to_owned(),
    }
}

fn dns(loaded: &Loaded) -> String {
    match loaded.node.dns_listen.as_slice() {
        [] => "not served here".to_owned(),
        sockets => format!("on {}", join(sockets.iter(), ", ")),
    }
}

fn servers(loaded: &Loaded, style: Style) -> Option<String> {
    let mut table = style.table(&["SERVER", "ADDRESSES", "HEARTBEATS TO", ""]);
    for (name, server) in loaded.cluster.servers.iter().take(ROWS) {
        let here = if *name == loaded.node.name { "this machine" } else { "" };
        table.add_row([
            name.to_string(),
            join(server.addresses(), ", "),
            server.heartbeat.to_string(),
            here.to_owned(),
        ]);
    }
    finish(&table, loaded.cluster.servers.len())
}

fn virtual_hosts(cluster: &ClusterConfig, style: Style) -> Option<String> {
    let mut table = style.table(&["VIRTUAL HOST", "ADDRESSES", "PRIMARY, BACKUPS", "MONITORS"]);
    for (name, host) in cluster.virtual_hosts.iter().take(ROWS) {
        table.add_row([
            name.to_string(),
            join(host.addresses.iter(), ", "),
            join(host.servers.iter(), ", "),
            monitors(&host.monitors),
        ]);
    }
    finish(&table, cluster.virtual_hosts.len())
}

fn endpoints(cluster: &ClusterConfig, style: Style) -> Option<String> {
    let mut table = style.table(&["ENDPOINT", "ADDRESSES", "PROBED BY", "MONITORS"]);
    for (name, endpoint) in cluster.endpoints.iter().take(ROWS) {
        let probed_by =
            if endpoint.monitors.is_empty() { "nobody".to_owned() } else { join(&endpoint.probed_by, ", ") };
        table.add_row([
            name.to_string(),
            join(endpoint.addresses.iter(), ", "),
            probed_by,
            monitors(&endpoint.monitors),
        ]);
    }
    finish(&table, cluster.endpoints.len())
}

fn monitors(monitors: &[Monitor]) -> String {
    let one = |monitor: &Monitor| format!("{} every {}", monitor.name, spell(monitor.interval));
    if monitors.is_empty() { "none".to_owned() } else { join(monitors.iter().map(one), ", ") }
}

fn pools(cluster: &ClusterConfig, style: Style) -> Option<String> {
    let mut table = style.table(&["POOL", "MEMBERS", "POLICY", "TTL"]);
    for (name, pool) in cluster.pools.iter().take(ROWS) {
        let members = pool.members.iter().map(PoolMember::name);
        table.add_row([name.to_string(), join(members, ", "), pool.policy.word().to_owned(), ttl(pool.ttl)]);
    }
    finish(&table, cluster.pools.len())
}

fn ttl(ttl: Ttl) -> String {
    if ttl.is_elastic() { format!("{} to {} s", ttl.min, ttl.max) } else { format!("{} s", ttl.min) }
}

fn zones(loaded: &Loaded, style: Style) -> Option<String> {
    let mut table = style.table(&["ZONE", "TEMPLATE", "NAMES", "OF POOLS"]);
    for zone in loaded.zones.iter().take(ROWS) {
        let template = loaded.cluster.zones.get(&zone.name).map(|settings| settings.template.display().to_string());
        let pooled = zone.owners.iter().filter(|owner| owner.pool().is_some()).count();
        let names = zone.owners.len().to_string();
        table.add_row([zone.name.to_string(), template.unwrap_or_default(), names, pooled.to_string()]);
    }
    finish(&table, loaded.zones.len())
}

/// The table as text, with the number of rows that it lacks; nothing where there is nothing.
fn finish(table: &Table, total: usize) -> Option<String> {
    let more = total.saturating_sub(ROWS);
    let rest = if more > 0 { format!("... and {more} more\n") } else { String::new() };
    (total > 0).then(|| lines(table) + &rest)
}

fn join<T: ToString>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(between)
}

fn spell(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis >= 1000 && millis % 1000 == 0 => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}
