//! `[[virtual-host.NAME.hook]]`.
//!
//! Deliberately not here: whether the program is there and who could have changed it, which only the machine knows where
//! it would run (`host::hook::trust`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::super::{
    cluster::Hook,
    read::{Fields, Firsts, Source, Value},
};
use crate::hook::HookMoment;

const KNOWN: &[&str] = &["on", "command", "user", "timeout"];
const EXAMPLE: &str = "command = [\"/usr/local/libexec/standin/mount-data\"]";
const SHORTEST: Duration = Duration::from_millis(10);
/// An address that nobody serves for longer is worse than one whose hook has not ended.
const LONGEST_BEFORE_TAKE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);

/// The hooks of one virtual host.
pub(super) fn hooks(source: &Source<'_>, value: &Value<'_>) -> BTreeMap<HookMoment, Hook> {
    let (mut moments, mut hooks) = (Firsts::new(source), BTreeMap::new());
    if !value.is_list() {
        value.refuse("`hook` must be a list", "write `[[virtual-host.NAME.hook]]`, with two brackets");
        return hooks;
    }
    let example = format!("{{ on = \"after-take\", {EXAMPLE} }}");
    for (position, element) in value.list(&example).unwrap_or_default().into_iter().enumerate() {
        let Some(fields) = element.fields("the hook", KNOWN) else { continue };
        let moment = fields.require("on", "on = \"after-take\"").and_then(|value| {
            let moment = value.choice(&HookMoment::ALL.map(|moment| (moment.word(), moment)))?;
            match moments.note(moment, "", &value.span()) {
                None => Some(moment),
                Some((_, line)) => {
                    let message = format!("this virtual host already has a hook for {} (line {line})", moment.word());
                    value.refuse(message, "write one program that does both: the order would be left to chance");
                    None
                }
            }
        });
        let hook = hook(&fields, position, moment);
        hooks.extend(moment.zip(hook));
    }
    hooks
}

fn hook(fields: &Fields<'_>, position: usize, moment: Option<HookMoment>) -> Option<Hook> {
    let command = fields.require("command", EXAMPLE).and_then(|value| command(&value, EXAMPLE));
    let user = fields.get("user").map_or(Some(None), |value| user(&value).map(Some));
    // Where the moment is wrong the wider limits are right.
    let (default, longest) = match moment {
        Some(HookMoment::BeforeTake) => (Duration::from_millis(500), LONGEST_BEFORE_TAKE),
        Some(HookMoment::AfterTake | HookMoment::BeforeRelease | HookMoment::AfterRelease) | None => {
            (Duration::from_secs(5), LONGEST)
        }
    };
    let timeout = fields.get("timeout").map_or(Some(default), |value| value.duration(SHORTEST..=longest));
    let (program, arguments) = command?;
    Some(Hook { position, program, arguments, user: user?, timeout: timeout? })
}

/// A program by its absolute path, and its arguments; `example` is the whole field.
pub(super) fn command(value: &Value<'_>, example: &str) -> Option<(Arc<str>, Vec<Arc<str>>)> {
    if value.is_text() {
        value.refuse("`command` must be a list: no shell takes it apart", format!("write `{example}`"));
        return None;
    }
    let words = value.list("\"/usr/local/libexec/standin/mount-data\"")?;
    let Some((first, rest)) = words.split_first() else {
        value.refuse("`command` is empty", format!("write `{example}`"));
        return None;
    };
    let program = first.text("/usr/local/libexec/standin/mount-data")?;
    let fault = if !program.starts_with('/') {
        Some("is not an absolute path")
    } else if program.ends_with('/') || program.split('/').any(|part| part == "." || part == "..") {
        Some("is not the plain path of a program")
    } else {
        None
    };
    if let Some(fault) = fault {
        first.refuse(format!("\"{program}\" {fault}"), "write the whole path from `/` on, without `.` and `..`");
    }
    let arguments: Option<Vec<Arc<str>>> = rest.iter().map(|word| word.text("--now").map(Arc::from)).collect();
    Some((program.into(), arguments?)).filter(|_| fault.is_none())
}

/// A user's name as useradd(8) accepts it.
pub(super) fn user(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.text("nobody")?;
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !begins || !plain || name.len() > 32 {
        value
            .refuse(format!("\"{name}\" is not the name of a user"), "write a name of /etc/passwd, such as \"nobody\"");
        return None;
    }
    Some(name.into())
}
