//! Reads a TOML text by walking its tree, value by value, so that one pass finds *all* mistakes with their places.
//!
//! [`Source`] is the text and what is wrong with it so far. [`Fields`] is one table with the names that it may hold;
//! whoever makes one has unknown names reported. [`Value`] is one value; its methods give a checked Rust value, or
//! report the mistake and give `None`, and the reader goes on with a default: nothing that was read from a text with a
//! mistake ever leaves this module's callers.
//!
//! Deliberately not here: what the fields mean; `serde`, which stops at the first mistake.

mod value;
mod words;

use std::{cell::RefCell, collections::BTreeMap, ops::Range, sync::Arc};

use toml::de::{DeTable, DeValue};

pub use self::words::parse_duration;
pub(super) use self::{
    value::{Value, check_name},
    words::spell,
};
use crate::{diagnostic::Diagnostic, nearest::nearest};

/// A text, and the mistakes found in it.
pub(super) struct Source<'s> {
    file: Arc<str>,
    text: &'s str,
    mistakes: RefCell<Vec<Diagnostic>>,
}

impl<'s> Source<'s> {
    pub(super) fn new(file: &str, text: &'s str) -> Self {
        Self { file: file.into(), text, mistakes: RefCell::default() }
    }

    /// Records a mistake at the bytes `span`. Empty help is none.
    pub(super) fn refuse(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let (mut diagnostic, help) = (Diagnostic::at(&self.file, self.text, span, message), help.into());
        if !help.is_empty() {
            diagnostic = diagnostic.help(help);
        }
        self.mistakes.borrow_mut().push(diagnostic);
    }

    /// Records what TOML itself has against the text, one mistake a line: what follows on it is mostly an echo. So are
    /// the fields of a section that is there twice.
    pub(super) fn refuse_syntax(&self, errors: &[toml::de::Error]) {
        let mut errors = errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect::<Vec<_>>();
        errors.sort_by_key(|(span, _)| span.start);
        errors.dedup_by_key(|(span, _)| self.line(span.start));
        let mut doubled_section = 0..0;
        for (span, message) in errors {
            if message != "duplicate key" {
                self.refuse(span, format!("not TOML: {message}"), "");
            } else if !doubled_section.contains(&span.start) {
                let rest = self.text.get(span.end..).unwrap_or_default();
                let in_header =
                    self.text.lines().nth(self.line(span.start) - 1).is_some_and(|line| line.starts_with('['));
                if in_header {
                    doubled_section = span.end..span.end + rest.find("\n[").unwrap_or(rest.len());
                }
                self.refuse(span, "this name is here for the second time", "merge the two, or rename one");
            }
        }
    }

    /// The mistakes found so far.
    pub(super) fn into_mistakes(self) -> Vec<Diagnostic> {
        self.mistakes.into_inner()
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, start: usize) -> usize {
        self.text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1
    }

    /// `result`, unless there are mistakes: then these, in the order of the text.
    pub(super) fn finish<T>(self, result: T) -> Result<T, Vec<Diagnostic>> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        if mistakes.is_empty() { Ok(result) } else { Err(mistakes) }
    }
}

/// One named entry of a table whose names the operator chooses, such as `[server.NAME]`.
#[derive(Clone)]
pub(super) struct Entry<'s> {
    /// As written.
    pub name: &'s str,
    /// Where the name stands first.
    pub span: Range<usize>,
    /// What it is.
    pub value: Value<'s>,
}

/// One table whose names are ours.
pub(super) struct Fields<'s> {
    source: &'s Source<'s>,
    table: &'s DeTable<'s>,
    /// What the table is, for messages: ``server `web1` ``.
    what: String,
    place: Range<usize>,
    known: Vec<&'static str>,
}

impl<'s> Fields<'s> {
    /// Names not in `known` are reported at once. `place` is where a missing field is reported.
    pub(super) fn of(
        source: &'s Source<'s>,
        table: &'s DeTable<'s>,
        what: String,
        place: Range<usize>,
        known: &[&'static str],
    ) -> Self {
        Self::of_or(source, table, what, place, known, |_| None)
    }

    /// The same; of some unknown names `other` has something better to say: message and help.
    pub(super) fn of_or(
        source: &'s Source<'s>,
        table: &'s DeTable<'s>,
        what: String,
        place: Range<usize>,
        known: &[&'static str],
        other: impl Fn(&str) -> Option<(String, String)>,
    ) -> Self {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            if let Some((message, help)) = other(name) {
                source.refuse(key.span(), message, help);
            } else {
                let kind = if value.get_ref().is_table() { "section" } else { "field" };
                let help = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                source.refuse(key.span(), format!("unknown {kind} `{name}` in {what}"), help);
            }
        }
        Self { source, table, what, place, known: known.to_vec() }
    }

    /// Reports a mistake at the field `name`, where it is present.
    pub(super) fn refuse(&self, name: &'static str, message: impl Into<String>, help: impl Into<String>) {
        if let Some(value) = self.get(name) {
            value.refuse(message, help);
        }
    }

    /// Reports a mistake in the table as a whole.
    pub(super) fn refuse_whole(&self, message: impl Into<String>, help: impl Into<String>) {
        self.source.refuse(self.place.clone(), message, help);
    }

    /// The field, where it is present.
    pub(super) fn get(&self, name: &'static str) -> Option<Value<'s>> {
        debug_assert!(self.known.contains(&name), "`{name}` is not among the known fields of {}", self.what);
        self.table.get_key_value(name).map(|(key, node)| Value::new(self.source, name, key.span(), node))
    }

    /// The field; reported with `example` where it is missing.
    pub(super) fn require(&self, name: &'static str, example: &str) -> Option<Value<'s>> {
        let value = self.get(name);
        if value.is_none() {
            self.source.refuse(self.place.clone(), format!("{} lacks `{name}`", self.what), format!("add `{example}`"));
        }
        value
    }

    /// The entries of the table `name`, whose names the operator chose, in the order of the text.
    pub(super) fn entries(&self, name: &'static str) -> Vec<Entry<'s>> {
        self.get(name).and_then(Value::entries).unwrap_or_default()
    }

    /// Where a missing field is reported.
    pub(super) fn place(&self) -> Range<usize> {
        self.place.clone()
    }
}

/// Which thing was found first where, so that a second one is reported with the line of the first.
pub(super) struct Firsts<'s, K> {
    source: &'s Source<'s>,
    /// What it is, and where it begins: lines are counted only for mistakes.
    seen: BTreeMap<K, (String, usize)>,
}

impl<'s, K: Ord> Firsts<'s, K> {
    pub(super) fn new(source: &'s Source<'s>) -> Self {
        Self { source, seen: BTreeMap::new() }
    }

    /// Notes `key`, which is or belongs to `what`; where it was there already: what it was then, and on which line.
    pub(super) fn note(&mut self, key: K, what: impl Into<String>, span: &Range<usize>) -> Option<(String, usize)> {
        let first = self.get(&key);
        if first.is_none() {
            self.seen.insert(key, (what.into(), span.start));
        }
        first
    }

    /// What `key` was when it was noted, and on which line.
    pub(super) fn get(&self, key: &K) -> Option<(String, usize)> {
        self.seen.get(key).map(|(what, start)| (what.clone(), self.source.line(*start)))
    }
}

/// Where the value at `path` stands in `text`, or the longest part of the path that exists: for mistakes that only show
/// once other files have been read. A number is the place in a list, from 0. Letter case and a final dot don't matter, as in
/// names of zones.
pub fn locate(text: &str, path: &[&str]) -> Range<usize> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let (mut table, mut place) = (tree.get_ref(), 0..0);
    let mut path = path.iter();
    while let Some(label) = path.next() {
        let same = |key: &str| key.trim_end_matches('.').eq_ignore_ascii_case(label);
        let Some((key, mut value)) = table.iter().find(|(key, _)| same(key.get_ref())) else { return place };
        while let DeValue::Array(list) = value.get_ref() {
            let element = path.next().and_then(|index| list.get(index.parse::<usize>().ok()?));
            let Some(element) = element else { break };
            value = element;
        }
        match value.get_ref() {
            DeValue::Table(inner) => (table, place) = (inner, key.span()),
            _ => return value.span(),
        }
    }
    place
}

/// The text at the top level of `text` under `name`, whatever else is wrong there: so that the files that it names can
/// be checked all the same.
pub fn text_at(text: &str, name: &str) -> Option<String> {
    let (tree, _) = DeTable::parse_recoverable(text);
    tree.get_ref().get(name)?.get_ref().as_str().map(str::to_owned)
}
