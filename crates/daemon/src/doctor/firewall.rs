//! Whether the packet filter lets through what Standin lives by.
//!
//! nftables' rules are followed for a handful of packets, as the kernel would: base chains of the input hooks, jumps, policies.
//! What cannot be judged here (sets by name, limits, marks, verdict maps) is taken for a rule that may or may not match: a drop
//! behind it is not told, and an acceptance before a drop is told as one that may not count.
//!
//! Rules of the old iptables are not read; that they are there is told.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;

use super::{Facts, Finding, Severity};

/// A packet that must get here.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Packet {
    what: &'static str,
    transport: &'static str,
    port: u16,
    from: Option<IpAddr>,
    v4: bool,
    /// It may belong to a conversation that we began.
    maybe_known: bool,
    severity: Severity,
}

/// Whether a rule's condition holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Holds {
    Yes,
    Unknown,
    /// Outweighs the others: all conditions of a rule must hold.
    No,
}

/// What becomes of a packet in a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fate {
    Accepted,
    Dropped(Place),
    GoesOn,
}

/// What dropped it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    /// Family, table and chain, as `nft` wants them.
    chain: String,
    /// The rule's number; none for the policy.
    handle: Option<u64>,
    /// The rule is about this port alone.
    narrow: bool,
}

/// Family, table, chain.
type ChainName = (String, String, String);

struct Ruleset<'r> {
    bases: Vec<(ChainName, &'r Value)>,
    rules: BTreeMap<ChainName, Vec<&'r Value>>,
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let why = "whether it drops heartbeats, DNS or the admin port cannot be told";
    let note = |seen: &str, then: &str| Finding::new(Severity::Note, seen, why).then(then);
    let mut found = Vec::new();
    if facts.machine.firewall.legacy {
        found.push(note(
            "tables of the old iptables are loaded",
            "look yourself: `iptables-legacy-save`, `ip6tables-legacy-save`",
        ));
    }
    match &facts.machine.firewall.nftables {
        None => {}
        Some(Err(reason)) => {
            found.push(note(&format!("nftables cannot be read: {reason}"), "run `standin doctor` as root"))
        }
        Some(Ok(text)) => match serde_json::from_str::<Value>(text) {
            Ok(listing) => found.extend(follow(facts, &Ruleset::read(&listing))),
            Err(_) => found.push(note("`nft --json list ruleset` prints no JSON", "look yourself: `nft list ruleset`")),
        },
    }
    found
}

/// Follows every packet; one finding for each place that drops some.
fn follow(facts: &Facts, ruleset: &Ruleset<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for packet in packets(facts) {
        for (base, chain) in ruleset.bases.iter().filter(|(base, _)| sees(&base.0, &packet)) {
            let mut unsure = false;
            let fate = match ruleset.walk(base, &packet, &mut unsure, 0) {
                Fate::GoesOn if chain["policy"] == "drop" => {
                    Fate::Dropped(Place { chain: spelled(base), handle: None, narrow: false })
                }
                fate => fate,
            };
            let Fate::Dropped(place) = fate else { continue };
            let finding = finding(&packet, &place, unsure);
            if !found.iter().any(|known| known.seen == finding.seen) {
                found.push(finding);
            }
        }
    }
    found
}

fn packets(facts: &Facts) -> Vec<Packet> {
    let Some(wanted) = &facts.wanted else { return Vec::new() };
    let base = Packet {
        what: "heartbeats",
        transport: "udp",
        port: wanted.heartbeat.port(),
        from: None,
        v4: true,
        maybe_known: true,
        severity: Severity::Error,
    };
    let mut all = Vec::new();
    for (_, address) in &wanted.peers {
        let from = Packet { from: Some(*address), v4: address.is_ipv4(), ..base.clone() };
        if let Some(admin) = wanted.admin {
            let what = "links and the admin API";
            all.push(Packet { what, transport: "tcp", port: admin.port(), maybe_known: false, ..from.clone() });
        }
        all.push(from);
    }
    for socket in &wanted.dns {
        for transport in ["udp", "tcp"] {
            let (port, v4) = (socket.port(), socket.is_ipv4());
            all.push(Packet { what: "DNS", transport, port, v4, maybe_known: false, ..base.clone() });
        }
    }
    all
}

fn finding(packet: &Packet, place: &Place, unsure: bool) -> Finding {
    let Packet { what, transport, port, .. } = packet;
    let by = match place.handle {
        Some(handle) => format!("rule {handle} of chain {}", place.chain),
        None => format!("the policy of chain {}", place.chain),
    };
    let word = if unsure { "may drop" } else { "drops" };
    let from = packet.from.map_or_else(String::new, |from| format!(" from {from}"));
    let seen = format!("{by} {word} {what}{from} ({transport} port {port})");
    let why = match *what {
        "heartbeats" => "other servers are taken for dead, and their addresses taken over",
        "DNS" => "clients wait for answers, and ask another server",
        _ => "edits, new members and key changes do not arrive",
    };
    let severity = if unsure { Severity::Note } else { packet.severity };
    let command = match place.handle.filter(|_| place.narrow) {
        Some(handle) => format!("nft delete rule {} handle {handle}", place.chain),
        None => format!("nft insert rule {} {transport} dport {port} accept", place.chain),
    };
    Finding::new(severity, seen, why).run(command).then(
        "the same in what loads the rules at start: /etc/nftables.conf, firewalld (`firewall-cmd --permanent`) or ufw",
    )
}

/// Whether a chain of this family is asked about the packet.
fn sees(family: &str, packet: &Packet) -> bool {
    family == "inet" || family == if packet.v4 { "ip" } else { "ip6" }
}

fn spelled((family, table, chain): &ChainName) -> String {
    format!("{family} {table} {chain}")
}

impl<'r> Ruleset<'r> {
    fn read(listing: &'r Value) -> Self {
        let name = |of: &Value, chain: &str| {
            let text = |field: &str| of[field].as_str().unwrap_or_default().to_owned();
            (text("family"), text("table"), text(chain))
        };
        let (mut bases, mut rules) = (Vec::new(), BTreeMap::<ChainName, Vec<&Value>>::new());
        for one in listing["nftables"].as_array().into_iter().flatten() {
            if let Some(chain) = one.get("chain")
                && matches!(chain["hook"].as_str(), Some("input" | "prerouting"))
                && chain["type"] == "filter"
            {
                bases.push((name(chain, "name"), chain));
            } else if let Some(rule) = one.get("rule") {
                rules.entry(name(rule, "chain")).or_default().push(rule);
            }
        }
        Self { bases, rules }
    }

    /// What becomes of the packet in a chain. `unsure` is set where a rule that accepts it may not match.
    fn walk(&self, chain: &ChainName, packet: &Packet, unsure: &mut bool, depth: usize) -> Fate {
        // The kernel allows no more.
        const DEEPEST: usize = 16;
        if depth > DEEPEST {
            return Fate::GoesOn;
        }
        for rule in self.rules.get(chain).into_iter().flatten() {
            let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
            let certain = match expressions.iter().map(|one| holds(one, packet)).max() {
                Some(Holds::No) => continue,
                Some(Holds::Unknown) => false,
                Some(Holds::Yes) | None => true,
            };
            let (fate, ends) = match action(expressions) {
                None => (Fate::GoesOn, false),
                Some(Action::Accept) => (Fate::Accepted, true),
                Some(Action::Drop) => {
                    let narrow = expressions.iter().any(|one| is_about_port(one, packet.port));
                    let place = Place { chain: spelled(chain), handle: rule["handle"].as_u64(), narrow };
                    (Fate::Dropped(place), true)
                }
                Some(Action::Return) => (Fate::GoesOn, true),
                Some(Action::Enter { target, back }) => {
                    let target = (chain.0.clone(), chain.1.clone(), target.to_owned());
                    (self.walk(&target, packet, unsure, depth + 1), !back)
                }
                Some(Action::Unknown) => {
                    *unsure = true;
                    continue;
                }
            };
            match fate {
                Fate::Accepted if !certain => *unsure = true,
                Fate::GoesOn if !(certain && ends) => {}
                Fate::Dropped(_) if !certain => {}
                fate => return fate,
            }
        }
        Fate::GoesOn
    }
}

/// What a rule does with what matches it.
enum Action<'r> {
    Accept,
    Drop,
    Return,
    /// Another chain, after which this one goes on, or not.
    Enter {
        target: &'r str,
        back: bool,
    },
    /// A verdict that depends on what is not known here.
    Unknown,
}

fn action(expressions: &[Value]) -> Option<Action<'_>> {
    let of = |one| {
        let (word, body) = Value::as_object(one)?.iter().next()?;
        match word.as_str() {
            "accept" => Some(Action::Accept),
            "drop" | "reject" => Some(Action::Drop),
            "return" => Some(Action::Return),
            "jump" | "goto" => Some(Action::Enter { target: body["target"].as_str()?, back: word == "jump" }),
            "vmap" | "queue" | "xt" => Some(Action::Unknown),
            _ => None,
        }
    };
    expressions.iter().find_map(of)
}

/// Whether an expression lets the packet on to the next one.
fn holds(expression: &Value, packet: &Packet) -> Holds {
    if let Some(condition) = expression.get("match") {
        return matches(condition, packet);
    }
    // A limit lets some through; what else is not a condition does.
    if expression.get("limit").is_some() || expression.get("xt").is_some() { Holds::Unknown } else { Holds::Yes }
}

fn matches(condition: &Value, packet: &Packet) -> Holds {
    let (left, right) = (&condition["left"], &condition["right"]);
    let plain = |key: &str| left["meta"]["key"] == key;
    let field =
        |protocol: &str, field: &str| left["payload"]["protocol"] == protocol && left["payload"]["field"] == field;
    let text = |value: &str| is_among(right, &|one| one.as_str().map(|one| one == value));
    let answer = if plain("l4proto") || field("ip", "protocol") || field("ip6", "nexthdr") {
        text(packet.transport)
    } else if plain("nfproto") {
        text(if packet.v4 { "ipv4" } else { "ipv6" })
    } else if field(packet.transport, "dport") || field("th", "dport") {
        is_among(right, &|one| number(one, u64::from(packet.port)))
    } else if field("tcp", "dport") || field("udp", "dport") || field("icmp", "type") || field("icmpv6", "type") {
        Some(false)
    } else if field("ip", "saddr") || field("ip6", "saddr") {
        match packet.from {
            Some(from) if from.is_ipv4() == (left["payload"]["protocol"] == "ip") => {
                is_among(right, &|one| network(one, from))
            }
            Some(_) => Some(false),
            None => None,
        }
    } else if left["ct"]["key"] == "state" {
        match is_among(right, &|one| one.as_str().map(|one| one == "new")) {
            Some(false) if packet.maybe_known => None,
            answer => answer,
        }
    } else if plain("iifname") || plain("iif") {
        // By whichever interface it comes, it is not this one.
        text("lo").filter(|lo| *lo).map(|_| false)
    } else {
        None
    };
    match (answer, condition["op"].as_str()) {
        (None, _) => Holds::Unknown,
        (Some(answer), Some("!=")) => {
            if answer {
                Holds::No
            } else {
                Holds::Yes
            }
        }
        (Some(answer), Some("==" | "in")) => {
            if answer {
                Holds::Yes
            } else {
                Holds::No
            }
        }
        (Some(_), _) => Holds::Unknown,
    }
}

/// Whether one of several values is it; none where that cannot be told.
fn is_among(right: &Value, is: &dyn Fn(&Value) -> Option<bool>) -> Option<bool> {
    let all = right.get("set").and_then(Value::as_array).or_else(|| right.as_array());
    match all {
        // The name of a set.
        None if right.as_str().is_some_and(|name| name.starts_with('@')) => None,
        None => is(right),
        Some(all) => {
            let answers: Vec<Option<bool>> = all.iter().map(is).collect();
            if answers.contains(&Some(true)) { Some(true) } else { (!answers.contains(&None)).then_some(false) }
        }
    }
}

fn number(value: &Value, wanted: u64) -> Option<bool> {
    if let Some([low, high]) = value["range"].as_array().map(Vec::as_slice) {
        return Some((low.as_u64()?..=high.as_u64()?).contains(&wanted));
    }
    Some(value.as_u64()? == wanted)
}

fn network(value: &Value, wanted: IpAddr) -> Option<bool> {
    if let Some(address) = value.as_str() {
        return Some(address.parse::<IpAddr>().ok()? == wanted);
    }
    if let Some([low, high]) = value["range"].as_array().map(Vec::as_slice) {
        let address = |bound: &Value| bound.as_str()?.parse::<IpAddr>().ok();
        return Some((address(low)?..=address(high)?).contains(&wanted));
    }
    let address = value["prefix"]["addr"].as_str()?.parse().ok()?;
    let length = u8::try_from(value["prefix"]["len"].as_u64()?).ok()?;
    Some(model::net::Prefix { address, length }.contains(wanted))
}

/// Whether an expression names this port and no other.
fn is_about_port(expression: &Value, port: u16) -> bool {
    let condition = &expression["match"];
    condition["op"] == "==" && condition["left"]["payload"]["field"] == "dport" && condition["right"] == port
}
