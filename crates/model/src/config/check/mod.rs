//! From text to checked configuration: one pass over the tree of each file, in which every section is read and every
//! reference resolved, and which returns *all* mistakes in the order of the text.
//!
//! Names count as declared even where their section has mistakes, so that one mistake is reported once.

mod cluster;
mod endpoints;
mod handling;
mod hooks;
mod monitors;
mod node;
mod notify;
mod pools;
mod probes;
mod recovery;
mod servers;
mod virtual_hosts;
mod zones;

pub use self::{cluster::parse_cluster, node::parse_node};
use super::read::{Entry, Source, Value};
use crate::nearest::nearest;

#[cfg(test)]
mod tests;

/// Help for a name that does not exist: the nearest that does, and what there is.
fn suggest(name: &str, kind: &str, declared: &[Entry<'_>]) -> String {
    const SHOWN: usize = 8;
    if declared.is_empty() {
        return format!("this file has no {kind}");
    }
    let mut there = declared.iter().take(SHOWN).map(|entry| entry.name).collect::<Vec<_>>().join(", ");
    if declared.len() > SHOWN {
        there += ", ...";
    }
    match nearest(name, declared.iter().map(|entry| entry.name)) {
        Some(near) => format!("did you mean `{near}`? there is: {there}"),
        None => format!("there is: {there}"),
    }
}

fn is_declared(declared: &[Entry<'_>], name: &str) -> bool {
    declared.iter().any(|entry| entry.name == name)
}

/// The entries whose names are valid; the others are reported.
fn with_valid_names<'s>(source: &Source<'s>, entries: Vec<Entry<'s>>) -> Vec<Entry<'s>> {
    for entry in &entries {
        super::read::check_name(source, entry.span.clone(), entry.name);
    }
    entries
}

/// Whether `value` is the first of its list to be equal to `key`; otherwise it is reported.
fn is_new<K: PartialEq + std::fmt::Display>(value: &Value<'_>, key: &K, before: &[K]) -> bool {
    let repeated = before.contains(key);
    if repeated {
        value.refuse(format!("`{key}` is listed twice"), "remove one of the two");
    }
    !repeated
}
