//! Replays the fuzzer's corpus.

use std::{fs, path::Path};

use hickory_proto::{op::Message, rr::Name};

#[path = "../../../../tests/fuzz/respond.rs"]
mod respond;

#[allow(clippy::disallowed_methods)] // the crate reads no files; its test does
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/respond");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

#[test]
fn every_input_whole_and_damaged() {
    let corpus = corpus();
    assert!(corpus.len() >= 40, "the corpus is there");
    for (_, input) in &corpus {
        respond::run(input);
        for length in 0..input.len() {
            respond::run(&input[..length]);
        }
        for at in 0..input.len() {
            for change in [0x01, 0x20, 0x80, 0xFF] {
                let mut damaged = input.clone();
                damaged[at] ^= change;
                respond::run(&damaged);
            }
        }
    }
}

/// The seeds ask what their names say, or they teach the fuzzer nothing.
#[test]
fn the_seeds_reach_the_zone() {
    let zone = Name::from_ascii("lb.example.test.").unwrap();
    let inside = corpus().into_iter().filter(|(_, input)| {
        let query = Message::from_vec(input).ok().and_then(|message| message.queries.into_iter().next());
        query.is_some_and(|query| zone.zone_of(query.name()))
    });
    assert!(inside.count() >= 30);
}
