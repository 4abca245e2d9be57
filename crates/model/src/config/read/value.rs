//! One value, and the Rust values that it may be.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::{Range, RangeInclusive},
    path::Path,
    sync::Arc,
    time::Duration,
};

use toml::{Spanned, de::DeValue};

use super::{
    Entry, Fields, Source,
    words::{parse_duration, spell},
};
use crate::{config::probe::Pattern, id::is_valid_name, nearest::nearest};

/// A value under a name. Each method either gives what it promises or reports the mistake.
#[derive(Clone)]
pub(in crate::config) struct Value<'s> {
    source: &'s Source<'s>,
    name: &'s str,
    key: Range<usize>,
    node: &'s Spanned<DeValue<'s>>,
}

impl<'s> Value<'s> {
    pub(super) fn new(
        source: &'s Source<'s>,
        name: &'s str,
        key: Range<usize>,
        node: &'s Spanned<DeValue<'s>>,
    ) -> Self {
        Self { source, name, key, node }
    }

    /// Where the value stands; for a table, where its name does.
    pub(in crate::config) fn span(&self) -> Range<usize> {
        if self.node.get_ref().is_table() { self.key.clone() } else { self.node.span() }
    }

    /// Reports a mistake here.
    pub(in crate::config) fn refuse(&self, message: impl Into<String>, help: impl Into<String>) {
        self.source.refuse(self.span(), message, help);
    }

    fn refuse_type<T>(&self, wanted: &str, example: &str) -> Option<T> {
        let found = match self.node.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(format!("`{}` must be {wanted}, not {found}", self.name), format!("write `{example}`"));
        None
    }

    /// Whether it is a text.
    pub(in crate::config) fn is_text(&self) -> bool {
        self.node.get_ref().is_str()
    }

    /// Whether it is a table.
    pub(in crate::config) fn is_table(&self) -> bool {
        self.node.get_ref().is_table()
    }

    /// Whether it is a list.
    pub(in crate::config) fn is_list(&self) -> bool {
        self.node.get_ref().is_array()
    }

    /// Reports a mistake in the name that the value goes by.
    pub(in crate::config) fn refuse_name(&self, message: impl Into<String>, help: impl Into<String>) {
        self.source.refuse(self.key.clone(), message, help);
    }

    /// A text that is not empty and has no control characters.
    pub(in crate::config) fn text(&self, example: &str) -> Option<&'s str> {
        let DeValue::String(text) = self.node.get_ref() else {
            return self.refuse_type("a text", &format!("{} = \"{example}\"", self.name));
        };
        if text.is_empty() || text.contains(char::is_control) {
            let fault = if text.is_empty() { "is empty" } else { "contains control characters" };
            self.refuse(format!("`{}` {fault}", self.name), format!("write `{} = \"{example}\"`", self.name));
            return None;
        }
        Some(text)
    }

    /// A name as [`is_valid_name`] wants it.
    pub(in crate::config) fn object_name(&self, example: &str) -> Option<&'s str> {
        let text = self.text(example)?;
        check_name(self.source, self.span(), text).then_some(text)
    }

    /// `true` or `false`.
    pub(in crate::config) fn boolean(&self) -> Option<bool> {
        match self.node.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.refuse_type("true or false", &format!("{} = true", self.name)),
        }
    }

    /// A whole number within limits.
    pub(in crate::config) fn integer<T>(&self, limits: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + Into<i64> + Copy,
    {
        let (low, high): (i64, i64) = ((*limits.start()).into(), (*limits.end()).into());
        let DeValue::Integer(written) = self.node.get_ref() else {
            return self.refuse_type("a whole number", &format!("{} = {}", self.name, low.max(5).min(high)));
        };
        let value = i64::from_str_radix(written.as_str(), written.radix()).ok();
        match value.filter(|value| (low..=high).contains(value)).and_then(|value| T::try_from(value).ok()) {
            Some(value) => Some(value),
            None => {
                self.refuse(
                    format!("`{}` must be {low} to {high}, not {written}", self.name),
                    format!("write a whole number from {low} to {high}"),
                );
                None
            }
        }
    }

    /// A duration within limits.
    pub(in crate::config) fn duration(&self, limits: RangeInclusive<Duration>) -> Option<Duration> {
        let (low, high) = (spell(*limits.start()), spell(*limits.end()));
        let units = "a duration is a whole number with the unit ms, s, m or h: \"50ms\", \"1s\"";
        let text = match self.node.get_ref() {
            DeValue::String(text) => text,
            DeValue::Integer(number) => {
                self.refuse(format!("`{}` is {number}, without a unit", self.name), units);
                return None;
            }
            _ => return self.refuse_type("a duration", &format!("{} = \"{low}\"", self.name)),
        };
        let Some(duration) = parse_duration(text) else {
            self.refuse(format!("`{}`: \"{text}\" is not a duration", self.name), units);
            return None;
        };
        if !limits.contains(&duration) {
            self.refuse(
                format!("`{}` must be {low} to {high}, not {text}", self.name),
                format!("write a duration from \"{low}\" to \"{high}\""),
            );
            return None;
        }
        Some(duration)
    }

    /// One of some words.
    pub(in crate::config) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(choices[0].0)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            let help = match nearest(text, choices.iter().map(|(word, _)| *word)) {
                Some(near) => format!("did you mean \"{near}\"? possible here: {words}"),
                None => format!("possible here: {words}"),
            };
            self.refuse(format!("`{}` cannot be \"{text}\"", self.name), help);
        }
        found.map(|(_, choice)| *choice)
    }

    /// The address of one machine; whether it suits its purpose is the caller's business, save what never does.
    pub(in crate::config) fn address(&self, example: &str) -> Option<IpAddr> {
        let text = self.text(example)?;
        let Ok(address) = text.parse::<IpAddr>() else {
            let help = match text.split_once('/') {
                Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                    format!("write `\"{address}\"`: the prefix length is the interface's own")
                }
                _ => format!("write an IPv4 or IPv6 address such as \"{example}\"; names are not looked up"),
            };
            self.refuse(format!("\"{text}\" is not an IP address"), help);
            return None;
        };
        match unsuitable(address) {
            None => Some(address),
            Some(kind) => {
                self.refuse(
                    format!("{address} is {kind}: no machine can have it"),
                    "write an address of one machine on your subnet",
                );
                None
            }
        }
    }

    /// `address:port`, the port not 0.
    pub(in crate::config) fn socket(&self, example: &str) -> Option<SocketAddr> {
        let text = self.text(example)?;
        let help = format!("write address and port, such as \"{example}\" or \"[fd00::1]:{}\"", port_of(example));
        match text.parse::<SocketAddr>() {
            Ok(socket) if socket.port() != 0 => Some(socket),
            Ok(_) => {
                self.refuse(format!("\"{text}\" has port 0"), help);
                None
            }
            Err(_) => {
                let without_port = text.parse::<IpAddr>().is_ok();
                let fault = if without_port { "has no port" } else { "is not an address with a port" };
                self.refuse(format!("\"{text}\" {fault}"), help);
                None
            }
        }
    }

    /// The values of a list; `example` is one of them as it is written in the file.
    pub(in crate::config) fn list(&self, example: &str) -> Option<Vec<Self>> {
        let DeValue::Array(list) = self.node.get_ref() else {
            return self.refuse_type("a list", &format!("{} = [{example}]", self.name));
        };
        Some(list.iter().map(|node| Self { node, key: node.span(), ..self.clone() }).collect())
    }

    /// A table whose names are ours; `what` says what it is.
    pub(in crate::config) fn fields(&self, what: impl Into<String>, known: &[&'static str]) -> Option<Fields<'s>> {
        self.fields_or(what, known, |_| None)
    }

    /// The same; of some unknown names `other` has something better to say: message and help.
    pub(in crate::config) fn fields_or(
        &self,
        what: impl Into<String>,
        known: &[&'static str],
        other: impl Fn(&str) -> Option<(String, String)>,
    ) -> Option<Fields<'s>> {
        let DeValue::Table(table) = self.node.get_ref() else {
            return self.refuse_type("a table", &format!("{} = {{ ... }}", self.name));
        };
        let place = if self.key.is_empty() { self.node.span() } else { self.key.clone() };
        Some(Fields::of_or(self.source, table, what.into(), place, known, other))
    }

    /// The text of the field `name` of a table, where there is one: before it is known which fields the table may have.
    pub(in crate::config) fn text_of(&self, name: &str) -> Option<&'s str> {
        self.node.get_ref().as_table()?.get(name)?.get_ref().as_str()
    }

    /// The names of a table's fields, with the values.
    pub(in crate::config) fn named(&self) -> Vec<(&'s str, Self)> {
        let DeValue::Table(table) = self.node.get_ref() else { return Vec::new() };
        let value = |key: &'s Spanned<_>, node| Self { source: self.source, name: self.name, key: key.span(), node };
        table.iter().map(|(key, node)| (key.get_ref().as_ref(), value(key, node))).collect()
    }

    /// A text that may hold anything, such as the ends of lines that a protocol wants.
    pub(in crate::config) fn raw_text(&self, example: &str) -> Option<&'s str> {
        match self.node.get_ref() {
            DeValue::String(text) if !text.is_empty() => Some(text),
            DeValue::String(_) => {
                self.refuse(format!("`{}` is empty", self.name), format!("write `{} = \"{example}\"`", self.name));
                None
            }
            _ => self.refuse_type("a text", &format!("{} = \"{example}\"", self.name)),
        }
    }

    /// A regular expression.
    pub(in crate::config) fn pattern(&self, example: &str) -> Option<Pattern> {
        match Pattern::new(self.raw_text(example)?) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.refuse(
                    format!("`{}` is not a regular expression: {}", self.name, error.replace('\n', " ")),
                    format!("write one such as \"{example}\"; `.`, `(`, `[`, `*`, `+`, `?` alone stand after a `\\`"),
                );
                None
            }
        }
    }

    /// The plain path of a file: absolute, without `.` and `..`.
    pub(in crate::config) fn path(&self, example: &str) -> Option<Arc<Path>> {
        let text = self.text(example)?;
        let plain = text.starts_with('/') && !text.split('/').any(|part| part == "." || part == "..");
        if !plain {
            self.refuse(
                format!("\"{text}\" is not an absolute path"),
                "write the whole path from `/` on, without `.` and `..`",
            );
        }
        plain.then(|| Path::new(text).into())
    }

    /// The entries of a table whose names the operator chose, in the order of the text.
    pub(in crate::config) fn entries(self) -> Option<Vec<Entry<'s>>> {
        let DeValue::Table(table) = self.node.get_ref() else {
            return self.refuse_type("a table of named entries", &format!("[{}.NAME]", self.name));
        };
        let mut entries = table
            .iter()
            .map(|(key, node)| {
                let (name, span) = (key.get_ref().as_ref(), key.span());
                Entry { name, span: span.clone(), value: Self { source: self.source, name, key: span, node } }
            })
            .collect::<Vec<_>>();
        entries.sort_by_key(|entry| entry.span.start);
        Some(entries)
    }
}

/// Reports `name`, which stands at `span`, unless [`is_valid_name`].
pub(in crate::config) fn check_name(source: &Source<'_>, span: Range<usize>, name: &str) -> bool {
    let valid = is_valid_name(name);
    if !valid {
        source.refuse(
            span,
            format!("`{name}` is not a valid name"),
            "a name has 1 to 63 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, and begins with a letter or digit",
        );
    }
    valid
}

/// What kind of address it is, if it is one that no machine has.
fn unsuitable(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        IpAddr::V4(four) if four.octets()[0] == 0 => Some("an address of \"this network\" (RFC 6890)"),
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => Some("an IPv4-mapped address (RFC 4291)"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn port_of(socket: &str) -> &str {
    socket.rsplit(':').next().unwrap_or(socket)
}
