//! The state of a unit, as systemctl(1) tells it.

use std::sync::Arc;

use model::{config::probe::ExecProbe, report::ProbeOrder};

use super::{
    attempt::{Failed, Warning},
    exec,
    kept::Kept,
};

const SYSTEMCTL: &str = "/usr/bin/systemctl";
const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState";

pub(super) async fn attempt(order: &ProbeOrder, unit: &Arc<str>, kept: &Kept) -> Result<Option<Warning>, Failed> {
    let arguments = vec!["show".into(), PROPERTIES.into(), "--".into(), unit.clone()];
    let program = ExecProbe { program: SYSTEMCTL.into(), arguments, user: None };
    let done = exec::output(order, &program, kept).await?;
    if done.code != Some(0) {
        return Err(Failed::lost(done.report.reason.to_string()));
    }
    judge(unit, &done.report.stdout).map(|()| None)
}

/// systemd.unit(5), org.freedesktop.systemd1(5).
fn judge(unit: &str, properties: &str) -> Result<(), Failed> {
    let property = |name: &str| {
        let mut lines = properties.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    };
    match (property("LoadState"), property("ActiveState"), property("SubState")) {
        (_, "active" | "reloading", _) => Ok(()),
        ("not-found", ..) => Err(Failed::lost(format!("there is no unit {unit}"))),
        (_, state, sub) => Err(Failed::lost(format!("{unit} is {state} ({sub})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn only_an_active_unit_is_well() {
        let show = |load: &str, active: &str, sub: &str| {
            let text = format!("LoadState={load}\nActiveState={active}\nSubState={sub}\n");
            judge("web.service", &text).map_err(|failed| failed.reason)
        };
        assert_eq!(show("loaded", "active", "running"), Ok(()));
        assert_eq!(show("loaded", "reloading", "running"), Ok(()));
        assert_eq!(show("loaded", "failed", "failed"), Err("web.service is failed (failed)".to_owned()));
        assert_eq!(
            show("loaded", "activating", "auto-restart"),
            Err("web.service is activating (auto-restart)".to_owned())
        );
        assert_eq!(show("not-found", "inactive", "dead"), Err("there is no unit web.service".to_owned()));
    }
}
