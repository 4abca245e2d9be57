//! The types that look at this machine, or are told: exec, process, systemd, disk, file, push.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use super::super::{
    super::{
        probe::{DiskProbe, ExecProbe, FileProbe, ProbeKind, ProcessProbe, PushProbe, Space, Tls},
        read::{Fields, Value},
    },
    hooks,
};

pub(super) const EXEC: &[&str] = &["command", "user"];
pub(super) const PROCESS: &[&str] = &["pid-file", "program"];
pub(super) const SYSTEMD: &[&str] = &["unit"];
pub(super) const DISK: &[&str] = &["path", "min-free", "warn-free"];
pub(super) const FILE: &[&str] = &["path", "expect", "max-age"];
pub(super) const PUSH: &[&str] = &["within"];

const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn exec(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    const EXAMPLE: &str = "command = [\"/usr/lib/nagios/plugins/check_load\", \"-w\", \"5\"]";
    let command = fields.require("command", EXAMPLE).and_then(|value| hooks::command(&value, EXAMPLE));
    let user = fields.get("user").map_or(Some(None), |value| hooks::user(&value).map(Some));
    let (program, arguments) = command?;
    Some(ProbeKind::Exec(ExecProbe { program, arguments, user: user? }))
}

pub(super) fn process(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    let pid_file = fields.get("pid-file").map_or(Some(None), |value| value.path("/run/nginx.pid").map(Some));
    let name = fields.get("program").map_or(Some(None), |value| program_name(&value).map(Some));
    let (pid_file, name) = (pid_file?, name?);
    if pid_file.is_none() && name.is_none() {
        fields
            .refuse_whole("which process is not said", "add `pid-file = \"/run/nginx.pid\"` or `program = \"nginx\"`");
        return None;
    }
    Some(ProbeKind::Process(ProcessProbe { pid_file, name }))
}

/// The last part of its path.
fn program_name(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.text("nginx")?;
    if name.contains('/') {
        value.refuse(format!("\"{name}\" is a path"), "write the name of the program alone, such as \"nginx\"");
    }
    (!name.contains('/')).then(|| name.into())
}

/// systemd.unit(5).
pub(super) fn systemd(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    let value = fields.require("unit", "unit = \"nginx.service\"")?;
    let unit = value.text("nginx.service")?;
    let plain = unit.len() <= 255
        && !unit.starts_with('-')
        && unit.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c))
        && unit.rsplit_once('.').is_some_and(|(name, ending)| !name.is_empty() && !ending.is_empty());
    if !plain {
        value.refuse(format!("\"{unit}\" is not a unit's whole name"), "write it with its ending: \"nginx.service\"");
    }
    plain.then(|| ProbeKind::Systemd { unit: unit.into() })
}

pub(super) fn disk(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    let path = fields.require("path", "path = \"/srv\"").and_then(|value| value.path("/srv"));
    let min_free = fields.get("min-free").map_or(Some(Space::Percent(5)), |value| space(&value));
    let warn_free = fields.get("warn-free").map_or(Some(None), |value| space(&value).map(Some));
    Some(ProbeKind::Disk(DiskProbe { path: path?, min_free: min_free?, warn_free: warn_free? }))
}

/// `"10%"`, `"5GiB"`.
fn space(value: &Value<'_>) -> Option<Space> {
    const UNITS: [(&str, u64); 3] = [("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let text = value.text("10%")?;
    let number = |ending: &str| text.strip_suffix(ending).and_then(|number| number.parse::<u64>().ok());
    let percent = number("%").and_then(|part| u8::try_from(part).ok()).filter(|part| *part <= 100).map(Space::Percent);
    let bytes = || UNITS.iter().find_map(|(unit, size)| number(unit)?.checked_mul(*size)).map(Space::Bytes);
    let space = percent.or_else(bytes);
    if space.is_none() {
        value.refuse(
            format!("\"{text}\" is not an amount of space"),
            "write a part, \"10%\", or \"500MiB\", \"5GiB\", \"1TiB\"",
        );
    }
    space
}

pub(super) fn file(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    let path = fields.require("path", "path = \"/run/backup/state\"").and_then(|value| value.path("/run/backup/state"));
    let expect = fields.get("expect").map_or(Some(None), |value| value.pattern("^ok").map(Some));
    let max_age =
        fields.get("max-age").map_or(Some(None), |value| value.duration(Duration::from_secs(1)..=DAY * 30).map(Some));
    Some(ProbeKind::File(FileProbe { path: path?, expect: expect?, max_age: max_age? }))
}

pub(super) fn push(fields: &Fields<'_>, _: Option<Tls>) -> Option<ProbeKind> {
    const LIMITS: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
    let within = fields.require("within", "within = \"1m\"").and_then(|value| value.duration(LIMITS))?;
    Some(ProbeKind::Push(PushProbe { within }))
}
