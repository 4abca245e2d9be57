//! `[zone."NAME"]` and `[dns]`.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    super::{
        cluster::{DnsSettings, ZoneSettings},
        read::{Entry, Fields, Firsts, Value},
    },
    cluster::Draft,
};
use crate::id::ZoneName;

/// All zones.
pub(super) fn zones(draft: &Draft<'_>, entries: Vec<Entry<'_>>) -> BTreeMap<ZoneName, ZoneSettings> {
    let mut names = Firsts::new(draft.source);
    let mut zones = BTreeMap::new();
    for entry in entries {
        let Some(name) = zone_name(draft, &entry) else { continue };
        if let Some((_, line)) = names.note(name.clone(), "", &entry.span) {
            draft.source.refuse(
                entry.span,
                format!("the zone `{name}` is already there (line {line})"),
                "a zone has one template; letter case and a final dot make no difference",
            );
            continue;
        }
        let Some(fields) = entry.value.fields(format!("zone `{name}`"), &["template", "variables"]) else { continue };
        let template = fields.require("template", "template = \"lb.zone\"").and_then(|value| value.text("lb.zone"));
        let variables = variables(&fields);
        if let Some(template) = template {
            zones.insert(name, ZoneSettings { template: PathBuf::from(template), variables });
        }
    }
    zones
}

/// Lower case, without the final dot (RFC 1034 section 3.1; the labels' lengths are those of RFC 1035 section 2.3.4).
fn zone_name(draft: &Draft<'_>, entry: &Entry<'_>) -> Option<ZoneName> {
    let name = entry.name.strip_suffix('.').unwrap_or(entry.name).to_ascii_lowercase();
    // `/` stands in classless reverse zones (RFC 2317).
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c))
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Some(ZoneName::new(&name));
    }
    draft.source.refuse(
        entry.span.clone(),
        format!("`{}` is not the name of a zone", entry.name),
        "write a domain name in quotes, such as `[zone.\"lb.example.org\"]`; other than ASCII in its xn-- form",
    );
    None
}

fn variables(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for entry in fields.entries("variables") {
        let valid = entry.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && entry.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !valid {
            entry.value.refuse_name(
                format!("`{}` is not a name of a variable", entry.name),
                "write letters, digits, `_`, `-` and `.`, a letter first; the template uses it as `${name}`",
            );
        }
        if let Some(value) = entry.value.text("value") {
            variables.insert(entry.name.to_owned(), value.to_owned());
        }
    }
    variables
}

/// `[dns]`.
pub(super) fn dns(value: Value<'_>) -> DnsSettings {
    let default = DnsSettings::default();
    let Some(fields) = value.fields("[dns]", &["max-udp-size", "identity", "rate-limit"]) else { return default };
    if let Some(limit) = fields.get("rate-limit") {
        rate_limit_is_off(&limit);
    }
    DnsSettings {
        max_udp_size: fields
            .get("max-udp-size")
            .and_then(|value| value.integer(512..=4096))
            .unwrap_or(default.max_udp_size),
        identity: fields.get("identity").and_then(|value| value.boolean()).unwrap_or(default.identity),
    }
}

/// Response rate limiting comes later; a file that says it wants none says the truth already.
fn rate_limit_is_off(value: &Value<'_>) {
    let off = value.single_field("enabled").is_some_and(|enabled| enabled.boolean() == Some(false));
    if !off {
        value.refuse(
            "response rate limiting is not supported yet",
            "remove `rate-limit`, or write `rate-limit = { enabled = false }`",
        );
    }
}
