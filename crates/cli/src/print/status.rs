//! `standin status`: the cluster in a few small tables.

use std::time::Duration;

use comfy_table::Cell;
pub(crate) use model::api::complaints::complaints;
use model::api::complaints::missed;
use model::api::{
    CandidateStatus, EndpointStatus, MonitorStatus, PoolMemberStatus, ProberStatus, ServerStatus, Status,
    VirtualHostStatus,
};

use super::{Style, Tone, lines};

/// The whole text.
pub(crate) fn render(status: &Status, style: Style) -> String {
    let mut parts = vec![headline(status, style), servers(status, style)];
    if !status.virtual_hosts.is_empty() {
        parts.push(virtual_hosts(status, style));
    }
    if !status.endpoints.is_empty() {
        parts.push(endpoints(status, style));
    }
    if !status.pools.is_empty() {
        parts.push(pools(status, style));
    }
    parts.push(footer(status, style));
    parts.join("\n")
}

fn headline(status: &Status, style: Style) -> String {
    let state = style.paint(&status.state, Tone::of(&status.state));
    let up = match status.uptime_seconds {
        0 => "less than a second".to_owned(),
        seconds => span(Duration::from_secs(seconds)),
    };
    format!("{} seen from {}: {state}, up {up}\n", status.cluster, status.this)
}

fn servers(status: &Status, style: Style) -> String {
    let mut table = style.table(&["SERVER", "ADDRESS", "STATE", "HEARD", "HEARS US", "PATHS", "CONFIGURATION"]);
    for server in &status.servers {
        table.add_row(vec![
            Cell::new(&server.name),
            Cell::new(server.address),
            style.toned(&state(server), Tone::of(&server.state)),
            ago(server.heard_ms),
            ago(server.hears_us_ms),
            paths(server, style),
            match server.config_agrees {
                Some(true) => style.word("same"),
                Some(false) => style.word("differs"),
                None => Cell::new(""),
            },
        ]);
    }
    padded(table)
}

fn state(server: &ServerStatus) -> String {
    if server.standby { format!("{}, standby", server.state) } else { server.state.clone() }
}

/// The paths over which a server is heard; why not, where it lives and is not.
fn paths(server: &ServerStatus, style: Style) -> Cell {
    let words = server.paths.iter().map(|path| match path.heard_ms {
        _ if path.state == "up" => path.path.clone(),
        Some(ms) => format!("{} lost {} ago", path.path, span(Duration::from_millis(ms))),
        None => format!("{} never", path.path),
    });
    let tone = if missed(server).next().is_some() { Tone::Warn } else { Tone::Plain };
    style.toned(&words.collect::<Vec<_>>().join(", "), tone)
}

fn ago(ms: Option<u64>) -> Cell {
    Cell::new(ms.map_or_else(String::new, |ms| format!("{} ago", span(Duration::from_millis(ms)))))
}

fn virtual_hosts(status: &Status, style: Style) -> String {
    let heads = ["VIRTUAL HOST", "ADDRESSES", "STATE", "ACTIVE ON", "TERM", "SERVER", "ROLE", "MONITORS"];
    let mut table = style.table(&heads);
    for host in &status.virtual_hosts {
        let rows = host.servers.len().max(host.addresses.len()).max(1);
        for row in 0..rows {
            let mut cells = if row == 0 { first_cells(host, style) } else { vec![Cell::new("")] };
            cells.insert(1, Cell::new(host.addresses.get(row).map_or_else(String::new, ToString::to_string)));
            cells.resize_with(5, || Cell::new(""));
            cells.extend(candidate_cells(host.servers.get(row), style));
            table.add_row(cells);
        }
    }
    let reasons = status.virtual_hosts.iter().filter_map(|host| {
        host.reason.as_ref().map(|reason| style.paint(&format!("{}: {reason}\n", host.name), Tone::of(&host.state)))
    });
    padded(table) + &reasons.collect::<String>()
}

fn first_cells(host: &VirtualHostStatus, style: Style) -> Vec<Cell> {
    vec![
        Cell::new(&host.name),
        style.word(&host.state),
        host.active.as_deref().map_or_else(|| style.word("nobody"), Cell::new),
        Cell::new(host.term),
    ]
}

fn candidate_cells(server: Option<&CandidateStatus>, style: Style) -> [Cell; 3] {
    let Some(server) = server else { return [Cell::new(""), Cell::new(""), Cell::new("")] };
    [Cell::new(&server.name), style.word(&server.role), monitors(&server.monitors, style)]
}

fn monitors(monitors: &[MonitorStatus], style: Style) -> Cell {
    // The address tells monitors apart only where there is more than one.
    let first = monitors.first().and_then(|monitor| monitor.address);
    let several = monitors.iter().any(|monitor| monitor.address != first);
    let words = monitors.iter().map(|monitor| {
        let at = monitor.address.filter(|_| several).map_or_else(String::new, |address| format!(" at {address}"));
        let (name, verdict) = (&monitor.name, &monitor.verdict);
        let noted = monitor.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        let recorded = if monitor.severity == "record" { ", on record only" } else { "" };
        match (&monitor.held, &monitor.reason) {
            (Some(held), _) => {
                format!("{name}{at} {verdict} ({held}, its probes say {}{recorded}{noted})", monitor.found)
            }
            (None, Some(reason)) if verdict != "up" || monitor.recovering => {
                format!("{name}{at} {verdict} ({reason}{recorded}{noted})")
            }
            // What it is about its own server knows.
            (None, None) if monitor.recovering => format!("{name}{at} {verdict} (recovering{recorded}{noted})"),
            (None, _) if !recorded.is_empty() => format!("{name}{at} {verdict} (on record only)"),
            (None, _) => format!("{name}{at} {verdict}"),
        }
    });
    let worst = monitors.iter().map(|monitor| Tone::of(&monitor.verdict)).find(|tone| *tone != Tone::Good);
    let tone = worst.unwrap_or(if monitors.is_empty() { Tone::Plain } else { Tone::Good });
    style.toned(&words.collect::<Vec<_>>().join(", "), tone)
}

fn endpoints(status: &Status, style: Style) -> String {
    let mut table = style.table(&["ENDPOINT", "ADDRESSES", "STATE", "PROBED BY", "MONITORS"]);
    for endpoint in &status.endpoints {
        let unprobed = endpoint.probed_by.iter().all(|prober| prober.monitors.is_empty()) && endpoint.verdict == "up";
        let probers = if unprobed { &[] } else { endpoint.probed_by.as_slice() };
        for row in 0..probers.len().max(endpoint.addresses.len()) {
            table.add_row(endpoint_cells(endpoint, probers, row, style));
        }
    }
    padded(table)
}

fn endpoint_cells(endpoint: &EndpointStatus, probers: &[ProberStatus], row: usize, style: Style) -> Vec<Cell> {
    let address = endpoint.addresses.get(row).map_or_else(String::new, ToString::to_string);
    let mut cells = match row {
        0 => vec![Cell::new(&endpoint.name), Cell::new(address), style.word(&endpoint.verdict)],
        _ => vec![Cell::new(""), Cell::new(address), Cell::new("")],
    };
    match probers.get(row) {
        Some(prober) => cells.extend([Cell::new(&prober.name), monitors(&prober.monitors, style)]),
        None if row == 0 => cells.extend([Cell::new("nobody"), Cell::new("none")]),
        None => {}
    }
    cells
}

fn pools(status: &Status, style: Style) -> String {
    let mut table = style.table(&["POOL", "MEMBER", "ADDRESSES", "ANSWERED", "WHY"]);
    for pool in &status.pools {
        for (row, member) in pool.members.iter().enumerate() {
            let name = if row == 0 { pool.name.as_str() } else { "" };
            table.add_row(member_cells(name, member, style));
        }
    }
    padded(table)
}

fn member_cells(pool: &str, member: &PoolMemberStatus, style: Style) -> Vec<Cell> {
    let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
    vec![
        Cell::new(pool),
        Cell::new(&member.name),
        Cell::new(addresses.join(", ")),
        style.word(if member.answered { "yes" } else { "no" }),
        Cell::new(&member.why),
    ]
}

fn footer(status: &Status, style: Style) -> String {
    let config = &status.config;
    let mut text = String::new();
    let ethernet = &status.ethernet;
    if !ethernet.state.is_empty() {
        text += &format!("heartbeats by Ethernet broadcast: {}", ethernet.state);
        if !ethernet.interfaces.is_empty() {
            text += &format!(" ({})", ethernet.interfaces.join(" "));
        }
        text += &ethernet.reason.as_ref().map_or_else(String::new, |reason| format!(", {reason}"));
        text.push('\n');
    }
    text += &format!("configuration {}, version {}", config.hash, config.version);
    if config.mode == "document" {
        text += if config.unconfirmed {
            ", by the document, whose last edit waits for `standin confirm`"
        } else {
            ", by the document"
        };
    }
    if !config.conflicts.is_empty() {
        let differs = format!(", differs on {}", config.conflicts.join(", "));
        text += &style.paint(&differs, Tone::Bad);
    }
    text += &format!("\nDNS serial {}", status.dns.serial);
    for (what, list) in [("zones", &status.dns.zones), ("listening on", &status.dns.listening)] {
        if !list.is_empty() {
            text += &format!(", {what} {}", list.join(" "));
        }
    }
    text.push('\n');
    if let Some(refused) = &config.refused {
        text += &style.paint("\nThe last configuration was refused; the one above stays in force:\n", Tone::Bad);
        text += refused;
        text.push('\n');
    }
    let complaints = complaints(status);
    if !complaints.is_empty() {
        text += &style.paint(&format!("\nNot as it should be: {}\n", complaints.join("; ")), Tone::Warn);
    }
    text
}

/// A span in its largest unit that says enough.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

fn padded(mut table: comfy_table::Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    lines(&table)
}

#[cfg(test)]
pub(crate) mod tests;
