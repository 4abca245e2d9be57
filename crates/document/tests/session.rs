//! Two sessions over a stream that holds what was sent until it is read: whatever the order in which both sides speak, hear
//! and edit, each has in the end what the other has, and knows it.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

use std::collections::VecDeque;

use document::{Author, Change, ChangeHash, Document, Incarnation, Key, Ledger, Session, Transaction};
use proptest::prelude::*;

const CLUSTER: &str = "[cluster]\nname = \"test\"\n[server.web1]\naddress = \"10.0.0.11\"\n";

struct Side {
    ledger: Ledger,
    session: Session,
    /// What the other has sent.
    inbox: VecDeque<Vec<u8>>,
}

/// What a side does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Speak,
    Hear,
    Edit(u8),
}

fn sides() -> [Side; 2] {
    let objects = document::object::split(CLUSTER, &str::to_owned).unwrap();
    let first = Document::new(Incarnation([9; 16]));
    let first = Ledger::found(first, Transaction::default(), &objects).unwrap().document().save();
    [1, 2].map(|life| {
        let document = Document::load(Incarnation([life; 16]), [&first[..]]).unwrap();
        Side { ledger: Ledger::new(document).unwrap(), session: Session::new(), inbox: VecDeque::new() }
    })
}

/// Does it; whether there was anything to do.
fn step(sides: &mut [Side; 2], at: usize, step: Step) -> bool {
    let side = &mut sides[at];
    match step {
        Step::Speak => {
            let Some(message) = side.session.speak(side.ledger.document()) else { return false };
            sides[1 - at].inbox.push_back(message);
        }
        Step::Hear => {
            let Some(message) = side.inbox.pop_front() else { return false };
            side.ledger.hear(&mut side.session, &message).unwrap();
        }
        Step::Edit(value) => {
            let text = format!("[server.new{at}]\naddress = \"10.0.1{at}.{value}\"\n");
            let key = Key::parse(&format!("server/new{at}")).unwrap();
            let changes = vec![Change::new(key, Some(&text))];
            side.ledger.edit(&Transaction { author: Author::default(), time: 0, changes }).unwrap();
        }
    }
    true
}

fn heads(side: &Side) -> Vec<ChangeHash> {
    side.ledger.document().heads()
}

proptest! {
    #[test]
    fn each_has_what_the_other_has_and_knows_it(
        steps in prop::collection::vec(
            (0..2usize, prop_oneof![4 => Just(Step::Speak), 4 => Just(Step::Hear), 1 => (1..200u8).prop_map(Step::Edit)]),
            0..40,
        ),
    ) {
        let mut sides = sides();
        for (at, wanted) in steps {
            step(&mut sides, at, wanted);
        }
        // As long as anybody has anything to read or to say; reading comes first, as it may on a real stream.
        let rest = [(0, Step::Hear), (1, Step::Hear), (0, Step::Speak), (1, Step::Speak)];
        let mut rounds = 0;
        while rest.into_iter().any(|(at, wanted)| step(&mut sides, at, wanted)) {
            rounds += 1;
            prop_assert!(rounds < 1_000, "no end");
        }
        prop_assert_eq!(heads(&sides[0]), heads(&sides[1]));
        for side in &sides {
            for head in heads(side) {
                prop_assert!(side.session.has(side.ledger.document(), &head));
            }
        }
    }
}
