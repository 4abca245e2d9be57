use Verdict::{Degraded, Down, Unknown, Up};
use proptest::prelude::*;

use super::*;

/// `-` not eligible; `U`, `G`, `?`, `D` eligible with one monitor up, degraded, unknown, down; `.` eligible without
/// monitors. Lower case: not steady.
fn list(words: &str) -> Vec<Candidate> {
    words
        .chars()
        .map(|word| Candidate {
            eligible: word != '-',
            health: match word {
                'U' | 'u' => vec![Up],
                'G' | 'g' => vec![Degraded],
                '?' => vec![Unknown],
                'D' | 'd' => vec![Down],
                _ => Vec::new(),
            },
            steady: !word.is_lowercase(),
        })
        .collect()
}

#[test]
fn truth_table() {
    use Failback::{Auto, Sticky};
    // The list, the holder, the policies, the target, and the case.
    type Row = (&'static str, Option<usize>, Failback, bool, Option<usize>, &'static str);
    let table: &[Row] = &[
        ("...", None, Auto, true, Some(0), "the primary of an unheld virtual host"),
        ("...", None, Sticky, true, Some(0), "the primary, sticky or not, while nobody holds it"),
        ("-..", None, Auto, true, Some(1), "the first backup where the primary is away"),
        ("---", None, Auto, true, None, "nobody where nobody is eligible"),
        ("---", Some(1), Sticky, true, None, "nobody where nobody is eligible, held or not"),
        ("", None, Auto, true, None, "nobody of an empty list"),
        ("UUU", Some(1), Auto, true, Some(0), "failback to the better listed"),
        ("UUU", Some(1), Sticky, true, Some(1), "no failback when sticky"),
        ("uUU", Some(1), Auto, true, Some(1), "no failback to who has not been steady"),
        ("uUU", Some(2), Auto, true, Some(1), "the next best listed is steady"),
        ("UUu", Some(2), Auto, true, Some(0), "the holder's own steadiness does not matter"),
        ("uuu", None, Auto, true, Some(0), "no delay for an unheld address (R8)"),
        ("uu-", Some(2), Auto, true, Some(0), "no delay when the holder is not eligible (R8)"),
        ("uD-", Some(1), Auto, true, Some(0), "no delay when the holder is less healthy"),
        ("DUU", Some(0), Auto, true, Some(1), "a failed service moves to the first healthy backup"),
        ("DUU", Some(0), Sticky, true, Some(1), "also when sticky"),
        ("?UU", None, Auto, true, Some(1), "unknown is not up"),
        ("D?D", Some(0), Auto, true, Some(1), "unknown is not down"),
        ("GUU", Some(0), Auto, true, Some(1), "a degraded service moves to one that is up"),
        ("GGU", Some(2), Auto, true, Some(2), "no failback to a degraded one"),
        ("GGG", Some(1), Auto, true, Some(0), "degraded everywhere: as if up everywhere"),
        ("?GD", None, Auto, true, Some(1), "degraded is better than unknown, and than down"),
        ("DDD", Some(1), Auto, true, Some(1), "all down: it stays"),
        ("DDD", Some(1), Sticky, true, Some(1), "all down: it stays"),
        ("DD-", Some(2), Auto, true, Some(0), "all down and the holder gone: the first"),
        ("DDD", None, Auto, true, Some(0), "all down and unheld: the first"),
        ("DDD", Some(1), Auto, false, None, "all down and not always active: nowhere"),
        ("D-D", None, Sticky, false, None, "all down and not always active: nowhere"),
        ("D?D", Some(0), Auto, false, Some(1), "not all are down"),
        ("..-", Some(1), Auto, false, Some(0), "no monitors is not all down"),
        ("UU", Some(7), Auto, true, Some(0), "a holder outside the list is none"),
    ];
    for (words, holder, failback, always_active, expected, why) in table {
        assert_eq!(target(&list(words), *holder, *failback, *always_active), *expected, "{words} {holder:?}: {why}");
    }
}

#[test]
fn the_more_important_monitor_decides() {
    let with = |health: &[Verdict]| Candidate { eligible: true, health: health.to_vec(), steady: true };
    let list = [with(&[Down, Up, Up]), with(&[Up, Down, Down])];
    assert_eq!(target(&list, Some(0), Failback::Auto, true), Some(1));
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let verdict = prop_oneof![Just(Down), Just(Unknown), Just(Degraded), Just(Up)];
    (any::<bool>(), prop::collection::vec(verdict, 2), any::<bool>()).prop_map(|(eligible, health, steady)| Candidate {
        eligible,
        health,
        steady,
    })
}

fn cluster() -> impl Strategy<Value = (Vec<Candidate>, Option<usize>, Failback, bool)> {
    let failback = prop_oneof![Just(Failback::Auto), Just(Failback::Sticky)];
    (prop::collection::vec(candidate(), 0..5), prop::option::of(0usize..5), failback, any::<bool>())
}

proptest! {
    #[test]
    fn the_target_is_eligible_and_nobody_is_healthier((list, holder, failback, always_active) in cluster()) {
        if let Some(target) = target(&list, holder, failback, always_active) {
            prop_assert!(list[target].eligible);
            prop_assert!(list.iter().all(|other| !other.eligible || other.health <= list[target].health));
        }
    }

    #[test]
    fn somebody_eligible_covers_it((list, holder, failback, always_active) in cluster()) {
        let mut eligible = list.iter().filter(|candidate| candidate.eligible);
        let someone = eligible.clone().next().is_some();
        let all_down = eligible.all(|candidate| is_all_down(&candidate.health));
        let expected = someone && (always_active || !all_down);
        prop_assert_eq!(target(&list, holder, failback, always_active).is_some(), expected);
    }

    #[test]
    fn who_is_not_eligible_changes_nothing((list, holder, failback, always_active) in cluster(), health in 0usize..4) {
        let mut other = list.clone();
        for candidate in other.iter_mut().filter(|candidate| !candidate.eligible) {
            candidate.health = vec![[Down, Unknown, Degraded, Up][health]; 2];
            candidate.steady = !candidate.steady;
        }
        prop_assert_eq!(
            target(&list, holder, failback, always_active),
            target(&other, holder, failback, always_active)
        );
    }

    #[test]
    fn once_there_it_stays((list, holder, failback, always_active) in cluster()) {
        // After the move, with everything else the same, the new holder is the target: no back and forth.
        if let Some(first) = target(&list, holder, failback, always_active) {
            let steady = list.iter().map(|c| Candidate { steady: true, ..c.clone() }).collect::<Vec<_>>();
            let settled = target(&steady, Some(first), failback, always_active);
            prop_assert_eq!(target(&steady, settled, failback, always_active), settled);
        }
    }
}

#[test]
fn what_fails_for_a_shared_cause_stays_unless_its_holder_may_not_keep_it() {
    let candidate = |eligible, health| Candidate { eligible, health: vec![health], steady: true };
    let well = candidate(true, Up);
    let down = candidate(true, Down);
    let away = candidate(false, Down);
    assert!(stays(&[down.clone(), well.clone()], 0, true));
    assert!(stays(&[down.clone(), well.clone()], 0, false), "another is well");
    assert!(stays(&[down.clone(), down.clone()], 0, true));
    assert!(!stays(&[down.clone(), down.clone()], 0, false), "nowhere");
    assert!(!stays(&[away, well.clone()], 0, true));
    assert!(!stays(&[well, down], 7, true), "a holder that is not listed");
}
