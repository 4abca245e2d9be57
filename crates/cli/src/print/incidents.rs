//! `standin incidents`: stories.

use std::fmt::Write;

use chronicle::incident::{Incident, Move, span};
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

use super::{Style, Tone};

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
            text += &timeline(incident, zone, style);
        }
    }
    text
}

fn sum(answer: &Answer) -> String {
    let incidents = &answer.incidents;
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let count = |fits: &dyn Fn(&Incident) -> bool| incidents.iter().filter(|incident| fits(incident)).count();
    let planned = count(&|incident| incident.trouble.is_planned());
    let open = count(&|incident| incident.ended_ms.is_none());
    let gap = incidents.iter().filter_map(Incident::longest_gap_ms).max();
    let mut text = format!("{} incidents", incidents.len());
    let parts = [(planned, "planned"), (open, "not over")];
    for (count, what) in parts.iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, ", {count} {what}");
    }
    if let Some(gap) = gap {
        let _ = write!(text, ", an address unserved for {} at most", span(gap));
    }
    if answer.more {
        text += "; the log goes back further";
    }
    text + "\n"
}

fn story(incident: &Incident, zone: &TimeZone, style: Style) -> String {
    let tone = match (incident.ended_ms, incident.trouble.is_planned()) {
        (None, false) => Tone::Bad,
        (None, true) => Tone::Warn,
        (Some(_), _) => Tone::Good,
    };
    let mut text = format!("{} {}\n", at(incident.began_ms, zone), style.paint(&incident.cause, tone));
    for moved in &incident.moves {
        text += &hop(moved);
    }
    let _ = match (incident.ended_ms, &incident.ended_by) {
        (Some(ended), by) => {
            let by = by.as_ref().map(|by| format!(": {by}")).unwrap_or_default();
            writeln!(text, "    over after {}{by}", span(ended.saturating_sub(incident.began_ms)))
        }
        (None, _) => writeln!(text, "    not over"),
    };
    let _ = writeln!(text, "    {}", incident.id);
    text
}

fn hop(moved: &Move) -> String {
    let from = moved.from.as_ref().map(|from| format!("{from} -> ")).unwrap_or_default();
    let gap = moved.gap_ms.map(|gap| format!(", unserved for {}", span(gap))).unwrap_or_default();
    format!("    {}: {from}{}{gap} ({})\n", moved.virtual_host, moved.to, moved.cause)
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
        incident::{Line, Trouble},
    };

    use super::*;

    fn died() -> Incident {
        let moved = |from: &str, to: &str, gap_ms, cause: &str| Move {
            virtual_host: "virtual1".into(),
            from: Some(from.into()),
            to: to.into(),
            at_ms: 1_795_651_200_129,
            gap_ms: Some(gap_ms),
            cause: cause.into(),
        };
        Incident {
            id: "1795651200127-17-web2".into(),
            subject: "web1".into(),
            trouble: Trouble::Died,
            cause: "web1 died: no peer heard it any more".into(),
            began_ms: 1_795_651_200_000,
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
}
