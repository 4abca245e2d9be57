//! The vocabulary of the log: everything that is decided, with its cause. Closed on purpose: `daemon::journal` turns
//! events into log fields, counters and history, and nothing else writes to the log about decisions.

mod answers;
mod ending;
mod reason;
mod recovery;

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

pub use self::{
    answers::{Answers, AnswersChanged, LISTED},
    ending::Ending,
    reason::{AddressRefusal, Cause, Refusal},
    recovery::RecoveryStep,
};

use crate::{
    health::{Hold, Verdict},
    hook::{HookMoment, HookReport},
    id::{BootId, EndpointName, MonitorId, ServerName, Term, VirtualHostName},
    net::{MacAddress, Origin, Path},
    notice::Notification,
};

/// Something was decided or noticed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The daemon runs.
    Started {
        /// This run.
        boot: BootId,
    },
    /// This server's daemon had ended without having been told to; the guardian removed its addresses and has started it again.
    DaemonEnded {
        /// How.
        how: Ending,
        /// Milliseconds since that happened: of a hang, since its last sign of life.
        ended_ms: u64,
        /// It may have happened so much earlier or later, in milliseconds.
        within_ms: u64,
        /// Milliseconds since the kernel confirmed that its addresses were removed; none: it did not.
        released_ms: Option<u64>,
    },
    /// The start-up listening is over; from now on addresses may be taken (design R7).
    Listened,
    /// A planned stop begins.
    Resigning,
    /// A peer is heard and knows our current run.
    PeerAlive {
        /// Who.
        server: ServerName,
        /// Its run.
        boot: BootId,
    },
    /// A peer is overdue.
    PeerSuspected {
        /// Who.
        server: ServerName,
        /// Milliseconds since it was last heard.
        silent_ms: u64,
    },
    /// The machine of a peer says that nobody listens there any more: the peer is suspected at once.
    PeerRefused {
        /// Who.
        server: ServerName,
        /// Milliseconds since it was last heard.
        silent_ms: u64,
    },
    /// A suspected peer is heard again in time: a false suspicion.
    PeerRecovered {
        /// Who.
        server: ServerName,
    },
    /// A peer was silent for the detection time.
    PeerDead {
        /// Who.
        server: ServerName,
        /// Milliseconds since it was last heard.
        silent_ms: u64,
    },
    /// A peer said goodbye.
    PeerLeft {
        /// Who.
        server: ServerName,
        /// It had been told to stop; if not, its guardian says it in its place.
        planned: bool,
        /// Milliseconds since it was last heard before that.
        silent_ms: u64,
    },
    /// We hear a peer that does not hear us: loss in one direction.
    OneWayLoss {
        /// Who does not hear us.
        server: ServerName,
        /// Milliseconds since it last heard us directly.
        deaf_ms: u64,
    },
    /// The loss in one direction has ended.
    OneWayHealed {
        /// Who hears us again.
        server: ServerName,
    },
    /// A living peer is not heard over one of the paths any more. It is as alive as before; there is one path less.
    PathLost {
        /// Who.
        server: ServerName,
        /// Which path.
        path: Path,
        /// Milliseconds since it was last heard over that path; none where it never was.
        silent_ms: Option<u64>,
    },
    /// A peer is heard again over a path that was lost.
    PathRestored {
        /// Who.
        server: ServerName,
        /// Which path.
        path: Path,
    },
    /// Datagrams were refused. A security event; reported at a limited rate.
    DatagramsRefused {
        /// Where the last one came from.
        from: Origin,
        /// Why.
        reason: Refusal,
        /// How many since the last report.
        count: u64,
    },
    /// A configuration is in force.
    ConfigurationApplied {
        /// Its digest.
        digest: u64,
    },
    /// A new configuration was refused; the old one stays in force.
    ConfigurationRefused {
        /// Every error, as `standin check` prints it.
        errors: Arc<str>,
    },
    /// Somebody edited the document on this server.
    ConfigurationEdited {
        /// The version that it made.
        version: Arc<str>,
        /// Who.
        who: Arc<str>,
        /// From where.
        from: Arc<str>,
        /// Why.
        why: Arc<str>,
        /// Which objects.
        objects: Vec<Arc<str>>,
    },
    /// Edits of the document came from a peer.
    ConfigurationReceived {
        /// From whom.
        server: ServerName,
        /// The document's version now.
        version: Arc<str>,
    },
    /// Objects of the document have several values, or contradict others and are not in force as they are.
    ConfigurationClashes {
        /// Which.
        objects: Vec<Arc<str>>,
    },
    /// A peer runs another configuration.
    ConfigurationDiffers {
        /// Who.
        server: ServerName,
        /// Its digest.
        digest: u64,
    },
    /// A peer runs our configuration again.
    ConfigurationAgrees {
        /// Who.
        server: ServerName,
    },
    /// We hear no peer, or too few, and the partition policy says: hold nothing (design R6).
    Isolated,
    /// The partition policy is satisfied again.
    Rejoined,
    /// This process did not run for longer than the detection time: what it held is let go first.
    Overslept {
        /// For how long, in milliseconds.
        slept_ms: u64,
    },
    /// Another server should hold the virtual host from now on.
    TargetChanged {
        /// Which.
        virtual_host: VirtualHostName,
        /// Who should have held it.
        from: Option<ServerName>,
        /// Who should hold it.
        to: Option<ServerName>,
        /// Why.
        cause: Cause,
    },
    /// We begin to take a virtual host.
    Taking {
        /// Which.
        virtual_host: VirtualHostName,
        /// The new holding's number.
        term: Term,
        /// Why.
        cause: Cause,
        /// Where the machine of a silent holder still answered: milliseconds since it ceased to, give or take half a round of
        /// questions.
        unanswered_ms: Option<u64>,
    },
    /// We hold it: the kernel has confirmed every address.
    Active {
        /// Which.
        virtual_host: VirtualHostName,
        /// The holding's number.
        term: Term,
        /// Microseconds from the decision to the kernel's confirmation.
        took_us: u64,
    },
    /// We begin to give a virtual host up.
    Releasing {
        /// Which.
        virtual_host: VirtualHostName,
        /// For whom, if for anyone.
        to: Option<ServerName>,
        /// Why.
        cause: Cause,
    },
    /// We no longer hold it: the kernel has confirmed the removal.
    Released {
        /// Which.
        virtual_host: VirtualHostName,
        /// Microseconds from the decision to the kernel's confirmation.
        took_us: u64,
    },
    /// The kernel refused an address; another server is asked to take it.
    TakeFailed {
        /// Which.
        virtual_host: VirtualHostName,
        /// The address refused.
        address: IpAddr,
        /// The kernel's words.
        reason: Arc<str>,
    },
    /// The address may not be ours to hold (design R10).
    AddressRefused {
        /// Which.
        virtual_host: VirtualHostName,
        /// The address.
        address: IpAddr,
        /// Why.
        reason: AddressRefusal,
    },
    /// An address that we hold was deleted by somebody else, and put back.
    AddressRestored {
        /// Which.
        virtual_host: VirtualHostName,
        /// The address.
        address: IpAddr,
    },
    /// Two servers claim one virtual host (design R5).
    Rivals {
        /// Which.
        virtual_host: VirtualHostName,
        /// The other claimant.
        rival: ServerName,
        /// Who keeps it.
        winner: ServerName,
    },
    /// The rival's claim is gone; we announced again.
    RivalGone {
        /// Which.
        virtual_host: VirtualHostName,
        /// Who gave it up.
        rival: ServerName,
    },
    /// Somebody else says on the wire that it has an address that we hold; we announce it again. Told once in a while.
    RivalOnTheWire {
        /// Which.
        virtual_host: VirtualHostName,
        /// The address.
        address: IpAddr,
        /// Who, by its Ethernet address.
        mac: MacAddress,
    },
    /// The holder is dead to us, and its machine answers on the wire: guardian or kernel will remove the address there. It
    /// is taken when the wire falls silent (design R3).
    HolderAnswers {
        /// Which.
        virtual_host: VirtualHostName,
        /// The address that answers.
        address: IpAddr,
        /// From where.
        mac: MacAddress,
    },
    /// The holder, dead to us, still answers although its addresses should be gone: it lives, and every heartbeat path
    /// between it and us is broken. Nothing is taken from it (design R3).
    HolderUnreachable {
        /// Which.
        virtual_host: VirtualHostName,
        /// The address that answers.
        address: IpAddr,
        /// From where.
        mac: MacAddress,
    },
    /// A peer began or ceased to hold a virtual host, as it says itself.
    HolderChanged {
        /// Which.
        virtual_host: VirtualHostName,
        /// Who holds it now.
        active: Option<ServerName>,
    },
    /// A monitor's verdict on this server changed.
    MonitorChanged {
        /// Which.
        monitor: MonitorId,
        /// Its verdict.
        verdict: Verdict,
        /// The last probe's own words.
        reason: Arc<str>,
        /// Whether anything moves for it; not where its severity is `record`.
        counts: bool,
        /// It has been so for so many milliseconds: since the middle between the last probe that found something else and the
        /// first that found this.
        since_ms: u64,
        /// It may be so much longer or shorter, in milliseconds.
        within_ms: u64,
    },
    /// What a monitor's probes find does not count on this server from now on.
    MonitorHeld {
        /// Which.
        monitor: MonitorId,
        /// What is in force instead, and why.
        hold: Hold,
        /// Milliseconds until that ends by itself; none: it does not.
        for_ms: Option<u64>,
    },
    /// What a monitor's probes find counts again on this server.
    MonitorFreed {
        /// Which.
        monitor: MonitorId,
        /// What was in force instead.
        hold: Hold,
    },
    /// A monitor's recovery program is tried on this server before the failure counts.
    Recovery {
        /// Which.
        monitor: MonitorId,
        /// How far it is.
        #[serde(flatten)]
        step: RecoveryStep,
    },
    /// Peers cannot reach the service through the virtual addresses that this server holds, though it works here and though
    /// they hear us: the path is broken, not the service.
    PathDown {
        /// Which.
        virtual_host: VirtualHostName,
        /// Who cannot reach it.
        unseen_by: Vec<ServerName>,
        /// Who can.
        seen_by: Vec<ServerName>,
    },
    /// Everybody who tries reaches the service through the virtual addresses again, or another server holds them.
    PathUp {
        /// Which.
        virtual_host: VirtualHostName,
    },
    /// A majority of those who try cannot reach what this server holds: another should hold it for a while.
    HeldDown {
        /// Which.
        virtual_host: VirtualHostName,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// What the majority of those who probe an endpoint find has changed.
    EndpointChanged {
        /// Which.
        endpoint: EndpointName,
        /// Its verdict.
        verdict: Verdict,
        /// Servers that find it up, be it degraded, and that find it down, where its worst monitor is concerned.
        up: u32,
        /// See `up`.
        down: u32,
    },
    /// What this server answers for a pool has changed.
    AnswersChanged(AnswersChanged),
    /// Most monitors of most servers have failed within a short time: for a shared cause, so nothing moves for it.
    SharedFault {
        /// Monitors that have failed, each counted on each server, and a group as one.
        failed: u32,
        /// Of how many.
        watched: u32,
        /// On how many servers most have failed.
        servers: u32,
    },
    /// That is over: enough are back, or some have stayed well, and are used.
    SharedFaultOver {
        /// Those of them that are down still.
        failed: u32,
        /// Of how many.
        watched: u32,
        /// How long it was, in milliseconds.
        lasted_ms: u64,
    },
    /// A hook has ended, or could not be run.
    HookRan {
        /// Of which virtual host.
        virtual_host: VirtualHostName,
        /// When it was due.
        moment: HookMoment,
        /// How it ended, and what it said.
        #[serde(flatten)]
        report: HookReport,
    },
    /// A `before-take` hook is not waited for any longer: its time limit is over.
    HookOverdue {
        /// Whose addresses are taken now.
        virtual_host: VirtualHostName,
        /// Milliseconds that they have waited.
        waited_ms: u64,
    },
    /// An operator put a server on standby, or took it off.
    Standby {
        /// Who.
        server: ServerName,
        /// On or off.
        on: bool,
    },
    /// Somebody outside the cluster was told of incidents; of none: a channel begins, or begins anew, to tell what is new.
    Notified(Notification),
    /// A message could not be delivered, and is not tried again.
    NotifyFailed(Notification),
    /// Somebody has changed something: a line of the audit.
    Done {
        /// Who: a person, a program's token, `root` on the machine itself.
        who: Arc<str>,
        /// From where: an address, or `socket`.
        from: Arc<str>,
        /// What was done, such as `standby` (`model::access::Action`).
        action: Arc<str>,
        /// To what.
        what: Arc<str>,
    },
    /// Somebody was refused: a line of the audit. A security event; reported at a limited rate.
    Denied {
        /// Who, as far as known.
        who: Arc<str>,
        /// From where.
        from: Arc<str>,
        /// What was asked for.
        action: Arc<str>,
        /// Why not.
        reason: Arc<str>,
        /// How many since the last report.
        count: u64,
    },
    /// A link to another server is up: trust and configuration travel over it.
    Linked {
        /// To whom.
        server: ServerName,
        /// Its address.
        from: Arc<str>,
    },
    /// A link to another server is down; heartbeats go on without it.
    Unlinked {
        /// To whom.
        server: ServerName,
        /// Why.
        reason: Arc<str>,
    },
    /// A rotation has taken a step.
    Rotation {
        /// Which key.
        key: Arc<str>,
        /// The step in words.
        step: Arc<str>,
    },
    /// A server says that it began as a run that others know to be over: its disk was restored from a snapshot.
    Restored {
        /// Who.
        server: ServerName,
        /// The number of starts that others know of.
        known: u64,
    },
    /// A second machine says that it is a server whose first one is linked: it is refused.
    Cloned {
        /// Who.
        server: ServerName,
        /// Where the second one is.
        from: Arc<str>,
    },
    /// This server does not belong to the cluster any more, or is a copy of one that does: it hands over and stops.
    Expelled {
        /// Why.
        reason: Arc<str>,
    },
}
