//! What `expected.txt` says: every line of what happened, and what everybody thinks at the end.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr, sync::Arc};

use model::{
    Instant, ServerName,
    config::ClusterConfig,
    health::{Health, ServerState},
};

use super::{machine::Machine, story::Step};

const HEAD: &str = "\
# Time, who, what. Who is a server that says what it decided or noticed; `*` is the story;
# `=` is where an address is in fact: which kernels have it.

";

/// The record, as it grows.
pub(crate) struct Record {
    text: String,
    /// Where `text` begins to count.
    from: usize,
    width: usize,
    /// How the digests of configurations read, and their files.
    files: Vec<(String, String)>,
    /// Where each address is, in words.
    places: BTreeMap<IpAddr, String>,
    /// Who last announced each address on the link.
    announced: BTreeMap<IpAddr, ServerName>,
}

impl Record {
    pub(crate) fn new(first: &ClusterConfig, all: &BTreeMap<String, Arc<ClusterConfig>>) -> Self {
        let addresses = all.values().flat_map(|config| config.virtual_hosts.values()).flat_map(|host| &host.addresses);
        Self {
            text: String::new(),
            from: 0,
            width: first.servers.keys().map(|name| name.as_str().len()).max().unwrap_or_default(),
            files: all.iter().map(|(file, config)| (format!("{:016x}", config.digest), file.clone())).collect(),
            places: addresses.map(|address| (*address, "nowhere".to_owned())).collect(),
            announced: BTreeMap::new(),
        }
    }

    /// The whole text.
    pub(crate) fn finish(&self) -> String {
        format!("{HEAD}{}\n", self.text[self.from..].trim_end())
    }

    fn line(&mut self, now: Instant, who: &str, what: &str) {
        let micros = now.as_nanos() / 1_000;
        let width = self.width;
        for (number, line) in what.lines().enumerate() {
            let who = if number == 0 { who } else { "" };
            writeln!(self.text, "{:>6}.{} ms  {who:<width$}  {line}", micros / 1_000, micros % 1_000 / 100)
                .expect("writing to a string cannot fail");
        }
    }

    /// A sentence of the story. An expectation that is met is no news.
    pub(crate) fn step(&mut self, now: Instant, step: &Step, sentence: &str) {
        match step {
            Step::Record => self.from = self.text.len(),
            Step::Held(..) => {}
            Step::End => self.text.push('\n'),
            Step::Start(_)
            | Step::PowerOff(_)
            | Step::Resign(_)
            | Step::Standby(..)
            | Step::Carrier(..)
            | Step::Router(..)
            | Step::Wire(..)
            | Step::Way(..)
            | Step::Heartbeats(..)
            | Step::Service(..)
            | Step::Hidden(..)
            | Step::Monitor(..)
            | Step::Force(..)
            | Step::Endpoint(..)
            | Step::Freeze { .. }
            | Step::Reload(..)
            | Step::Stranger(..) => self.line(now, "*", sentence),
        }
    }

    /// Something that follows from the story.
    pub(crate) fn remark(&mut self, now: Instant, sentence: &str) {
        self.line(now, "*", sentence);
    }

    /// What a server says.
    pub(crate) fn event(&mut self, now: Instant, server: &ServerName, sentence: &str) {
        let mut sentence = sentence.to_owned();
        for (digest, file) in &self.files {
            sentence = sentence.replace(digest, file);
        }
        self.line(now, server.as_str(), &sentence);
    }

    /// A server has told the link that it has these addresses.
    pub(crate) fn announced(&mut self, server: &ServerName, addresses: impl Iterator<Item = IpAddr>) {
        self.announced.extend(addresses.map(|address| (address, server.clone())));
    }

    /// Compares where the addresses are with a moment ago.
    pub(crate) fn addresses(&mut self, now: Instant, machines: &[Machine]) {
        let mut changed = Vec::new();
        for (address, before) in &mut self.places {
            let place = place(machines, *address);
            if place != *before {
                changed.push(format!("{address} is {place}"));
                *before = place;
            }
        }
        for sentence in changed {
            self.line(now, "=", &sentence);
        }
    }

    /// How everything is now.
    pub(crate) fn summary(&mut self, now: Instant, machines: &[Machine]) {
        let mut out = format!("--- at {} ms ---\n", now.as_nanos() / 1_000_000);
        for (address, place) in &self.places {
            let last = self.announced.get(address).filter(|_| place != "nowhere");
            let last = last.map(|server| format!("; {server} announced it last")).unwrap_or_default();
            writeln!(out, "{address} is {place}{last}").expect("writing to a string cannot fail");
        }
        for (servers, words) in opinions(now, machines) {
            writeln!(out, "{}:\n{words}", servers.join(", ")).expect("writing to a string cannot fail");
        }
        self.text.push_str(out.trim_end());
        self.text.push_str("\n\n");
    }
}

fn place(machines: &[Machine], address: IpAddr) -> String {
    let there = machines.iter().filter(|machine| machine.kernel.contains(&address));
    let words: Vec<String> = there
        .map(|machine| match (machine.frozen, machine.carrier) {
            (true, _) => format!("{} (frozen)", machine.name),
            (false, false) => format!("{} (without network)", machine.name),
            (false, true) => machine.name.to_string(),
        })
        .collect();
    if words.is_empty() { "nowhere".to_owned() } else { format!("on {}", words.join(" and ")) }
}

/// What the servers say; those that say the same together.
fn opinions(now: Instant, machines: &[Machine]) -> Vec<(Vec<&str>, String)> {
    let mut opinions: Vec<(Vec<&str>, String)> = Vec::new();
    for machine in machines {
        let opinion = opinion(now, machine);
        match opinions.iter_mut().find(|(_, words)| *words == opinion) {
            Some((servers, _)) => servers.push(machine.name.as_str()),
            None => opinions.push((vec![machine.name.as_str()], opinion)),
        }
    }
    opinions
}

fn opinion(now: Instant, machine: &Machine) -> String {
    let Some(process) = &machine.process else { return "    does not run\n".to_owned() };
    if process.frozen {
        return "    frozen\n".to_owned();
    }
    let Health { revision: _, settled, isolated: _, serial, servers, virtual_hosts, endpoints, calm: _ } =
        &*process.health;
    let state = process.node.status(machine.local(now)).state;
    let mut out = format!("    {state}{}; zone serial {serial}\n", if *settled { "" } else { ", not settled" });
    let mut line = |what: &str, words: String| {
        writeln!(out, "    {what:<12} {words}").expect("writing to a string cannot fail");
    };
    let server = |(name, health): (&ServerName, &model::health::ServerHealth)| {
        let state = match health.state {
            ServerState::Unknown => "unknown",
            ServerState::Alive => "alive",
            ServerState::Suspect => "suspect",
            ServerState::Dead => "dead",
            ServerState::Left => "left",
        };
        format!("{name} {state}{}", if health.standby { " on standby" } else { "" })
    };
    line("servers", servers.iter().map(server).collect::<Vec<_>>().join(", "));
    for (name, host) in virtual_hosts {
        let holder = match (&host.active, host.at_primary) {
            (None, _) => "held by nobody".to_owned(),
            (Some(server), true) => format!("held by {server}, its primary"),
            (Some(server), false) => format!("held by {server}, a backup"),
        };
        line(name.as_str(), format!("{holder}; verdict {}", format!("{:?}", host.verdict).to_lowercase()));
    }
    for (name, endpoint) in endpoints {
        line(name.as_str(), format!("endpoint; verdict {}", format!("{:?}", endpoint.verdict).to_lowercase()));
    }
    for pool in process.view(&machine.name).pools() {
        let answer = process.answers.get(&pool.name).map(String::as_str).unwrap_or_default();
        line(&format!("DNS {}", pool.name), answer.to_owned());
        for member in pool.members.iter().filter(|member| !member.answered) {
            line("", format!("without {}: {}", member.name, member.why));
        }
    }
    out
}
