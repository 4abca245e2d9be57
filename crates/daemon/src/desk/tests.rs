use std::time::Duration;

use document::{Change, Key, object::split};
use tempfile::TempDir;

use super::{
    api::{EditRequest, Edited, Wanted},
    converse::converse,
    *,
};

const CLUSTER: &str = "[cluster]\nname = \"x\"\n[server.web1]\naddress = \"10.0.0.1\"\n[server.web2]\naddress = \"10.0.0.2\"\n\
                       [pool.www]\nmembers = [\"web1\", \"web2\"]\n";

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn server(name: &str) -> ServerName {
    ServerName::new(name)
}

/// A state directory with a document.
fn founded() -> TempDir {
    let directory = TempDir::new().unwrap();
    let objects = split(CLUSTER, &str::to_owned).unwrap();
    found(directory.path(), &objects, document::Author::default()).unwrap();
    directory
}

/// The state directory of another server, to which the document has been brought.
fn copy_of(directory: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    std::fs::copy(directory.path().join("document.log"), copy.path().join("document.log")).unwrap();
    copy
}

fn open(name: &str, directory: &TempDir) -> Desk {
    Desk::open(&server(name), directory.path(), [0; 16].into()).unwrap()
}

fn pool(ttl: u32) -> EditRequest {
    let text = format!("[pool.www]\nmembers = [\"web1\", \"web2\"]\nttl = {ttl}\n");
    request(Wanted::Changes(vec![Change::new(key("pool/www"), Some(&text))]))
}

fn request(wanted: Wanted) -> EditRequest {
    let (who, from, why) = ("anna".into(), "a test".into(), "to see".into());
    EditRequest { wanted, who, from, why, confirm_seconds: None, samples: Vec::new() }
}

fn ttl(desk: &Desk) -> u32 {
    desk.ledger.in_force().checked.config.pools.values().next().unwrap().ttl.max
}

/// Two desks in conversation until `until` holds of the second.
async fn talk(one: &Handle, other: &Handle, until: impl Fn(&Desk) -> bool + Send + Copy + 'static) {
    let (here, there) = tokio::io::duplex(1 << 16);
    let first = tokio::spawn({
        let one = one.clone();
        async move { converse(&one, server("web2"), here).await }
    });
    let second = tokio::spawn({
        let other = other.clone();
        async move { converse(&other, server("web1"), there).await }
    });
    let mut news = other.news.clone();
    while !other.ask(move |desk| until(desk)).await.unwrap() {
        news.changed().await.unwrap();
    }
    first.abort();
    second.abort();
}

#[test]
fn an_edit_is_on_the_disk_before_it_is_told() {
    let directory = founded();
    let mut desk = open("web1", &directory);
    let (Edited { version, accepted_on, servers, changes, .. }, _) = desk.edit(&pool(7)).unwrap();
    assert_eq!((accepted_on, servers, changes.len()), (vec!["web1".to_owned()], 2, 1));
    drop(desk);
    let mut desk = open("web1", &directory);
    assert_eq!((ttl(&desk), desk.configuration().version), (7, version.clone()));
    let history = desk.history(10);
    assert_eq!((history.len(), history[0].who.as_str(), history[0].server.as_str()), (2, "anna", "web1"));
    // Twice is once.
    let (edited, change) = desk.edit(&pool(7)).unwrap();
    assert_eq!((edited.version, edited.changes, change), (version.clone(), Vec::new(), None));
    // Back, and back to what was.
    desk.edit(&request(Wanted::Undo(None))).unwrap();
    assert_eq!(ttl(&desk), 5);
    desk.edit(&request(Wanted::Version(version))).unwrap();
    assert_eq!(ttl(&desk), 7);
}

#[tokio::test]
async fn a_log_that_has_grown_is_written_anew_when_nobody_waits() {
    let directory = founded();
    let (desk, thread) = open("web1", &directory).start(Arc::new(|_| {})).unwrap();
    // A mebibyte of which no piece is in another version.
    let long = |number: usize| -> String {
        (0..2_600).map(|line| format!("; {number} {line} {}\n", "x".repeat(400))).collect()
    };
    let template = key("template/long.zone");
    for number in 1..=10 {
        let change = Change::new(template.clone(), Some(&long(number)));
        desk.ask(move |desk| desk.edit(&request(Wanted::Changes(vec![change]))).map(drop)).await.unwrap().unwrap();
    }
    let length = || std::fs::metadata(directory.path().join("document.log")).unwrap().len();
    assert!(desk.ask(|desk| desk.store.has_grown()).await.unwrap() && length() > 9 << 20, "{}", length());
    desk.ask(Desk::rest).await.unwrap();
    assert!(!desk.ask(|desk| desk.store.has_grown()).await.unwrap() && length() < 1 << 20, "{}", length());
    drop(desk);
    thread.join().unwrap();
    let objects = open("web1", &directory).ledger.document().objects();
    assert_eq!(objects.get(&template).map(|text| &**text), Some(&*long(10)));
}

#[tokio::test]
async fn who_asks_at_once_is_served_before_the_edit_is_compiled() {
    let directory = founded();
    let (desk, thread) = open("web1", &directory).start(Arc::new(|_| {})).unwrap();
    let (tell, compiled) = oneshot::channel();
    let asks = desk.clone();
    let edit = move |desk: &mut Desk| {
        // It is waiting when the edit has been made.
        asks.tell(move |desk| {
            let _told = tell.send(desk.is_in_force());
        });
        desk.edit(&pool(7)).map(drop)
    };
    let mut force = desk.force.clone();
    desk.ask(edit).await.unwrap().unwrap();
    assert_eq!(compiled.await, Ok(false));
    force.changed().await.unwrap();
    let in_force = force.borrow().settled.checked.config.clone();
    assert_eq!(in_force.pools.values().next().unwrap().ttl.max, 7);
    drop(desk);
    thread.join().unwrap();
}

#[tokio::test]
async fn an_edit_made_while_the_other_is_down_reaches_it_when_it_returns() {
    let first = founded();
    let second = copy_of(&first);
    let (one, _) = open("web1", &first).start(Arc::new(|_| {})).unwrap();
    let (edited, _) = one.ask(|desk| desk.edit(&pool(7)).unwrap()).await.unwrap();
    assert_eq!((edited.accepted_on, edited.servers), (vec!["web1".to_owned()], 2));
    let (other, _) = open("web2", &second).start(Arc::new(|_| {})).unwrap();
    let late = one.ask(|desk| desk.edit(&pool(8)).unwrap()).await.unwrap().1.unwrap();
    assert_eq!(one.ask(move |desk| desk.accepted_on(&late)).await.unwrap(), ["web1"]);
    talk(&one, &other, |desk| ttl(desk) == 8).await;
}

#[tokio::test]
async fn servers_in_conversation_have_an_edit_at_once_and_say_so() {
    let first = founded();
    let second = copy_of(&first);
    let (one, _) = open("web1", &first).start(Arc::new(|_| {})).unwrap();
    let (other, _) = open("web2", &second).start(Arc::new(|_| {})).unwrap();
    let (here, there) = tokio::io::duplex(1 << 16);
    let (near, far) = (one.clone(), other.clone());
    let near = tokio::spawn(async move { converse(&near, server("web2"), here).await });
    let far = tokio::spawn(async move { converse(&far, server("web1"), there).await });
    // Both have their session.
    let mut news = one.news.clone();
    let change = one.ask(|desk| desk.edit(&pool(9)).unwrap()).await.unwrap().1.unwrap();
    while one.ask(move |desk| desk.accepted_on(&change)).await.unwrap().len() < 2 {
        news.changed().await.unwrap();
    }
    assert_eq!(other.ask(|desk| ttl(desk)).await.unwrap(), 9);
    near.abort();
    far.abort();
    // What the other said that it has is on its disk.
    let kept = host::store::peek(second.path()).unwrap().unwrap();
    let document = Document::load(Incarnation([9; 16]), kept.chunks.iter().map(Vec::as_slice)).unwrap();
    assert!(document.get(&key("pool/www")).unwrap().contains("ttl = 9"));
}

#[tokio::test]
async fn edits_on_both_sides_of_a_partition_clash_and_are_settled() {
    let first = founded();
    let second = copy_of(&first);
    let (one, _) = open("web1", &first).start(Arc::new(|_| {})).unwrap();
    let (other, _) = open("web2", &second).start(Arc::new(|_| {})).unwrap();
    one.ask(|desk| desk.edit(&pool(7)).unwrap()).await.unwrap();
    other.ask(|desk| desk.edit(&pool(8)).unwrap()).await.unwrap();
    talk(&one, &other, |desk| !desk.ledger.clashes().is_empty()).await;
    let configuration = other.ask(|desk| desk.configuration()).await.unwrap();
    assert_eq!(configuration.clashes[0].values.len(), 2);
    assert_eq!(other.summary.load().clashes, ["pool/www"]);
    let refused = other.ask(|desk| desk.edit(&pool(9)).unwrap_err().to_string()).await.unwrap();
    assert!(refused.contains("standin resolve pool/www"), "{refused}");
    let Wanted::Changes(mut changes) = pool(9).wanted else { unreachable!() };
    changes[0].settles = true;
    other.ask(move |desk| desk.edit(&request(Wanted::Changes(changes))).unwrap()).await.unwrap();
    assert_eq!(other.ask(|desk| ttl(desk)).await.unwrap(), 9);
    assert!(other.summary.load().clashes.is_empty());
}

#[test]
fn an_edit_that_nobody_confirms_is_undone_also_after_a_restart() {
    let directory = founded();
    let mut desk = open("web1", &directory);
    desk.edit(&EditRequest { confirm_seconds: Some(60), ..pool(7) }).unwrap();
    let second = desk.edit(&EditRequest { confirm_seconds: Some(60), ..pool(8) }).unwrap_err();
    assert!(matches!(second, EditError::Unconfirmed));
    drop(desk);
    let mut desk = open("web1", &directory);
    assert_eq!((ttl(&desk), desk.configuration().unconfirmed.is_some()), (7, true));
    let now = host::clock::now();
    desk.undo_overdue(now + Duration::from_secs(50));
    assert_eq!(ttl(&desk), 7);
    desk.undo_overdue(now + Duration::from_secs(61));
    assert_eq!((ttl(&desk), desk.configuration().unconfirmed), (5, None));
    assert!(matches!(desk.confirm(), Err(EditError::NothingToConfirm)));
    // Who confirms keeps it.
    desk.edit(&EditRequest { confirm_seconds: Some(60), ..pool(9) }).unwrap();
    desk.confirm().unwrap();
    desk.undo_overdue(now + Duration::from_secs(600));
    drop(desk);
    assert_eq!(ttl(&open("web1", &directory)), 9);
}

#[test]
fn what_the_disk_does_not_keep_is_taken_back_and_told() {
    let directory = founded();
    let mut desk = open("web1", &directory);
    let elsewhere = directory.path().with_extension("elsewhere");
    std::fs::rename(directory.path(), &elsewhere).unwrap();
    assert!(matches!(desk.edit(&pool(7)), Err(EditError::Disk(_))));
    assert_eq!((ttl(&desk), desk.summary.load().failing), (5, true));
    assert!(matches!(desk.edit(&pool(8)), Err(EditError::Disk(_))));
    // The disk is back.
    std::fs::rename(&elsewhere, directory.path()).unwrap();
    desk.edit(&pool(9)).unwrap();
    assert!(!desk.summary.load().failing);
    drop(desk);
    assert_eq!(ttl(&open("web1", &directory)), 9);
}

/// The power goes at every byte that is written, and what was under way is there, half there, zeros or garbage. The store is tried
/// on every operation of its own (`host::store::tests`); here the whole desk begins with what that leaves.
#[test]
fn after_a_loss_of_power_at_any_byte_the_last_acknowledged_edit_is_in_force() {
    let directory = founded();
    let log = directory.path().join("document.log");
    let mut desk = open("web1", &directory);
    let mut acknowledged = vec![(std::fs::read(&log).unwrap().len(), ttl(&desk))];
    for ttl in 11..16 {
        desk.edit(&pool(ttl)).unwrap();
        acknowledged.push((std::fs::read(&log).unwrap().len(), ttl));
    }
    drop(desk);
    let whole = std::fs::read(&log).unwrap();
    let first = acknowledged[0].0;
    assert!(acknowledged.is_sorted() && acknowledged[5].0 == whole.len(), "{acknowledged:?}");
    // Every byte of one edit, and some of those after it.
    let lengths = (first..=whole.len()).filter(|length| *length <= acknowledged[1].0 || length % 9 == 0);
    for length in lengths {
        let (_, expected) = *acknowledged.iter().rfind(|(end, _)| *end <= length).unwrap();
        let rest = whole.len() - length;
        let tails = [Vec::new(), vec![0; rest], vec![0xa5; rest.min(40)]];
        let next = acknowledged.iter().map(|(end, _)| *end).find(|end| *end > length).unwrap_or(length);
        // Zeros in the place of zeros are no loss.
        for tail in tails.iter().filter(|tail| length == next || !tail.starts_with(&whole[length..next])) {
            let after = TempDir::new().unwrap();
            std::fs::write(after.path().join("document.log"), [&whole[..length], tail].concat()).unwrap();
            let mut desk = open("web1", &after);
            assert_eq!(ttl(&desk), expected, "cut at {length} of {}, then {} bytes", whole.len(), tail.len());
            // And it goes on from there. Each look at that waits for a disk.
            if length % 16 == 0 {
                desk.edit(&pool(99)).unwrap();
                drop(desk);
                assert_eq!(ttl(&open("web1", &after)), 99);
            }
        }
    }
}

#[test]
fn one_daemon_has_the_document() {
    let directory = founded();
    let _desk = open("web1", &directory);
    assert!(matches!(Desk::open(&server("web1"), directory.path(), [0; 16].into()), Err(OpenError::Disk(_))));
    let objects = split(CLUSTER, &str::to_owned).unwrap();
    assert!(found(directory.path(), &objects, document::Author::default()).is_err());
}
