//! The cluster as this server sees it, in the words of `model::api`, for people and programs.

use std::time::Duration;

use model::{
    EndpointName, Instant, MonitorId, ServerName, VirtualHostName,
    api::{
        CandidateStatus, EndpointStatus, MonitorStatus, PathStatus, ProberStatus, SeenStatus, ServerStatus,
        SharedFaultStatus, VirtualHostStatus,
    },
    config::{Endpoint, Monitor, Server, VirtualHost},
    event::AddressRefusal,
    health::{Judgement, ServerState, Verdict},
    net::Path,
};

use super::Node;
use crate::{
    criteria::important_first,
    election::{
        Election, Obstacle,
        view::{Member, View},
    },
    membership::{PathState, Peer},
    outside,
    partition::Standing,
    statement::Claim,
};

/// What the core knows of the status that the admin API gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterStatus {
    /// `listening`, `normal`, `isolated`, `standby` or `resigning`.
    pub state: String,
    /// Every member.
    pub servers: Vec<ServerStatus>,
    /// Every virtual host.
    pub virtual_hosts: Vec<VirtualHostStatus>,
    /// Every endpoint.
    pub endpoints: Vec<EndpointStatus>,
    /// Services fail everywhere for a shared cause.
    pub shared_fault: Option<SharedFaultStatus>,
}

impl Node {
    /// The status at this instant.
    pub fn status(&self, now: Instant) -> ClusterStatus {
        ClusterStatus {
            state: self.state_word().to_owned(),
            servers: self.config.servers.iter().map(|(name, server)| self.server_status(now, name, server)).collect(),
            virtual_hosts: self
                .config
                .virtual_hosts
                .iter()
                .map(|(name, spec)| self.host_status(now, name, spec))
                .collect(),
            endpoints: self.config.endpoints.iter().map(|(name, spec)| self.endpoint_status(now, name, spec)).collect(),
            shared_fault: self.shared.fault().map(|(tally, since)| SharedFaultStatus {
                failed: tally.failed,
                watched: tally.watched,
                since_ms: millis(now.since(since)),
                stays: self.shared.stays(),
            }),
        }
    }

    fn state_word(&self) -> &'static str {
        if self.duty.resigning.is_some() {
            "resigning"
        } else if self.duty.standby {
            "standby"
        } else if self.standing == Standing::Isolated {
            "isolated"
        } else if self.duty.listening.is_some() {
            "listening"
        } else {
            "normal"
        }
    }

    fn server_status(&self, now: Instant, name: &ServerName, server: &Server) -> ServerStatus {
        let mine = *name == self.me;
        let peer = self.membership.peer(name);
        let state = peer.map_or(ServerState::Unknown, |peer| peer.state());
        let alive = mine || state.is_alive();
        let said = if mine { Some(&self.said.statement) } else { peer.and_then(|peer| peer.statement()) };
        let said = said.filter(|_| alive);
        ServerStatus {
            name: name.to_string(),
            address: server.address,
            state: if mine { "self" } else { server_word(state) }.to_owned(),
            standby: said.is_some_and(|said| said.standby || said.resigning),
            heard_ms: peer.and_then(|peer| peer.last_heard()).map(|heard| millis(now.since(heard))),
            hears_us_ms: peer.filter(|_| alive).and_then(|peer| peer.hears_us()).map(millis),
            config_agrees: said.filter(|_| !mine).map(|said| said.configuration == self.config.digest),
            paths: peer.map(|peer| path_statuses(now, peer)).unwrap_or_default(),
        }
    }

    fn host_status(&self, now: Instant, name: &VirtualHostName, spec: &VirtualHost) -> VirtualHostStatus {
        let election = self.elections.get(name);
        let view = self.view(name, spec, election.map(Election::stance).unwrap_or_default());
        let holder = view.holder();
        let target = election.and_then(Election::target);
        let (state, reason) = election.map_or(("unheld", None), |election| situation(election, &view));
        let term = view.members().iter().map(|member| member.stance.term).max().unwrap_or_default();
        VirtualHostStatus {
            name: name.to_string(),
            addresses: spec.addresses.clone(),
            state: state.to_owned(),
            active: super::speak::active(&view).map(|holder| holder.name.to_string()),
            target: target.map(ToString::to_string),
            term: holder.map_or(term, |holder| holder.stance.term).0,
            reason,
            servers: spec.servers.iter().map(|server| self.candidate_status(now, name, spec, server, &view)).collect(),
            hooks: election.map(Election::hook_status).unwrap_or_default(),
            seen_by: holder.map(|holder| self.seen_by(name, spec, holder.name)).unwrap_or_default(),
        }
    }

    fn seen_by(&self, name: &VirtualHostName, spec: &VirtualHost, holder: &ServerName) -> Vec<SeenStatus> {
        let mut seen = Vec::new();
        for server in spec.servers.iter().filter(|server| *server != holder) {
            for (id, address, _) in outside::probes(name, spec, holder) {
                let Some(judgement) = self.judgement_at(server, &id) else { continue };
                seen.push(SeenStatus {
                    server: server.to_string(),
                    address,
                    verdict: judgement.found.word().to_owned(),
                    reason: self.monitors.reason(&id).filter(|_| *server == self.me),
                });
            }
        }
        seen
    }

    fn candidate_status(
        &self,
        now: Instant,
        name: &VirtualHostName,
        spec: &VirtualHost,
        server: &ServerName,
        view: &View<'_>,
    ) -> CandidateStatus {
        let member = view.member(server);
        let monitors = important_first(name, spec).into_iter().map(|(id, monitor)| {
            let judgement = self.judgement_at(server, &id).unwrap_or_default();
            self.monitor_status(now, server, &id, monitor, judgement)
        });
        CandidateStatus {
            name: server.to_string(),
            role: member.map_or("away", role_word).to_owned(),
            monitors: monitors.collect(),
        }
    }

    fn monitor_status(
        &self,
        now: Instant,
        server: &ServerName,
        id: &MonitorId,
        monitor: &Monitor,
        judgement: Judgement,
    ) -> MonitorStatus {
        let mine = *server == self.me;
        MonitorStatus {
            name: id.monitor.to_string(),
            address: None,
            verdict: judgement.verdict().word().to_owned(),
            reason: self.monitors.reason(id).filter(|_| mine),
            found: judgement.found.word().to_owned(),
            recovering: self.is_recovering(server, id),
            held: judgement.hold.map(|hold| hold.word().to_owned()),
            severity: monitor.handling.severity.word().to_owned(),
            note: monitor.note.clone(),
            own: self.monitors.own(now, id).filter(|_| mine),
        }
    }

    fn endpoint_status(&self, now: Instant, name: &EndpointName, spec: &Endpoint) -> EndpointStatus {
        let prober = |server: &ServerName| {
            let monitors = spec.monitors(name).filter_map(|(id, address, monitor)| {
                let judgement = self.judgement_at(server, &id)?;
                let status = self.monitor_status(now, server, &id, monitor, judgement);
                Some(MonitorStatus { address: Some(address), ..status })
            });
            ProberStatus { name: server.to_string(), monitors: monitors.collect() }
        };
        let verdict = self.health.endpoints.get(name).map_or(Verdict::Unknown, |endpoint| endpoint.verdict);
        EndpointStatus {
            name: name.to_string(),
            addresses: spec.addresses.clone(),
            verdict: verdict.word().to_owned(),
            probed_by: spec.probed_by.iter().map(prober).collect(),
        }
    }
}

/// The state's word, and why it is not simply active.
fn situation(election: &Election, view: &View<'_>) -> (&'static str, Option<String>) {
    let claimants: Vec<&ServerName> =
        view.members().iter().filter(|member| member.claims()).map(|member| member.name).collect();
    let target = election.target();
    let left_out = election.in_use().map(|(address, mac)| format!("{address} is left out: in use by {mac}"));
    match view.holder() {
        Some(holder) if claimants.len() > 1 => {
            let names: Vec<&str> = claimants.iter().map(|name| name.as_str()).collect();
            ("rivals", Some(format!("{} claim it; {} keeps it", names.join(" and "), holder.name)))
        }
        Some(holder) => match (holder.stance.claim, target) {
            (Claim::Taking, _) => ("moving", Some(format!("{} is taking it", holder.name))),
            (Claim::Releasing, Some(to)) if to != holder.name => {
                ("moving", Some(format!("{} hands it over to {to}", holder.name)))
            }
            (Claim::Releasing, _) => ("moving", Some(format!("{} is letting it go", holder.name))),
            (Claim::Active | Claim::None, Some(to)) if to != holder.name => {
                ("moving", Some(format!("{} waits until {to} is ready", holder.name)))
            }
            (Claim::Active | Claim::None, _) => ("active", left_out),
        },
        None => match (election.obstacle(), target) {
            (Some(obstacle @ Obstacle::Refused(..)), _) => ("refused", Some(obstacle_words(obstacle))),
            (_, Some(target)) => ("unheld", Some(format!("{target} should take it"))),
            (Some(obstacle), None) => ("unheld", Some(obstacle_words(obstacle))),
            (None, None) => ("unheld", Some(nobody_words(view).to_owned())),
        },
    }
}

fn nobody_words(view: &View<'_>) -> &'static str {
    if view.me().listening {
        "this server has just started and listens"
    } else if view.listed().iter().any(Member::is_eligible) {
        "every monitor is down and `always-active` is off"
    } else {
        "no server can hold it"
    }
}

fn obstacle_words(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::NotListed => "no server can hold it".to_owned(),
        Obstacle::Isolated => "this server is isolated: it hears too few others".to_owned(),
        Obstacle::Refused(address, AddressRefusal::OwnAddress { interface }) => {
            format!("{address} is this machine's own address on {interface}")
        }
        Obstacle::Refused(address, AddressRefusal::InUse { mac }) => format!("{address} is in use by {mac}"),
        Obstacle::NoInterface(address) => format!("no interface that is up has the subnet of {address}"),
        Obstacle::Kernel(reason) => format!("the kernel refused: {reason}"),
        Obstacle::Unseen => "others could not reach it here".to_owned(),
    }
}

fn role_word(member: &Member<'_>) -> &'static str {
    match (member.state.is_alive(), member.stance.claim) {
        (false, _) => "away",
        (true, Claim::Taking) => "taking",
        (true, Claim::Active) => "active",
        (true, Claim::Releasing) => "releasing",
        (true, Claim::None) if member.stance.able => "backup",
        (true, Claim::None) => "unable",
    }
}

fn server_word(state: ServerState) -> &'static str {
    match state {
        ServerState::Unknown => "unknown",
        ServerState::Alive => "alive",
        ServerState::Suspect => "suspect",
        ServerState::Dead => "dead",
        ServerState::Left => "left",
    }
}

fn path_statuses(now: Instant, peer: &Peer) -> Vec<PathStatus> {
    let status = |(path, state, heard): (Path, PathState, Option<Instant>)| {
        let (word, since) = match state {
            PathState::Never => ("never", None),
            PathState::Up(since) => ("up", Some(since)),
            PathState::Lost(since) => ("lost", Some(since)),
        };
        let ago = |at: Instant| millis(now.since(at));
        PathStatus {
            path: path.word().to_owned(),
            state: word.to_owned(),
            heard_ms: heard.map(ago),
            since_ms: since.map(ago),
        }
    };
    peer.paths().map(status).collect()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
