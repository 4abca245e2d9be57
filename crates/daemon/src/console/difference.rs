//! What differs between two texts, line by line.

use similar::{ChangeTag, TextDiff};

/// Lines around a difference.
const CONTEXT: usize = 3;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// `+`, `-`, nothing, or `…` where lines are left out.
    pub sign: &'static str,
    /// What it is in colour.
    pub tone: &'static str,
    /// The line.
    pub text: String,
}

/// Lines that differ, and those around them.
pub(super) fn lines(before: &str, after: &str) -> Vec<Line> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            lines.push(Line { sign: "…", tone: "quiet", text: String::new() });
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let (sign, tone) = match change.tag() {
                ChangeTag::Delete => ("-", "gone"),
                ChangeTag::Insert => ("+", "come"),
                ChangeTag::Equal => (" ", "plain"),
            };
            lines.push(Line { sign, tone, text: change.value().trim_end_matches('\n').to_owned() });
        }
    }
    lines
}

/// Records that go, then those that come.
pub(super) fn records(before: &[String], after: &[String]) -> Vec<Line> {
    let gone = before.iter().filter(|record| !after.contains(record)).map(|record| ("-", "gone", record));
    let come = after.iter().filter(|record| !before.contains(record)).map(|record| ("+", "come", record));
    gone.chain(come).map(|(sign, tone, text)| Line { sign, tone, text: text.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_lines_are_left_out() {
        let before: String = (0..30).map(|number| format!("{number}\n")).collect();
        let after = before.replace("\n3\n", "\nthree\n").replace("\n25\n", "\n");
        let signs: String = lines(&before, &after).iter().map(|line| line.sign).collect();
        assert_eq!(signs, "   -+   …   -   ");
        assert!(lines(&before, &before).is_empty());
    }
}
