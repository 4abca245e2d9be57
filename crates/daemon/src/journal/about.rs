//! What an event is about, for the cluster's log.

use chronicle::Level;
use model::event::Event;
use serde_json::{Map, Value};

use crate::cluster_log::{Noted, talk::LONGEST_ENTRY};

/// Fields that name a server, a virtual host, an endpoint, a pool or a channel.
const NAMES: [&str; 10] =
    ["server", "virtual_host", "endpoint", "channel", "rival", "winner", "active", "to", "monitor", "pool"];
/// Fields that name several.
const LISTS: [&str; 3] = ["unseen_by", "seen_by", "members"];
/// A longer sentence is cut.
const LONGEST_MESSAGE: usize = 2048;

/// An event as the cluster's log notes it.
pub(super) fn noted(
    wall_ms: u64,
    event: &Event,
    level: tracing::Level,
    mut message: String,
    mut fields: Map<String, Value>,
) -> Noted {
    let about = about(event, &fields);
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        message.push_str(" ...");
    }
    // So that a piece of the log has a bound on its way to others; the journal itself has it whole.
    let length: usize = fields.values().map(|value| value.to_string().len()).sum();
    if length + message.len() > LONGEST_ENTRY / 2 {
        fields.retain(|name, _| name == "event" || NAMES.contains(&name.as_str()));
        fields.insert("cut".to_owned(), Value::Bool(true));
    }
    Noted { wall_ms, level: graded(level), security: is_security(event), message, about, fields }
}

fn graded(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
    }
}

fn about(event: &Event, fields: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |value: &Value| match value {
        Value::String(name) => names.push(name.clone()),
        // A monitor's id: whose it is, and which.
        Value::Object(id) => names.extend(id.values().filter_map(Value::as_str).map(str::to_owned)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    };
    NAMES.iter().filter_map(|name| fields.get(*name)).for_each(&mut add);
    LISTS.iter().filter_map(|name| fields.get(*name)?.as_array()).flatten().for_each(&mut add);
    if let Event::TargetChanged { from: Some(from), .. } = event {
        names.push(from.to_string());
    }
    names.sort();
    names.dedup();
    names
}

/// Whether somebody may be trying what they must not.
const fn is_security(event: &Event) -> bool {
    matches!(
        event,
        Event::Denied { .. }
            | Event::DatagramsRefused { .. }
            | Event::Cloned { .. }
            | Event::Restored { .. }
            | Event::Expelled { .. }
    )
}

#[cfg(test)]
mod tests {
    use model::{MonitorId, ServerName, Subject, VirtualHostName, health::Verdict};

    use super::*;

    fn entry(event: &Event) -> Noted {
        let Ok(Value::Object(fields)) = serde_json::to_value(event) else { unreachable!("events are objects") };
        noted(1, event, tracing::Level::WARN, super::super::sentence(event), fields)
    }

    #[test]
    fn an_entry_is_about_everybody_whom_it_names() {
        let subject = Subject::VirtualHost(VirtualHostName::new("virtual1"));
        let monitor = MonitorId { subject, monitor: "http".into() };
        let changed = Event::MonitorChanged {
            monitor,
            verdict: Verdict::Down,
            reason: "refused".into(),
            counts: true,
            since_ms: 0,
            within_ms: 0,
        };
        assert_eq!(entry(&changed).about, ["http", "virtual1"]);
        let path = Event::PathDown {
            virtual_host: VirtualHostName::new("virtual1"),
            unseen_by: vec![ServerName::new("web3"), ServerName::new("web2")],
            seen_by: Vec::new(),
        };
        assert_eq!(entry(&path).about, ["virtual1", "web2", "web3"]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let long = Event::ConfigurationRefused { errors: "ä".repeat(20_000).into() };
        let noted = entry(&long);
        assert!(noted.message.len() < 2100 && noted.message.ends_with("..."));
        assert_eq!(noted.fields.keys().collect::<Vec<_>>(), ["cut", "event"]);
    }

    #[test]
    fn attacks_are_marked() {
        let denied = Event::Denied {
            who: "anna".into(),
            from: "::1".into(),
            action: "log-in".into(),
            reason: "wrong".into(),
            count: 1,
        };
        assert!(entry(&denied).security);
        assert!(!entry(&Event::Listened).security);
    }
}
