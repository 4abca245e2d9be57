//! `standin events`, `standin log`: one line an entry.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{Style, Tone};

/// The entries as lines: local time, level, sentence.
pub(crate) fn render(entries: &[Value], zone: &TimeZone, style: Style) -> String {
    entries.iter().map(|entry| line(entry, zone, style)).collect()
}

fn line(entry: &Value, zone: &TimeZone, style: Style) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("");
    let level = text("level");
    let shown = style.paint(&format!("{level:5}"), Tone::of(level));
    // A time that we don't understand is shown as it came.
    let time = text("time").parse::<Timestamp>().map_or_else(
        |_| text("time").to_owned(),
        |time| time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    );
    // Of the cluster's log: whose.
    let by = entry.get("written_by").and_then(Value::as_str).map(|by| format!("{by:8} ")).unwrap_or_default();
    format!("{time} {shown} {by}{}\n", text("message"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_a_line_in_local_time() {
        let entries = [
            json!({"time": "2026-11-23T07:42:43.286Z", "level": "warn", "message": "web2 is dead", "event": "x"}),
            json!({"time": "some day", "level": "info", "message": "who knows"}),
        ];
        let of_the_cluster = json!({"time": "x", "level": "info", "message": "m", "written_by": "web1"});
        assert_eq!(render(&[of_the_cluster], &TimeZone::UTC, Style::default()), "x info  web1     m\n");
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let text = render(&entries, &zone, Style::default());
        assert_eq!(text, "2026-11-23 09:42:43.286 warn  web2 is dead\nsome day info  who knows\n");
    }
}
