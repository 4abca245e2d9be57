//! Edits of single fields, as people write them on a command line: `addresses=10.77.0.101,fd00:77::101`, `failback=sticky`,
//! `members+=virtual3`, `hook=` (removes it), `heartbeat.interval=100ms`.
//!
//! A value is TOML where it is TOML (`5`, `true`, `["a", "b"]`, `{ min = 5, max = 30 }`), else a text; fields that are lists
//! take words between commas. What the fields mean is the checker's business.

use toml::{Table, Value};

use crate::{
    Key,
    object::{print, read},
};

/// Fields that are lists, in whatever section; the word `all` stays a word.
const LISTS: [&str; 13] = [
    "addresses",
    "servers",
    "members",
    "also",
    "probed-by",
    "witness",
    "command",
    "allow",
    "status",
    "sent-by",
    "to",
    "about",
    "quiet",
];

/// What of an object is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part<'a> {
    /// Its own fields.
    Whole,
    /// A new monitor.
    NewMonitor,
    /// The monitor of that name.
    Monitor(&'a str),
}

/// Why an object cannot be edited so. `Display` says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FieldError {
    /// Not `name=value`.
    #[error("`{0}` is no edit of a field: write `name=value`, `name+=value`, `name-=value`, or `name=` to remove it")]
    Assignment(String),
    /// `+=` or `-=` on what is no list.
    #[error("`{0}` is no list: only `=` can set it")]
    NoList(String),
    /// `-=` of what is not there.
    #[error("`{name}` does not have {value}; it has {there}")]
    NotThere {
        /// The field.
        name: String,
        /// What should go.
        value: String,
        /// What there is.
        there: String,
    },
    /// The object has no such monitor.
    #[error("{key} has no monitor `{name}`; it has: {there}")]
    NoMonitor {
        /// The object.
        key: Key,
        /// What was named.
        name: String,
        /// What there is.
        there: String,
    },
    /// The object's own text is no TOML.
    #[error("{0}")]
    Text(String),
}

/// The object `key` with `text` (none: a new one) after `assignments` to a part of it.
///
/// # Errors
/// [`FieldError`].
pub fn set_fields(
    key: &Key,
    text: Option<&str>,
    part: &Part<'_>,
    assignments: &[String],
) -> Result<String, FieldError> {
    let mut body = body(key, text)?;
    match part {
        Part::Whole => assign_all(&mut body, assignments)?,
        Part::NewMonitor => {
            let mut monitor = Table::new();
            assign_all(&mut monitor, assignments)?;
            monitors(&mut body).push(Value::Table(monitor));
        }
        Part::Monitor(name) => assign_all(monitor(key, &mut body, name)?, assignments)?,
    }
    Ok(print(key, body))
}

/// The object `key` without a monitor.
///
/// # Errors
/// [`FieldError`].
pub fn without_monitor(key: &Key, text: &str, name: &str) -> Result<String, FieldError> {
    let mut body = body(key, Some(text))?;
    monitor(key, &mut body, name)?;
    let list = monitors(&mut body);
    list.retain(|monitor| !is_called(monitor, name));
    if list.is_empty() {
        body.remove("monitor");
    }
    Ok(print(key, body))
}

/// What the monitors of an object are called, in their order.
pub fn monitor_names(key: &Key, text: &str) -> Vec<String> {
    let body = read(key, text).unwrap_or_default();
    let list = body.get("monitor").and_then(Value::as_array);
    list.into_iter().flatten().map(monitor_name).collect()
}

/// One monitor of an object, by what it is called.
///
/// # Errors
/// [`FieldError`].
pub fn monitor_of(key: &Key, text: &str, name: &str) -> Result<Table, FieldError> {
    let mut body = body(key, Some(text))?;
    monitor(key, &mut body, name).cloned()
}

fn body(key: &Key, text: Option<&str>) -> Result<Table, FieldError> {
    let body = text.map(|text| read(key, text)).transpose().map_err(|mistake| FieldError::Text(mistake.to_string()))?;
    Ok(body.unwrap_or_default())
}

fn monitors(body: &mut Table) -> &mut Vec<Value> {
    let list = body.entry("monitor").or_insert_with(|| Value::Array(Vec::new()));
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut().expect("it was just made one")
}

/// Its name; else its type and, where one is written, its port, as `model::config` calls it.
fn monitor_name(monitor: &Value) -> String {
    let text = |name| monitor.get(name).and_then(Value::as_str);
    let kind = text("type").unwrap_or_default();
    let port = monitor.get("port").and_then(Value::as_integer).map(|port| format!("-{port}")).unwrap_or_default();
    text("name").map_or_else(|| format!("{kind}{port}"), str::to_owned)
}

/// Whether a monitor goes by `name`: the port that its type has by itself may be told or not.
fn is_called(monitor: &Value, name: &str) -> bool {
    let own = monitor_name(monitor);
    let by_itself = monitor.get("name").is_none() && monitor.get("port").is_none();
    let port = name.strip_prefix(own.as_str()).and_then(|rest| rest.strip_prefix('-'));
    own == name || by_itself && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn monitor<'t>(key: &Key, body: &'t mut Table, name: &str) -> Result<&'t mut Table, FieldError> {
    let list = monitors(body);
    let names: Vec<String> = list.iter().map(monitor_name).collect();
    let found = list.iter().position(|monitor| is_called(monitor, name));
    found.and_then(|index| list.get_mut(index)).and_then(Value::as_table_mut).ok_or_else(|| FieldError::NoMonitor {
        key: key.clone(),
        name: name.to_owned(),
        there: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
    })
}

fn assign_all(table: &mut Table, assignments: &[String]) -> Result<(), FieldError> {
    assignments.iter().try_for_each(|assignment| assign(table, assignment))
}

fn assign(mut table: &mut Table, assignment: &str) -> Result<(), FieldError> {
    let wrong = || FieldError::Assignment(assignment.to_owned());
    let (left, right) = assignment.split_once('=').ok_or_else(wrong)?;
    let (path, operator) = match left.strip_suffix(['+', '-']) {
        Some(path) => (path, left.chars().last()),
        None => (left, None),
    };
    let (parents, name) = path.rsplit_once('.').map_or((None, path), |(parents, name)| (Some(parents), name));
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(wrong());
    }
    for parent in parents.into_iter().flat_map(|parents| parents.split('.')) {
        let inner = table.entry(parent).or_insert_with(|| Value::Table(Table::new()));
        table = inner.as_table_mut().ok_or_else(wrong)?;
    }
    match operator {
        None if right.is_empty() => drop(table.remove(name)),
        None => drop(table.insert(name.to_owned(), value(name, right))),
        Some(operator) => {
            let Value::Array(words) = list(right) else { return Err(wrong()) };
            let there = table.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            let there = there.as_array_mut().ok_or_else(|| FieldError::NoList(name.to_owned()))?;
            for word in words {
                match (there.iter().position(|other| *other == word), operator) {
                    (Some(_), '+') => {}
                    (None, '+') => there.push(word),
                    (Some(index), _) => drop(there.remove(index)),
                    (None, _) => {
                        let (name, value) = (name.to_owned(), word.to_string());
                        return Err(FieldError::NotThere {
                            name,
                            value,
                            there: Value::Array(there.clone()).to_string(),
                        });
                    }
                }
            }
        }
    }
    Ok(())
}

fn value(name: &str, text: &str) -> Value {
    let toml = format!("x = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("x"));
    match toml {
        Some(Value::Datetime(_)) | None if LISTS.contains(&name) && text != "all" => list(text),
        Some(Value::Datetime(_)) | None => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

fn list(text: &str) -> Value {
    Value::Array(text.split(',').map(|word| Value::String(word.trim().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(text: Option<&str>, part: &Part<'_>, assignments: &[&str]) -> Result<String, FieldError> {
        let assignments: Vec<String> = assignments.iter().map(|one| (*one).to_owned()).collect();
        set_fields(&Key::parse("virtual-host/v1").unwrap(), text, part, &assignments)
    }

    #[test]
    fn people_write_values_as_they_come() {
        let edits = [
            "addresses=10.0.0.1,fd00::1",
            "servers=all",
            "failback=sticky",
            "always-active=false",
            "failback-delay=2s",
        ];
        let text = edit(None, &Part::Whole, &edits).unwrap();
        assert_eq!(
            text,
            "[virtual-host.v1]\naddresses = [\"10.0.0.1\", \"fd00::1\"]\nalways-active = false\nfailback = \"sticky\"\n\
             failback-delay = \"2s\"\nservers = \"all\"\n"
        );
        let text = edit(
            Some(&text),
            &Part::Whole,
            &["addresses-=fd00::1", "addresses+=10.0.0.2", "failback=", "servers=web1"],
        );
        let text = text.unwrap();
        assert!(
            text.contains("addresses = [\"10.0.0.1\", \"10.0.0.2\"]") && text.contains("servers = [\"web1\"]"),
            "{text}"
        );
        assert!(!text.contains("failback ="), "{text}");
    }

    #[test]
    fn monitors_are_found_by_the_name_that_they_have() {
        let text = edit(None, &Part::Whole, &["addresses=10.0.0.1", "servers=all"]).unwrap();
        let text = edit(Some(&text), &Part::NewMonitor, &["type=http", "path=/health"]).unwrap();
        let text = edit(Some(&text), &Part::Monitor("http-80"), &["interval=500ms"]).unwrap();
        assert!(
            text.ends_with("[[virtual-host.v1.monitor]]\ninterval = \"500ms\"\npath = \"/health\"\ntype = \"http\"\n"),
            "{text}"
        );
        let refused = edit(Some(&text), &Part::Monitor("tcp-80"), &["fall=3"]).unwrap_err();
        assert_eq!(refused.to_string(), "virtual-host/v1 has no monitor `tcp-80`; it has: http");
        let without = without_monitor(&Key::parse("virtual-host/v1").unwrap(), &text, "http-80").unwrap();
        assert!(!without.contains("monitor"), "{without}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_advice() {
        assert!(edit(None, &Part::Whole, &["servers"]).unwrap_err().to_string().contains("name=value"));
        let text = edit(None, &Part::Whole, &["addresses=10.0.0.1"]).unwrap();
        assert!(matches!(edit(Some(&text), &Part::Whole, &["addresses-=10.0.0.9"]), Err(FieldError::NotThere { .. })));
    }
}
