use std::{fs, path::PathBuf};

use chronicle::Position;
use host::store::frame;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{block::Block, store::LIVE_BYTES, *};

fn stream(server: &str) -> Stream {
    Stream { server: ServerName::new(server), epoch: 1 }
}

/// The `sequence`-th entry of a server, about one of three virtual hosts.
fn entry(server: &str, sequence: u64, wall_ms: u64) -> Entry {
    let host = format!("virtual{}", sequence % 3);
    let kind = if sequence.is_multiple_of(7) { "peer-dead" } else { "active" };
    Entry {
        stamp: Stamp { wall_ms, count: 0 },
        stream: stream(server),
        sequence,
        level: if sequence.is_multiple_of(5) { Level::Warn } else { Level::Info },
        security: sequence.is_multiple_of(11),
        message: format!("active for {host}, term {sequence}, after {} us; Größe \"ß\"", sequence * 17 % 1000),
        about: vec![host.clone()],
        fields: serde_json::json!({ "event": kind, "virtual_host": host }).as_object().unwrap().clone(),
    }
}

/// The first `count` entries of a server, one each `pace` milliseconds.
fn entries(server: &str, count: u64, pace: u64) -> Vec<Entry> {
    (1..=count).map(|sequence| entry(server, sequence, 1_000_000 + sequence * pace)).collect()
}

fn everything(snapshot: &Snapshot, query: &Query, order: Order, page: usize) -> Vec<Entry> {
    let (mut query, mut all) = (query.clone(), Vec::new());
    loop {
        let found = search::search(snapshot, &query, order, page).unwrap();
        all.extend(found.entries.iter().map(|entry| Entry::clone(entry)));
        match (found.next, order) {
            (None, _) => return all,
            (next, Order::Oldest) => query.after = next,
            (next, Order::Newest) => query.before = next,
        }
    }
}

/// Four streams in one log, one of them all in one millisecond, with several blocks each, and all their entries in the order of the log.
fn four(directory: &TempDir) -> (Store, Vec<Entry>) {
    let mut store = Store::open(directory.path(), u64::MAX).unwrap();
    let mut all = Vec::new();
    for (server, pace) in [("a", 3), ("b", 4), ("c", 50), ("d", 0)] {
        let entries = entries(server, 2500, pace);
        for piece in entries.chunks(200) {
            store.append(&stream(server), piece.to_vec()).unwrap();
        }
        all.extend(entries);
    }
    all.sort_by_key(Entry::position);
    (store, all)
}

#[test]
fn a_search_finds_what_a_look_at_every_entry_finds_in_both_directions() {
    let directory = TempDir::new().unwrap();
    let (store, all) = four(&directory);
    assert!(store.rows().values().all(|row| row.blocks.len() > 1 && !row.live.is_empty()), "blocks and live entries");
    let middle = all[all.len() / 2].position();
    let queries = [
        Query::default(),
        Query { since_ms: Some(1_003_000), until_ms: Some(1_006_000), ..Query::default() },
        Query { server: Some(ServerName::new("b")), ..Query::default() },
        Query { about: Some("virtual2".into()), kinds: vec!["peer-dead".into()], ..Query::default() },
        Query { about: Some("virtual9".into()), ..Query::default() },
        Query { level: Some(Level::Warn), security: true, ..Query::default() },
        Query { text: Some("TERM 77,".into()), ..Query::default() },
        Query { text: Some("größe \"ß\"".into()), since_ms: Some(1_100_000), ..Query::default() },
        Query { after: Some(middle.clone()), ..Query::default() },
        Query { before: Some(middle), ..Query::default() },
    ];
    for query in queries {
        let expected: Vec<&Entry> = all.iter().filter(|entry| query.matches(entry)).collect();
        for page in [301, 1000] {
            let found = everything(store.rows(), &query, Order::Oldest, page);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}");
            let mut found = everything(store.rows(), &query, Order::Newest, page);
            found.reverse();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "backwards: {query:?}");
        }
    }
}

fn live(directory: &TempDir, server: &str) -> PathBuf {
    directory.path().join(stream(server).to_string()).join("live")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a loss of power leaves of the last frames: what is whole is there, in order, and the log goes on behind it.
    #[test]
    fn a_torn_end_is_cut_and_the_rest_stays(count in 1..40_u64, cut in 0..4000_usize, garbage in proptest::bool::ANY) {
        let directory = TempDir::new().unwrap();
        let all = entries("a", count, 1);
        Store::open(directory.path(), u64::MAX).unwrap().append(&stream("a"), all.clone()).unwrap();
        let mut bytes = fs::read(live(&directory, "a")).unwrap();
        bytes.truncate(bytes.len().saturating_sub(cut));
        let whole = frame::read(&bytes).0.len();
        if garbage {
            bytes.extend([0; 40]);
        }
        fs::write(live(&directory, "a"), bytes).unwrap();
        let mut store = Store::open(directory.path(), u64::MAX).unwrap();
        prop_assert_eq!(everything(store.rows(), &Query::default(), Order::Oldest, 1000), all[..whole].to_vec());
        store.append(&stream("a"), all.clone()).unwrap();
        let again = Store::open(directory.path(), u64::MAX).unwrap();
        prop_assert_eq!(everything(again.rows(), &Query::default(), Order::Oldest, 1000), all);
    }
}

/// The block as it was before blocks had a filter of texts.
fn of_before_texts(directory: &TempDir) -> Vec<Block> {
    for file in fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let chunks = frame::read(&bytes).0;
        let mut head: Map<String, Value> = serde_json::from_slice(chunks[0]).unwrap();
        assert!(head.remove("grams").is_some_and(|length| length.as_u64() > Some(0)));
        let head = serde_json::to_vec(&head).unwrap();
        fs::write(path, [frame::write(&head).unwrap(), frame::write(chunks[1]).unwrap()].concat()).unwrap();
    }
    Block::all(directory.path()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The filter of texts hides nothing, and blocks that have none are read.
    #[test]
    fn a_search_for_a_text_finds_what_a_look_at_every_sentence_finds(
        sentences in proptest::collection::vec("[a-cA-C\u{e4} \"]{0,12}", 1..60),
        texts in proptest::collection::vec("[a-dA-C\u{e4} \"]{0,5}", 1..12),
    ) {
        let directory = TempDir::new().unwrap();
        let mut all = entries("a", sentences.len() as u64, 1);
        all.iter_mut().zip(&sentences).for_each(|(entry, sentence)| entry.message.clone_from(sentence));
        let all: Vec<Arc<Entry>> = all.into_iter().map(Arc::new).collect();
        let blocks: Vec<Block> = all.chunks(7).map(|part| Block::write(directory.path(), part).unwrap()).collect();
        prop_assert_eq!(Block::all(directory.path()).unwrap().len(), blocks.len());
        let queries = texts.into_iter().map(|text| Query { text: Some(text), ..Query::default() });
        let queries: Vec<Query> = queries.collect();
        let found = |blocks: &[Block], query: &Query| -> Vec<Entry> {
            blocks.iter().flat_map(|block| block.search(query).unwrap()).collect()
        };
        let with: Vec<_> = queries.iter().map(|query| found(&blocks, query)).collect();
        let blocks = of_before_texts(&directory);
        for (query, with) in queries.iter().zip(with) {
            let wanted: Vec<Entry> = all.iter().filter(|entry| query.matches(entry)).map(|entry| Entry::clone(entry)).collect();
            prop_assert_eq!(&with, &wanted, "{:?}", query);
            prop_assert_eq!(found(&blocks, query), wanted, "before: {:?}", query);
        }
    }
}

#[test]
fn power_lost_between_a_block_and_the_end_of_its_live_entries_doubles_nothing() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(directory.path(), u64::MAX).unwrap();
    let all = entries("a", 2000, 1);
    let mut before = Vec::new();
    for one in &all {
        before = fs::read(live(&directory, "a")).unwrap_or_default();
        store.append(&stream("a"), vec![one.clone()]).unwrap();
        if !store.rows()[&stream("a")].blocks.is_empty() {
            break;
        }
    }
    let sealed = store.rows()[&stream("a")].blocks[0].head.last;
    fs::write(live(&directory, "a"), before).unwrap();
    let store = Store::open(directory.path(), u64::MAX).unwrap();
    let found = everything(store.rows(), &Query::default(), Order::Oldest, 1000);
    assert_eq!(found, all[..usize::try_from(sealed).unwrap()]);
}

#[test]
fn repetitions_and_what_comes_before_are_passed_over() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(directory.path(), u64::MAX).unwrap();
    let late = entry("a", 3, 2_000_000);
    let early = entry("a", 4, 1_000_000);
    let other = entry("b", 5, 3_000_000);
    let offered = vec![late.clone(), late.clone(), early, other, entry("a", 2, 2_000_001)];
    let taken = store.append(&stream("a"), offered).unwrap();
    assert_eq!(taken.iter().map(|entry| entry.position()).collect::<Vec<_>>(), [late.position()]);
}

#[test]
fn the_oldest_blocks_go_first_and_the_newest_of_each_stream_stays() {
    let directory = TempDir::new().unwrap();
    let most = 60_000;
    let mut store = Store::open(directory.path(), most).unwrap();
    store.append(&stream("old"), vec![entry("old", 1, 1)]).unwrap();
    for piece in entries("a", 20_000, 1).chunks(500) {
        store.append(&stream("a"), piece.to_vec()).unwrap();
    }
    assert!(store.bytes() <= most + LIVE_BYTES, "{}", store.bytes());
    let vector = store::vector(store.rows());
    let (old, a) = (vector.0[&stream("old")], vector.0[&stream("a")]);
    assert_eq!((old.first, old.next), (1, 2));
    assert!(a.first > 1 && a.next == 20_001, "{a:?}");
    let again = Store::open(directory.path(), most).unwrap();
    assert_eq!(store::vector(again.rows()), vector);
}

fn started(server: &str, directory: &TempDir) -> (Log, JoinHandle<()>) {
    Log::start(&ServerName::new(server), directory.path(), Duration::from_millis(50), Arc::new(Metrics::new())).unwrap()
}

fn noted(message: &str, wall_ms: u64) -> Noted {
    let fields = Map::from_iter([("event".to_owned(), Value::from("listened"))]);
    let about = Vec::new();
    Noted { wall_ms, level: Level::Info, security: false, message: message.to_owned(), about, fields }
}

async fn await_entries(log: &Log, count: u64) {
    log.news().wait_for(|arrived| *arrived >= count).await.unwrap();
}

fn messages(log: &Log) -> Vec<String> {
    let found = log.search(&Query::default(), Order::Oldest, 10_000).unwrap();
    found.entries.iter().map(|entry| entry.message.clone()).collect()
}

/// Two logs in conversation until both have what `until` says.
async fn talk(one: &Log, other: &Log, until: impl Fn(&Log) -> bool) {
    let (here, there) = tokio::io::duplex(1 << 16);
    let (first, second) = (one.clone(), other.clone());
    let talks = [
        tokio::spawn(async move { talk::converse(&first, here).await }),
        tokio::spawn(async move { talk::converse(&second, there).await }),
    ];
    for log in [one, other] {
        log.news().wait_for(|_| until(log)).await.unwrap();
    }
    talks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_server_that_was_away_gets_everything_once_be_its_writer_gone() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [(a, _), (b, _), (c, _)] = ["a", "b", "c"].map(|name| {
        let at = usize::from(name.as_bytes()[0] - b'a');
        started(name, &directories[at])
    });
    for number in 0..700 {
        a.note(noted(&format!("a {number}"), 1_000 + number));
    }
    b.note(noted("b", 1_350));
    await_entries(&a, 700).await;
    await_entries(&b, 1).await;
    talk(&a, &b, |log| messages(log).len() == 701).await;
    drop(a);
    talk(&b, &c, |log| messages(log).len() == 701).await;
    assert_eq!(messages(&b), messages(&c));
    // One that came in between: by its stamp, not by its arrival.
    let at = messages(&c).iter().position(|message| message == "b").unwrap();
    assert!((349..=351).contains(&at), "{at}");
    // What comes after has been caused by it, as far as anybody knows.
    c.note(noted("c, with a clock that is behind", 10));
    c.news().wait_for(|_| messages(&c).len() == 702).await.unwrap();
    assert_eq!(messages(&c).last().unwrap(), "c, with a clock that is behind");
}

#[tokio::test]
async fn what_is_noted_after_an_entry_came_stands_behind_it() {
    let directory = TempDir::new().unwrap();
    let (log, _) = started("a", &directory);
    // Half a minute ahead of this server's clock: followed.
    let ahead = entry("b", 1, wall_ms() + 30_000);
    log.take(stream("b"), vec![ahead.clone()]).await.unwrap();
    log.note(noted("later", wall_ms()));
    await_entries(&log, 2).await;
    assert_eq!(messages(&log), [ahead.message.as_str(), "later"]);
}

#[tokio::test]
async fn a_log_restored_from_an_old_copy_goes_on_in_a_stream_of_its_own() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (b, _) = started("b", &second);
    let (a, thread) = started("a", &first);
    a.note(noted("kept", 1_000));
    await_entries(&a, 1).await;
    drop(a);
    thread.join().unwrap();
    let copy = TempDir::new().unwrap();
    let log = stream_directory(&first);
    let into = copy.path().join("log").join(log.file_name().unwrap());
    fs::create_dir_all(&into).unwrap();
    fs::copy(log.join("live"), into.join("live")).unwrap();
    let (a, _) = started("a", &first);
    a.note(noted("lost here, known there", 2_000));
    await_entries(&a, 1).await;
    talk(&a, &b, |log| messages(log).len() == 2).await;
    drop(a);
    let (a, _) = started("a", &copy);
    let before = a.vector();
    // The other side knows more of our stream than we do: ours is an old copy.
    talk(&a, &b, |log| messages(log).len() == 2).await;
    a.note(noted("after", 3_000));
    a.news().wait_for(|_| messages(&a).len() == 3).await.unwrap();
    assert_eq!(messages(&a), ["kept", "lost here, known there", "after"]);
    assert_eq!((before.0.len(), a.vector().0.len()), (1, 2));
}

fn stream_directory(directory: &TempDir) -> PathBuf {
    let mut streams = fs::read_dir(directory.path().join("log")).unwrap();
    streams.next().unwrap().unwrap().path()
}

#[tokio::test]
async fn numbers_and_stamps_go_on_after_a_restart_and_a_clock_set_back_begins_a_stream() {
    let directory = TempDir::new().unwrap();
    for (count, wall_ms) in [(1, 5_000_000), (1, 4_999_000)] {
        let (log, thread) = started("a", &directory);
        log.note(noted("x", wall_ms));
        await_entries(&log, count).await;
        drop(log);
        thread.join().unwrap();
    }
    let (log, _) = started("a", &directory);
    let found = log.search(&Query::default(), Order::Oldest, 10).unwrap().entries;
    let positions: Vec<Position> = found.iter().map(|entry| entry.position()).collect();
    assert_eq!(positions.iter().map(|position| position.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(positions[1].stamp, Stamp { wall_ms: 5_000_000, count: 1 });
    log.note(noted("an hour earlier", 5_000_000 - 3_600_000));
    await_entries(&log, 1).await;
    let found = log.search(&Query::default(), Order::Oldest, 10).unwrap().entries;
    assert_eq!((found[0].message.as_str(), found[0].sequence), ("an hour earlier", 1));
    assert!(found[0].stream.epoch > positions[0].stream.epoch);
}

#[tokio::test]
async fn whoever_follows_sees_each_arrival_once_and_learns_what_it_missed() {
    let directory = TempDir::new().unwrap();
    let (log, _) = started("a", &directory);
    log.note(noted("one", 1));
    await_entries(&log, 1).await;
    let begun = log.arrived(0);
    log.note(noted("two", 2));
    await_entries(&log, 2).await;
    let next = log.arrived(begun.count);
    assert_eq!((next.entries.len(), next.count, next.missed), (1, 2, false));
    assert_eq!(next.entries[0].message, "two");
    assert!(log.arrived(99).missed, "a count of an earlier run");
}
