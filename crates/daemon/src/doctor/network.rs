//! The kernel's settings of the interfaces that virtual addresses live on.

use host::survey::Link;

use super::{Facts, Finding, Severity};

/// How a setting of an interface and that of `all` make one (ip-sysctl in the kernel's documentation): the larger one.
fn effective(facts: &Facts, family: &str, link: &Link, name: &str) -> Option<i64> {
    let of = |which: &str| facts.machine.settings.get(&format!("net/{family}/conf/{which}/{name}"));
    of(&link.name).into_iter().chain(of("all")).max()
}

/// A finding whose remedy sets the interface's setting, and that of `all` where it would outweigh it.
fn set(facts: &Facts, finding: Finding, (family, link, name): (&str, &Link, &str), value: i64) -> Finding {
    let key = |which: &str| format!("net/{family}/conf/{which}/{name}");
    let outweighs = facts.machine.settings.get(&key("all")).is_some_and(|all| all > value);
    let which = outweighs.then_some("all").into_iter().chain([link.name.as_str()]);
    let lines: Vec<String> = which.map(|which| format!("{}={value}", key(which))).collect();
    let finding = lines.iter().fold(finding, |finding, line| finding.run(format!("sysctl -w {line}")));
    finding.then("the same settings, one a line, in /etc/sysctl.d/60-standin.conf")
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let links = &facts.machine.links;
    for link in links {
        found.extend(reverse_path(facts, link));
        found.extend(silence(facts, link));
        found.extend(deafness(facts, link));
        found.extend(secondaries(facts, link));
        found.extend(ipv6(facts, link));
    }
    // Of each subnet that several interfaces are on, every interface.
    let shares = |link: &&Link| {
        let others = links.iter().filter(|other| other.index != link.index);
        others.flat_map(|other| &other.addresses).any(|address| {
            // Single addresses, such as virtual ones, are on no subnet.
            address.address.is_ipv4()
                && address.length < 32
                && link.addresses.iter().any(|own| own.length < 32 && own.contains(address.address))
        })
    };
    for link in links.iter().filter(shares) {
        found.extend(flux(facts, link));
    }
    found
}

/// Strict reverse path filtering, where packets can come in by one interface and leave by another.
fn reverse_path(facts: &Facts, link: &Link) -> Option<Finding> {
    const STRICT: i64 = 1;
    const LOOSE: i64 = 2;
    if facts.machine.links.len() < 2 || effective(facts, "ipv4", link, "rp_filter")? != STRICT {
        return None;
    }
    let seen = format!("{} drops what comes in by another interface than answers leave by (rp_filter 1)", link.name);
    let why = "a virtual address is reached from some networks and not from others";
    Some(set(facts, Finding::new(Severity::Warning, seen, why), ("ipv4", link, "rp_filter"), LOOSE))
}

/// Nobody is told where our addresses are.
fn silence(facts: &Facts, link: &Link) -> Option<Finding> {
    const NEVER: i64 = 8;
    if effective(facts, "ipv4", link, "arp_ignore")? < NEVER {
        return None;
    }
    let seen = format!("{} answers no ARP request (arp_ignore 8)", link.name);
    let why = "whoever missed our announcement never finds a virtual address";
    Some(set(facts, Finding::new(Severity::Error, seen, why), ("ipv4", link, "arp_ignore"), 1))
}

/// We don't hear where an address has moved.
fn deafness(facts: &Facts, link: &Link) -> Vec<Finding> {
    let settings = [
        ("ipv4", "drop_gratuitous_arp", "announcements by ARP"),
        ("ipv6", "drop_unsolicited_na", "unsolicited neighbour advertisements"),
    ];
    let on = settings
        .into_iter()
        .filter(|(family, name, _)| effective(facts, family, link, name).is_some_and(|value| value > 0));
    on.map(|(family, name, what)| {
        let seen = format!("{} drops {what} ({name} 1)", link.name);
        let why =
            "this server goes on sending to the old holder of an address that has moved, until its own entry runs out";
        set(facts, Finding::new(Severity::Warning, seen, why), (family, link, name), 0)
    })
    .collect()
}

/// The machine's own further addresses go with the first one. Virtual ones are /32 and stay.
fn secondaries(facts: &Facts, link: &Link) -> Option<Finding> {
    let v4 = |prefix: &&model::net::Prefix| prefix.address.is_ipv4() && prefix.length < 32;
    let several = link.addresses.iter().filter(v4).count() > 1;
    if !several || effective(facts, "ipv4", link, "promote_secondaries")? > 0 {
        return None;
    }
    let seen =
        format!("{} has several addresses, and does not promote secondary ones (promote_secondaries 0)", link.name);
    let why = "when its first address of a subnet is removed, all others of that subnet go, the heartbeats' perhaps among them";
    Some(set(facts, Finding::new(Severity::Warning, seen, why), ("ipv4", link, "promote_secondaries"), 1))
}

fn ipv6(facts: &Facts, link: &Link) -> Vec<Finding> {
    let mut found = Vec::new();
    let wanted = facts.wanted.iter().flat_map(|wanted| &wanted.virtual_addresses).any(|address| address.is_ipv6());
    let own = facts.machine.settings.get(&format!("net/ipv6/conf/{}/disable_ipv6", link.name));
    // Only where virtual addresses may live: beside the machine's own.
    if wanted && own == Some(1) && !link.addresses.is_empty() {
        let seen = format!("IPv6 is off on {} (disable_ipv6 1)", link.name);
        let finding = Finding::new(Severity::Error, seen, "no IPv6 virtual address can be set there");
        found.push(set(facts, finding, ("ipv6", link, "disable_ipv6"), 0));
    }
    const ALL_OR_NOTHING: i64 = 2;
    if wanted && effective(facts, "ipv6", link, "accept_dad") == Some(ALL_OR_NOTHING) {
        let seen = format!("a duplicate link-local address turns IPv6 off on {} (accept_dad 2)", link.name);
        let why = "one forged or cloned machine on the link takes all IPv6 virtual addresses down; their own check Standin makes itself";
        found.push(set(facts, Finding::new(Severity::Warning, seen, why), ("ipv6", link, "accept_dad"), 1));
    }
    found
}

/// Several interfaces on one subnet, each of which answers for the addresses of all.
fn flux(facts: &Facts, link: &Link) -> Vec<Finding> {
    const WHY: &str = "two interfaces of one subnet both answer for a virtual address, and clients reach the one that is not announced";
    let settings = [
        ("arp_ignore", 1, "answers ARP for addresses of other interfaces"),
        ("arp_announce", 2, "asks by ARP with addresses of other interfaces"),
    ];
    let off = settings.into_iter().filter(|(name, ..)| effective(facts, "ipv4", link, name) == Some(0));
    off.map(|(name, value, what)| {
        let seen = format!("{} shares its subnet with another interface, and {what} ({name} 0)", link.name);
        set(facts, Finding::new(Severity::Warning, seen, WHY), ("ipv4", link, name), value)
    })
    .collect()
}
