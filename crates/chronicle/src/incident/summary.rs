//! A day or a week of incidents that a person reads in a minute.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Incident, Trouble, span};
use crate::entry::Entry;

/// Names in a line; of more the number is told.
const NAMED: usize = 5;

/// What happened in some time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// From then on, in milliseconds since 1970.
    pub since_ms: u64,
    /// Until then.
    pub until_ms: u64,
    /// How many incidents.
    pub incidents: usize,
    /// How many of them somebody wanted.
    pub planned: usize,
    /// How many of each kind, the most frequent first.
    pub troubles: Vec<(Trouble, usize)>,
    /// Moves whose gap is known.
    pub gaps: usize,
    /// The longest of them.
    pub longest: Option<Gap>,
    /// Half of them were no longer.
    pub median_gap_ms: Option<u64>,
    /// Virtual hosts that nobody served for some time, the worst first. All others were served all the time, as far as is known.
    pub unserved: Vec<Unserved>,
    /// Who took virtual hosts, and from whom they were taken, by name.
    pub moves: Vec<Moved>,
    /// Pools that were answered with fewer addresses for some time, the worst first.
    pub answers: Vec<Fewer>,
    /// The monitor that changed most often.
    pub noisiest: Option<Noise>,
    /// What is not over.
    pub open: Vec<Open>,
    /// Security events.
    pub security: usize,
    /// The log goes back further than was read.
    pub more: bool,
}

/// A time in which nobody served a virtual host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// Which.
    pub virtual_host: String,
    /// Until when, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long, in milliseconds.
    pub gap_ms: u64,
}

/// How long nobody served a virtual host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Unserved {
    /// Which.
    pub virtual_host: String,
    /// How long, all together, in milliseconds.
    pub millis: u64,
    /// How often.
    pub times: usize,
}

/// A server's part in what moved.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// Which.
    pub server: String,
    /// So many virtual hosts came to it.
    pub took: usize,
    /// So many went from it.
    pub lost: usize,
}

/// How long a pool was answered with fewer addresses than before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Fewer {
    /// Which.
    pub pool: String,
    /// How long, in milliseconds.
    pub millis: u64,
}

/// A monitor that changes often.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Noise {
    /// Which, and on which server.
    pub monitor: String,
    /// How often.
    pub changes: usize,
}

/// Something that is not over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Open {
    /// The incident's.
    pub id: String,
    /// What is wrong.
    pub cause: String,
    /// Since when, in milliseconds since 1970.
    pub began_ms: u64,
}

impl Summary {
    /// Of these incidents and entries, in this time. `security` events were counted.
    pub fn of<'e>(
        incidents: &[Incident],
        entries: impl Iterator<Item = &'e Entry>,
        (since_ms, until_ms): (u64, u64),
        security: usize,
    ) -> Self {
        let moves: Vec<_> = incidents.iter().flat_map(|incident| &incident.moves).collect();
        let gap = |moved: &&super::Move| {
            let gap_ms = moved.gap_ms?;
            Some(Gap { virtual_host: moved.virtual_host.clone(), at_ms: moved.at_ms, gap_ms })
        };
        let mut gaps: Vec<Gap> = moves.iter().filter_map(gap).collect();
        gaps.sort_by_key(|gap| gap.gap_ms);
        let open = incidents.iter().filter(|incident| incident.ended_ms.is_none()).map(|incident| Open {
            id: incident.id.clone(),
            cause: incident.cause.clone(),
            began_ms: incident.began_ms,
        });
        Self {
            since_ms,
            until_ms,
            incidents: incidents.len(),
            planned: incidents.iter().filter(|incident| incident.trouble.is_planned()).count(),
            troubles: most_first(count(incidents.iter().map(|incident| incident.trouble))),
            gaps: gaps.len(),
            longest: gaps.last().cloned(),
            median_gap_ms: gaps.get(gaps.len().saturating_sub(1) / 2).map(|gap| gap.gap_ms),
            unserved: unserved(incidents, &gaps, until_ms),
            moves: moved(&moves),
            answers: fewer(incidents, until_ms),
            noisiest: noisiest(entries.filter(|entry| entry.stamp.wall_ms >= since_ms)),
            open: open.collect(),
            security,
            more: false,
        }
    }

    /// In a line: how many, and the worst.
    pub fn head(&self) -> String {
        if self.incidents == 0 {
            return "no incidents".to_owned();
        }
        let mut text = format!("{} incident{}", self.incidents, if self.incidents == 1 { "" } else { "s" });
        for (count, what) in [(self.planned, "planned"), (self.open.len(), "not over")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        if let Some(gap) = &self.longest {
            text += &format!(", an address unserved for {} at most", span(gap.gap_ms));
        }
        if self.more {
            text += "; the log goes back further";
        }
        text
    }

    /// In a few lines; `at` says a time as the reader wants it.
    pub fn lines(&self, at: &dyn Fn(u64) -> String) -> Vec<String> {
        let mut lines = vec![format!("From {} to {}: {}.", at(self.since_ms), at(self.until_ms), self.head())];
        let mut line = |what: &str, parts: Vec<String>| {
            if !parts.is_empty() {
                let more = parts.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                let named: Vec<String> = parts.into_iter().take(NAMED).collect();
                lines.push(format!("{what}: {}{more}.", named.join(", ")));
            }
        };
        line("Causes", self.troubles.iter().map(|(trouble, count)| format!("{} {count}", trouble.word())).collect());
        let longest = self.longest.iter().zip(self.median_gap_ms);
        let gaps = longest.map(|(gap, median)| {
            let (longest, median) = (span(gap.gap_ms), span(median));
            format!(
                "{}, the longest {longest} ({}, {}), the median {median}",
                self.gaps,
                gap.virtual_host,
                at(gap.at_ms)
            )
        });
        line("Moves with a known gap", gaps.collect());
        let availability = |one: &Unserved| {
            let (percent, millis) = (self.percent(one.millis), span(one.millis));
            format!("{} {percent} % ({millis} unserved, {} times)", one.virtual_host, one.times)
        };
        line("Availability", self.unserved.iter().map(availability).collect());
        let moves = |one: &Moved| format!("{} took {} and lost {}", one.server, one.took, one.lost);
        line("Moves", self.moves.iter().map(moves).collect());
        let fewer = |one: &Fewer| format!("{} with fewer addresses for {}", one.pool, span(one.millis));
        line("DNS", self.answers.iter().map(fewer).collect());
        let noise = |noise: &Noise| format!("{} changed {} times", noise.monitor, noise.changes);
        line("Noisiest monitor", self.noisiest.iter().map(noise).collect());
        let open = |open: &Open| format!("{}, since {}", open.cause, at(open.began_ms));
        line("Not over", self.open.iter().map(open).collect());
        let security = (self.security > 0).then(|| format!("{}; `standin log --security` has them", self.security));
        line("Security events", security.into_iter().collect());
        lines
    }

    /// Three nines are told apart from five: as many digits as it takes.
    fn percent(&self, unserved_ms: u64) -> String {
        let all = self.until_ms.saturating_sub(self.since_ms).max(1);
        let served = all.saturating_sub(unserved_ms);
        // In millionths of a percent, rounded down: what was unserved never reads as 100 %.
        let share = u128::from(served) * 100_000_000 / u128::from(all);
        let share = if unserved_ms > 0 { share.min(99_999_999) } else { share };
        format!("{}.{:06}", share / 1_000_000, share % 1_000_000)
    }
}

fn count<K: Ord>(all: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    all.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

fn most_first<K: Ord>(counts: BTreeMap<K, usize>) -> Vec<(K, usize)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    counts
}

/// By gaps, and by services that failed where their address stayed.
fn unserved(incidents: &[Incident], gaps: &[Gap], until_ms: u64) -> Vec<Unserved> {
    let stayed = incidents.iter().filter_map(|incident| {
        let end = incident.ended_ms.unwrap_or(until_ms);
        Some((incident.stayed.clone()?, end.saturating_sub(incident.began_ms)))
    });
    let mut hosts: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    for (host, millis) in gaps.iter().map(|gap| (gap.virtual_host.clone(), gap.gap_ms)).chain(stayed) {
        let host = hosts.entry(host).or_default();
        *host = (host.0 + millis, host.1 + 1);
    }
    let unserved = |(virtual_host, (millis, times))| Unserved { virtual_host, millis, times };
    let mut all: Vec<_> = hosts.into_iter().map(unserved).filter(|one| one.millis > 0).collect();
    all.sort_by(|one, other| other.millis.cmp(&one.millis).then_with(|| one.virtual_host.cmp(&other.virtual_host)));
    all
}

fn moved(moves: &[&super::Move]) -> Vec<Moved> {
    let mut servers: BTreeMap<&str, Moved> = BTreeMap::new();
    for moved in moves {
        servers.entry(&moved.to).or_default().took += 1;
        if let Some(from) = &moved.from {
            servers.entry(from).or_default().lost += 1;
        }
    }
    servers.into_iter().map(|(server, moved)| Moved { server: server.to_owned(), ..moved }).collect()
}

fn fewer(incidents: &[Incident], until_ms: u64) -> Vec<Fewer> {
    let mut pools: BTreeMap<&str, u64> = BTreeMap::new();
    for incident in incidents {
        for pool in &incident.answers {
            *pools.entry(&pool.pool).or_default() += pool.fewer_ms(incident.ended_ms.unwrap_or(until_ms));
        }
    }
    let mut all: Vec<_> = pools.into_iter().filter(|(_, millis)| *millis > 0).collect();
    all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
    all.into_iter().map(|(pool, millis)| Fewer { pool: pool.to_owned(), millis }).collect()
}

fn noisiest<'e>(entries: impl Iterator<Item = &'e Entry>) -> Option<Noise> {
    let changes = entries.filter(|entry| entry.kind() == "monitor-changed").filter_map(|entry| {
        let id = entry.fields.get("monitor")?;
        let name = |field: &str| id.get(field).and_then(Value::as_str);
        let subject = name("virtual_host").or(name("endpoint"))?;
        Some(format!("{subject}/{} on {}", name("monitor")?, entry.stream.server))
    });
    let (monitor, changes) = most_first(count(changes)).into_iter().next()?;
    Some(Noise { monitor, changes })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn incident(trouble: &str, ended_ms: Option<u64>, gap_ms: u64) -> Incident {
        let moved = json!({ "virtual_host": "virtual1", "from": "web1", "to": "web2", "at_ms": 1_500, "gap_ms": gap_ms, "cause": "" });
        let incident = json!({
            "id": "1000-1-web2", "subject": "web1", "trouble": trouble, "cause": "it was so", "began_ms": 1_000,
            "ended_ms": ended_ms, "ended_by": null, "moves": [moved], "timeline": [], "more": 0,
        });
        serde_json::from_value(incident).unwrap()
    }

    #[test]
    fn what_was_wanted_is_told_apart_and_everything_is_counted() {
        let incidents =
            [incident("stopped", Some(9_000), 2), incident("died", Some(9_000), 140), incident("died", None, 130)];
        let summary = Summary::of(&incidents, std::iter::empty(), (0, 10_000), 7);
        assert_eq!((summary.incidents, summary.planned, summary.security), (3, 1, 7));
        assert_eq!(summary.troubles, [(Trouble::Died, 2), (Trouble::Stopped, 1)]);
        assert_eq!((summary.gaps, summary.median_gap_ms), (3, Some(130)));
        assert_eq!(summary.longest, Some(Gap { virtual_host: "virtual1".to_owned(), at_ms: 1_500, gap_ms: 140 }));
        assert_eq!(summary.unserved, [Unserved { virtual_host: "virtual1".to_owned(), millis: 272, times: 3 }]);
        let moved = |server: &str, took, lost| Moved { server: server.to_owned(), took, lost };
        assert_eq!(summary.moves, [moved("web1", 0, 3), moved("web2", 3, 0)]);
        assert_eq!(summary.open.len(), 1);
        assert_eq!(summary.head(), "3 incidents, 1 planned, 1 not over, an address unserved for 140 ms at most");
    }

    #[test]
    fn what_was_unserved_for_a_moment_never_reads_as_always_served() {
        let week = Summary { since_ms: 0, until_ms: 7 * 86_400_000, ..Summary::default() };
        let read = [0, 1, 60, 6_048, 604_800_000].map(|millis| week.percent(millis));
        assert_eq!(read, ["100.000000", "99.999999", "99.999990", "99.999000", "0.000000"]);
    }
}
