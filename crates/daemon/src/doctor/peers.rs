//! How every other server is reached: heartbeat paths, link, clock, longest packet; and clouds, where the link is none.

use model::api::{ServerStatus, access::MemberStatus};

use super::{Facts, Finding, Running, Severity};

/// Clocks further apart than this are told, in milliseconds.
const APART: u64 = 2_000;
/// And further than this they break something: a certificate or token is not yet, or no more, valid.
const FAR_APART: u64 = 60_000;
/// Heartbeats are never longer (with their headers).
const HEARTBEAT: u32 = 1_280;

/// What a cloud's firmware says, its name, and what moves an address there.
const CLOUDS: [(&str, &str, &str); 10] = [
    (
        "Amazon EC2",
        "Amazon EC2",
        "a secondary private address or Elastic IP, moved by `aws ec2 assign-private-ip-addresses --allow-reassignment`",
    ),
    ("Google", "Google Compute Engine", "an alias IP range or a route, moved by `gcloud compute`"),
    (
        "7783-7084-3265-9085-8269-3286-77",
        "Microsoft Azure",
        "a secondary IP configuration, moved by `az network nic ip-config`",
    ),
    (
        "OracleCloud",
        "Oracle Cloud",
        "a secondary private IP, moved by `oci network vnic assign-private-ip --unassign-if-already-assigned`",
    ),
    ("DigitalOcean", "DigitalOcean", "a reserved IP, moved by `doctl compute reserved-ip-action assign`"),
    ("Hetzner", "Hetzner Cloud", "a floating IP, moved by `hcloud floating-ip assign`"),
    ("Alibaba Cloud", "Alibaba Cloud", "a high-availability virtual IP (HaVip)"),
    ("Tencent Cloud", "Tencent Cloud", "a high-availability virtual IP (HAVIP)"),
    ("Vultr", "Vultr", "a reserved IP, moved over its API or by BGP"),
    ("Linode", "Linode", "IP sharing, which needs BGP (lelastic)"),
];

/// Paths and links.
pub(super) fn reachability(facts: &Facts) -> Vec<Finding> {
    let Some(running) = &facts.running else { return without_daemon(facts) };
    let mut found = Vec::new();
    let status = &running.status;
    for peer in status.servers.iter().filter(|peer| peer.state != "self") {
        found.extend(liveness(peer));
        if peer.state == "alive" || peer.state == "suspect" {
            found.extend(udp(facts, peer));
        }
    }
    found.extend(ethernet(facts, running));
    for member in running.servers.iter().flat_map(|servers| &servers.servers).filter(|one| one.link == "not linked") {
        found.push(unlinked(member));
    }
    found
}

fn without_daemon(facts: &Facts) -> Vec<Finding> {
    let why = "heartbeats and links can be judged only while it runs";
    let finding = Finding::new(Severity::Note, "the daemon does not run, or does not answer", why);
    let mut found = vec![finding.then("`systemctl start standin`, then `standin doctor` again")];
    if let Some(cloud) = cloud(facts) {
        let seen = format!("this machine is one of {}", cloud.1);
        found.push(in_a_cloud(Severity::Warning, seen, cloud));
    }
    found
}

fn liveness(peer: &ServerStatus) -> Option<Finding> {
    let name = &peer.name;
    match peer.state.as_str() {
        "dead" | "unknown" => {
            let heard = peer.heard_ms.map_or_else(|| "never".to_owned(), |ago| format!("{} s ago", ago / 1000));
            let seen = format!("{name} ({}) is {}; it was last heard {heard}", peer.address, peer.state);
            let finding = Finding::new(Severity::Error, seen, "it stands in for nobody, and others do its work");
            Some(finding.then(format!("on {name}: `systemctl status standin`, then `standin doctor`")))
        }
        "alive" if peer.config_agrees == Some(false) => {
            let seen = format!("{name} has another configuration in force");
            let why = "the two may disagree about who holds what, and answer differently";
            let finding = Finding::new(Severity::Warning, seen, why);
            Some(
                finding
                    .then("`standin status` on both says which; in file mode bring the same files to both and reload"),
            )
        }
        _ => None,
    }
}

fn udp(facts: &Facts, peer: &ServerStatus) -> Option<Finding> {
    let port = facts.wanted.as_ref().map_or(7946, |wanted| wanted.heartbeat.port());
    let path = peer.paths.iter().find(|path| path.path == "udp")?;
    let name = &peer.name;
    let allow = format!(
        "let UDP port {port} through from {} to here and back: here, on {name}, and on what is between",
        peer.address
    );
    if path.state == "up" && peer.hears_us_ms.is_none() {
        let seen = format!("{name} does not hear us directly");
        let why = "one way alone is not enough: what it does not hear from us it must hear from others";
        return Some(Finding::new(Severity::Warning, seen, why).then(allow));
    }
    let seen = format!("heartbeats of {name} do not come by UDP ({})", path.state);
    let why = "one more path lost, and it is taken for dead";
    (path.state != "up").then(|| Finding::new(Severity::Warning, seen, why).then(allow))
}

fn ethernet(facts: &Facts, running: &Running) -> Vec<Finding> {
    let status = &running.status;
    let cloud = cloud(facts);
    if status.ethernet.state == "absent" {
        let reason = status.ethernet.reason.clone().unwrap_or_default();
        let seen = format!("there is no second heartbeat path: {reason}");
        return match cloud {
            Some(cloud) => vec![in_a_cloud(Severity::Error, format!("{seen}; this is {}", cloud.1), cloud)],
            None => {
                let why = "a firewall's mistake or an IP address that goes is then taken for a server's death";
                let then = "put the servers on one Ethernet segment, or say `ethernet = false` in [heartbeat] where there is none";
                vec![Finding::new(Severity::Warning, seen, why).then(then)]
            }
        };
    }
    if status.ethernet.state != "on" {
        return Vec::new();
    }
    let alive = status.servers.iter().filter(|peer| peer.state == "alive");
    let silent = |peer: &&ServerStatus| peer.paths.iter().any(|path| path.path == "ethernet" && path.state != "up");
    let silent: Vec<&ServerStatus> = alive.filter(silent).collect();
    if let (Some(cloud), false) = (cloud, silent.is_empty()) {
        let seen = format!("this is {}, and no Ethernet frame comes from {}", cloud.1, silent[0].name);
        return vec![in_a_cloud(Severity::Error, seen, cloud)];
    }
    let interfaces = status.ethernet.interfaces.join(", ");
    let finding = |peer: &ServerStatus| {
        let seen = format!("no Ethernet frames come from {} (by {interfaces})", peer.name);
        let why = "they are the second heartbeat path, and go where announcements of virtual addresses go";
        let then = "check the switch for filters of EtherType 0x88B5 and of broadcasts, VLANs, and `ethernet = false` on the other server";
        Finding::new(Severity::Warning, seen, why).then(then)
    };
    silent.into_iter().map(finding).collect()
}

fn unlinked(member: &MemberStatus) -> Finding {
    let seen = format!("there is no link to {} at {}", member.name, member.reach);
    let why = "edits, new members and key changes wait for it; heartbeats do not";
    let then =
        format!("let TCP port {} through to it; try `openssl s_client -connect {}`", member.reach.port(), member.reach);
    Finding::new(Severity::Warning, seen, why).then(then)
}

fn cloud(facts: &Facts) -> Option<&'static (&'static str, &'static str, &'static str)> {
    let told = |needle: &str| facts.machine.firmware.iter().any(|text| text.contains(needle));
    CLOUDS.iter().find(|(needle, ..)| told(needle))
}

fn in_a_cloud(severity: Severity, seen: String, (_, name, means): &(&str, &str, &str)) -> Finding {
    let why =
        "clouds route addresses by their own tables: announcements by ARP move nothing there, though DNS answers do";
    Finding::new(severity, seen, why).then(format!(
        "have a `before-take` hook move the address by {name}'s own means: {means}; or use pools of the servers' own addresses alone"
    ))
}

/// Clocks.
pub(super) fn clocks(facts: &Facts) -> Vec<Finding> {
    let Some(running) = &facts.running else { return Vec::new() };
    let mut found = Vec::new();
    for clock in &running.diagnosis.clocks {
        let apart = clock.ahead_ms.unsigned_abs().saturating_sub(clock.round_trip_ms / 2);
        if apart < APART {
            continue;
        }
        let (seconds, way) = (apart / 1000, if clock.ahead_ms > 0 { "ahead of" } else { "behind" });
        let seen = format!("the clock of {} is {seconds} s {way} ours", clock.server);
        let severity = if apart < FAR_APART { Severity::Warning } else { Severity::Error };
        let why = "certificates and tokens count by the clock, and logs of several servers cannot be read together; heartbeats do not care";
        found.push(Finding::new(severity, seen, why).run("timedatectl set-ntp true").then(
            "the same on the other server; with chrony: `chronyc makestep`, and `chronyc sources` to see whom it follows",
        ));
    }
    found.extend(facts.unreachable().iter().map(|missing| {
        let seen = format!("the clock of {} is not known: {}", missing.server, missing.why);
        Finding::new(Severity::Note, seen, "whether certificates and tokens count there cannot be told")
            .then("mend the link first")
    }));
    found
}

/// Packets.
pub(super) fn passages(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for link in facts.machine.links.iter().filter(|link| link.mtu < HEARTBEAT && !link.addresses.is_empty()) {
        let seen = format!("packets on {} have {} bytes at most", link.name, link.mtu);
        let why = "heartbeats are up to 1,248 bytes long, and IPv6 needs 1,280";
        found.push(
            Finding::new(Severity::Error, seen, why)
                .run(format!("ip link set {} mtu 1500", link.name))
                .then("the same where the interface is configured"),
        );
    }
    for passage in facts.passages.iter().filter(|passage| passage.short && !passage.long) {
        let (server, mtu) = (&passage.server, passage.mtu);
        let seen =
            format!("packets of {mtu} bytes do not get to {server} ({}) and back, and short ones do", passage.address);
        let why = "links between the servers begin and then hang, and long DNS answers are lost";
        let link = facts.link_to(passage.address).map_or("its interface", |link| link.name.as_str());
        found.push(Finding::new(Severity::Warning, seen, why).then(format!(
            "give {link} here, the one on {server} and every switch port between the same MTU, such as `ip link set {link} mtu 1500`"
        )));
    }
    found
}
