//! `[[virtual-host.NAME.monitor]]` and `[[endpoint.NAME.monitor]]`.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    super::{
        cluster::Monitor,
        handling::Handling,
        probe::{ProbeKind, TcpProbe},
        read::{Fields, Firsts, Value, check_name, spell},
    },
    cluster::Draft,
    handling::{Owner, handling},
    probes,
    recovery::recovery,
};

/// What every type has.
const KNOWN: &[&str] = &[
    "name", "type", "interval", "recheck", "timeout", "rise", "fall", "priority", "severity", "disabled", "group",
    "damping", "recovery", "note",
];
const SHORTEST: Duration = Duration::from_millis(20);
const USUAL_RECHECK: Duration = Duration::from_millis(50);
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
        let Some(fields) = fields(&element) else { continue };
        let word = element.text_of("type").unwrap_or_default();
        if section == "endpoint" && probes::find(word).is_some_and(probes::ProbeType::is_local) {
            fields.refuse(
                "type",
                format!(
                    "a monitor of type \"{word}\" looks at the server that it runs on, and an endpoint is elsewhere"
                ),
                "monitor the endpoint over the network, or by a program (`type = \"exec\"`)",
            );
        }
        let handling = handling(draft, &fields, owner);
        let Some(mut monitor) = monitor(&fields, handling) else { continue };
        monitor.handling.recovery = fields.get("recovery").and_then(|value| recovery(&value, &monitor, owner));
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
    let found = fields.require("type", "type = \"tcp\"").and_then(|value| probes::of(&value));
    if found.is_none()
        && let Some(port) = fields.get("port")
    {
        port.integer(1..=u16::MAX);
    }
    let target = found.and_then(|found| found.read(fields));
    let usual = found.map_or(2, probes::ProbeType::usual_count);
    let interval = duration(fields, "interval", SHORTEST..=LONGEST, Duration::from_secs(1));
    let least = interval.unwrap_or(LONGEST);
    let recheck = duration(fields, "recheck", SHORTEST..=LONGEST, (least / 10).max(USUAL_RECHECK).min(least));
    let timeout = duration(fields, "timeout", TIMEOUTS, least.min(Duration::from_secs(5)));
    if let (Some(value), Some(interval), Some(span)) = (fields.get("recheck"), interval, recheck)
        && span > interval
    {
        value.refuse(
            format!("`recheck` ({}) is longer than `interval` ({})", spell(span), spell(interval)),
            "shorten `recheck` or lengthen `interval`: in doubt a monitor probes more often, not less",
        );
    }
    let note = fields.get("note").map(|value| value.text("the report takes minutes"));
    if let (Some(value), Some(interval), Some(span)) = (fields.get("timeout"), interval, timeout)
        && span > interval
        && note.is_none()
    {
        value.refuse(
            format!("`timeout` ({}) is longer than `interval` ({}), and no `note` says why", spell(span), spell(interval)),
            "shorten `timeout` or lengthen `interval`; if it is meant, add `note = \"why\"`: the next probe waits for a slow one",
        );
    }
    let count = |name| fields.get(name).map_or(Some(usual), |value| value.integer(1..=100));
    let (rise, fall) = (count("rise"), count("fall"));
    let priority = fields.get("priority").map_or(Some(0), |value| value.integer(0..=u8::MAX));
    // Even where another field is wrong, the name is known: it may clash with the next monitor's.
    let name = match fields.get("name") {
        Some(name) => name.text("web")?.into(),
        None => target.as_ref()?.name().into(),
    };
    let (kind, port) = match target {
        Some(target) => (target.kind, target.port),
        None => (ProbeKind::Tcp(TcpProbe::default()), None),
    };
    Some(Monitor {
        name,
        kind,
        port,
        interval: least,
        recheck: recheck.unwrap_or_default(),
        timeout: timeout.unwrap_or_default(),
        rise: rise.unwrap_or_default(),
        fall: fall.unwrap_or_default(),
        priority: priority.unwrap_or_default(),
        note: note.flatten().map(Into::into),
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

/// The fields of one monitor: those that every type has, and those of its own.
fn fields<'s>(element: &Value<'s>) -> Option<Fields<'s>> {
    let word = element.text_of("type").unwrap_or_default();
    match probes::find(word) {
        Some(found) => {
            let known = [KNOWN, &found.keys()[..]].concat();
            let what = format!("the monitor of type \"{word}\"");
            element.fields_or(what, &known, |key| probes::belongs_elsewhere(key, word))
        }
        // Then the type is what is wrong.
        None => element.fields("the monitor", &[KNOWN, &probes::all_keys()[..]].concat()),
    }
}
