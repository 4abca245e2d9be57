//! "Did you mean": the known name that a mistyped one resembles most.

/// The name among `known` that is closest to `wrong`, if any is close enough to be meant. Case does not matter.
pub(super) fn nearest<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let wrong: Vec<char> = wrong.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let limit = 1 + wrong.len() / 4;
    known
        .into_iter()
        .map(|name| (distance(&wrong, name), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.len().max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits between two words: a letter added, lost, changed, or two neighbours exchanged.
fn distance(wrong: &[char], known: &str) -> usize {
    let known: Vec<char> = known.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in wrong.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in known.iter().enumerate() {
            let mut best = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == known[j - 1] && wrong[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[known.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_nothing_far_fetched() {
        let known = ["virtual1", "virtual2", "web1", "www"];
        assert_eq!(nearest("virtual", known), Some("virtual1"));
        assert_eq!(nearest("wbe1", known), Some("web1"));
        assert_eq!(nearest("WWW2", known), Some("www"));
        assert_eq!(nearest("mail", known), None);
        assert_eq!(nearest("", known), None);
    }
}
