//! `[[virtual-host.NAME.monitor]]` and `[[endpoint.NAME.monitor]]`.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use super::{
    super::{
        cluster::{HttpProbe, Monitor, ProbeKind},
        handling::Handling,
        read::{Fields, Firsts, Value, check_name, spell},
    },
    cluster::Draft,
    handling::{Owner, handling},
};
use crate::nearest::nearest;

const KNOWN: &[&str] = &[
    "name", "type", "port", "interval", "recheck", "timeout", "rise", "fall", "priority", "severity", "disabled",
    "group", "damping", "path", "host", "status", "body",
];
const HTTP_ONLY: [&str; 4] = ["path", "host", "status", "body"];
const BUILT: [&str; 2] = ["tcp", "http"];
/// Types that operators of such programs expect, and that a later version brings.
const PLANNED: &[&str] = &[
    "https",
    "smtp",
    "ftp",
    "telnet",
    "imap",
    "pop3",
    "nntp",
    "ssh",
    "dns",
    "ldap",
    "mysql",
    "postgresql",
    "redis",
    "grpc",
    "icmp",
    "ntp",
    "smb",
    "nfs",
    "exec",
    "process",
    "systemd",
    "disk",
    "file",
    "push",
];
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(3600);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);

/// The monitors of one virtual host or endpoint.
pub(super) fn monitors(draft: &Draft<'_>, value: &Value<'_>, owner: &Owner<'_, '_>) -> Vec<Monitor> {
    let (source, section, what) = (draft.source, owner.section(), owner.what());
    let (mut names, mut monitors) = (Firsts::new(source), Vec::new());
    if !value.is_list() {
        value.refuse("`monitor` must be a list", format!("write `[[{section}.NAME.monitor]]`, with two brackets"));
        return monitors;
    }
    for element in value.list("{ type = \"tcp\", port = 80 }").unwrap_or_default() {
        let Some(fields) = element.fields("the monitor", KNOWN) else { continue };
        let handling = handling(draft, &fields, owner);
        let Some(monitor) = monitor(&fields, handling) else { continue };
        let name = fields.get("name");
        let place = name.as_ref().map_or_else(|| fields.place(), Value::span);
        check_name(source, place.clone(), &monitor.name);
        match names.note(monitor.name.clone(), "", &place) {
            None => monitors.push(monitor),
            Some((_, line)) => source.refuse(
                place,
                format!("this {what} already has a monitor `{}` (line {line})", monitor.name),
                "give one of them another `name`; without one it is called by type and port",
            ),
        }
    }
    monitors
}

fn monitor(fields: &Fields<'_>, handling: Handling) -> Option<Monitor> {
    let kind = fields.require("type", "type = \"tcp\"").and_then(|value| kind(&value, fields));
    let port = match (&kind, fields.get("port")) {
        (_, Some(port)) => port.integer(1..=u16::MAX),
        (Some(ProbeKind::Http(_)), None) => Some(80),
        (Some(ProbeKind::Tcp), None) => fields.require("port", "port = 80").and(None),
        (None, None) => None,
    };
    let interval = duration(fields, "interval", SHORTEST..=LONGEST, Duration::from_secs(1));
    let least = interval.unwrap_or(LONGEST);
    let recheck = duration(fields, "recheck", SHORTEST..=LONGEST, (least / 10).max(SHORTEST));
    let timeout = duration(fields, "timeout", TIMEOUTS, least.min(Duration::from_secs(5)));
    if let (Some(value), Some(interval), Some(span)) = (fields.get("recheck"), interval, recheck)
        && span > interval
    {
        value.refuse(
            format!("`recheck` ({}) is longer than `interval` ({})", spell(span), spell(interval)),
            "shorten `recheck` or lengthen `interval`: in doubt a monitor probes more often, not less",
        );
    }
    let count = |name| fields.get(name).map_or(Some(2), |value| value.integer(1..=100));
    let (rise, fall) = (count("rise"), count("fall"));
    let priority = fields.get("priority").map_or(Some(0), |value| value.integer(0..=u8::MAX));
    // Even where another field is wrong, the name is known: it may clash with the next monitor's.
    let name = match fields.get("name") {
        Some(name) => name.text("web")?.into(),
        None => format!("{}-{}", kind.as_ref()?.word(), port?).into(),
    };
    Some(Monitor {
        name,
        kind: kind.unwrap_or(ProbeKind::Tcp),
        port: port.unwrap_or_default(),
        interval: least,
        recheck: recheck.unwrap_or_default(),
        timeout: timeout.unwrap_or_default(),
        rise: rise.unwrap_or_default(),
        fall: fall.unwrap_or_default(),
        priority: priority.unwrap_or_default(),
        handling,
    })
}

/// None where the field is there and wrong.
fn duration(
    fields: &Fields<'_>,
    name: &'static str,
    limits: RangeInclusive<Duration>,
    default: Duration,
) -> Option<Duration> {
    fields.get(name).map_or(Some(default), |value| value.duration(limits))
}

fn kind(value: &Value<'_>, fields: &Fields<'_>) -> Option<ProbeKind> {
    let word = value.text("tcp")?;
    match word {
        "http" => return Some(ProbeKind::Http(http(fields))),
        "tcp" => {}
        _ if PLANNED.contains(&word) => {
            value.refuse(
                format!("monitors of type \"{word}\" are not supported yet"),
                "use \"tcp\" with the service's port until then",
            );
            return None;
        }
        _ => {
            let built = "possible here: \"tcp\", \"http\"";
            let help = match nearest(word, BUILT).or_else(|| nearest(word, PLANNED.iter().copied())) {
                Some(near) => format!("did you mean \"{near}\"? {built}"),
                None => built.to_owned(),
            };
            value.refuse(format!("there is no monitor type \"{word}\""), help);
            return None;
        }
    }
    for name in HTTP_ONLY {
        if let Some(value) = fields.get(name) {
            value.refuse(
                format!("`{name}` means nothing to a monitor of type \"tcp\""),
                "remove it, or write `type = \"http\"`",
            );
        }
    }
    Some(ProbeKind::Tcp)
}

fn http(fields: &Fields<'_>) -> HttpProbe {
    let mut probe = HttpProbe { path: "/".into(), host: None, status: vec![(200, 399)], body: None };
    if let Some(value) = fields.get("path")
        && let Some(path) = value.text("/health")
    {
        if !path.starts_with('/') || !path.chars().all(|c| c.is_ascii_graphic() && c != '#') {
            value.refuse(
                format!("\"{path}\" is not the path of a request"),
                "write a path from `/` on, such as \"/health\"; other than plain ASCII is written %XX",
            );
        }
        probe.path = path.into();
    }
    if let Some(value) = fields.get("host")
        && let Some(host) = value.text("www.example.org")
    {
        if !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c)) {
            value.refuse(format!("\"{host}\" is not a host name"), "write a name such as \"www.example.org\"");
        }
        probe.host = Some(host.into());
    }
    if let Some(value) = fields.get("status") {
        probe.status = status(&value);
    }
    probe.body = fields.get("body").and_then(|value| value.text("ok")).map(Arc::from);
    probe
}

/// `200`, `"200-299"`, or a list of such.
fn status(value: &Value<'_>) -> Vec<(u16, u16)> {
    if !value.is_list() {
        return Vec::from_iter(status_range(value));
    }
    let values = value.list("200").unwrap_or_default();
    if values.is_empty() {
        value.refuse("no status would be a success", "write the codes that are, such as `[200, \"300-399\"]`");
    }
    values.iter().filter_map(status_range).collect()
}

fn status_range(value: &Value<'_>) -> Option<(u16, u16)> {
    const CODES: RangeInclusive<u16> = 100..=599;
    if !value.is_text() {
        return value.integer(CODES).map(|code| (code, code));
    }
    let text = value.text("200-299")?;
    let range = text.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    let range = range.filter(|(low, high)| low <= high && CODES.contains(low) && CODES.contains(high));
    if range.is_none() {
        value.refuse(
            format!("\"{text}\" is not a range of status codes"),
            "write codes from 100 to 599: `200`, or `\"200-299\"`",
        );
    }
    range
}
