//! `standin events`: the journal, one line an entry.

use serde_json::Value;

use super::{Style, Tone};

/// The entries as lines: time, level, sentence.
pub(crate) fn render(entries: &[Value], style: Style) -> String {
    entries.iter().map(|entry| line(entry, style)).collect()
}

fn line(entry: &Value, style: Style) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("");
    let level = text("level");
    let shown = style.paint(&format!("{level:5}"), Tone::of(level));
    format!("{} {shown} {}\n", text("time"), text("message"))
}
