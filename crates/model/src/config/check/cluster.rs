//! `cluster.toml` as a whole, and its `[cluster]` section.

use std::{collections::BTreeMap, net::IpAddr, ops::Range, sync::Arc, time::Duration};

use toml::de::DeTable;

use super::{
    super::{
        cluster::{ClusterConfig, HeartbeatSettings, PartitionPolicy, SharedCause},
        read::{Entry, Fields, Firsts, Source, Value},
    },
    endpoints, is_new, notify, pools, servers, virtual_hosts, with_valid_names, zones,
};
use crate::{diagnostic::Diagnostic, digest::digest64, id::ServerName};

const SECTIONS: &[&str] = &["cluster", "server", "virtual-host", "endpoint", "pool", "zone", "dns", "notify"];

/// Reads the text of a cluster file; `file` is its name in messages. The digest is that of the text alone.
///
/// # Errors
/// All mistakes, in the order of the text. A text that is not TOML gives only what TOML has against it.
pub fn parse_cluster(file: &str, text: &str) -> Result<ClusterConfig, Vec<Diagnostic>> {
    let source = Source::new(file, text);
    let (tree, errors) = DeTable::parse_recoverable(text);
    source.refuse_syntax(&errors);
    if !errors.is_empty() {
        return Err(source.into_mistakes());
    }
    let config = {
        let root = Fields::of(&source, tree.get_ref(), "the cluster file".to_owned(), 0..0, SECTIONS);
        Draft::new(&source, &root).finish(&root, digest64(&[text]))
    };
    source.finish(config)
}

/// What the sections need to know of each other.
pub(super) struct Draft<'s> {
    pub(super) source: &'s Source<'s>,
    pub(super) servers: Vec<Entry<'s>>,
    /// The servers that came later, with their turns: `"all"` lists them behind the others.
    pub(super) joined: BTreeMap<ServerName, u32>,
    pub(super) virtual_hosts: Vec<Entry<'s>>,
    pub(super) pools: Vec<Entry<'s>>,
    pub(super) endpoints: Vec<Entry<'s>>,
    pub(super) channels: Vec<Entry<'s>>,
    /// Every address of the cluster, with whose it is.
    pub(super) addresses: Firsts<'s, IpAddr>,
}

impl<'s> Draft<'s> {
    fn new(source: &'s Source<'s>, root: &Fields<'s>) -> Self {
        let named = |section| with_valid_names(source, root.entries(section));
        Self {
            source,
            servers: named("server"),
            joined: BTreeMap::new(),
            virtual_hosts: named("virtual-host"),
            pools: named("pool"),
            endpoints: named("endpoint"),
            channels: named("notify"),
            addresses: Firsts::new(source),
        }
    }

    fn finish(mut self, root: &Fields<'s>, digest: u64) -> ClusterConfig {
        let section = root
            .require("cluster", "[cluster]` with `name = \"example\"")
            .and_then(|value| value.fields("[cluster]", &["name", "heartbeat", "partition", "shared-cause"]));
        // Servers first: no virtual address may be one of theirs. Endpoints and witness last: they may be neither.
        let servers = servers::servers(&mut self);
        let virtual_hosts = virtual_hosts::virtual_hosts(&mut self);
        let endpoints = endpoints::endpoints(&self);
        let there = pools::There { servers: &servers, virtual_hosts: &virtual_hosts, endpoints: &endpoints };
        let pools = pools::pools(&self, &there);
        let name = section.as_ref().and_then(|section| section.require("name", "name = \"example\""));
        ClusterConfig {
            name: Arc::from(name.and_then(|value| value.object_name("example")).unwrap_or_default()),
            digest,
            heartbeat: section.as_ref().map(heartbeat).unwrap_or_default(),
            partition: section
                .as_ref()
                .and_then(|section| self.partition(section))
                .unwrap_or(PartitionPolicy::Gateway { witness: Vec::new() }),
            shared_cause: section
                .as_ref()
                .and_then(|section| section.get("shared-cause"))
                .map(|value| shared_cause(&value))
                .unwrap_or_default(),
            servers,
            virtual_hosts,
            endpoints,
            pools,
            zones: zones::zones(&self, root.entries("zone")),
            dns: root.get("dns").map(zones::dns).unwrap_or_default(),
            channels: notify::channels(&self),
        }
    }

    fn partition(&self, section: &Fields<'s>) -> Option<PartitionPolicy> {
        #[derive(Clone, Copy, PartialEq)]
        enum Word {
            Gateway,
            Majority,
            Availability,
        }
        let value = section.get("partition")?;
        if value.is_text() {
            value.refuse("`partition` must be a table, not a text", "write `partition = { policy = \"majority\" }`");
            return None;
        }
        let fields = value.fields("`partition`", &["policy", "witness"])?;
        let word = fields.get("policy").map_or(Some(Word::Gateway), |policy| {
            policy.choice(&[
                ("gateway", Word::Gateway),
                ("majority", Word::Majority),
                ("availability", Word::Availability),
            ])
        })?;
        let witness = fields.get("witness");
        match (word, witness) {
            (Word::Gateway, witness) => {
                Some(PartitionPolicy::Gateway { witness: witness.map(|list| self.witness(&list)).unwrap_or_default() })
            }
            (Word::Majority, None) => Some(PartitionPolicy::Majority),
            (Word::Availability, None) => Some(PartitionPolicy::Availability),
            (Word::Majority | Word::Availability, Some(witness)) => {
                witness.refuse(
                    "`witness` is asked only under the policy \"gateway\"",
                    "remove `witness`, or write `policy = \"gateway\"`",
                );
                None
            }
        }
    }

    fn witness(&self, list: &Value<'s>) -> Vec<IpAddr> {
        let mut witness = Vec::new();
        for value in list.list("\"10.77.0.254\"").unwrap_or_default() {
            let Some(address) = value.address("10.77.0.254") else { continue };
            if let Some((whose, line)) = self.addresses.get(&address) {
                value.refuse(
                    format!("{address} cannot be a witness: it belongs to {whose} (line {line})"),
                    "a witness is a machine outside the cluster, such as the router",
                );
            } else if is_new(&value, &address, &witness) {
                witness.push(address);
            }
        }
        witness
    }
}

fn heartbeat(section: &Fields<'_>) -> HeartbeatSettings {
    let default = HeartbeatSettings::default();
    let fields = section.get("heartbeat").and_then(|value| value.fields("`heartbeat`", &["interval", "misses"]));
    let Some(fields) = fields else { return default };
    let limits = Duration::from_millis(10)..=Duration::from_secs(10);
    HeartbeatSettings {
        interval: fields.get("interval").and_then(|value| value.duration(limits)).unwrap_or(default.interval),
        misses: fields.get("misses").and_then(|value| value.integer(2..=20)).unwrap_or(default.misses),
    }
}

/// `false`, or `{ within = "3s" }`.
fn shared_cause(value: &Value<'_>) -> SharedCause {
    if !value.is_table() {
        return match value.boolean() {
            Some(false) => SharedCause::Off,
            Some(true) | None => SharedCause::default(),
        };
    }
    let limits = Duration::from_millis(500)..=Duration::from_secs(300);
    let fields = value.fields("`shared-cause`", &["within"]);
    let within = fields.and_then(|fields| fields.require("within", "within = \"3s\""));
    within.and_then(|within| within.duration(limits)).map_or_else(SharedCause::default, SharedCause::Within)
}

/// Heartbeats name things by 64-bit keys; two equal keys would be one thing. `things` has each one's words, key and
/// place.
pub(super) fn refuse_equal_keys(source: &Source<'_>, things: impl IntoIterator<Item = (String, u64, Range<usize>)>) {
    let mut keys = Firsts::new(source);
    for (what, key, span) in things {
        if let Some((other, line)) = keys.note(key, what.clone(), &span) {
            source.refuse(
                span,
                format!("{what} and {other} (line {line}) have the same key on the wire"),
                "rename one of the two",
            );
        }
    }
}
