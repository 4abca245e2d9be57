//! What an object of the document is called: its kind and its name, `virtual-host/virtual1`.

use std::{borrow::Cow, fmt, sync::Arc};

use model::id::is_valid_name;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Names of templates are longer than others: they are paths.
const LONGEST_NAME: usize = 255;

/// What an object is; in this order they stand in an exported file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// `[cluster]`; there is one, `cluster/settings`.
    Cluster,
    /// `[dns]`; there is at most one, `dns/settings`.
    Dns,
    /// `[server.NAME]`.
    Server,
    /// `[virtual-host.NAME]`, with its monitors and hooks.
    VirtualHost,
    /// `[endpoint.NAME]`, with its monitors.
    Endpoint,
    /// `[pool.NAME]`.
    Pool,
    /// `[zone."NAME"]`.
    Zone,
    /// `[notify.NAME]`.
    Notify,
    /// The text of a zone template, or of a file that one includes; its name is its path beside the cluster file.
    Template,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Cluster,
        Self::Dns,
        Self::Server,
        Self::VirtualHost,
        Self::Endpoint,
        Self::Pool,
        Self::Zone,
        Self::Notify,
        Self::Template,
    ];

    /// The word in keys, and the section's in the cluster file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Dns => "dns",
            Self::Server => "server",
            Self::VirtualHost => "virtual-host",
            Self::Endpoint => "endpoint",
            Self::Pool => "pool",
            Self::Zone => "zone",
            Self::Notify => "notify",
            Self::Template => "template",
        }
    }

    /// The kind of that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether there is one object of the kind, called `settings`.
    pub const fn is_single(self) -> bool {
        matches!(self, Self::Cluster | Self::Dns)
    }
}

/// An object's key, such as `virtual-host/virtual1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
}

impl Key {
    /// The name of an object that its kind has only one of.
    pub const SETTINGS: &'static str = "settings";

    /// A key; none where that is not a name for the kind. Names of zones are lower-cased.
    pub fn new(kind: Kind, name: &str) -> Option<Self> {
        let valid = match kind {
            Kind::Cluster | Kind::Dns => name == Self::SETTINGS,
            Kind::Server | Kind::VirtualHost | Kind::Endpoint | Kind::Pool | Kind::Notify => is_valid_name(name),
            Kind::Zone => is_zone(name),
            Kind::Template => is_path(name),
        };
        let name: Arc<str> =
            if kind == Kind::Zone { name.trim_end_matches('.').to_ascii_lowercase().into() } else { name.into() };
        valid.then_some(Self { kind, name })
    }

    /// Reads `kind/name`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        Self::new(Kind::of(kind)?, name)
    }

    /// `cluster/settings`.
    pub fn cluster() -> Self {
        Self { kind: Kind::Cluster, name: Self::SETTINGS.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.kind.word(), self.name))
    }
}

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Kind and name, such as `virtual-host/virtual1`." })
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let kinds = Kind::ALL.map(Kind::word).join(", ");
            D::Error::custom(format!("`{text}` is no object's key: write `kind/name`, the kind being one of {kinds}"))
        })
    }
}

/// Loosely: the checker says what is wrong with a name.
fn is_zone(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic() && !"\"'\\".contains(c))
}

/// A plain relative path, so that an export never writes outside its directory.
fn is_path(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_it_prints() {
        for text in ["cluster/settings", "virtual-host/v1", "zone/lb.example.test", "template/inc/hosts.zone"] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Key::parse("zone/LB.Example.Test.").unwrap().to_string(), "zone/lb.example.test");
        for text in ["", "v1", "cluster/other", "pool/", "pool/a b", "template/../etc/passwd", "template//x", "thing/x"]
        {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
