//! The cluster's log with a million events: how fast they are kept, how long it is, how fast it is searched.

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use chronicle::{Level, Query};
use daemon::cluster_log::{Log, Noted, Order};
use model::ServerName;
use serde_json::json;

const EVENTS: u64 = 1_000_000;
/// Fewer than may wait, so that none is dropped.
const AT_ONCE: u64 = 500;
const ROUNDS: u32 = 5;

/// The kinds of a life of a cluster, as long as the real ones.
fn event(number: u64) -> Noted {
    let (host, server) = (format!("virtual{}", number % 40), format!("web{}", number % 5 + 1));
    let rare = number.is_multiple_of(50_000);
    let (kind, message, fields) = match number % 4 {
        _ if rare => {
            let message = format!("{server} is dead: silent for {} ms", 150 + number % 7);
            ("peer-dead", message, json!({"server": server, "silent_ms": 150 + number % 7}))
        }
        0 => {
            let message = format!("active for {host}, term {number}, after {} us", number * 17 % 3000);
            ("active", message, json!({"virtual_host": host, "term": number, "took_us": number * 17 % 3000}))
        }
        1 => {
            let message = format!("{host} should be on {server}, no longer on web9: a monitor of its holder is down");
            (
                "target-changed",
                message,
                json!({"virtual_host": host, "from": "web9", "to": server, "cause": "service-failed"}),
            )
        }
        2 => {
            let message = format!("http of {host} is down: connection refused after {} ms", number % 90);
            let reason = format!("connection refused after {} ms", number % 90);
            let monitor = json!({"virtual_host": host, "monitor": "http"});
            ("monitor-changed", message, json!({"monitor": monitor, "verdict": "down", "reason": reason}))
        }
        _ => (
            "peer-suspected",
            format!("{server} is overdue: silent for 76 ms"),
            json!({"server": server, "silent_ms": 76}),
        ),
    };
    let mut fields = fields.as_object().cloned().unwrap_or_default();
    fields.insert("event".to_owned(), kind.into());
    let wall_ms = 1_790_000_000_000 + number * 37;
    Noted { wall_ms, level: Level::Warn, security: false, message, about: vec![host, server], fields }
}

fn length(path: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for file in std::fs::read_dir(path)? {
        let file = file?;
        sum += if file.file_type()?.is_dir() { length(&file.path())? } else { file.metadata()?.len() };
    }
    Ok(sum)
}

fn text(text: &str) -> Query {
    Query { text: Some(text.into()), ..Query::default() }
}

fn wait_for(log: &Log, count: u64) {
    while *log.news().borrow() < count {
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[allow(clippy::print_stdout)] // its figures are for people
fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (log, _) = Log::alone(&ServerName::new("web1"), directory.path(), Duration::from_millis(50))?;
    let begun = Instant::now();
    for number in 0..EVENTS {
        log.note(event(number));
        if number % AT_ONCE == AT_ONCE - 1 {
            wait_for(&log, number + 1);
        }
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{EVENTS} events kept in {took:.1} s, {:.0} a second; on the disk {:.1} MB",
        EVENTS as f64 / took,
        length(directory.path())? as f64 / 1e6
    );
    let opened = Instant::now();
    drop(Log::alone(&ServerName::new("web2"), directory.path(), Duration::from_millis(50))?);
    println!("opened in {:.1} ms", opened.elapsed().as_secs_f64() * 1e3);
    let queries = [
        ("the last 200", Query::default(), Order::Newest, 200),
        (
            "the first 1,000 of the middle",
            Query { since_ms: Some(1_790_000_000_000 + 37 * EVENTS / 2), ..Query::default() },
            Order::Oldest,
            1000,
        ),
        (
            "200 about one virtual host",
            Query { about: Some("virtual7".into()), ..Query::default() },
            Order::Newest,
            200,
        ),
        ("all 20 deaths", Query { kinds: vec!["peer-dead".into()], ..Query::default() }, Order::Newest, 1000),
        (
            "about a name that is not there",
            Query { about: Some("nobody".into()), ..Query::default() },
            Order::Newest,
            200,
        ),
        ("a text that is nowhere", text("no such text"), Order::Newest, 200),
        (
            "a text that is nowhere, though all its trigrams are in every block",
            text("silent for virtual7"),
            Order::Newest,
            200,
        ),
        ("a text that is there once", text("term 777776,"), Order::Newest, 200),
        ("200 of a text that is everywhere", text("SILENT for 76 ms"), Order::Newest, 200),
        ("a text of two bytes that is nowhere", text("%%"), Order::Newest, 200),
    ];
    for (what, query, order, most) in queries {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            found = log.search(&query, order, most)?.entries.len();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{what}: {found} found in {:.1} ms (median of {ROUNDS}; {:.1} at most)",
            times[times.len() / 2],
            times[times.len() - 1]
        );
    }
    Ok(())
}
