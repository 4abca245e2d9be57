//! `standin incidents`: stories.

use std::fmt::Write;

use chronicle::incident::{Incident, Move, PoolAnswers, Summary, span, within};
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

use super::{Style, Tone};

/// Changes of a pool's answers in a line.
const CHANGES: usize = 4;

/// `GET /v1/incidents`.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    /// The oldest first.
    pub incidents: Vec<Incident>,
    /// The log goes back further than was read.
    pub more: bool,
}

/// The stories in short, after a line that sums them up; or one with everything that was noted.
pub(crate) fn render(answer: &Answer, whole: bool, zone: &TimeZone, style: Style) -> String {
    let incidents = &answer.incidents;
    let mut text = if whole { String::new() } else { sum(answer) };
    for incident in incidents {
        text += "\n";
        text += &story(incident, zone, style);
        if whole {
            text += &incident.answers.iter().map(|pool| answers(incident, pool)).collect::<String>();
            text += &timeline(incident, zone, style);
        }
    }
    text
}

fn sum(answer: &Answer) -> String {
    let summary = Summary::of(&answer.incidents, std::iter::empty(), (0, 0), 0);
    Summary { more: answer.more, ..summary }.head() + "\n"
}

/// A day or a week in a minute.
pub(crate) fn summary(summary: &Summary, zone: &TimeZone) -> String {
    summary.lines(&|millis| at(millis, zone)[..16].to_owned()).iter().map(|line| format!("{line}\n")).collect()
}

fn story(incident: &Incident, zone: &TimeZone, style: Style) -> String {
    let tone = match (incident.ended_ms, incident.trouble.is_planned()) {
        (None, false) => Tone::Bad,
        (None, true) => Tone::Warn,
        (Some(_), _) => Tone::Good,
    };
    let (began, within_ms) = (at(incident.began_ms, zone), within(incident.began_within_ms));
    let mut text = format!("{began}{within_ms} {}\n", style.paint(&incident.cause, tone));
    for moved in &incident.moves {
        text += &hop(moved);
    }
    for pool in &incident.answers {
        text += &answered(incident, pool);
    }
    let _ = match (incident.ended_ms, &incident.ended_by) {
        (Some(ended), by) => {
            let by = by.as_ref().map(|by| format!(": {by}")).unwrap_or_default();
            let after = span(ended.saturating_sub(incident.began_ms));
            writeln!(text, "    over after {after}{}{by}", within(incident.ended_within_ms))
        }
        (None, _) => writeln!(text, "    not over"),
    };
    let _ = writeln!(text, "    {}", incident.id);
    text
}

fn hop(moved: &Move) -> String {
    let from = moved.from.as_ref().map(|from| format!("{from} -> ")).unwrap_or_default();
    let gap = moved
        .gap_ms
        .map(|gap| format!(", unserved for {}{}", span(gap), within(moved.gap_within_ms)))
        .unwrap_or_default();
    format!("    {}: {from}{}{gap} ({})\n", moved.virtual_host, moved.to, moved.cause)
}

/// A pool's answers in a line: how many addresses, and from when on.
fn answered(incident: &Incident, pool: &PoolAnswers) -> String {
    let number = |count: Option<usize>| count.map_or_else(|| "nothing known".to_owned(), |count| count.to_string());
    let change = |change: &chronicle::incident::AnswersChange| {
        format!(", {} from {}", number(change.answers.count), offset(incident, change.at_ms))
    };
    let changes: String = pool.changes.iter().take(CHANGES).map(change).collect();
    let more = if pool.changes.len() > CHANGES { ", ..." } else { "" };
    format!("    DNS {}: {} addresses before{changes}{more}\n", pool.pool, number(pool.before.count))
}

/// The same with the addresses.
fn answers(incident: &Incident, pool: &PoolAnswers) -> String {
    let mut text = format!("  answers of {}\n    before      {}\n", pool.pool, pool.before);
    for change in &pool.changes {
        let after = offset(incident, change.at_ms);
        let _ = writeln!(text, "    {after:11} {} ({}, of {} servers)", change.answers, change.server, change.servers);
    }
    if pool.more > 0 {
        let _ = writeln!(text, "    and {} more", pool.more);
    }
    text
}

/// How long after the beginning, with its sign.
fn offset(incident: &Incident, at_ms: u64) -> String {
    let sign = if at_ms < incident.began_ms { '-' } else { '+' };
    format!("{sign}{}", span(at_ms.abs_diff(incident.began_ms)))
}

fn timeline(incident: &Incident, zone: &TimeZone, style: Style) -> String {
    let mut text = String::new();
    for line in &incident.timeline {
        let offset = i128::from(line.at_ms) - i128::from(incident.began_ms);
        let level = format!("{:?}", line.level).to_lowercase();
        let shown = style.paint(&format!("{level:5}"), Tone::of(&level));
        let _ = writeln!(text, "  {} {offset:+8} ms {shown} {:8} {}", at(line.at_ms, zone), line.server, line.message);
    }
    if incident.more > 0 {
        let _ = writeln!(text, "  and {} more", incident.more);
    }
    text
}

fn at(millis: u64, zone: &TimeZone) -> String {
    let time = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(
        || millis.to_string(),
        |time| time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use chronicle::{
        Level,
        incident::{AnswersChange, Line, Trouble},
    };
    use model::event::Answers;

    use super::*;

    fn died() -> Incident {
        let moved = |from: &str, to: &str, gap_ms, cause: &str| Move {
            virtual_host: "virtual1".into(),
            from: Some(from.into()),
            to: to.into(),
            at_ms: 1_795_651_200_129,
            gap_ms: Some(gap_ms),
            gap_within_ms: if cause == "failback" { 0 } else { 25 },
            cause: cause.into(),
        };
        let all: Vec<std::net::IpAddr> = (1..=3).map(|last| [192, 0, 2, last].into()).collect();
        let change = |at_ms, answers| AnswersChange { at_ms, server: "web2".into(), servers: 2, answers };
        let changes = vec![
            change(1_795_651_200_128, Answers::of(Some(&all[1..]))),
            change(1_795_651_230_900, Answers::of(Some(&all))),
        ];
        let pool = PoolAnswers { pool: "lb".into(), before: Answers::of(Some(&all)), changes, more: 0 };
        Incident {
            id: "1795651200127-17-web2".into(),
            subject: "web1".into(),
            trouble: Trouble::Died,
            cause: "web1 died: no peer heard it any more".into(),
            also_known_as: Vec::new(),
            began_ms: 1_795_651_200_000,
            began_within_ms: 25,
            ended_within_ms: 0,
            stayed: None,
            answers: vec![pool],
            ended_ms: Some(1_795_651_229_900),
            ended_by: Some("web3: web1 is alive, run x".into()),
            moves: vec![moved("web1", "web2", 129, "server-dead"), moved("web2", "web1", 2, "failback")],
            timeline: vec![Line {
                at_ms: 1_795_651_200_127,
                server: "web2".into(),
                level: Level::Warn,
                message: "web1 is dead: silent for 152 ms".into(),
            }],
            more: 3,
        }
    }

    #[test]
    fn a_week_is_read_in_a_minute() {
        let stopped = Incident {
            trouble: Trouble::Stopped,
            cause: "web3 was stopped".into(),
            ended_ms: None,
            moves: Vec::new(),
            answers: Vec::new(),
            began_within_ms: 0,
            ..died()
        };
        let answer = Answer { incidents: vec![died(), stopped], more: false };
        insta::assert_snapshot!(render(&answer, false, &TimeZone::UTC, Style::default()));
        assert_eq!(
            render(&Answer { incidents: Vec::new(), more: false }, false, &TimeZone::UTC, Style::default()),
            "no incidents\n"
        );
    }

    #[test]
    fn a_story_has_its_timeline() {
        let answer = Answer { incidents: vec![died()], more: false };
        insta::assert_snapshot!(render(&answer, true, &TimeZone::UTC, Style::default()));
    }

    #[test]
    fn a_summary_is_read_in_a_minute() {
        let open = Incident {
            id: "3-1-web3".into(),
            subject: "virtual2".into(),
            trouble: Trouble::ServiceDown,
            cause: "virtual2/http is down: connection refused".into(),
            stayed: Some("virtual2".into()),
            ended_ms: None,
            moves: Vec::new(),
            answers: Vec::new(),
            ..died()
        };
        let standby = Incident { trouble: Trouble::Standby, answers: Vec::new(), ..died() };
        let changed = |sequence: u64| chronicle::Entry {
            stamp: chronicle::Stamp { wall_ms: 1_795_651_200_000 + sequence, count: 0 },
            stream: "web3-0000000000000001".parse().unwrap(),
            sequence,
            level: Level::Warn,
            security: false,
            message: String::new(),
            about: Vec::new(),
            fields: serde_json::from_str(
                r#"{"event": "monitor-changed", "monitor": {"virtual_host": "virtual2", "monitor": "http"}}"#,
            )
            .unwrap(),
        };
        let entries: Vec<_> = (1..=7).map(changed).collect();
        let times = (1_795_651_200_000 - 6 * 86_400_000, 1_795_651_200_000 + 86_400_000);
        let week = Summary::of(&[died(), standby, open], entries.iter(), times, 3);
        insta::assert_snapshot!(summary(&week, &TimeZone::UTC));
        let quiet = Summary::of(&[], std::iter::empty(), times, 0);
        insta::assert_snapshot!(summary(&quiet, &TimeZone::UTC));
    }
}
