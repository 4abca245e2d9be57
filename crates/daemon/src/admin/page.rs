//! The status page: one HTML page without scripts, made on the server. A console comes with its own issue.

use std::{fmt::Write, sync::Arc};

use model::api::{CandidateStatus, Status};

use crate::journal::Entry;

/// Journal entries shown.
const SHOWN: usize = 25;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;\
color-scheme:light dark}table{border-collapse:collapse;width:100%;margin:0 0 1.5rem}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884;vertical-align:top}\
th{font-weight:600}.bad{color:#c22;font-weight:600}.warn{color:#b60;font-weight:600}small{opacity:.7}\
pre{white-space:pre-wrap}";

/// The page. Every name and message in it is escaped.
pub(super) fn render(status: &Status, entries: &[Arc<Entry>]) -> String {
    let mut page = Page(String::with_capacity(8192));
    let title = escape(&format!("{} on {}", status.cluster, status.this));
    page.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"2\">");
    page.raw(&format!("<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"));
    page.raw(&format!(
        "<p>State <b>{}</b> · configuration {} (version {}) · DNS serial {}</p>",
        escape(&status.state),
        escape(&status.config.hash),
        status.config.version,
        status.dns.serial
    ));
    if let Some(refused) = &status.config.refused {
        page.raw(&format!("<p class=bad>The last configuration was refused:</p><pre>{}</pre>", escape(refused)));
    }
    page.servers(status);
    page.virtual_hosts(status);
    page.pools(status);
    page.entries(entries);
    page.raw("</body></html>\n");
    page.0
}

struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn table(&mut self, title: &str, heads: &[&str]) {
        let heads: String = heads.iter().map(|head| format!("<th scope=col>{head}</th>")).collect();
        self.raw(&format!("<h2>{title}</h2><table><thead><tr>{heads}</tr></thead><tbody>"));
    }

    fn row(&mut self, cells: &[String]) {
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        self.raw(&format!("<tr>{cells}</tr>"));
    }

    fn end(&mut self) {
        self.raw("</tbody></table>");
    }

    fn servers(&mut self, status: &Status) {
        self.table("Servers", &["Server", "Address", "State", "Heard", "Paths", "Configuration"]);
        for server in &status.servers {
            let standby = if server.standby { " <span class=warn>standby</span>" } else { "" };
            let agrees = match server.config_agrees {
                Some(true) => "same".into(),
                Some(false) => class("warn", "differs"),
                None => String::new(),
            };
            let paths = server.paths.iter().map(|path| match path.state.as_str() {
                "up" => escape(&path.path),
                "lost" => class("warn", &format!("{} lost", path.path)),
                _ => escape(&format!("{} never", path.path)),
            });
            self.row(&[
                escape(&server.name),
                server.address.to_string(),
                state(&server.state) + standby,
                server.heard_ms.map_or_else(String::new, |ms| format!("{ms} ms ago")),
                paths.collect::<Vec<_>>().join(", "),
                agrees,
            ]);
        }
        self.end();
    }

    fn virtual_hosts(&mut self, status: &Status) {
        if status.virtual_hosts.is_empty() {
            return;
        }
        self.table("Virtual hosts", &["Virtual host", "Addresses", "State", "Active on", "Servers"]);
        for host in &status.virtual_hosts {
            let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
            let reason =
                host.reason.as_ref().map_or_else(String::new, |why| format!("<br><small>{}</small>", escape(why)));
            let servers: Vec<String> = host.servers.iter().map(candidate).collect();
            self.row(&[
                escape(&host.name),
                addresses.join("<br>"),
                state(&host.state) + &reason,
                host.active.as_deref().map_or_else(|| class("bad", "nobody"), escape),
                servers.join("<br>"),
            ]);
        }
        self.end();
    }

    fn pools(&mut self, status: &Status) {
        if status.pools.is_empty() {
            return;
        }
        self.table("Pools", &["Pool", "Member", "Addresses", "Answered", "Why"]);
        for pool in &status.pools {
            for member in &pool.members {
                let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
                let answered = if member.answered { "yes".into() } else { class("warn", "no") };
                self.row(&[
                    escape(&pool.name),
                    escape(&member.name),
                    addresses.join("<br>"),
                    answered,
                    escape(&member.why),
                ]);
            }
        }
        self.end();
    }

    fn entries(&mut self, entries: &[Arc<Entry>]) {
        self.table("Events", &["Time", "Level", "Event"]);
        for entry in entries.iter().rev().take(SHOWN) {
            self.row(&[entry.time.clone(), state(entry.level), escape(&entry.message)]);
        }
        self.end();
    }
}

fn candidate(server: &CandidateStatus) -> String {
    let mut text = format!("{} <small>{}</small>", escape(&server.name), escape(&server.role));
    for monitor in &server.monitors {
        let reason = monitor.reason.as_deref().map_or_else(String::new, |why| format!(" title=\"{}\"", escape(why)));
        let verdict = state(&monitor.verdict);
        // Writing to a string cannot fail.
        let _ = write!(text, " <small{reason}>{}: {verdict}</small>", escape(&monitor.name));
    }
    text
}

/// A word in the colour of its meaning; the word itself always stands there too.
fn state(word: &str) -> String {
    match word {
        "dead" | "unheld" | "rivals" | "down" | "error" | "refused" => class("bad", word),
        "suspect" | "left" | "moving" | "unknown" | "degraded" | "isolated" | "warn" => class("warn", word),
        _ => escape(word),
    }
}

fn class(name: &str, word: &str) -> String {
    format!("<span class={name}>{}</span>", escape(word))
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
