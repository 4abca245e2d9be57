//! Every input that the fuzzer is fed with, or has ever found, in an ordinary test run.

#[path = "../../../tests/fuzz/heartbeat.rs"]
mod heartbeat;

#[test]
#[allow(clippy::disallowed_methods)] // the crate reads no files; its test does
fn the_heartbeat_corpus_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/heartbeat");
    let mut files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{} files in {corpus}", files.len());
    for file in files {
        let input = std::fs::read(&file).unwrap();
        if std::panic::catch_unwind(|| heartbeat::run(&input)).is_err() {
            panic!("{}", file.display());
        }
        // Nothing about an input depends on where it ends.
        for length in 0..input.len() {
            heartbeat::run(&input[..length]);
        }
    }
}
