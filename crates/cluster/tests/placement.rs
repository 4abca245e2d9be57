//! The truth table of placement for three servers and two monitors, kept as a file to read: `placement.txt`.
//!
//! The table has one row for each way in which the servers' healths can compare; the test goes through every combination
//! of verdicts (16 for each server, 4,096 for three), every holder and every policy, and each must be as its row says.
//! `UPDATE=1 cargo test -p standin-cluster --test placement` writes the file anew.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, which keeps a file")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use cluster::placement::{Candidate, target};
use model::{config::Failback, health::Verdict};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/placement.txt");
const VERDICTS: [Verdict; 4] = [Verdict::Up, Verdict::Degraded, Verdict::Unknown, Verdict::Down];
const HOLDERS: [Option<usize>; 4] = [None, Some(0), Some(1), Some(2)];
const HEAD: &str = "\
Where a virtual host belongs, by the health of its three servers (two monitors each), by who holds it, and by `failback`.
Made by crates/cluster/tests/placement.rs, which checks every combination of verdicts against it.
";

type Health = [Verdict; 2];

/// Every health, the best first.
fn healths() -> Vec<Health> {
    let mut all: Vec<Health> =
        VERDICTS.into_iter().flat_map(|first| VERDICTS.into_iter().map(move |second| [first, second])).collect();
    all.sort_by(|one, other| other.cmp(one));
    all
}

/// How three healths compare: 1 is the best of them, equal ones have the same number; and whether all is down everywhere.
fn comparison(healths: [Health; 3]) -> (String, bool) {
    let distinct: BTreeSet<Health> = healths.into_iter().collect();
    let rank = |health: &Health| distinct.iter().rev().position(|other| other == health).unwrap() + 1;
    let ranks: Vec<String> = healths.iter().map(|health| rank(health).to_string()).collect();
    (ranks.join(" "), healths.iter().flatten().all(|verdict| *verdict == Verdict::Down))
}

fn place(healths: [Health; 3], holder: Option<usize>, failback: Failback, always_active: bool, steady: bool) -> String {
    let candidate = |health: Health| Candidate { eligible: true, health: health.to_vec(), steady };
    let list = healths.map(candidate);
    target(&list, holder, failback, always_active).map_or("-".to_owned(), |index| (index + 1).to_string())
}

/// The cells of one row: for each policy, for each holder.
fn cells(healths: [Health; 3], always_active: bool) -> Vec<String> {
    let policies = [(Failback::Auto, true), (Failback::Auto, false), (Failback::Sticky, true)];
    let cell = |(failback, steady)| {
        let holders = HOLDERS.map(|holder| place(healths, holder, failback, always_active, steady));
        holders.join(" ")
    };
    policies.map(cell).into()
}

fn table() -> String {
    let mut text = HEAD.to_owned();
    text += "\nHealths, the best first: the verdict of the more important monitor, then that of the other.\n\n";
    for health in healths() {
        writeln!(text, "    {:10}{}", health[0].word(), health[1].word()).unwrap();
    }
    text += "\n\
        How the servers 1, 2, 3 compare (1 is the best, equal numbers are equal), and who should hold it where nobody does,\n\
        and where 1, 2 or 3 does. `delay`: no better-listed server has been as healthy for the failback delay yet.\n\n";
    let row = |name: &str, cells: [&str; 3]| format!("    {name:26}{:14}{:14}{}\n", cells[0], cells[1], cells[2]);
    text += &row("servers", ["auto", "auto, delay", "sticky"]);
    text += &row("1 2 3", ["- 1 2 3"; 3]);
    let mut rows: BTreeMap<(bool, bool, String), Vec<String>> = BTreeMap::new();
    let all = healths();
    for one in &all {
        for two in &all {
            for three in &all {
                for always_active in [true, false] {
                    let healths = [*one, *two, *three];
                    let (comparison, all_down) = comparison(healths);
                    let cells = cells(healths, always_active);
                    // Only where all is down everywhere `always-active` makes a difference.
                    let key = (all_down, all_down && !always_active, comparison);
                    let row = rows.entry(key).or_insert_with(|| cells.clone());
                    assert_eq!(*row, cells, "{healths:?}, always active {always_active}");
                }
            }
        }
    }
    for ((all_down, nowhere, comparison), cells) in rows {
        let name = match (all_down, nowhere) {
            (false, _) => comparison,
            (true, false) => "all down, always-active".to_owned(),
            (true, true) => "all down, not so".to_owned(),
        };
        text += &row(&name, [&cells[0], &cells[1], &cells[2]]);
    }
    text
}

#[test]
fn every_combination_is_as_the_table_says() {
    let now = table();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(FILE, &now).unwrap();
    }
    let kept = fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(kept, now, "{FILE} says otherwise; UPDATE=1 writes it anew: read the difference before you keep it");
}
