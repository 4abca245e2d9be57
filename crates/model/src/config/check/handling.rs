//! What follows from a monitor's results: `severity`, `disabled`, `group`, `damping`; and the `groups` of a virtual host.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    super::{
        cluster::Monitor,
        handling::{Damping, Handling, Severity},
        read::{Entry, Fields, Value},
    },
    cluster::Draft,
    suggest,
    virtual_hosts::listed_servers,
};
use crate::id::ServerName;

/// Whose monitors are read.
pub(super) enum Owner<'d, 's> {
    /// A virtual host, and its groups.
    VirtualHost(&'d [Entry<'s>]),
    /// An endpoint.
    Endpoint,
}

impl Owner<'_, '_> {
    /// As files call it.
    pub(super) fn section(&self) -> &'static str {
        match self {
            Self::VirtualHost(_) => "virtual-host",
            Self::Endpoint => "endpoint",
        }
    }

    /// As people call it.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::VirtualHost(_) => "virtual host",
            Self::Endpoint => "endpoint",
        }
    }
}

/// One monitor's, but for its recovery, which depends on its pace. Where a field is wrong, its default stands in for it.
pub(super) fn handling(draft: &Draft<'_>, fields: &Fields<'_>, owner: &Owner<'_, '_>) -> Handling {
    let severity = fields.get("severity").and_then(|value| severity(&value, owner)).unwrap_or_default();
    let group = fields.get("group").and_then(|value| group(&value, severity, owner));
    let disabled = fields.get("disabled").map(|value| disabled(draft, &value)).unwrap_or_default();
    let damping = fields.get("damping").map_or_else(|| Some(Damping::default()), |value| damping(&value));
    Handling { severity, disabled, group, damping, recovery: None }
}

fn severity(value: &Value<'_>, owner: &Owner<'_, '_>) -> Option<Severity> {
    let all = [Severity::Failover, Severity::Record, Severity::Latch];
    let severity = value.choice(&all.map(|severity| (severity.word(), severity)))?;
    match (severity, owner) {
        (Severity::Latch, Owner::Endpoint) => {
            value.refuse(
                "an endpoint's monitor cannot have the severity \"latch\"",
                "nothing fails over from an endpoint: it is answered again when it works; `standin monitor force` keeps \
                 it out by hand",
            );
            None
        }
        (Severity::Failover | Severity::Record | Severity::Latch, _) => Some(severity),
    }
}

fn group(value: &Value<'_>, severity: Severity, owner: &Owner<'_, '_>) -> Option<Arc<str>> {
    let name = value.text("web")?;
    let Owner::VirtualHost(declared) = owner else {
        value.refuse("monitors of an endpoint have no groups", "remove `group`: all of them count");
        return None;
    };
    if severity == Severity::Record {
        value.refuse(
            "a monitor of severity \"record\" counts in no group",
            "remove `group`, or write `severity = \"failover\"`",
        );
        return None;
    }
    if !declared.iter().any(|entry| entry.name == name) {
        let help = match declared {
            [] => format!("add `groups = {{ {name} = \"any\" }}` to the virtual host"),
            [..] => suggest(name, "group", declared),
        };
        value.refuse(format!("this virtual host has no group `{name}`"), help);
        return None;
    }
    Some(name.into())
}

/// `true`: on every server.
fn disabled(draft: &Draft<'_>, value: &Value<'_>) -> Vec<ServerName> {
    if value.is_list() {
        let help = "name the servers where it counts as failed, or write `true` for all";
        return listed_servers(draft, value, "`disabled` names no server", help);
    }
    match value.boolean() {
        Some(true) => draft.servers.iter().map(|entry| ServerName::new(entry.name)).collect(),
        Some(false) | None => Vec::new(),
    }
}

/// `false`, or `{ half-life = "1m", suppress = 3, reuse = 1 }`.
fn damping(value: &Value<'_>) -> Option<Damping> {
    let default = Damping::default();
    if !value.is_table() {
        return value.boolean().filter(|on| *on).map(|_| default);
    }
    let fields = value.fields("`damping`", &["half-life", "suppress", "reuse"])?;
    let limits = Duration::from_secs(1)..=Duration::from_secs(3600);
    let half_life = fields.get("half-life").map_or(Some(default.half_life), |value| value.duration(limits));
    let suppress = fields.get("suppress").map_or(Some(default.suppress), |value| value.integer(1..=100));
    let reuse = fields.get("reuse").map_or(Some(default.reuse), |value| value.integer(1..=100));
    let damping = Damping { half_life: half_life?, suppress: suppress?, reuse: reuse? };
    if damping.reuse >= damping.suppress {
        let Damping { suppress, reuse, .. } = damping;
        value.refuse(
            format!("`reuse` ({reuse}) is not below `suppress` ({suppress})"),
            "write fewer failures as `reuse`: what is damped counts again when no more of its penalty is left",
        );
        return None;
    }
    Some(damping)
}

/// `groups = { web = "any" }`: how many of each group's monitors are needed. `complete`: no monitor is missing because of a
/// mistake.
pub(super) fn groups(entries: &[Entry<'_>], monitors: &[Monitor], complete: bool) -> BTreeMap<Arc<str>, usize> {
    let mut groups = BTreeMap::new();
    for entry in entries {
        let belongs = |monitor: &&Monitor| monitor.handling.group.as_deref() == Some(entry.name);
        let members = monitors.iter().filter(belongs).count();
        let needed = if entry.value.is_text() {
            entry.value.choice(&[("any", 1), ("all", members)])
        } else {
            entry.value.integer(1..=1000_u16).map(usize::from)
        };
        let Some(needed) = needed.filter(|_| complete) else { continue };
        if members == 0 {
            entry.value.refuse_name(
                format!("no monitor of this virtual host is in the group `{}`", entry.name),
                format!("write `group = \"{}\"` in those that count together", entry.name),
            );
        } else if needed > members {
            entry.value.refuse(
                format!("the group `{}` needs {needed} of {members} monitors", entry.name),
                format!("write at most {members}, or \"all\""),
            );
        } else {
            groups.insert(entry.name.into(), needed);
        }
    }
    groups
}
