//! Whatever arrives: no panic, and every reply is a well-formed message that fits.

use std::sync::LazyLock;

use dns::{Outcome, Transport, View};
use hickory_proto::{op::Message, rr::RecordType};
use proptest::prelude::*;

use crate::support::{CLIENT, config, example, healthy, name, query, view_of, without, zone};

static VIEWS: LazyLock<[View; 2]> = LazyLock::new(|| {
    let child =
        || zone("sub.lb.example.test.", "@ SOA ns.sub.lb.example.test. a.lb.example.test. 0 1 1 1 30\nx A 10.2.0.1");
    [view_of(vec![example()], &config(), &healthy()), view_of(vec![example(), child()], &config(), &without(1, "web2"))]
});

fn check(message: &[u8]) -> Result<(), TestCaseError> {
    for view in &*VIEWS {
        for room in [512, 700, 4096] {
            // Bytes beyond what is said to be the reply stay as they were.
            let mut out = vec![0xA5; room + 64];
            let outcome = dns::respond(view, CLIENT, message, &mut out[..room], &mut 7);
            if let Outcome::Reply(length) = outcome {
                prop_assert!(length <= room.min(1232));
                well_formed(message, &out[..length])?;
            }
            prop_assert!(out[room..].iter().all(|byte| *byte == 0xA5));
            for transport in [Transport::Udp, Transport::Tcp] {
                let mut reply = Vec::new();
                match view.answer_any(CLIENT, message, transport, &mut reply, &mut 7) {
                    Outcome::Reply(length) => {
                        prop_assert_eq!(length, reply.len());
                        prop_assert!(transport == Transport::Tcp || length <= 1232);
                        well_formed(message, &reply)?;
                        if let (Outcome::Reply(fast), Transport::Udp, 4096) = (outcome, transport, room) {
                            prop_assert_eq!(&out[..fast], &reply[..], "the same from both paths");
                        }
                    }
                    Outcome::Drop => prop_assert_eq!(outcome, Outcome::Drop),
                    Outcome::Defer | Outcome::Limited => prop_assert!(false, "the slow path never defers"),
                }
            }
        }
    }
    Ok(())
}

/// Decodes to its last byte, and belongs to the query.
fn well_formed(query: &[u8], reply: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(&reply[..2], &query[..2]);
    prop_assert!(reply[2] & 0x80 != 0 && reply[2] & 0x79 == query[2] & 0x79);
    let message = Message::from_vec(reply).map_err(|error| TestCaseError::fail(format!("{error}: {reply:02x?}")))?;
    let count = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
    prop_assert_eq!(message.answers.len(), count(6));
    let mut at = 12;
    for _ in 0..count(4) {
        at += name_length(&reply[at..]) + 4;
    }
    for _ in 0..count(6) + count(8) + count(10) {
        at += name_length(&reply[at..]) + 8;
        at += 2 + count(at);
    }
    prop_assert_eq!(at, reply.len(), "no stray bytes");
    Ok(())
}

fn name_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match bytes[at] {
            0 => return at + 1,
            192.. => return at + 2,
            label => at += 1 + usize::from(label),
        }
    }
}

/// A good query with bytes changed, cut off or added.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let names = ["www", "x.sub", "web", "nothing", "many", "a.tree", "x.wild", "loop1", "intosub"];
    let good = (prop::sample::select(names.to_vec()), 0..300u16, prop::option::of(any::<u16>())).prop_map(
        |(label, kind, edns)| query(&name(&format!("{label}.lb.example.test.")), RecordType::from(kind), edns),
    );
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let tail = prop::collection::vec(any::<u8>(), 0..12);
    (good, changes, any::<prop::sample::Index>(), any::<bool>(), tail).prop_map(
        |(mut bytes, changes, cut, keep, tail)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if !keep {
                bytes.truncate(cut.index(bytes.len()));
                bytes.extend_from_slice(&tail);
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes)?;
    }

    #[test]
    fn almost_queries(bytes in damaged()) {
        check(&bytes)?;
    }

    /// A header that promises anything, and any bytes behind it.
    #[test]
    fn any_question(counts in prop::array::uniform4(0..3u8), bytes in prop::collection::vec(0..70u8, 0..300)) {
        let [questions, answers, authority, additional] = counts;
        let header = [9, 9, 1, 0, 0, questions, 0, answers, 0, authority, 0, additional];
        check(&[&header[..], &bytes].concat())?;
    }
}

#[test]
fn a_small_buffer_defers_instead_of_failing() {
    let asked = query(&name("www.lb.example.test."), RecordType::A, Some(1232));
    for room in 0..asked.len() {
        assert_eq!(dns::respond(&VIEWS[0], CLIENT, &asked, &mut vec![0; room], &mut 0), Outcome::Defer);
    }
}
