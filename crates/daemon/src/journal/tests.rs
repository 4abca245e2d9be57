use model::{BootId, MonitorId, ServerName, Term, event::Refusal, health::Verdict};

use super::*;

fn host() -> VirtualHostName {
    VirtualHostName::new("virtual1")
}

/// Records the events and waits until the journal has written them all.
fn written(events: &[Event]) -> (Arc<Metrics>, Vec<Arc<Entry>>) {
    let (metrics, history) = (Arc::new(Metrics::new()), History::default());
    let (journal, thread) = Journal::start(metrics.clone(), history.clone(), None).unwrap();
    journal.record_all(events.to_vec());
    drop(journal);
    thread.join().unwrap();
    (metrics, history.entries())
}

#[test]
fn an_entry_has_its_sentence_its_level_and_every_field() {
    let event = Event::PeerDead { server: ServerName::new("web2"), silent_ms: 151 };
    let (_, entries) = written(&[event]);
    let mut entry = serde_json::to_value(&*entries[0]).unwrap();
    let time = entry.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    let expected = serde_json::json!({
        "sequence": 1, "level": "warn", "message": "web2 is dead: silent for 151 ms",
        "event": "peer-dead", "server": "web2", "silent_ms": 151,
    });
    assert_eq!(entry, expected);
}

#[test]
fn a_move_is_counted_once_complete_with_the_cause_of_its_beginning() {
    let (term, cause) = (Term(4), Cause::ServerDead);
    let taking = Event::Taking { virtual_host: host(), term, cause, unanswered_ms: None };
    let (metrics, _) = written(std::slice::from_ref(&taking));
    assert_eq!(metrics.move_duration.get_sample_count(), 0);
    let (metrics, _) = written(&[taking, Event::Active { virtual_host: host(), term, took_us: 2500 }]);
    assert_eq!(metrics.moves.with_label_values(&["server-dead"]).get(), 1);
    assert_eq!(metrics.move_duration.get_sample_count(), 1);
    assert!((metrics.move_duration.get_sample_sum() - 0.0025).abs() < 1e-9);
}

#[test]
fn history_keeps_the_newest() {
    let events = vec![Event::Listened; HISTORY + 5];
    let (metrics, entries) = written(&events);
    assert_eq!(entries.len(), HISTORY);
    assert_eq!((entries[0].sequence, entries[HISTORY - 1].sequence), (6, HISTORY as u64 + 5));
    assert_eq!(metrics.events.with_label_values(&["listened", "info"]).get(), HISTORY as u64 + 5);
}

#[test]
fn a_full_queue_drops_and_counts_instead_of_waiting() {
    let metrics = Arc::new(Metrics::new());
    let (queue, batches) = sync_channel(DEPTH);
    let journal = Journal { queue, waiting: Arc::default(), metrics: metrics.clone() };
    journal.record_all(vec![Event::Isolated; DEPTH - 1]);
    assert_eq!(metrics.journal_dropped.get(), 0);
    journal.record_all(vec![Event::Isolated; 3]);
    assert_eq!(metrics.journal_dropped.get(), 2);
    journal.record(Event::Isolated);
    assert_eq!(metrics.journal_dropped.get(), 3);
    assert_eq!(batches.try_iter().map(|(_, events)| events.len()).sum::<usize>(), DEPTH);
    // Nobody writes any more.
    drop(batches);
    journal.record_all(vec![Event::Isolated; 2]);
    assert_eq!((metrics.journal_dropped.get(), journal.waiting.load(Ordering::Relaxed)), (5, DEPTH));
}

#[test]
fn log_lines_have_a_place_for_every_field_of_every_event() {
    // What `log` knows; a field missing there would be missing in the log.
    let known = [
        "event",
        "server",
        "virtual_host",
        "monitor",
        "verdict",
        "address",
        "cause",
        "from",
        "to",
        "path",
        "term",
        "rival",
        "winner",
        "active",
        "reason",
        "count",
        "silent_ms",
        "deaf_ms",
        "slept_ms",
        "took_us",
        "boot",
        "digest",
        "on",
        "pool",
        "ended_ms",
        "within_ms",
        "since_ms",
        // For incidents.
        "counts",
        "unanswered_ms",
        // Part of the sentence; too long for a field.
        "errors",
    ];
    let server = || ServerName::new("web2");
    let events = [
        Event::Started { boot: BootId([7; 16]) },
        Event::OneWayLoss { server: server(), deaf_ms: 1 },
        Event::DatagramsRefused {
            from: model::net::Origin::Udp("10.0.0.1:1".parse().unwrap()),
            reason: Refusal::Forged,
            count: 2,
        },
        Event::ConfigurationDiffers { server: server(), digest: 1 },
        Event::ConfigurationRefused { errors: "x".into() },
        Event::Overslept { slept_ms: 1 },
        Event::TargetChanged { virtual_host: host(), from: None, to: Some(server()), cause: Cause::Unheld },
        Event::Taking { virtual_host: host(), term: Term(1), cause: Cause::Unheld, unanswered_ms: None },
        Event::Active { virtual_host: host(), term: Term(1), took_us: 1 },
        Event::TakeFailed { virtual_host: host(), address: "10.0.0.1".parse().unwrap(), reason: "no".into() },
        Event::Rivals { virtual_host: host(), rival: server(), winner: server() },
        Event::HolderChanged { virtual_host: host(), active: Some(server()) },
        Event::MonitorChanged {
            monitor: MonitorId::of_host(&host(), &"http-80".into()),
            verdict: Verdict::Down,
            reason: "refused".into(),
            counts: true,
            since_ms: 1,
            within_ms: 1,
        },
        Event::Standby { server: server(), on: true },
        Event::PeerSuspected { server: server(), silent_ms: 1 },
        Event::PeerRefused { server: server(), silent_ms: 1 },
        Event::PathLost { server: server(), path: Path::Udp, silent_ms: Some(1) },
    ];
    for event in &events {
        let fields = serde_json::to_value(event).unwrap();
        for field in fields.as_object().unwrap().keys() {
            assert!(known.contains(&field.as_str()), "{field} of {event:?}");
        }
    }
}
