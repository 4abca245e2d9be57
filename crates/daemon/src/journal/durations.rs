//! How long what matters to clients took, from the events of one server: detection, failover and hand-over.
//!
//! A moment is when the journal writes an event, which is within a millisecond of when it happened while its queue is short.
//!
//! - *Detection*: a peer's silence until it was declared dead.
//! - *Failover*: from the last word of a dead holder until this server holds its virtual host. Clients may have lost the
//!   service up to a heartbeat interval later than that word, so it is an upper bound of what they saw.
//! - *Hand-over*: from this server's decision to give a virtual host up for another server until that one says it holds it.
//!
//! Deliberately not here: what moved and why (`journal`), the time that the kernel took (`took_us` of the events).

use std::{collections::BTreeMap, time::Duration};

use model::{Instant, ServerName, VirtualHostName, event::Event};

use crate::metrics::Metrics;

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Durations {
    /// Dead peers, and when they were heard last.
    dead: BTreeMap<ServerName, Instant>,
    /// Virtual hosts whose holder is dead, and when it was heard last.
    lost: BTreeMap<VirtualHostName, Instant>,
    /// Virtual hosts that this server gives up: for whom, and since when.
    given: BTreeMap<VirtualHostName, (ServerName, Instant)>,
}

impl Durations {
    /// Takes note of an event, written at `now`.
    pub(super) fn note(&mut self, now: Instant, event: &Event, metrics: &Metrics) {
        match event {
            Event::PeerDead { server, silent_ms } => self.died(now, server, *silent_ms, metrics),
            Event::PeerAlive { server, .. } | Event::PeerLeft { server, .. } => drop(self.dead.remove(server)),
            Event::TargetChanged { virtual_host, from: Some(from), .. } => self.leaves(virtual_host, from),
            Event::Active { virtual_host, .. } => self.taken(now, virtual_host, metrics),
            Event::Releasing { virtual_host, to: Some(to), .. } => self.give(now, virtual_host, to),
            Event::HolderChanged { virtual_host, active: Some(active) } => {
                self.held(now, virtual_host, active, metrics)
            }
            // Everything else neither begins nor ends one of the three.
            Event::Started { .. }
            | Event::Listened
            | Event::DaemonEnded { .. }
            | Event::AnswersChanged { .. }
            | Event::Resigning
            | Event::PeerSuspected { .. }
            | Event::PeerRefused { .. }
            | Event::PeerRecovered { .. }
            | Event::OneWayLoss { .. }
            | Event::OneWayHealed { .. }
            | Event::PathLost { .. }
            | Event::PathRestored { .. }
            | Event::DatagramsRefused { .. }
            | Event::ConfigurationApplied { .. }
            | Event::ConfigurationRefused { .. }
            | Event::ConfigurationEdited { .. }
            | Event::ConfigurationReceived { .. }
            | Event::ConfigurationClashes { .. }
            | Event::ConfigurationDiffers { .. }
            | Event::ConfigurationAgrees { .. }
            | Event::Isolated
            | Event::Rejoined
            | Event::Overslept { .. }
            | Event::TargetChanged { from: None, .. }
            | Event::Taking { .. }
            | Event::Releasing { to: None, .. }
            | Event::Released { .. }
            | Event::TakeFailed { .. }
            | Event::AddressRefused { .. }
            | Event::AddressRestored { .. }
            | Event::Rivals { .. }
            | Event::RivalGone { .. }
            | Event::RivalOnTheWire { .. }
            | Event::HolderAnswers { .. }
            | Event::HolderUnreachable { .. }
            | Event::HolderChanged { active: None, .. }
            | Event::MonitorChanged { .. }
            | Event::MonitorHeld { .. }
            | Event::MonitorFreed { .. }
            | Event::Recovery { .. }
            | Event::PathDown { .. }
            | Event::PathUp { .. }
            | Event::HeldDown { .. }
            | Event::EndpointChanged { .. }
            | Event::SharedFault { .. }
            | Event::SharedFaultOver { .. }
            | Event::HookRan { .. }
            | Event::HookOverdue { .. }
            | Event::Standby { .. }
            | Event::Notified(_)
            | Event::NotifyFailed(_)
            | Event::Done { .. }
            | Event::Denied { .. }
            | Event::Linked { .. }
            | Event::Unlinked { .. }
            | Event::Rotation { .. }
            | Event::Restored { .. }
            | Event::Cloned { .. }
            | Event::Expelled { .. } => {}
        }
    }

    fn died(&mut self, now: Instant, server: &ServerName, silent_ms: u64, metrics: &Metrics) {
        let silence = Duration::from_millis(silent_ms);
        metrics.detection_duration.observe(silence.as_secs_f64());
        self.dead.insert(server.clone(), now - silence);
    }

    /// Another server than `from` should hold it.
    fn leaves(&mut self, virtual_host: &VirtualHostName, from: &ServerName) {
        if let Some(heard) = self.dead.get(from) {
            self.lost.insert(virtual_host.clone(), *heard);
        }
    }

    /// This server holds it.
    fn taken(&mut self, now: Instant, virtual_host: &VirtualHostName, metrics: &Metrics) {
        if let Some(heard) = self.lost.remove(virtual_host) {
            metrics.failover_duration.observe(now.since(heard).as_secs_f64());
        }
    }

    fn give(&mut self, now: Instant, virtual_host: &VirtualHostName, to: &ServerName) {
        self.given.insert(virtual_host.clone(), (to.clone(), now));
    }

    /// Another server holds it, as it says.
    fn held(&mut self, now: Instant, virtual_host: &VirtualHostName, active: &ServerName, metrics: &Metrics) {
        self.lost.remove(virtual_host);
        if let Some((_, since)) = self.given.remove(virtual_host).filter(|(to, _)| to == active) {
            metrics.handover_duration.observe(now.since(since).as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{BootId, Term, event::Cause};

    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::BOOT + Duration::from_millis(ms)
    }

    fn web(number: u8) -> ServerName {
        ServerName::new(&format!("web{number}"))
    }

    fn noted(events: &[(u64, Event)]) -> Metrics {
        let (metrics, mut durations) = (Metrics::new(), Durations::default());
        events.iter().for_each(|(at, event)| durations.note(ms(*at), event, &metrics));
        metrics
    }

    fn moved(from: u8) -> Event {
        let (from, to) = (Some(web(from)), Some(web(2)));
        Event::TargetChanged { virtual_host: host(), from, to, cause: Cause::ServerDead }
    }

    fn host() -> VirtualHostName {
        VirtualHostName::new("virtual1")
    }

    fn active() -> Event {
        Event::Active { virtual_host: host(), term: Term(2), took_us: 900 }
    }

    #[test]
    fn a_failover_counts_from_the_last_word_of_the_dead() {
        let dead = Event::PeerDead { server: web(1), silent_ms: 160 };
        let metrics = noted(&[(1_160, dead), (1_160, moved(1)), (1_162, active())]);
        assert!((metrics.detection_duration.get_sample_sum() - 0.160).abs() < 1e-9);
        assert!((metrics.failover_duration.get_sample_sum() - 0.162).abs() < 1e-9);
    }

    #[test]
    fn who_came_back_or_was_never_dead_is_no_failover() {
        let dead = Event::PeerDead { server: web(1), silent_ms: 160 };
        let back = Event::PeerAlive { server: web(1), boot: BootId([7; 16]) };
        let metrics = noted(&[(1_160, dead), (2_000, back), (3_000, moved(1)), (3_001, moved(3)), (3_002, active())]);
        assert_eq!(metrics.failover_duration.get_sample_count(), 0);
    }

    #[test]
    fn a_hand_over_ends_when_the_other_says_that_it_holds() {
        let giving = |to| Event::Releasing { virtual_host: host(), to: Some(web(to)), cause: Cause::Standby };
        let holds = |by| Event::HolderChanged { virtual_host: host(), active: Some(web(by)) };
        let metrics = noted(&[(100, giving(2)), (103, holds(2)), (200, giving(2)), (203, holds(3)), (204, holds(2))]);
        assert_eq!(metrics.handover_duration.get_sample_count(), 1);
        assert!((metrics.handover_duration.get_sample_sum() - 0.003).abs() < 1e-9);
    }
}
