//! What DNS is asked most, by whom, and what is answered, of the last minutes.
//!
//! Once a second the answering threads' sheets are taken ([`Usage::add`], by `name_service`), and everything from before counts a little
//! less: after five minutes, or an hour, a third (e⁻¹). Types, response codes and the number of replies come from the counters and
//! are exact; the rest may be samples (`host::dns_usage`).
//!
//! Invariants: of each kind and time the [`KEPT`] most frequent ones are kept, whatever strangers ask; the rest is forgotten, so rare
//! ones are missing. No more than half a megabyte.
//!
//! Deliberately not here: asking other servers (`admin::usage`).

use std::{collections::BTreeMap, time::Duration};

use dns::usage::Sheet;
use host::dns_counters::DnsCounts;
use model::{
    Instant,
    api::usage::{By, Counted, DnsUsage, UsageTable},
};

/// Over how many minutes.
pub(crate) const MINUTES: [u64; 2] = [5, 60];
/// How often sheets are taken.
pub(crate) const PACE: Duration = Duration::from_secs(1);
/// Keys of each kind.
const KEPT: usize = 256;
/// What has become less than this, in replies, is nothing.
const NOTHING: f64 = 0.01;

/// Counts that grow less with time.
#[derive(Debug, Default)]
struct Decaying {
    counts: BTreeMap<Box<str>, f64>,
}

impl Decaying {
    fn fade(&mut self, factor: f64) {
        self.counts.values_mut().for_each(|count| *count *= factor);
        self.counts.retain(|_, count| *count >= NOTHING);
    }

    fn add(&mut self, key: &str, count: u64) {
        if count > 0 {
            *self.counts.entry(key.into()).or_default() += count as f64;
        }
    }

    /// The smallest go.
    fn prune(&mut self) {
        if self.counts.len() > KEPT {
            let mut counts: Vec<f64> = self.counts.values().copied().collect();
            counts.sort_by(|a, b| b.total_cmp(a));
            let least = counts[KEPT];
            self.counts.retain(|_, count| *count > least);
        }
    }
}

/// One of [`MINUTES`].
#[derive(Debug)]
struct Span {
    minutes: u64,
    replies: f64,
    /// In the order of [`By::ALL`].
    kinds: [Decaying; By::ALL.len()],
}

impl Span {
    fn seconds(&self) -> f64 {
        self.minutes as f64 * 60.0
    }
}

/// What was asked of this server.
#[derive(Debug)]
pub(crate) struct Usage {
    begun: Option<Instant>,
    last: Instant,
    counted: Option<DnsCounts>,
    spans: [Span; MINUTES.len()],
}

impl Default for Usage {
    fn default() -> Self {
        let spans = MINUTES.map(|minutes| Span { minutes, replies: 0.0, kinds: Default::default() });
        Self { begun: None, last: Instant::from_nanos(0), counted: None, spans }
    }
}

impl Usage {
    /// A second more: what the counters say now, and the sheets, which `sheets` hands over one by one.
    pub(crate) fn add(&mut self, now: Instant, counts: DnsCounts, sheets: impl FnOnce(&mut dyn FnMut(&Sheet))) {
        if self.begun.is_none() {
            // The counters' past has no time.
            (self.begun, self.last) = (Some(now), now);
        }
        let age = now.since(self.last).as_secs_f64();
        self.last = now;
        for span in &mut self.spans {
            let factor = (-age / span.seconds()).exp();
            span.replies *= factor;
            span.kinds.iter_mut().for_each(|kind| kind.fade(factor));
        }
        // Sockets that were opened anew count from zero.
        let before = self.counted.take().filter(|before| before.replies() <= counts.replies());
        let empty = Vec::new();
        let (types, rcodes) = before.as_ref().map_or((&empty, &empty), |before| (&before.types, &before.rcodes));
        self.each(By::Type, more(&counts.types, types));
        self.each(By::Rcode, more(&counts.rcodes, rcodes));
        let replies = counts.replies() - before.as_ref().map_or(0, DnsCounts::replies);
        self.spans.iter_mut().for_each(|span| span.replies += replies as f64);
        self.counted = Some(counts);
        sheets(&mut |sheet| {
            self.each(By::Name, sheet.names.iter().map(|(name, count)| (name.to_string(), count)));
            self.each(By::Address, sheet.addresses.iter().map(|(address, count)| (address.to_string(), count)));
            self.each(By::Client, sheet.clients.iter().map(|(client, count)| (client.to_string(), count)));
        });
        self.spans.iter_mut().flat_map(|span| &mut span.kinds).for_each(Decaying::prune);
    }

    fn each(&mut self, by: By, counts: impl Iterator<Item = (String, u64)>) {
        for (key, count) in counts {
            self.spans.iter_mut().for_each(|span| span.kinds[by as usize].add(&key, count));
        }
    }

    /// The `most` most frequent of each kind over one of [`MINUTES`]; the longest where it is none of them.
    pub(crate) fn told(&self, this: &str, minutes: u64, kinds: &[By], most: usize) -> DnsUsage {
        let [first, .., last] = &self.spans;
        let span = if first.minutes == minutes { first } else { last };
        // Since the start it may be less than that time.
        let age = self.begun.map_or(0.0, |begun| self.last.since(begun).as_secs_f64()).max(PACE.as_secs_f64());
        let weight = span.seconds() * (1.0 - (-age / span.seconds()).exp());
        let table = |by: &By| {
            let counts = span.kinds[*by as usize].counts.iter();
            let entries = counts.map(|(what, count)| Counted {
                what: what.to_string(),
                per_second: count / weight,
                percent: 0.0,
            });
            UsageTable { by: *by, entries: entries.collect() }
        };
        let per_second = span.replies / weight;
        let servers = vec![Counted { what: this.to_owned(), per_second, percent: 0.0 }];
        let tables = kinds.iter().map(table).collect();
        let mut usage = DnsUsage { minutes: span.minutes, per_second, servers, tables, unreachable: Vec::new() };
        finish(&mut usage, most);
        usage
    }
}

/// What has become more.
fn more(now: &[(&'static str, u64)], before: &[(&'static str, u64)]) -> impl Iterator<Item = (String, u64)> {
    let before = before.iter().map(|(_, count)| *count).chain(std::iter::repeat(0));
    now.iter().zip(before).map(|((name, count), before)| ((*name).to_owned(), count.saturating_sub(before)))
}

/// Adds another server's to it; `finish` afterwards.
pub(crate) fn merge(all: &mut DnsUsage, other: DnsUsage) {
    all.per_second += other.per_second;
    add_all(&mut all.servers, other.servers);
    for table in other.tables {
        match all.tables.iter_mut().find(|known| known.by == table.by) {
            Some(known) => add_all(&mut known.entries, table.entries),
            None => all.tables.push(table),
        }
    }
}

fn add_all(all: &mut Vec<Counted>, others: Vec<Counted>) {
    for other in others {
        match all.iter_mut().find(|known| known.what == other.what) {
            Some(known) => known.per_second += other.per_second,
            None => all.push(other),
        }
    }
}

/// Percentages, the most frequent first, no more than `most` of each kind.
pub(crate) fn finish(usage: &mut DnsUsage, most: usize) {
    let all = usage.per_second.max(f64::MIN_POSITIVE);
    for entries in usage.tables.iter_mut().map(|table| &mut table.entries).chain([&mut usage.servers]) {
        entries.sort_by(|a, b| b.per_second.total_cmp(&a.per_second).then_with(|| a.what.cmp(&b.what)));
        entries.truncate(most);
        // A sample may say more than there was.
        entries.iter_mut().for_each(|one| one.percent = (one.per_second / all * 100.0).min(100.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(asked: &[(&str, u64)]) -> Sheet {
        let mut sheet = Sheet::new(1);
        for (client, count) in asked {
            sheet.note(client.parse().unwrap(), &[], *count);
        }
        sheet
    }

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    /// As counters stand after so many replies.
    fn counts(replies: u64) -> DnsCounts {
        let mut counts = DnsCounts::default();
        counts.rcodes[0].1 = replies;
        counts.types[1].1 = replies;
        counts
    }

    fn rates(usage: &DnsUsage, by: By) -> Vec<(String, i64)> {
        let table = usage.tables.iter().find(|table| table.by == by).unwrap();
        table.entries.iter().map(|one| (one.what.clone(), (one.per_second * 100.0).round() as i64)).collect()
    }

    #[test]
    fn a_steady_rate_is_told_as_it_is_from_the_first_second_on() {
        let mut usage = Usage::default();
        usage.add(at(10), counts(0), |_| {});
        for second in 1..=400 {
            let now = sheet(&[("192.0.2.1", 30), ("192.0.2.2", 10)]);
            usage.add(at(10 + second), counts(40 * second), |each| each(&now));
            if ![1, 30, 400].contains(&second) {
                continue;
            }
            for minutes in MINUTES {
                let told = usage.told("web1", minutes, &By::ALL, 10);
                assert!((told.per_second - 40.0).abs() < 0.2, "{second}: {told:?}");
                let clients = rates(&told, By::Client);
                assert_eq!((clients[0].0.as_str(), clients[1].0.as_str()), ("192.0.2.1", "192.0.2.2"));
                let percent = told.tables.iter().find(|table| table.by == By::Client).unwrap().entries[0].percent;
                assert!((percent - 75.0).abs() < 0.1, "{percent}");
                assert_eq!(rates(&told, By::Rcode)[0].0, "NOERROR");
                assert_eq!(rates(&told, By::Type)[0].0, "AAAA");
            }
        }
    }

    #[test]
    fn what_is_over_fades_and_counters_that_begin_anew_are_no_surprise() {
        let mut usage = Usage::default();
        usage.add(at(0), counts(0), |_| {});
        let now = sheet(&[("192.0.2.1", 1000)]);
        usage.add(at(1), counts(1000), |each| each(&now));
        usage.add(at(301), counts(0), |_| {});
        let told = usage.told("web1", 5, &[By::Client], 10);
        // 1,000 · e⁻¹ over 300 s · (1 − e⁻¹).
        assert_eq!(rates(&told, By::Client), [("192.0.2.1".to_owned(), 194)]);
        usage.add(at(6000), counts(5), |_| {});
        let told = usage.told("web1", 5, &[By::Client, By::Rcode], 10);
        assert_eq!(rates(&told, By::Client), []);
        assert_eq!(rates(&told, By::Rcode), [("NOERROR".to_owned(), 2)]);
    }

    #[test]
    fn a_flood_of_names_stays_bounded_and_hides_nobody() {
        let mut usage = Usage::default();
        for second in 0..50_u64 {
            let flood: Vec<(String, u64)> =
                (0..100).map(|n| (format!("198.51.{second}.{n}"), 1)).chain([("192.0.2.1".to_owned(), 50)]).collect();
            let flood: Vec<(&str, u64)> = flood.iter().map(|(client, count)| (client.as_str(), *count)).collect();
            let now = sheet(&flood);
            usage.add(at(second), counts(150 * second), |each| each(&now));
        }
        let told = usage.told("web1", 60, &[By::Client], 1000);
        assert!(told.tables[0].entries.len() <= KEPT);
        assert_eq!(told.tables[0].entries[0].what, "192.0.2.1");
    }

    #[test]
    fn servers_are_added_up() {
        let one = |server: &str, rate: f64, names: &[(&str, f64)]| {
            let counted = |what: &str, per_second| Counted { what: what.to_owned(), per_second, percent: 0.0 };
            let entries = names.iter().map(|(name, rate)| counted(name, *rate)).collect();
            let tables = vec![UsageTable { by: By::Name, entries }];
            DnsUsage {
                minutes: 5,
                per_second: rate,
                servers: vec![counted(server, rate)],
                tables,
                unreachable: Vec::new(),
            }
        };
        let mut all = one("web1", 10.0, &[("a", 8.0), ("b", 2.0)]);
        merge(&mut all, one("web2", 30.0, &[("b", 20.0), ("c", 1.0)]));
        finish(&mut all, 2);
        let told = |entries: &[Counted]| -> Vec<(String, f64)> {
            entries.iter().map(|one| (one.what.clone(), one.percent.round())).collect()
        };
        assert_eq!(told(&all.servers), [("web2".to_owned(), 75.0), ("web1".to_owned(), 25.0)]);
        assert_eq!(told(&all.tables[0].entries), [("b".to_owned(), 55.0), ("a".to_owned(), 20.0)]);
    }
}
