//! One scrape: the kept values, and those sampled from their owners at this moment.

use std::collections::BTreeMap;

use cluster::Counters;
use host::dns_counters::{ANSWER_BOUNDS, DnsCounts};
use model::{
    api::{Status, VirtualHostStatus},
    event::Refusal,
    health::Hold,
};
use prometheus::{
    GaugeVec, IntCounterVec, TextEncoder,
    core::Collector,
    process_collector::ProcessCollector,
    proto::{Bucket, Histogram, Metric, MetricFamily, MetricType},
};

use super::{Declaration, Metrics};

/// What `Content-Type` a scrape has.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// A verdict's words.
const VERDICTS: [&str; 4] = ["up", "degraded", "down", "unknown"];

/// The values that belong to somebody else, read for this scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sampled {
    /// The whole status; none while the driver does not answer.
    pub status: Option<Status>,
    /// What the core counts; none while the driver does not answer.
    pub core: Option<Counters>,
    /// DNS queries by type.
    pub dns_queries: BTreeMap<String, u64>,
    /// DNS responses by code.
    pub dns_responses: BTreeMap<String, u64>,
    /// DNS datagrams without a response, by reason.
    pub dns_dropped: BTreeMap<String, u64>,
    /// DNS responses with TC set.
    pub dns_truncated: u64,
    /// UDP responses by how long they took, class by class of `host::dns_counters::ANSWER_BOUNDS`.
    pub dns_answered: [u64; ANSWER_BOUNDS.len() + 1],
    /// What all of those took together, in microseconds.
    pub dns_answering_micros: u64,
}

impl Sampled {
    /// Adds what one part of DNS has counted.
    pub(crate) fn dns(&mut self, counts: &DnsCounts) {
        let add = |sums: &mut BTreeMap<String, u64>, counted: &[(&str, u64)]| {
            for (label, count) in counted {
                *sums.entry((*label).to_owned()).or_default() += count;
            }
        };
        add(&mut self.dns_queries, &counts.types);
        add(&mut self.dns_responses, &counts.rcodes);
        add(&mut self.dns_dropped, &counts.dropped);
        add(&mut self.dns_dropped, &[("overflow", counts.overflowed)]);
        self.dns_truncated += counts.truncated;
        self.dns_answered.iter_mut().zip(counts.answered).for_each(|(sum, count)| *sum += count);
        self.dns_answering_micros += counts.answering_micros;
    }
}

/// The whole page, in Prometheus' text format, families in the order of their names.
pub(crate) fn scrape(metrics: &Metrics, sampled: &Sampled) -> String {
    let mut page = Page(metrics.registry.gather());
    page.0.extend(ProcessCollector::for_self().collect());
    page.gauge(super::BUILD_INFO, [(vec![env!("CARGO_PKG_VERSION")], 1.0)]);
    page.dns(sampled);
    if let Some(core) = &sampled.core {
        page.core(core);
    }
    if let Some(status) = &sampled.status {
        page.server(status);
        page.servers(status);
        page.virtual_hosts(status);
        page.monitors(status);
        page.endpoints(status);
        page.pools(status);
    }
    page.0.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&page.0).expect("every family has a name and a metric")
}

struct Page(Vec<MetricFamily>);

impl Page {
    fn gauge<'a>(&mut self, declaration: Declaration, values: impl IntoIterator<Item = (Vec<&'a str>, f64)>) {
        let gauges = GaugeVec::new(declaration.opts(), declaration.labels).expect("the declaration is valid");
        for (labels, value) in values {
            gauges.with_label_values(&labels).set(value);
        }
        self.take(gauges.collect());
    }

    fn counter<'a>(&mut self, declaration: Declaration, values: impl IntoIterator<Item = (Vec<&'a str>, u64)>) {
        let counters = IntCounterVec::new(declaration.opts(), declaration.labels).expect("the declaration is valid");
        for (labels, value) in values {
            counters.with_label_values(&labels).inc_by(value);
        }
        self.take(counters.collect());
    }

    /// The encoder refuses a family without metrics; one that has none is left out, as the registry does.
    fn take(&mut self, families: Vec<MetricFamily>) {
        self.0.extend(families.into_iter().filter(|family| !family.get_metric().is_empty()));
    }

    fn dns(&mut self, sampled: &Sampled) {
        let rows = |map: &'_ BTreeMap<String, u64>| -> Vec<(String, u64)> {
            map.iter().map(|(label, value)| (label.clone(), *value)).collect()
        };
        for (declaration, map) in [
            (super::DNS_QUERIES, &sampled.dns_queries),
            (super::DNS_RESPONSES, &sampled.dns_responses),
            (super::DNS_DROPPED, &sampled.dns_dropped),
        ] {
            let rows = rows(map);
            self.counter(declaration, rows.iter().map(|(label, value)| (vec![label.as_str()], *value)));
        }
        self.counter(super::DNS_TRUNCATED, [(vec![], sampled.dns_truncated)]);
        self.answer_duration(sampled);
    }

    /// The classes that the answering threads count by, as Prometheus wants them: each holds those before it.
    fn answer_duration(&mut self, sampled: &Sampled) {
        let mut histogram = Histogram::default();
        let mut so_far = 0;
        let classes = ANSWER_BOUNDS.iter().zip(&sampled.dns_answered).map(|(bound, count)| {
            so_far += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(so_far);
            bucket
        });
        histogram.set_bucket(classes.collect());
        histogram.set_sample_count(sampled.dns_answered.iter().sum());
        histogram.set_sample_sum(seconds(sampled.dns_answering_micros));
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(super::DNS_ANSWER_DURATION.name.into());
        family.set_help(super::DNS_ANSWER_DURATION.help.into());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        self.0.push(family);
    }

    fn core(&mut self, core: &Counters) {
        for (declaration, count) in [
            (super::HEARTBEATS_SENT, core.heartbeats_sent),
            (super::HEARTBEATS_BROADCAST, core.heartbeats_broadcast),
            (super::HEARTBEATS_RECEIVED, core.heartbeats_received),
            (super::HEARTBEATS_REDUNDANT, core.heartbeats_redundant),
            (super::HEARTBEATS_RELAYED, core.heartbeats_relayed),
            (super::OVERSLEPT, core.overslept),
            (super::ISOLATIONS, core.isolations),
        ] {
            self.counter(declaration, [(vec![], count)]);
        }
        let refused = |reason: Refusal| core.refused.get(&reason).copied().unwrap_or(0);
        let rows = Refusal::ALL.map(|reason| (vec![reason.word()], refused(reason)));
        self.counter(super::DATAGRAMS_REFUSED, rows);
    }

    fn server(&mut self, status: &Status) {
        self.gauge(super::UPTIME, [(vec![], number(status.uptime_seconds))]);
        self.gauge(super::GUARDIAN_UP, [(vec![], f64::from(u8::from(status.guardian == "up")))]);
        let states = ["listening", "normal", "isolated", "standby", "resigning"];
        self.gauge(super::STATE, states.map(|state| (vec![state], flag(state == status.state))));
        self.gauge(super::CONFIG_INFO, [(vec![status.config.hash.as_str()], 1.0)]);
        self.gauge(super::CONFIG_VERSION, [(vec![], number(status.config.version))]);
        self.gauge(super::CONFIG_REFUSED, [(vec![], flag(status.config.refused.is_some()))]);
        self.gauge(super::CONFIG_CONFLICTS, [(vec![], count(status.config.conflicts.len()))]);
        self.gauge(super::CONFIG_CLASHES, [(vec![], count(status.config.clashes.len()))]);
        self.gauge(super::CONFIG_HELD, [(vec![], count(status.config.held.len()))]);
        self.gauge(super::CONFIG_DISK_FAILING, [(vec![], flag(status.config.disk_failing))]);
        self.gauge(super::DNS_SERIAL, [(vec![], f64::from(status.dns.serial))]);
    }

    fn servers(&mut self, status: &Status) {
        let states = ["self", "alive", "suspect", "dead", "left", "unknown"];
        let of = |state: &str| count(status.servers.iter().filter(|server| server.state == state).count());
        self.gauge(super::SERVERS, states.map(|state| (vec![state], of(state))));
        let up = |state: &str| flag(matches!(state, "self" | "alive" | "suspect"));
        let rows = status.servers.iter().map(|server| (vec![server.name.as_str()], up(&server.state)));
        self.gauge(super::SERVER_UP, rows);
        let rows = status.servers.iter().flat_map(|server| {
            server.paths.iter().map(|path| (vec![server.name.as_str(), path.path.as_str()], flag(path.state == "up")))
        });
        self.gauge(super::PATH_UP, rows);
    }

    fn virtual_hosts(&mut self, status: &Status) {
        let rows = |value: fn(&Status, &VirtualHostStatus) -> f64| {
            status.virtual_hosts.iter().map(move |host| (vec![host.name.as_str()], value(status, host)))
        };
        let here = |status: &Status, host: &VirtualHostStatus| flag(host.active.as_ref() == Some(&status.this));
        let at_primary = |_: &Status, host: &VirtualHostStatus| {
            let primary = host.servers.first().map(|server| &server.name);
            flag(host.active.is_some() && host.active.as_ref() == primary)
        };
        self.gauge(super::VIRTUAL_HOST_ACTIVE, rows(here));
        self.gauge(super::VIRTUAL_HOST_HELD, rows(|_, host| flag(host.active.is_some())));
        self.gauge(super::VIRTUAL_HOST_AT_PRIMARY, rows(at_primary));
        self.gauge(super::VIRTUAL_HOST_TERM, rows(|_, host| number(host.term)));
    }

    fn monitors(&mut self, status: &Status) {
        let (mut verdicts, mut held) = (Vec::new(), Vec::new());
        for host in &status.virtual_hosts {
            let own = host.servers.iter().filter(|server| server.name == status.this);
            for monitor in own.flat_map(|server| &server.monitors) {
                for verdict in VERDICTS {
                    let labels = vec![host.name.as_str(), monitor.name.as_str(), verdict];
                    verdicts.push((labels, flag(verdict == monitor.verdict)));
                }
                for hold in Hold::ALL.map(Hold::word) {
                    let labels = vec![host.name.as_str(), monitor.name.as_str(), hold];
                    held.push((labels, flag(monitor.held.as_deref() == Some(hold))));
                }
            }
        }
        self.gauge(super::MONITOR_VERDICT, verdicts);
        self.gauge(super::SHARED_FAULT, [(vec![], flag(status.shared_fault.is_some()))]);
        self.gauge(super::MONITOR_HELD, held);
    }

    fn endpoints(&mut self, status: &Status) {
        let mut verdicts = Vec::new();
        for endpoint in &status.endpoints {
            let own = endpoint.probed_by.iter().filter(|prober| prober.name == status.this);
            for monitor in own.flat_map(|prober| &prober.monitors) {
                verdicts.push((
                    endpoint.name.as_str(),
                    monitor.address.map_or(String::new(), |at| at.to_string()),
                    monitor,
                ));
            }
        }
        let rows = verdicts.iter().flat_map(|(endpoint, address, monitor)| {
            VERDICTS.map(|verdict| {
                (vec![*endpoint, address, monitor.name.as_str(), verdict], flag(verdict == monitor.verdict))
            })
        });
        self.gauge(super::ENDPOINT_MONITOR_VERDICT, rows);
        let rows = status.endpoints.iter().flat_map(|endpoint| {
            VERDICTS.map(|verdict| (vec![endpoint.name.as_str(), verdict], flag(verdict == endpoint.verdict)))
        });
        self.gauge(super::ENDPOINT_VERDICT, rows);
    }

    fn pools(&mut self, status: &Status) {
        let rows = status.pools.iter().flat_map(|pool| {
            pool.members.iter().map(|member| (vec![pool.name.as_str(), member.name.as_str()], flag(member.answered)))
        });
        self.gauge(super::DNS_ANSWERED, rows);
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn seconds(micros: u64) -> f64 {
    number(micros) / 1e6
}

/// Prometheus' numbers are floats: exact up to 2^53.
fn number(value: u64) -> f64 {
    value as f64
}
