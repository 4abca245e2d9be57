//! The cluster's log at size, with three real daemons in network namespaces on one switch: whether the driver is late while entries come
//! in by the ten thousand and searches run, and how soon a server that was off has everything.
//!
//! `cargo bench --bench log-cluster -- [ENTRIES [ROUNDS]]`

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "its figures are for people")]

#[path = "../../tests/console_support/mod.rs"]
mod console_support;
#[path = "../../tests/stage_support/mod.rs"]
mod stage_support;
#[path = "../../tests/tls_support/mod.rs"]
mod tls_support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use chronicle::Level;
use console_support::{ask, cluster};
use daemon::cluster_log::{Log, Noted};
use host::lab::stage::Stage;
use model::ServerName;
use serde_json::json;
use stage_support::{await_status, on_stage};

/// Fewer than may wait, so that none is dropped.
const AT_ONCE: u64 = 500;
/// How long is looked at nothing.
const QUIET: Duration = Duration::from_secs(15);
/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(120);

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Writes so many entries, the last of which says `mark`, into the log of a server that does not run: an hour of a busy cluster.
fn fill(directory: &Path, server: &str, entries: u64, mark: &str) {
    let state = directory.join(format!("{server}-state"));
    let (log, thread) = Log::alone(&ServerName::new(server), &state, Duration::from_millis(50)).unwrap();
    let begun = now_ms() - 3_600_000;
    let before = *log.news().borrow();
    for number in 1..=entries {
        let host = format!("virtual{}", number % 40);
        let message = match number {
            _ if number == entries => mark.to_owned(),
            _ if number.is_multiple_of(2) => {
                format!("active for {host}, term {number}, after {} us", number * 17 % 3000)
            }
            _ => format!("http of {host} is down: connection refused after {} ms", number % 90),
        };
        let fields = json!({ "event": "monitor-changed", "verdict": "down", "reason": message, "monitor": { "virtual_host": host } });
        let fields = fields.as_object().unwrap().clone();
        let wall_ms = begun + number * 3_600_000 / entries;
        let about = vec![host];
        log.note(Noted { wall_ms, level: Level::Warn, security: false, message, about, fields });
        if number % AT_ONCE == 0 || number == entries {
            while *log.news().borrow() < before + number {
                thread::sleep(Duration::from_micros(200));
            }
        }
    }
    drop(log);
    thread.join().unwrap();
}

/// Waits until a server's log has the entry that says `mark`, which is the last of its stream.
fn await_mark(stage: &Stage, server: &str, mark: &str) {
    let begun = Instant::now();
    while !ask(stage, server, &["log", "--json", "--text", mark], "").contains(mark) {
        assert!(begun.elapsed() < PATIENCE, "{server} never has: {mark}");
    }
}

/// How late a server's driver was, class by class: upper bounds in seconds, and how often since its start.
fn lateness(stage: &Stage, server: &str) -> Vec<(f64, u64)> {
    let address = format!("10.77.0.1{}:9853", &server[3..]);
    let read = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let text = stage.client.run(read).unwrap();
    let row = |line: &str| {
        let (bound, count) = line.strip_prefix("standin_driver_lateness_seconds_bucket{le=\"")?.split_once("\"} ")?;
        Some((bound.replace("+Inf", "inf").parse().ok()?, count.trim().parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

/// What came between: how many deadlines, and within what time how large a part of them was handled.
fn told(what: &str, before: &[(f64, u64)], after: &[(f64, u64)]) {
    let classes: Vec<(f64, u64)> = after.iter().zip(before).map(|(now, then)| (now.0, now.1 - then.1)).collect();
    let all = classes.last().map_or(0, |last| last.1);
    let within = |part: f64| {
        let bound = classes.iter().find(|(_, count)| *count as f64 >= all as f64 * part).map_or(0.0, |class| class.0);
        format!("{:.2} ms", bound * 1e3)
    };
    println!(
        "{what}: {all} deadlines; half handled within {}, 99 % within {}, all within {}",
        within(0.5),
        within(0.99),
        within(1.0)
    );
}

/// Everything comes at once into a server that runs, and is searched there.
fn driver(stage: &mut Stage, directory: &Path, entries: u64) {
    let begun = lateness(stage, "web1");
    thread::sleep(QUIET);
    told("driver of web1, nothing happens", &begun, &lateness(stage, "web1"));
    stage.stop("web2").unwrap();
    fill(directory, "web2", entries, "the last for the driver");
    let before = lateness(stage, "web1");
    let (over, searches) = (AtomicBool::new(false), AtomicU64::new(0));
    stage.start("web2").unwrap();
    await_status(stage, "web2", "up", |_| true);
    let came = Instant::now();
    thread::scope(|scope| {
        let (stage, over, searches) = (&*stage, &over, &searches);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                ask(stage, "web1", &["log", "--json", "--text", "refused for virtual7"], "");
                searches.fetch_add(1, Ordering::Relaxed);
            }
        });
        await_mark(stage, "web1", "the last for the driver");
        over.store(true, Ordering::Relaxed);
    });
    let took = came.elapsed().as_secs_f64();
    let what = format!(
        "driver of web1, {entries} entries come in within {took:.1} s, {:.0} a second, beside {} searches",
        entries as f64 / took,
        searches.into_inner()
    );
    told(&what, &before, &lateness(stage, "web1"));
}

/// A server comes back that has nothing of an hour.
fn back(stage: &mut Stage, directory: &Path, entries: u64, rounds: usize) {
    let (mut up, mut whole) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for server in ["web3", "web2", "web1"] {
            stage.stop(server).unwrap();
        }
        let marks = ["web1", "web2"].map(|server| format!("the last of {server} in round {round}"));
        fill(directory, "web1", entries / 2, &marks[0]);
        fill(directory, "web2", entries / 2, &marks[1]);
        stage.start("web1").unwrap();
        stage.start("web2").unwrap();
        await_mark_when_up(stage, "web1", &marks[1]);
        await_mark_when_up(stage, "web2", &marks[0]);
        let begun = Instant::now();
        stage.start("web3").unwrap();
        await_status(stage, "web3", "up", |_| true);
        up.push(begun.elapsed().as_secs_f64());
        marks.iter().for_each(|mark| await_mark(stage, "web3", mark));
        whole.push(begun.elapsed().as_secs_f64());
    }
    up.sort_by(f64::total_cmp);
    whole.sort_by(f64::total_cmp);
    println!(
        "web3 returns, {entries} entries behind: answers after {:.2} s, has all after {:.2} s (median of {rounds}; {:.2} at most)",
        up[rounds / 2],
        whole[rounds / 2],
        whole[rounds - 1]
    );
}

fn await_mark_when_up(stage: &Stage, server: &str, mark: &str) {
    await_status(stage, server, "up", |_| true);
    await_mark(stage, server, mark);
}

fn main() {
    on_stage("log-cluster", || {
        let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
        let (entries, rounds) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(5));
        let directory = tempfile::tempdir().unwrap();
        let mut stage = cluster(directory.path(), 3);
        driver(&mut stage, directory.path(), entries * 3);
        back(&mut stage, directory.path(), entries, usize::try_from(rounds).unwrap().max(1));
        let dropped = ["web1", "web2", "web3"].map(|server| {
            let log = fs::read_to_string(stage.log(server)).unwrap_or_default();
            log.matches("is missing from it").count()
        });
        assert_eq!(dropped, [0; 3]);
    });
}
