//! The inputs of each kind of object. What a form leaves out is edited as `name=value`, or as the whole text.

use document::{
    Key, Kind,
    fields::{Part, monitor_of},
    object::read,
};

use super::super::forms::Fields;
use toml::Table;

use crate::admin::Failure;

/// One input.
struct Input {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    /// What can be chosen; nothing: a text.
    options: &'static [&'static str],
}

/// One input with its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Filled {
    pub name: &'static str,
    pub label: &'static str,
    pub hint: &'static str,
    pub options: &'static [&'static str],
    pub value: String,
}

const fn text(name: &'static str, label: &'static str, hint: &'static str) -> Input {
    Input { name, label, hint, options: &[] }
}

const VIRTUAL_HOST: &[Input] = &[
    text("addresses", "Addresses", "10.77.0.104, fd00:77::104"),
    text("servers", "Servers", "the primary first, then its backups; or all"),
    Input {
        name: "failback",
        label: "Failback",
        hint: "whether it returns by itself",
        options: &["", "auto", "sticky"],
    },
];
const POOL: &[Input] = &[
    text("members", "Members", "virtual hosts, servers or endpoints"),
    text("ttl", "TTL in seconds", "one number, or { min = 5, max = 60 }"),
    Input {
        name: "policy",
        label: "Policy",
        hint: "round-robin unless chosen",
        options: &["", "round-robin", "failover"],
    },
];
const ENDPOINT: &[Input] = &[
    text("addresses", "Addresses", "of a host that does not run the daemon"),
    text("probed-by", "Probed by", "servers; nothing: chosen by the cluster"),
];
const CHANNEL: &[Input] = &[
    Input { name: "type", label: "Type", hint: "how it is told", options: &["", "webhook", "mail", "exec"] },
    text("url", "URL", "of a webhook: https://alerts.example.org/standin"),
    text("server", "Server", "of mail: mail.example.org"),
    text("user", "User", "at the mail server; or as whom a program runs"),
    text("from", "From", "standin@example.org"),
    text("to", "To", "ops@example.org, boss@example.org"),
    text("command", "Program", "/usr/local/libexec/standin/tell"),
    text("secret", "Secret", "its name: a file of secrets-dir on every server"),
    Input {
        name: "min-severity",
        label: "Least severity",
        hint: "warning unless chosen",
        options: &["", "info", "warning", "critical"],
    },
    text("about", "About", "names, with * for any text; nothing: all"),
    text("quiet", "Quiet times", "22:00-07:00"),
    text("timezone", "Time zone", "Europe/Berlin"),
];
const MONITOR: &[Input] = &[
    text("type", "Type", "tcp, http, https, smtp, imap, ssh, dns, exec …"),
    text("port", "Port", "the type's own unless given"),
    text("path", "Path", "of http and https"),
    text("interval", "Interval", "1s"),
    text("timeout", "Timeout", "500ms"),
    text("priority", "Priority", "0 is the highest"),
    Input {
        name: "severity",
        label: "Severity",
        hint: "what a failure does",
        options: &["", "failover", "record", "latch"],
    },
    text("note", "Note", "words for people"),
];

fn of(kind: &str, monitor: &str) -> &'static [Input] {
    match (kind, monitor) {
        ("virtual-host" | "endpoint", monitor) if !monitor.is_empty() => MONITOR,
        ("virtual-host", _) => VIRTUAL_HOST,
        ("pool", _) => POOL,
        ("endpoint", _) => ENDPOINT,
        ("notify", _) => CHANNEL,
        _ => &[],
    }
}

/// Which part of an object is meant.
pub(super) fn part(monitor: &str) -> Part<'_> {
    match monitor {
        "" => Part::Whole,
        "+" => Part::NewMonitor,
        name => Part::Monitor(name),
    }
}

/// A value as it is typed.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The fields of a part of an object as they are: none of what is new.
fn present(key: &Key, monitor: &str, text: Option<&str>) -> Result<Table, Failure> {
    let Some(text) = text else { return Ok(Table::new()) };
    let wrong = |error: &dyn std::fmt::Display| Failure::Request(error.to_string());
    match part(monitor) {
        Part::Whole => read(key, text).map_err(|error| wrong(&error)),
        Part::NewMonitor => Ok(Table::new()),
        Part::Monitor(name) => monitor_of(key, text, name).map_err(|error| Failure::Missing(error.to_string())),
    }
}

fn value(fields: &Table, name: &str) -> String {
    fields.get(name).map(shown).unwrap_or_default()
}

/// Inputs with what was sent, else with what there is.
pub(super) fn fill(
    kind: &str,
    monitor: &str,
    object: Option<(&str, &str)>,
    sent: &Fields,
) -> Result<Vec<Filled>, Failure> {
    let key = object.and_then(|(name, _)| Key::new(Kind::of(kind)?, name));
    let was_sent = !sent.get("do").is_empty();
    let there = match (&key, object) {
        (Some(key), Some((_, text))) => present(key, monitor, Some(text))?,
        _ => Table::new(),
    };
    let fill = |input: &Input| {
        let value = if was_sent { sent.get(input.name).to_owned() } else { value(&there, input.name) };
        Filled { name: input.name, label: input.label, hint: input.hint, options: input.options, value }
    };
    Ok(of(kind, monitor).iter().map(fill).collect())
}

/// The edits of single fields that a form asks for.
pub(super) fn assignments(
    kind: &str,
    monitor: &str,
    key: &Key,
    text: Option<&str>,
    fields: &Fields,
) -> Result<Vec<String>, Failure> {
    let there = present(key, monitor, text)?;
    let mut found = Vec::new();
    for input in of(kind, monitor) {
        let wanted = fields.get(input.name).trim();
        if wanted == value(&there, input.name) {
            continue;
        }
        let value = if wanted.starts_with(['[', '{']) { wanted.to_owned() } else { packed(wanted) };
        found.push(format!("{}={value}", input.name));
    }
    let more = fields.get("more").lines().map(str::trim).filter(|line| !line.is_empty());
    found.extend(more.map(str::to_owned));
    Ok(found)
}

/// Lists are words between commas alone.
fn packed(text: &str) -> String {
    text.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use document::fields::set_fields;

    use super::*;

    const HOST: &str = "[virtual-host.a]\naddresses = [\"10.0.0.9\"]\nservers = [\"web1\", \"web2\"]\n\
                        [[virtual-host.a.monitor]]\ntype = \"http\"\npath = \"/health\"\n";

    fn sent(text: &str) -> Fields {
        Fields::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_form_says_only_what_it_changes() {
        let key = Key::parse("virtual-host/a").unwrap();
        let form = sent("do=set&addresses=10.0.0.9&servers=web2, web1&failback=&more=always-active%3Dfalse%0D%0A");
        let edits = assignments("virtual-host", "", &key, Some(HOST), &form).unwrap();
        assert_eq!(edits, ["servers=web2,web1", "always-active=false"]);
        let new = set_fields(&key, Some(HOST), &part(""), &edits).unwrap();
        assert!(new.contains("servers = [\"web2\", \"web1\"]") && new.contains("path = \"/health\""), "{new}");
    }

    #[test]
    fn a_monitor_is_one_part_of_its_object() {
        let key = Key::parse("virtual-host/a").unwrap();
        // The port that the type has by itself may be told or not.
        let filled = fill("virtual-host", "http-80", Some(("a", HOST)), &Fields::default()).unwrap();
        let path = filled.iter().find(|input| input.name == "path").unwrap();
        assert_eq!(path.value, "/health");
        let edits = assignments("virtual-host", "+", &key, Some(HOST), &sent("do=set&type=tcp&port=25")).unwrap();
        assert_eq!(edits, ["type=tcp", "port=25"]);
    }
}
