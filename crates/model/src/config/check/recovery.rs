//! `recovery` of a virtual host's monitor.
//!
//! Deliberately not here: whether the program is there and who could have changed it (as in [`super::hooks`]).

use std::time::Duration;

use super::{
    super::{
        cluster::{Hook, Monitor},
        handling::Recovery,
        read::{Value, spell},
    },
    handling::Owner,
    hooks::{command, user},
};

const EXAMPLE: &str = "command = [\"/usr/local/libexec/standin/restart-web\"]";
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);
const LONGEST_WINDOW: Duration = Duration::from_secs(300);
const DEFAULT_WINDOW: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// One monitor's.
pub(super) fn recovery(value: &Value<'_>, monitor: &Monitor, owner: &Owner<'_, '_>) -> Option<Recovery> {
    if let Owner::Endpoint = owner {
        value.refuse(
            "an endpoint's monitor has no `recovery`: the endpoint is not the server that would run it",
            "remove `recovery`, or let the endpoint's own service manager restart what has failed",
        );
        return None;
    }
    let fields = value.fields("`recovery`", &["command", "user", "timeout", "attempts", "window", "pause"])?;
    let command = fields.require("command", EXAMPLE).and_then(|value| command(&value, EXAMPLE));
    let user = fields.get("user").map_or(Some(None), |value| user(&value).map(Some));
    let span = |name, limits, default| fields.get(name).map_or(Some(default), |value| value.duration(limits));
    let timeout = span("timeout", SHORTEST..=LONGEST, Duration::from_secs(5));
    let pause = span("pause", Duration::from_secs(1)..=LONGEST_PAUSE, Duration::from_secs(300));
    let attempts = fields.get("attempts").map_or(Some(1), |value| value.integer(1..=10));
    // In less time no service could be found to be up again.
    let needed = monitor.recheck * monitor.rise;
    let window = span("window", SHORTEST..=LONGEST_WINDOW, DEFAULT_WINDOW.max(needed).min(LONGEST_WINDOW));
    if let (Some(value), Some(window)) = (fields.get("window"), window)
        && window < needed
    {
        value.refuse(
            format!(
                "`window` ({}) is too short for {} probes, one each {}",
                spell(window),
                monitor.rise,
                spell(monitor.recheck)
            ),
            format!("write at least \"{}\": `rise` times `recheck`", spell(needed)),
        );
        return None;
    }
    let (program, arguments) = command?;
    let hook = Hook { position: 0, program, arguments, user: user?, timeout: timeout? };
    Some(Recovery { hook, attempts: attempts?, window: window?, pause: pause? })
}
