//! Replays the corpus of the fuzz target `zone`, and the templates under `zones/`, without a fuzzer; each also cut short
//! and with its bytes exchanged.

#[path = "../../../tests/fuzz/zone.rs"]
mod zone;

use std::{fs, path::Path};

/// Every file of these folders below the root of the project.
#[allow(clippy::disallowed_methods)] // the crate reads no files; its test does
fn inputs(folders: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(root.join(folder)).expect("the folder exists");
        paths.extend(entries.map(|entry| entry.expect("a readable entry").path()));
    }
    paths.retain(|path| path.extension().is_none_or(|ending| ending == "zone" || ending == "inc"));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a readable file")).collect()
}

#[test]
fn every_input_of_the_corpus_holds() {
    let corpus = inputs(&["tests/fuzz/corpus/zone"]);
    assert!(corpus.len() >= 10, "only {} inputs were found", corpus.len());
    corpus.iter().for_each(|input| zone::run(input));
}

#[test]
fn every_template_holds_also_when_it_is_damaged() {
    let templates = inputs(&["zones/valid", "zones/invalid", "zones/example"]);
    assert!(templates.len() >= 100, "only {} templates were found", templates.len());
    // A fixed little generator: the same damage in every run.
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits") % below.max(1)
    };
    let pieces: [&[u8]; 12] =
        [b"(", b")", b"\"", b"\\", b"${", b"\n", b" ", b";", b"$GENERATE 0-9 ", b"$INCLUDE x\n", b"\xff", b"\\# 1"];
    for template in &templates {
        zone::run(template);
        for _ in 0..8 {
            let mut damaged = template.clone();
            let at = random(damaged.len());
            match random(4) {
                0 => damaged.truncate(at),
                1 => damaged[at..].rotate_left(random(template.len() - at)),
                2 => drop(damaged.splice(at..at, pieces[random(pieces.len())].iter().copied())),
                _ => damaged[at] = u8::try_from(random(256)).expect("a byte"),
            }
            zone::run(&damaged);
        }
    }
}
