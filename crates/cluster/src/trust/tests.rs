use model::access::{Fingerprint, Role, Secret};
use proptest::prelude::*;

use super::*;

fn member(name: &str, key: u8) -> Item {
    let reach = "10.0.0.1:8053".parse().unwrap();
    Item::Member(Member { name: name.into(), keys: vec![Fingerprint([key; 32])], reach, start: Start::default() })
}

fn heartbeat(number: u64) -> Item {
    Item::HeartbeatKey(HeartbeatKey { number, secret: Secret::new(vec![number as u8; 32]) })
}

fn trust() -> Trust {
    let mut trust = Trust::default();
    trust.put("m1", "web1", member("web1", 1)).unwrap();
    trust.put("k1", "web1", heartbeat(1)).unwrap();
    let current = Item::Current(Current { number: 1, key: "k1".into() });
    trust.put(KeyKind::Heartbeat.register(), "web1", current).unwrap();
    trust
}

fn sealing(trust: &Trust) -> u8 {
    trust.heartbeat_keys().unwrap().unwrap().current().id()
}

#[test]
fn a_removal_is_not_undone_by_an_edit_that_did_not_know_of_it() {
    let (mut a, mut b) = (trust(), trust());
    assert!(a.remove("m1", "web1", 7));
    for key in 2..9 {
        b.put("m1", "web2", member("web1", key)).unwrap();
    }
    let gone = a.clone();
    a.merge(&b);
    b.merge(&gone);
    assert_eq!(a, b);
    assert!(matches!(a.standing(&Fingerprint([1; 32])), Standing::Removed(gone) if gone.name == "web1"));
    assert_eq!(a.put("m1", "web1", member("web1", 1)), Err(TrustError::Gone));
    assert!(a.members().next().is_none());
}

#[test]
fn a_rotation_goes_step_by_step_and_waits_for_everybody() {
    let mut trust = trust();
    let step = |trust: &Trust, all: bool| next_step(trust, KeyKind::Heartbeat, |_| all);
    assert_eq!(step(&trust, true), Step::Rest);
    let first = sealing(&trust);
    trust.put("k2", "web1", heartbeat(trust.next_number(KeyKind::Heartbeat))).unwrap();
    assert_eq!((step(&trust, false), sealing(&trust)), (Step::Await, first));
    let Step::Send(next) = step(&trust, true) else { unreachable!("everybody has confirmed") };
    assert_eq!(next, Current { number: 2, key: "k2".into() });
    trust.put(KeyKind::Heartbeat.register(), "web1", Item::Current(next)).unwrap();
    assert_ne!(sealing(&trust), first);
    assert_eq!(step(&trust, false), Step::Await);
    assert_eq!(step(&trust, true), Step::Drop("k1".into()));
    trust.remove("k1", "web1", 0);
    assert_eq!(step(&trust, true), Step::Rest);
    assert!(!trust.is_rotating(KeyKind::Heartbeat));
}

#[test]
fn a_session_is_worth_what_its_person_is() {
    let mut trust = trust();
    let password = PasswordHash { memory: 8, passes: 1, salt: Secret::new(vec![1]), hash: Secret::new(vec![2]) };
    let user = User { name: "ann".into(), role: Role::Operator, password };
    trust.put("u1", "web1", Item::User(user)).unwrap();
    let digest = Fingerprint([9; 32]);
    let session = Token { digest, user: Some("u1".into()), name: "ann".into(), role: Role::Admin, expires: 100 };
    trust.put("t1", "web1", Item::Token(session)).unwrap();
    assert_eq!(trust.bearer(&digest, 99).map(|(.., role)| role), Some(Role::Operator));
    assert!(trust.bearer(&digest, 100).is_none(), "it has expired");
    trust.remove("u1", "web1", 50);
    assert!(trust.bearer(&digest, 99).is_none(), "the person is gone");
    assert!(trust.prune(100 + REMEMBERED) && trust.tokens().next().is_none());
}

proptest! {
    /// Whatever three servers do to the same entries, and in whichever order they hear of it, all know the same.
    #[test]
    fn merging_gives_the_same_in_any_order(edits in proptest::collection::vec((0..3_usize, 0..4_u8, 0..3_u8, any::<bool>()), 0..24)) {
        let mut servers = vec![trust(); 3];
        for (server, id, key, remove) in edits {
            let (id, by) = (format!("m{id}"), format!("web{server}"));
            if remove {
                servers[server].remove(&id, &by, 1);
            } else {
                let _gone = servers[server].put(&id, &by, member("web1", key));
            }
        }
        let merged = |order: [usize; 4]| {
            let mut all = Trust::default();
            order.into_iter().for_each(|at| { all.merge(&servers[at]); });
            all
        };
        let one = merged([0, 1, 2, 2]);
        prop_assert_eq!(&one, &merged([2, 1, 0, 1]));
        prop_assert_eq!(&one, &merged([1, 2, 0, 0]));
        let mut again = one.clone();
        prop_assert!(!again.merge(&one));
        let text = format!("{one:?}");
        prop_assert!(!text.contains("[1, 1, 1"), "{}", text);
    }
}
