//! What counts of a virtual host's monitors, in the order of importance: each one that stands for itself, and each group.
//!
//! A group counts as one, under its most important member's priority: its verdict is the best that as many of its members
//! bear out as are needed. With one needed it is up while any is up, with all needed down as soon as one is down. Monitors
//! of severity `record` do not count.

use std::{cmp::Reverse, sync::Arc};

use model::{
    MonitorId, VirtualHostName,
    config::{Monitor, Severity, VirtualHost},
    health::Verdict,
};

/// One line of the comparison between servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Criterion {
    /// With their brief names inside heartbeats.
    monitors: Vec<(MonitorId, u64)>,
    needed: usize,
}

impl Criterion {
    /// Those of a virtual host, the most important first; among equals in the order of the file.
    pub(crate) fn of(name: &VirtualHostName, spec: &VirtualHost) -> Vec<Self> {
        let mut lines: Vec<(u8, Option<&Arc<str>>, Self)> = Vec::new();
        for monitor in spec.monitors.iter().filter(|monitor| monitor.handling.severity != Severity::Record) {
            let id = MonitorId::of_host(name, &monitor.name);
            let key = id.key();
            let member = (id, key);
            let group = monitor.handling.group.as_ref();
            let line = lines.iter_mut().find(|(_, other, _)| group.is_some() && *other == group);
            match line {
                Some((priority, _, line)) => {
                    *priority = monitor.priority.min(*priority);
                    line.monitors.push(member);
                }
                None => {
                    let needed = group.and_then(|group| spec.groups.get(group)).copied().unwrap_or(1);
                    lines.push((monitor.priority, group, Self { monitors: vec![member], needed }));
                }
            }
        }
        lines.sort_by_key(|(priority, ..)| *priority);
        lines.into_iter().map(|(.., line)| line).collect()
    }

    /// What as many as are needed bear out. `verdict` is asked with a monitor's id and key.
    pub(crate) fn verdict(&self, verdict: impl Fn(&MonitorId, u64) -> Verdict) -> Verdict {
        if let [(id, key)] = self.monitors.as_slice() {
            return verdict(id, *key);
        }
        let mut verdicts: Vec<Verdict> = self.monitors.iter().map(|(id, key)| verdict(id, *key)).collect();
        verdicts.sort_by_key(|verdict| Reverse(*verdict));
        let last = verdicts.len().min(self.needed).saturating_sub(1);
        verdicts.get(last).copied().unwrap_or(Verdict::Up)
    }
}

/// Every monitor of a virtual host, the most important first; among equals in the order of the file.
pub(crate) fn important_first<'s>(name: &VirtualHostName, spec: &'s VirtualHost) -> Vec<(MonitorId, &'s Monitor)> {
    let mut monitors: Vec<_> = spec.monitors.iter().collect();
    monitors.sort_by_key(|monitor| monitor.priority);
    monitors.into_iter().map(|monitor| (MonitorId::of_host(name, &monitor.name), monitor)).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use model::config::{
        Failback, Handling,
        probe::{ProbeKind, TcpProbe},
    };

    use super::*;

    /// Monitors as `name:priority:group`, the group left out where there is none; `!` before the name: on record only.
    fn host(monitors: &str, groups: &[(&str, usize)]) -> VirtualHost {
        let monitor = |word: &str| {
            let mut parts = word.trim_start_matches('!').split(':');
            let (name, priority) = (parts.next().unwrap(), parts.next().unwrap().parse().unwrap());
            let severity = if word.starts_with('!') { Severity::Record } else { Severity::Failover };
            Monitor {
                name: name.into(),
                kind: ProbeKind::Tcp(TcpProbe::default()),
                port: Some(80),
                interval: Duration::from_secs(1),
                recheck: Duration::from_millis(100),
                timeout: Duration::from_secs(1),
                rise: 1,
                fall: 1,
                priority,
                note: None,
                handling: Handling { severity, group: parts.next().map(Arc::from), ..Handling::default() },
            }
        };
        VirtualHost {
            addresses: vec!["10.77.0.101".parse().unwrap()],
            servers: Vec::new(),
            failback: Failback::Auto,
            failback_delay: Duration::ZERO,
            always_active: true,
            monitors: monitors.split_whitespace().map(monitor).collect(),
            groups: groups.iter().map(|(name, need)| (Arc::from(*name), *need)).collect(),
            hooks: BTreeMap::new(),
        }
    }

    /// The verdicts that count, the most important first, where each monitor's is given by name.
    fn health(spec: &VirtualHost, verdicts: &str) -> String {
        let said: BTreeMap<&str, &str> = verdicts.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let verdict = |id: &MonitorId, _| match said[&*id.monitor] {
            "up" => Verdict::Up,
            "degraded" => Verdict::Degraded,
            "down" => Verdict::Down,
            _ => Verdict::Unknown,
        };
        let lines = Criterion::of(&VirtualHostName::new("v1"), spec);
        lines.iter().map(|line| line.verdict(verdict).word()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_most_important_comes_first_and_what_is_on_record_only_not_at_all() {
        let spec = host("a:5 b:0 !c:0 d:5", &[]);
        assert_eq!(health(&spec, "a=down b=up c=down d=unknown"), "up down unknown");
    }

    #[test]
    fn a_group_counts_as_one_by_how_many_of_it_are_needed() {
        for (needed, one_down, two_down, degraded) in
            [(1, "up", "up", "up"), (2, "up", "down", "up"), (3, "down", "down", "degraded")]
        {
            let spec = host("a:3:web b:1:web c:9:web z:2", &[("web", needed)]);
            assert_eq!(health(&spec, "a=up b=up c=down z=up"), format!("{one_down} up"), "{needed}");
            assert_eq!(health(&spec, "a=down b=up c=down z=up"), format!("{two_down} up"), "{needed}");
            assert_eq!(health(&spec, "a=up b=degraded c=up z=up"), format!("{degraded} up"), "{needed}");
            assert_eq!(health(&spec, "a=up b=up c=up z=down"), "up down", "under its most important member");
        }
    }
}
