//! Which entries are wanted.

use model::ServerName;

use crate::entry::{Entry, Level, Position};

/// Everything given must hold; what is `None`, empty or false does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Not before these milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Before these milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Noted by this server.
    pub server: Option<ServerName>,
    /// About the object of this name.
    pub about: Option<String>,
    /// At least this serious.
    pub level: Option<Level>,
    /// Of one of these kinds.
    pub kinds: Vec<String>,
    /// The sentence holds this text; ASCII case does not matter.
    pub text: Option<String>,
    /// Only security events.
    pub security: bool,
    /// After this place in the log.
    pub after: Option<Position>,
    /// Before this place in the log.
    pub before: Option<Position>,
}

impl Query {
    /// Whether an entry is wanted.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.since_ms.is_none_or(|since| entry.stamp.wall_ms >= since)
            && self.until_ms.is_none_or(|until| entry.stamp.wall_ms < until)
            && self.server.as_ref().is_none_or(|wanted| entry.stream.server == *wanted)
            && self.about.as_ref().is_none_or(|about| entry.about.contains(about))
            && self.level.is_none_or(|level| entry.level >= level)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == entry.kind()))
            && self.text.as_ref().is_none_or(|text| holds(&entry.message, text))
            && (!self.security || entry.security)
            && self.after.as_ref().is_none_or(|after| entry.position() > *after)
            && self.before.as_ref().is_none_or(|before| entry.position() < *before)
    }
}

fn holds(message: &str, text: &str) -> bool {
    text.is_empty() || message.as_bytes().windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;

    #[test]
    fn each_condition_selects() {
        let entry = Entry {
            stamp: Stamp { wall_ms: 1_000, count: 0 },
            stream: "a-0000000000000001".parse().unwrap(),
            sequence: 1,
            level: Level::Warn,
            security: false,
            message: "b is dead".to_owned(),
            about: vec!["b".to_owned()],
            fields: serde_json::from_str(r#"{"event": "peer-dead"}"#).unwrap(),
        };
        let yes = Query {
            since_ms: Some(1_000),
            until_ms: Some(1_001),
            server: Some(ServerName::new("a")),
            about: Some("b".to_owned()),
            level: Some(Level::Warn),
            kinds: vec!["peer-left".to_owned(), "peer-dead".to_owned()],
            text: Some("IS dead".to_owned()),
            ..Query::default()
        };
        assert!(yes.matches(&entry));
        for no in [
            Query { since_ms: Some(1_001), ..yes.clone() },
            Query { until_ms: Some(1_000), ..yes.clone() },
            Query { server: Some(ServerName::new("b")), ..yes.clone() },
            Query { about: Some("a".to_owned()), ..yes.clone() },
            Query { level: Some(Level::Error), ..yes.clone() },
            Query { kinds: vec!["peer-left".to_owned()], ..yes.clone() },
            Query { text: Some("alive".to_owned()), ..yes.clone() },
            Query { security: true, ..yes.clone() },
            Query { after: Some(entry.position()), ..yes.clone() },
            Query { before: Some(entry.position()), ..yes },
        ] {
            assert!(!no.matches(&entry), "{no:?}");
        }
    }
}
