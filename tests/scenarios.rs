//! The scenarios in `tests/scenarios/`: what an operator may live through, and what the cluster does then.
//!
//! A directory is a scenario: `README.md` says what happens and why that is right, `cluster.toml` is the cluster,
//! `story.txt` what happens to it (its sentences: `scenario_support/story.rs`), `expected.txt` what everybody decides, and
//! when. The shipped `cluster::Node`s and the shipped DNS answers live it in virtual time; kernels, wire and services are
//! simulated, with fixed delays and without chance.
//!
//! `UPDATE=1` writes each `expected.txt` anew; read the difference before you keep it. `SCENARIO=word` takes only
//! the directories whose name contains the word. What a story itself says must be so, such as `virtual1 is on web2`, is
//! checked in either case.

mod scenario_support;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use scenario_support::{replay, story};

fn directories() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = fs::read_dir(all).expect("the directory of scenarios is there");
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    let mut found: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn name(directory: &Path) -> &str {
    directory.file_name().and_then(|name| name.to_str()).expect("a directory has a UTF-8 name")
}

/// The lines that differ, each with the two before it.
fn difference(expected: &str, given: &str) -> String {
    let (expected, given): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), given.lines().collect());
    let same = expected.iter().zip(&given).take_while(|(one, other)| one == other).count();
    let rest = |lines: &[&str]| lines.len() - same;
    let after = (0..rest(&expected).min(rest(&given)))
        .take_while(|back| expected[expected.len() - 1 - back] == given[given.len() - 1 - back])
        .count();
    let mut out = format!("  expected.txt:{}:\n", same + 1);
    for line in &expected[same.saturating_sub(2)..same] {
        out.push_str(&format!("      {line}\n"));
    }
    for (mark, lines) in [('-', &expected), ('+', &given)] {
        let changed = &lines[same..lines.len() - after];
        for line in changed.iter().take(30) {
            out.push_str(&format!("    {mark} {line}\n"));
        }
        if changed.len() > 30 {
            out.push_str(&format!("    {mark} ... {} more lines\n", changed.len() - 30));
        }
    }
    out
}

#[test]
fn every_scenario_goes_as_expected() {
    let wanted = env::var("SCENARIO").unwrap_or_default();
    let update = env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut replayed = 0;
    for directory in directories().iter().filter(|directory| name(directory).contains(&wanted)) {
        replayed += 1;
        let result = match replay(directory) {
            Ok(result) => result,
            Err(error) => {
                wrong.push(format!("{}: {error}", name(directory)));
                continue;
            }
        };
        for line in &result.wrong {
            wrong.push(format!("{}/{line}", name(directory)));
        }
        let path = directory.join("expected.txt");
        if update {
            fs::write(&path, &result.record).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected != result.record {
            let difference = difference(&expected, &result.record);
            wrong.push(format!("{} (- expected, + now; UPDATE=1 keeps it):\n{difference}", name(directory)));
        }
    }
    assert!(replayed > 0, "no scenario's name contains `{wanted}`");
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_scenario_is_explained() {
    let directories = directories();
    assert!(directories.len() >= 12, "only {} scenarios were found", directories.len());
    for directory in &directories {
        let text = fs::read_to_string(directory.join("README.md")).unwrap_or_default();
        let rules = (1..=10).filter(|rule| text.contains(&format!("R{rule}"))).count();
        assert!(text.starts_with("# ") && rules > 0, "{}: README.md has a title and names a rule", name(directory));
    }
}

#[test]
fn a_story_that_is_not_understood_says_where() {
    let line = |text: &str| story::parse(text).unwrap_err().lines().next().unwrap().to_owned();
    assert_eq!(line("at 0 ms: web1 starts\nweb2 starts"), "2: a line is `at N ms: sentence`");
    assert_eq!(line("at soon ms: end"), "1: `soon` is no number");
    assert_eq!(line("at 0 ms: web1 dances\nat 1 ms: end"), "1: `web1 dances` is none of these:");
    assert_eq!(line("at 5 ms: web1 starts\nat 4 ms: end"), "2: earlier than the line before");
    assert_eq!(line("at 5 ms: end\n\nat 6 ms: web1 starts"), "3: after the end");
    assert_eq!(line("at 0 ms: web1 starts"), "0: a story ends with `at N ms: end`");
}
