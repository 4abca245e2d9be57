//! `[zone."NAME"]` and `[dns]`.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    super::{
        cluster::{DnsSettings, RateLimit, ZoneSettings},
        read::{Entry, Fields, Firsts, Value},
    },
    cluster::Draft,
};
use crate::{id::ZoneName, net::Prefix};

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
    DnsSettings {
        max_udp_size: fields
            .get("max-udp-size")
            .and_then(|value| value.integer(512..=4096))
            .unwrap_or(default.max_udp_size),
        identity: fields.get("identity").and_then(|value| value.boolean()).unwrap_or(default.identity),
        rate_limit: fields.get("rate-limit").map_or(default.rate_limit, |value| rate_limit(&value)),
    }
}

/// `rate-limit = { enabled = false }`, or the numbers.
fn rate_limit(value: &Value<'_>) -> Option<RateLimit> {
    let default = RateLimit::default();
    let fields = value.fields("rate-limit", &["enabled", "per-second", "slip", "allow"])?;
    let enabled = fields.get("enabled").and_then(|value| value.boolean()).unwrap_or(true);
    let allow = fields.get("allow").and_then(|value| value.list("\"10.0.0.0/8\"")).unwrap_or_default();
    let limit = RateLimit {
        per_second: fields
            .get("per-second")
            .and_then(|value| value.integer(1..=1_000_000))
            .unwrap_or(default.per_second),
        slip: fields.get("slip").and_then(|value| value.integer(0..=10)).unwrap_or(default.slip),
        allow: allow.iter().filter_map(network).collect(),
    };
    enabled.then_some(limit)
}

fn network(value: &Value<'_>) -> Option<Prefix> {
    let text = value.text("10.0.0.0/8")?;
    let network = text.parse().ok();
    if network.is_none() {
        value.refuse(
            format!("`{text}` is no network"),
            "write an address and the length of the prefix, such as \"10.0.0.0/8\" or \"fd00::/8\"",
        );
    }
    network
}
