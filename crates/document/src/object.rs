//! The text of one object: its section of the cluster file, in one canonical form, so that equal objects have equal texts
//! whoever wrote them. Comments of a cluster file don't survive that; those of zone templates do, whose text stays as it is.
//!
//! All objects but templates, one after the other in the order of their keys, are the cluster file ([`Assembly`]), which
//! `model::config` checks; its mistakes are carried back to object, line and column.

use std::{collections::BTreeMap, sync::Arc};

use model::diagnostic::Diagnostic;
use toml::{Table, Value};

use crate::{Key, Kind};

/// Objects that exist, by their keys.
pub type Objects = BTreeMap<Key, Arc<str>>;

/// The canonical text of the section `key`, whose content is `body`.
pub fn print(key: &Key, body: Table) -> String {
    let section = if key.kind.is_single() {
        Value::Table(body)
    } else {
        Value::Table(Table::from_iter([(key.name.to_string(), Value::Table(body))]))
    };
    let root = Table::from_iter([(key.kind.word().to_owned(), section)]);
    // A table of what was TOML is TOML.
    toml::to_string(&root).unwrap_or_default()
}

/// Reads the text of the object `key`: its section and nothing else.
///
/// # Errors
/// The mistake, with `key` as its file.
pub fn read(key: &Key, text: &str) -> Result<Table, Diagnostic> {
    let file: Arc<str> = key.to_string().into();
    let wrong = |span: std::ops::Range<usize>, message: String| Diagnostic::at(&file, text, span, message);
    let mut root: Table = text.parse().map_err(|error: toml::de::Error| {
        wrong(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()))
    })?;
    let header = if key.kind.is_single() {
        format!("[{}]", key.kind.word())
    } else if key.kind == Kind::Zone {
        format!("[zone.\"{}\"]", key.name)
    } else {
        format!("[{}.{}]", key.kind.word(), key.name)
    };
    let other = || {
        wrong(0..text.find('\n').unwrap_or(text.len()), format!("this is not the one section of {key}"))
            .help(format!("begin with `{header}`; other objects are edits of their own"))
    };
    let Some(Value::Table(mut section)) = root.remove(key.kind.word()) else { return Err(other()) };
    if !root.is_empty() {
        return Err(other());
    }
    if key.kind.is_single() {
        return Ok(section);
    }
    let name = section.keys().find(|name| Key::new(key.kind, name).is_some_and(|other| other == *key)).cloned();
    match name.and_then(|name| section.remove(&name)) {
        Some(Value::Table(body)) if section.is_empty() => Ok(body),
        Some(_) | None => Err(other()),
    }
}

/// `text` in canonical form.
///
/// # Errors
/// As [`read`]; a template is a text as it is.
pub fn canonical(key: &Key, text: &str) -> Result<String, Diagnostic> {
    if key.kind == Kind::Template { Ok(text.to_owned()) } else { Ok(print(key, read(key, text)?)) }
}

/// The objects of a cluster file that has been checked; without templates. `rename` says what a zone's template is called in
/// the document.
pub fn split(text: &str, rename: &dyn Fn(&str) -> String) -> Option<Objects> {
    let root: Table = text.parse().ok()?;
    let mut objects = Objects::new();
    for (word, section) in root {
        let (kind, Value::Table(section)) = (Kind::of(&word)?, section) else { return None };
        if kind.is_single() {
            let key = Key::new(kind, Key::SETTINGS)?;
            objects.insert(key.clone(), print(&key, section).into());
            continue;
        }
        for (name, body) in section {
            let (key, Value::Table(mut body)) = (Key::new(kind, &name)?, body) else { return None };
            if let Some(Value::String(template)) = body.get_mut("template").filter(|_| kind == Kind::Zone) {
                *template = rename(template);
            }
            objects.insert(key.clone(), print(&key, body).into());
        }
    }
    Some(objects)
}

/// The cluster file that objects make.
#[derive(Debug)]
pub struct Assembly {
    /// The file's text.
    pub text: String,
    /// The line, from 1, at which each object begins.
    begins: Vec<(usize, Key)>,
}

impl Assembly {
    /// All objects but templates, a blank line between two.
    pub fn of(objects: &Objects) -> Self {
        let (mut text, mut begins, mut line) = (String::new(), Vec::new(), 1);
        for (key, object) in objects.iter().filter(|(key, _)| key.kind != Kind::Template) {
            begins.push((line, key.clone()));
            text += object;
            let newline = if object.ends_with('\n') { "\n" } else { "\n\n" };
            text += newline;
            line += object.matches('\n').count() + newline.len();
        }
        Self { text, begins }
    }

    /// In which object a line is, and which line of the object it is.
    pub fn place(&self, line: usize) -> Option<(&Key, usize)> {
        let index = self.begins.partition_point(|(begin, _)| *begin <= line).checked_sub(1)?;
        let (begin, key) = &self.begins[index];
        Some((key, line - begin + 1))
    }

    /// A mistake of the whole file as one of its object; the settings' where it is in none. The lines of other objects that a
    /// message tells, as `model::config` writes them, are told as theirs.
    pub fn carry(&self, mut mistake: Diagnostic) -> (Key, Diagnostic) {
        let (key, line) = self.place(mistake.line).map_or((Key::cluster(), 1), |(key, line)| (key.clone(), line));
        (mistake.file, mistake.line) = (key.to_string().into(), line);
        if let Some((before, rest)) = mistake.message.split_once("(line ")
            && let Some((number, after)) = rest.split_once(')')
            && let Some((other, line)) = number.parse().ok().and_then(|line| self.place(line))
        {
            mistake.message = format!("{before}({other}, line {line}){after}");
        }
        (key, mistake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    #[test]
    fn a_file_is_split_into_objects_and_put_together_again() {
        let text = "[server.web2]\naddress='10.0.0.2' # comment\n[cluster]\nname = \"c\"\n[server.web1]\naddress = '10.0.0.1'\n\
                    [zone.\"LB.example.test\"]\ntemplate = \"/etc/standin/lb.zone\"\n";
        let objects = split(text, &|path| path.rsplit('/').next().unwrap().to_owned()).unwrap();
        let assembly = Assembly::of(&objects);
        assert_eq!(
            assembly.text,
            "[cluster]\nname = \"c\"\n\n[server.web1]\naddress = \"10.0.0.1\"\n\n[server.web2]\naddress = \"10.0.0.2\"\n\n\
             [zone.\"lb.example.test\"]\ntemplate = \"lb.zone\"\n\n"
        );
        assert_eq!(assembly.place(1), Some((&key("cluster/settings"), 1)));
        assert_eq!(assembly.place(5), Some((&key("server/web1"), 2)));
        assert_eq!(split(&assembly.text, &str::to_owned), Some(objects));
    }

    #[test]
    fn an_object_is_one_section() {
        let web1 = key("server/web1");
        assert_eq!(
            canonical(&web1, "[server.web1]\naddress='10.0.0.1'").unwrap(),
            "[server.web1]\naddress = \"10.0.0.1\"\n"
        );
        for text in ["", "[server.web2]\n", "[server.web1]\n[server.web2]\n", "[server.web1]\n[pool.x]\n", "x = 1\n"] {
            assert!(canonical(&web1, text).unwrap_err().message.contains("not the one section"), "{text}");
        }
        let broken = canonical(&web1, "[server.web1]\naddress = \n").unwrap_err();
        assert_eq!((&*broken.file, broken.line), ("server/web1", 2));
    }
}
