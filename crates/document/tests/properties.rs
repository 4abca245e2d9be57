//! Any order, duplication, loss and partition of edits by two to five servers gives the same document and the same
//! configuration in force; no edit is lost without a clash that says so; what doesn't check is never in force.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p standin-document --test properties` is the long run: some five minutes of one core.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

use std::sync::Arc;

use document::{
    Author, Change, ChangeHash, Checker, Document, Incarnation, Key, Ledger, Objects, Session, Transaction,
    settle::settle,
};
use proptest::prelude::*;

const CLUSTER: &str = r#"
[cluster]
name = "test"
[server.web1]
address = "10.0.0.11"
[server.web2]
address = "10.0.0.12"
[virtual-host.v0]
addresses = ["10.0.0.100"]
servers = "all"
[virtual-host.v1]
addresses = ["10.0.0.101"]
servers = ["web1", "web2"]
[pool.p0]
members = ["v0"]
[zone."lb.test"]
template = "lb.zone"
"#;
const TEMPLATE: &str = "$TTL 60\n@ SOA ns1 hostmaster 0 1h 15m 1w 5\n@ NAMESERVERS ns1=v0\nwww POOL p0\n";

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn first_objects() -> Objects {
    let mut objects = document::object::split(CLUSTER, &str::to_owned).unwrap();
    objects.insert(key("template/lb.zone"), TEMPLATE.into());
    objects
}

/// An edit that somebody may want: few names and addresses, so that edits contradict each other.
#[derive(Clone, Debug)]
enum Wish {
    Host {
        host: u8,
        address: u8,
        server: bool,
    },
    RemoveHost {
        host: u8,
    },
    Pool {
        pool: u8,
        host: u8,
    },
    RemovePool {
        pool: u8,
    },
    /// Long ones are kept in pieces.
    Template {
        pool: u8,
        ttl: u8,
        long: bool,
    },
    Server {
        address: u8,
    },
    Rename {
        name: u8,
    },
}

impl Wish {
    fn change(&self) -> Change {
        let (key_text, text) = match self {
            Self::Host { host, address, server } => (
                format!("virtual-host/v{host}"),
                Some(format!(
                    "[virtual-host.v{host}]\naddresses = [\"10.0.0.{}\"]\nservers = [\"web{}\"]\n",
                    100 + address,
                    1 + u8::from(*server)
                )),
            ),
            Self::RemoveHost { host } => (format!("virtual-host/v{host}"), None),
            Self::Pool { pool, host } => {
                (format!("pool/p{pool}"), Some(format!("[pool.p{pool}]\nmembers = [\"v{host}\"]\n")))
            }
            Self::RemovePool { pool } => (format!("pool/p{pool}"), None),
            Self::Template { pool, ttl, long } => {
                let template = TEMPLATE.replace("60", &ttl.to_string()).replace("p0", &format!("p{pool}"));
                let comments: String =
                    (0..if *long { 500 } else { 0 }).map(|n| format!("; a comment, line {n}\n")).collect();
                ("template/lb.zone".to_owned(), Some(template + &comments))
            }
            Self::Server { address } => {
                ("server/web2".to_owned(), Some(format!("[server.web2]\naddress = \"10.0.0.{}\"\n", 100 + address)))
            }
            Self::Rename { name } => ("cluster/settings".to_owned(), Some(format!("[cluster]\nname = \"c{name}\"\n"))),
        };
        Change::new(key(&key_text), text.as_deref())
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        4 => (0..3u8, 0..4u8, any::<bool>()).prop_map(|(host, address, server)| Wish::Host { host, address, server }),
        1 => (0..3u8).prop_map(|host| Wish::RemoveHost { host }),
        2 => (0..2u8, 0..3u8).prop_map(|(pool, host)| Wish::Pool { pool, host }),
        1 => (0..2u8).prop_map(|pool| Wish::RemovePool { pool }),
        2 => (0..2u8, 1..4u8, any::<bool>()).prop_map(|(pool, ttl, long)| Wish::Template { pool, ttl, long }),
        1 => (0..4u8).prop_map(|address| Wish::Server { address }),
        1 => (0..2u8).prop_map(|name| Wish::Rename { name }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    /// A server is asked for one or two changes at once.
    Edit { at: usize, wishes: Vec<Wish> },
    /// A clash is settled in favour of one of its values.
    Settle { at: usize, which: usize, side: usize },
    /// Two servers talk, and the connection breaks after so many messages.
    Talk { one: usize, other: usize, messages: usize },
    /// A change that somebody made arrives somewhere, perhaps again.
    Arrive { change: usize, at: usize },
    /// A server starts again from its disk.
    Restart { at: usize },
    /// An edit cannot be kept and is taken back.
    Unkept { at: usize, wish: Wish },
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..5usize;
    prop_oneof![
        6 => (at.clone(), prop::collection::vec(wish(), 1..3)).prop_map(|(at, wishes)| Step::Edit { at, wishes }),
        1 => (at.clone(), 0..9usize, 0..3usize).prop_map(|(at, which, side)| Step::Settle { at, which, side }),
        2 => (at.clone(), at.clone(), 1..6usize).prop_map(|(one, other, messages)| Step::Talk { one, other, messages }),
        2 => (0..32usize, at.clone()).prop_map(|(change, at)| Step::Arrive { change, at }),
        1 => at.clone().prop_map(|at| Step::Restart { at }),
        1 => (at, wish()).prop_map(|(at, wish)| Step::Unkept { at, wish }),
    ]
}

struct World {
    servers: Vec<Ledger>,
    lives: u8,
    /// Each change that was taken, its hash and its bytes.
    made: Vec<(Vec<Change>, ChangeHash, Vec<u8>)>,
}

impl World {
    fn new(servers: usize) -> Self {
        let mut world = Self { servers: Vec::new(), lives: 0, made: Vec::new() };
        let first = Document::new(world.life());
        let first = Ledger::found(first, Transaction::default(), &first_objects()).unwrap().document().save();
        for _ in 0..servers {
            let document = Document::load(world.life(), [&first[..]]).unwrap();
            world.servers.push(Ledger::new(document).unwrap());
        }
        world
    }

    fn life(&mut self) -> Incarnation {
        self.lives += 1;
        Incarnation([self.lives; 16])
    }

    fn edit(&mut self, at: usize, changes: Vec<Change>) {
        let server = &mut self.servers[at];
        let heads = server.document().heads();
        let transaction = Transaction { author: Author::default(), time: 0, changes };
        if let Ok(Some(hash)) = server.edit(&transaction) {
            let bytes = server.document().save_after(&heads);
            // What was in force is what was asked for, as it is.
            for change in &transaction.changes {
                assert_eq!(server.in_force().objects.contains_key(&change.key), change.text.is_some());
            }
            // What it asked for and was so already is no edit.
            let touched = server.document().entry(&hash).unwrap().touched;
            let is_edit = |change: &Change| touched.iter().any(|touched| touched.key == change.key);
            self.made.push((transaction.changes.into_iter().filter(is_edit).collect(), hash, bytes));
        }
    }

    fn settle(&mut self, at: usize, which: usize, side: usize) {
        let clashes = self.servers[at].clashes();
        if let Some(clash) = clashes.get(which % clashes.len().max(1)) {
            let text = clash.versions[side % clash.versions.len()].text.as_deref();
            self.edit(at, vec![Change { settles: true, ..Change::new(clash.key.clone(), text) }]);
        }
    }

    fn talk(&mut self, one: usize, other: usize, messages: usize) -> bool {
        let (mut here, mut there) = (Session::new(), Session::new());
        let mut silent = 0;
        for turn in 0..messages {
            let (from, to, speaker, hearer) = match turn % 2 {
                0 => (one, other, &mut here, &mut there),
                _ => (other, one, &mut there, &mut here),
            };
            match speaker.speak(self.servers[from].document()) {
                Some(bytes) => {
                    silent = 0;
                    self.servers[to].hear(hearer, &bytes).unwrap();
                }
                None => silent += 1,
            }
            if silent == 2 {
                return true;
            }
        }
        false
    }

    fn step(&mut self, step: Step) {
        let count = self.servers.len();
        match step {
            Step::Edit { at, wishes } => self.edit(at % count, wishes.iter().map(Wish::change).collect()),
            Step::Settle { at, which, side } => self.settle(at % count, which, side),
            Step::Talk { one, other, messages } if one % count != other % count => {
                self.talk(one % count, other % count, messages);
            }
            Step::Talk { .. } => {}
            Step::Arrive { change, at } => {
                if let Some((.., bytes)) = self.made.get(change) {
                    self.servers[at % count].take(bytes).unwrap();
                }
            }
            Step::Restart { at } => {
                let bytes = self.servers[at % count].document().save();
                let document = Document::load(self.life(), [&bytes[..]]).unwrap();
                self.servers[at % count] = Ledger::new(document).unwrap();
            }
            Step::Unkept { at, wish } => {
                let server = &mut self.servers[at % count];
                let (heads, before) = (server.document().heads(), server.in_force().objects.clone());
                if let Ok(Some(_)) =
                    server.edit(&Transaction { changes: vec![wish.change()], ..Transaction::default() })
                {
                    server.revert(&heads).unwrap();
                    assert_eq!(server.document().heads(), heads);
                    assert_eq!(server.in_force().objects, before);
                }
            }
        }
    }

    /// Everybody talks to everybody until nobody has anything to say.
    fn meet(&mut self) {
        for _ in 0..2 {
            for other in 1..self.servers.len() {
                assert!(self.talk(0, other, 64), "a session comes to its end");
            }
        }
    }

    fn check_in_force(&self) {
        for server in &self.servers {
            let force = server.in_force();
            assert!(Checker::default().check(&force.objects).is_ok(), "what is in force checks");
        }
    }

    fn check_nothing_is_lost(&self) {
        let document = self.servers[0].document();
        for (changes, hash, _) in &self.made {
            for change in changes {
                let current = match document.clash(&change.key) {
                    Some(clash) => clash.versions,
                    None => document.winner(&change.key).cloned().into_iter().collect(),
                };
                let canonical =
                    change.text.as_deref().map(|text| document::object::canonical(&change.key, text).unwrap());
                let is_current = current.iter().any(|version| version.text.as_deref() == canonical.as_deref());
                let overwritten = self.made.iter().any(|(later, later_hash, _)| {
                    let parents = document.entry(later_hash).unwrap().parents;
                    later.iter().any(|other| other.key == change.key)
                        && later_hash != hash
                        && document.includes(&parents, hash)
                });
                assert!(is_current || overwritten, "{change:?} is neither current, nor overwritten, nor in a clash");
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_all_agree_and_nothing_is_lost(count in 2..6usize, steps in prop::collection::vec(step(), 1..24)) {
        let mut world = World::new(count);
        for step in steps {
            world.step(step);
            world.check_in_force();
        }
        world.meet();
        let first = &world.servers[0];
        for other in &world.servers[1..] {
            prop_assert_eq!(first.document().heads(), other.document().heads());
            prop_assert_eq!(first.document().objects(), other.document().objects());
            prop_assert_eq!(first.clashes(), other.clashes());
            prop_assert_eq!(&first.in_force().objects, &other.in_force().objects);
            prop_assert_eq!(first.in_force().checked.config.clone(), other.in_force().checked.config.clone());
            prop_assert_eq!(&first.in_force().held, &other.in_force().held);
        }
        let anew = settle(first.document(), &mut Checker::default()).unwrap();
        prop_assert_eq!(&anew.objects, &first.in_force().objects);
        world.check_nothing_is_lost();
    }
}

#[test]
fn a_clash_is_kept_until_somebody_settles_it() {
    let mut world = World::new(2);
    let pool = |ttl: u8| Change::new(key("pool/p0"), Some(&format!("[pool.p0]\nmembers = [\"v0\"]\nttl = {ttl}\n")));
    world.edit(0, vec![pool(10)]);
    world.edit(
        1,
        vec![
            Change::new(key("template/lb.zone"), Some(&TEMPLATE.replace("www POOL p0\n", ""))),
            Change::new(key("pool/p0"), None),
        ],
    );
    world.meet();
    let clashes = world.servers[1].clashes();
    assert_eq!(clashes.len(), 1);
    assert_eq!(clashes[0].key, key("pool/p0"));
    // Delete against edit: the edit stays.
    assert!(clashes[0].versions[0].text.as_deref().unwrap().contains("ttl = 10"));
    assert_eq!(clashes[0].versions[1].text, None);
    let refused =
        world.servers[0].edit(&Transaction { changes: vec![pool(20)], ..Transaction::default() }).unwrap_err();
    assert!(refused.to_string().contains("standin resolve pool/p0"), "{refused}");
    world.settle(1, 0, 1);
    world.meet();
    assert_eq!(world.servers[0].clashes(), []);
    assert_eq!(world.servers[0].document().get(&key("pool/p0")), None);
}

/// Found by the long run: a choice among clashing values is an edit, which a removal elsewhere clashes with.
#[test]
fn a_choice_is_not_lost_to_an_edit_that_knew_nothing_of_it() {
    let mut world = World::new(2);
    let pool = |host: u8| Change::new(key("pool/p1"), Some(&format!("[pool.p1]\nmembers = [\"v{host}\"]\n")));
    // Of the two, Automerge itself would take the one with the higher number.
    world.edit(0, vec![Change::new(key("pool/p9"), Some("[pool.p9]\nmembers = [\"v0\"]\n"))]);
    world.edit(0, vec![pool(1)]);
    world.edit(1, vec![pool(0)]);
    let theirs = [0, 1].map(|change| world.made[change].2.clone());
    theirs.iter().for_each(|change| assert!(world.servers[1].take(change).unwrap()));
    // Server 1 chooses what server 0 has written, and server 0 removes it.
    let clash = world.servers[1].clashes().remove(0);
    let chosen = clash.versions.iter().position(|version| version.text.as_deref().unwrap().contains("v1")).unwrap();
    world.settle(1, 0, chosen);
    assert_eq!(world.servers[1].clashes(), []);
    let touched = &world.servers[1].document().history(1)[0].touched;
    assert_eq!((touched.len(), &touched[0].key), (1, &key("pool/p1")));
    world.edit(0, vec![Change::new(key("pool/p1"), None)]);
    world.meet();
    let clash = &world.servers[0].clashes()[0];
    assert!(clash.versions[0].text.as_deref().unwrap().contains("v1") && clash.versions[1].text.is_none(), "{clash:?}");
    assert_eq!(world.servers[0].clashes(), world.servers[1].clashes());
}

#[test]
fn two_edits_that_contradict_each_other_hold_the_younger() {
    let mut world = World::new(2);
    let host = |name: &str| {
        let text = format!("[virtual-host.{name}]\naddresses = [\"10.0.0.150\"]\nservers = \"all\"\n");
        Change::new(key(&format!("virtual-host/{name}")), Some(&text))
    };
    world.edit(0, vec![host("zz")]);
    world.edit(1, vec![Change::new(key("pool/p9"), Some("[pool.p9]\nmembers = [\"v1\"]\n"))]);
    world.edit(1, vec![host("aa")]);
    world.meet();
    for server in &world.servers {
        let force = server.in_force();
        assert_eq!(force.held.iter().map(|held| held.key.to_string()).collect::<Vec<_>>(), ["virtual-host/aa"]);
        assert!(force.held[0].because.diagnostic.message.contains("10.0.0.150"), "{:?}", force.held[0]);
        assert!(force.objects.contains_key(&key("virtual-host/zz")) && force.objects.contains_key(&key("pool/p9")));
        // Nothing is lost: the document has both.
        assert!(server.document().get(&key("virtual-host/aa")).is_some());
    }
    // Mending it brings it into force.
    let other = host("aa").text.unwrap().replace("150", "151");
    world.edit(1, vec![Change::new(key("virtual-host/aa"), Some(&other))]);
    assert_eq!(world.servers[1].in_force().held, []);
}

/// Found by the long run: what is asked for again, and held, would have been told as done.
#[test]
fn an_edit_that_repeats_what_is_held_is_refused() {
    let mut world = World::new(2);
    let pool = |name: &str, host: &str| {
        Change::new(key(&format!("pool/{name}")), Some(&format!("[pool.{name}]\nmembers = [\"{host}\"]\n")))
    };
    world.edit(0, vec![Change::new(key("virtual-host/v1"), None)]);
    world.edit(1, vec![pool("p9", "v0")]);
    world.edit(1, vec![pool("p1", "v1")]);
    world.meet();
    let held: Vec<String> = world.servers[1].in_force().held.iter().map(|held| held.key.to_string()).collect();
    assert_eq!(held, ["pool/p1"], "the younger one is held");
    let (again, other) = (pool("p1", "v1"), pool("p9", "web1"));
    let edit = |changes| Transaction { changes, ..Transaction::default() };
    assert!(world.servers[1].edit(&edit(vec![again, other.clone()])).is_err());
    assert!(
        world.servers[1].edit(&edit(vec![other])).is_ok_and(|change| change.is_some()),
        "what is held hinders nobody"
    );
}

#[test]
fn a_removal_that_others_still_need_is_held() {
    let mut world = World::new(2);
    world.edit(0, vec![Change::new(key("pool/p1"), Some("[pool.p1]\nmembers = [\"v1\"]\n"))]);
    world.edit(1, vec![Change::new(key("server/web9"), Some("[server.web9]\naddress = \"10.0.0.19\"\n"))]);
    world.edit(1, vec![Change::new(key("virtual-host/v1"), None)]);
    world.meet();
    for server in &world.servers {
        let force = server.in_force();
        assert_eq!(force.held.iter().map(|held| held.key.to_string()).collect::<Vec<_>>(), ["virtual-host/v1"]);
        assert!(force.objects.contains_key(&key("virtual-host/v1")) && force.objects.contains_key(&key("pool/p1")));
    }
}

#[test]
fn history_says_who_when_from_where_and_why() {
    let mut world = World::new(1);
    let author = Author { who: "anna".into(), from: "10.0.0.9".into(), server: "web1".into(), why: "ticket 7".into() };
    let changes = vec![Change::new(key("virtual-host/v1"), None)];
    world.servers[0].edit(&Transaction { author: author.clone(), time: 1_700_000_000, changes }).unwrap();
    let history = world.servers[0].document().history(10);
    assert_eq!(history.len(), 2);
    assert_eq!((&history[0].author, history[0].time), (&author, 1_700_000_000));
    assert_eq!(history[0].touched[0].key, key("virtual-host/v1"));
    assert_eq!(history[0].parents, [history[1].change]);
    let before: Option<Arc<str>> = world.servers[0].document().get_at(&key("virtual-host/v1"), &history[0].parents);
    assert!(before.is_some());
}

#[test]
fn a_mistake_is_refused_at_its_object_line_and_column() {
    let mut world = World::new(1);
    let text = "[pool.p0]\nmembers = [\"v0\", \"v7\"]\n";
    let changes = vec![Change::new(key("pool/p0"), Some(text))];
    let refused = world.servers[0].edit(&Transaction { changes, ..Transaction::default() }).unwrap_err().to_string();
    assert!(refused.starts_with("pool/p0:2:"), "{refused}");
    assert!(refused.contains("there is no virtual host, server or endpoint `v7`"), "{refused}");
    let changes = vec![Change::new(key("template/lb.zone"), Some(&TEMPLATE.replace("p0", "p8")))];
    let refused = world.servers[0].edit(&Transaction { changes, ..Transaction::default() }).unwrap_err().to_string();
    assert!(refused.starts_with("template/lb.zone:4:"), "{refused}");
}
