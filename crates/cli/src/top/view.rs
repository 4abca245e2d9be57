//! What `standin top` draws: who holds what, who lives, what is not well, what happened last. A function of the picture alone.

use model::api::{CandidateStatus, PathStatus, PoolStatus, ServerStatus, Status, VirtualHostStatus};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Paragraph, Row, Table},
};
use serde_json::Value;

use super::Picture;
use crate::print;

/// The widest column of a server.
const COLUMN: u16 = 12;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture) {
    let Some(status) = &picture.status else {
        let (why, _) = picture.trouble.clone().unwrap_or_default();
        return frame.render_widget(Paragraph::new(why).style(bad()), frame.area());
    };
    let complaints = print::status::complaints(status);
    let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let hosts = rows(status.virtual_hosts.len()).saturating_add(3);
    let servers = rows(status.servers.len().max(status.pools.len())).saturating_add(3);
    let areas = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(rows(complaints.len().min(4))),
        Constraint::Max(hosts),
        Constraint::Max(servers),
        Constraint::Min(3),
        Constraint::Length(1),
    ]);
    let [head, wrong, held, alive, log, keys] = areas.areas(frame.area());
    frame.render_widget(header(status, &complaints, picture), head);
    frame.render_widget(
        Paragraph::new(complaints.into_iter().map(|one| Line::styled(one, bad())).collect::<Vec<_>>()),
        wrong,
    );
    frame.render_widget(holders(status, picture.scrolled), held);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(alive);
    frame.render_widget(members(status), left);
    frame.render_widget(pools(&status.pools), right);
    frame.render_widget(events(&picture.events, log), log);
    let help = "● holds  ○ stands by  ◐ on its way  ✗ not well  · away    ↑↓ scroll  q quit";
    frame.render_widget(Paragraph::new(help).style(Style::new().add_modifier(Modifier::DIM)), keys);
}

fn header<'t>(status: &'t Status, complaints: &[String], picture: &'t Picture) -> Paragraph<'t> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let seen = format!("  as {} sees it ({}), serial {}", status.this, status.state, status.dns.serial);
    let state = match (&picture.trouble, complaints.len()) {
        (Some((why, age)), _) => Line::styled(format!("{age} s old: {why}"), bad()),
        (None, 0) => Line::styled("all is well", good()),
        (None, 1) => Line::styled("one thing is not well", bad()),
        (None, count) => Line::styled(format!("{count} things are not well"), bad()),
    };
    Paragraph::new(vec![Line::from(vec![Span::styled(status.cluster.as_str(), bold), Span::raw(seen)]), state])
}

/// A row for each virtual host, a column for each server.
fn holders(status: &Status, scrolled: usize) -> Table<'_> {
    let names = status.servers.iter().map(|server| Cell::new(server.name.as_str()));
    let head = ["VIRTUAL HOST", "ADDRESSES"].map(Cell::new).into_iter().chain(names);
    let rows = status.virtual_hosts.iter().skip(scrolled).map(|host| {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let style = if host.state == "active" { Style::new() } else { bad() };
        let first = [Cell::new(host.name.as_str()).style(style), Cell::new(addresses.join(" "))];
        Row::new(first.into_iter().chain(status.servers.iter().map(|server| place(host, server))))
    });
    let columns = status.servers.iter().map(|_| Constraint::Max(COLUMN));
    let widths: Vec<Constraint> = [Constraint::Max(18), Constraint::Fill(1)].into_iter().chain(columns).collect();
    Table::new(rows, widths).header(Row::new(head).style(titled())).block(Block::new().borders(Borders::TOP))
}

/// What a virtual host has on a server.
fn place(host: &VirtualHostStatus, server: &ServerStatus) -> Cell<'static> {
    let Some(candidate) = host.servers.iter().find(|candidate| candidate.name == server.name) else {
        return Cell::new("");
    };
    let ill = candidate.monitors.iter().any(|monitor| monitor.verdict == "down" && monitor.severity != "record");
    match (candidate.role.as_str(), ill) {
        ("active", false) => Cell::new("●").style(good().add_modifier(Modifier::BOLD)),
        ("active", true) => Cell::new("● ✗").style(bad()),
        ("taking" | "releasing", _) => Cell::new("◐").style(warn()),
        ("backup", false) => Cell::new(standing_by(candidate)),
        ("away", _) => Cell::new("·").style(Style::new().add_modifier(Modifier::DIM)),
        (_, _) => Cell::new("✗").style(bad()),
    }
}

fn standing_by(candidate: &CandidateStatus) -> Span<'static> {
    let degraded = candidate.monitors.iter().any(|monitor| monitor.verdict == "degraded");
    Span::styled("○", if degraded { warn() } else { Style::new() })
}

fn members(status: &Status) -> Table<'_> {
    let rows = status.servers.iter().map(|server| {
        let paths: Vec<String> = server.paths.iter().map(path).collect();
        let state = if server.standby { "standby" } else { &server.state };
        let style = match state {
            "self" | "alive" => good(),
            "dead" | "unknown" => bad(),
            _ => warn(),
        };
        let heard = server.heard_ms.map_or_else(String::new, |ms| format!("{ms} ms"));
        Row::new([
            Cell::new(server.name.as_str()),
            Cell::new(state).style(style),
            heard.into(),
            paths.join(", ").into(),
        ])
    });
    let widths = [Constraint::Max(12), Constraint::Length(8), Constraint::Length(8), Constraint::Fill(1)];
    table(Table::new(rows, widths), ["SERVER", "STATE", "HEARD", "PATHS"])
}

fn path(path: &PathStatus) -> String {
    if path.state == "up" { path.path.clone() } else { format!("no {}", path.path) }
}

fn pools(pools: &[PoolStatus]) -> Table<'_> {
    let rows = pools.iter().map(|pool| {
        let answered = pool.members.iter().filter(|member| member.answered);
        let names: Vec<&str> = answered.map(|member| member.name.as_str()).collect();
        let style = match names.len() {
            0 => bad(),
            count if count < pool.members.len() => warn(),
            _ => good(),
        };
        let share = format!("{} of {}", names.len(), pool.members.len());
        Row::new([Cell::new(pool.name.as_str()), Cell::new(share).style(style), Cell::new(names.join(" "))])
    });
    table(Table::new(rows, [Constraint::Max(14), Constraint::Length(9), Constraint::Fill(1)]), ["POOL", "ANSWERED", ""])
}

fn table<'t, const N: usize>(table: Table<'t>, head: [&'static str; N]) -> Table<'t> {
    table.header(Row::new(head).style(titled())).block(Block::new().borders(Borders::TOP))
}

/// The last ones that have room.
fn events(events: &[Value], area: Rect) -> Paragraph<'_> {
    let room = usize::from(area.height.saturating_sub(1));
    let lines = events.iter().skip(events.len().saturating_sub(room)).map(|event| {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let style = match text("level") {
            "error" => bad(),
            "warn" => warn(),
            _ => Style::new(),
        };
        let time = text("time").get(11..23).unwrap_or_default();
        Line::from(vec![Span::raw(format!("{time} ")), Span::styled(text("message").to_owned(), style)])
    });
    Paragraph::new(lines.collect::<Vec<_>>()).block(Block::new().borders(Borders::TOP).title("events, UTC"))
}

fn titled() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn good() -> Style {
    Style::new().fg(Color::Green)
}

fn warn() -> Style {
    Style::new().fg(Color::Yellow)
}

fn bad() -> Style {
    Style::new().fg(Color::Red)
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::print::status::tests::{broken, healthy};

    fn drawn(picture: &Picture) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, 26)).unwrap();
        terminal.draw(|frame| draw(frame, picture)).unwrap();
        terminal.backend().to_string()
    }

    fn told() -> Vec<Value> {
        let event = |time: &str, level: &str, message: &str| serde_json::json!({ "time": time, "level": level, "message": message, "event": "x" });
        vec![
            event("2026-11-26T09:12:03.120Z", "info", "web2 is alive"),
            event("2026-11-26T09:14:11.482Z", "warn", "web1 is dead: silent for 151 ms"),
        ]
    }

    #[test]
    fn a_healthy_cluster_at_a_glance() {
        insta::assert_snapshot!(drawn(&Picture { status: Some(healthy()), events: told(), ..Picture::default() }));
    }

    #[test]
    fn what_is_wrong_comes_first() {
        insta::assert_snapshot!(drawn(&Picture { status: Some(broken()), events: told(), ..Picture::default() }));
    }

    #[test]
    fn an_old_picture_says_so_and_a_small_window_is_no_fault() {
        let trouble = Some(("nobody answers".to_owned(), 7));
        let picture = Picture { status: Some(healthy()), trouble, ..Picture::default() };
        assert!(drawn(&picture).contains("7 s old: nobody answers"));
        let nothing = Picture { trouble: Some(("no daemon".to_owned(), 0)), ..Picture::default() };
        assert!(drawn(&nothing).contains("no daemon"));
        for (width, height) in [(1, 1), (20, 5), (300, 80)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &Picture { scrolled: 99, ..picture.clone() })).unwrap();
        }
    }
}
