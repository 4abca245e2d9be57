//! Questions to the link that are open: what to send when, what an answer settles, when silence is the answer. Pure.
//!
//! *Duplicate checks* follow RFC 5227 section 2.1.1 and RFC 4862 section 5.4 in form, not in time: three probes 30 ms
//! apart, and silence until 100 ms after the first means free. The RFCs' seconds are made for links whose hosts have just
//! been plugged in and for owners that sleep; we ask on a link that has been up, about an address whose owner serves
//! clients, and every moment of asking is an outage for them. An owner that answers later than that is met by the
//! conflict rules above.
//!
//! *Silent holders* are probed once in the time given: whoever asks does so round after round.
//!
//! *Witnesses* are asked three times within their patience, so that one lost frame is not taken for an outage.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use model::{Instant, net::InterfaceIndex, net::MacAddress, report::DuplicateCheck};

use super::frame::Heard;
use crate::Report;

const PROBES: u32 = 3;
const PROBE_SPACING: Duration = Duration::from_millis(30);
const PROBE_PATIENCE: Duration = Duration::from_millis(100);

/// The questions. A handful at a time, so a list serves.
#[derive(Default, Debug)]
pub(super) struct Questions(Vec<Question>);

#[derive(Debug)]
struct Question {
    address: IpAddr,
    interface: InterfaceIndex,
    kind: Kind,
    spacing: Duration,
    /// When to send next, and how often.
    next: Instant,
    left: u32,
    /// Until when an answer counts.
    until: Instant,
}

#[derive(Debug)]
enum Kind {
    /// Does anybody but these have it?
    Duplicate { own: Vec<MacAddress> },
    /// Does anybody but these have it still?
    Holder { own: Vec<MacAddress> },
    /// Does it live? Asked from this address of ours.
    Witness { source: IpAddr },
}

/// A frame that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    pub(super) interface: InterfaceIndex,
    /// Unspecified: a probe.
    pub(super) source: IpAddr,
    pub(super) target: IpAddr,
}

impl Questions {
    /// Begins a duplicate check, unless the same one is open already. `own` are this machine's MACs.
    pub(super) fn check_duplicate(
        &mut self,
        now: Instant,
        address: IpAddr,
        interface: InterfaceIndex,
        own: Vec<MacAddress>,
    ) {
        let same = |question: &Question| {
            matches!(question.kind, Kind::Duplicate { .. })
                && (question.address, question.interface) == (address, interface)
        };
        if !self.0.iter().any(same) {
            let kind = Kind::Duplicate { own };
            let until = now + PROBE_PATIENCE;
            let (spacing, left) = (PROBE_SPACING, PROBES);
            self.0.push(Question { address, interface, kind, spacing, next: now, left, until });
        }
    }

    /// Asks once for a silent holder's address. Each such question gets its own report.
    pub(super) fn ask_holder(
        &mut self,
        now: Instant,
        address: IpAddr,
        interface: InterfaceIndex,
        (own, patience): (Vec<MacAddress>, Duration),
    ) {
        let kind = Kind::Holder { own };
        self.0.push(Question {
            address,
            interface,
            kind,
            spacing: patience,
            next: now,
            left: 1,
            until: now + patience,
        });
    }

    /// Begins to ask a witness. Each such question gets its own report, however they overlap.
    pub(super) fn ask_witness(
        &mut self,
        now: Instant,
        address: IpAddr,
        interface: InterfaceIndex,
        (source, patience): (IpAddr, Duration),
    ) {
        let kind = Kind::Witness { source };
        let (spacing, until) = (patience / PROBES, now + patience);
        self.0.push(Question { address, interface, kind, spacing, next: now, left: PROBES, until });
    }

    /// When [`Self::due`] or [`Self::silent`] will next have something.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadline = |question: &Question| match question.left {
            0 => question.until,
            _ => question.next.min(question.until),
        };
        self.0.iter().map(deadline).min()
    }

    /// Whether somebody should listen there.
    pub(super) fn open_on(&self, interface: InterfaceIndex) -> bool {
        self.0.iter().any(|question| question.interface == interface)
    }

    /// The frames to send now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Ask> {
        let mut due = Vec::new();
        for question in self.0.iter_mut().filter(|question| question.left > 0 && question.next <= now) {
            question.left -= 1;
            question.next = now + question.spacing;
            due.push(question.ask());
        }
        due
    }

    /// Takes an answer in.
    pub(super) fn heard(&mut self, interface: InterfaceIndex, heard: Heard) -> Vec<Report> {
        let answers = |question: &mut Question| {
            (question.interface, question.address) == (interface, heard.address) && question.counts(heard.mac)
        };
        self.0.extract_if(.., answers).map(|question| question.settled(Some(heard.mac))).collect()
    }

    /// Those that nobody answered in time.
    pub(super) fn silent(&mut self, now: Instant) -> Vec<Report> {
        self.0.extract_if(.., |question| question.until <= now).map(|question| question.settled(None)).collect()
    }
}

impl Question {
    fn ask(&self) -> Ask {
        let source = match (&self.kind, self.address) {
            (Kind::Witness { source }, _) => *source,
            (Kind::Duplicate { .. } | Kind::Holder { .. }, IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (Kind::Duplicate { .. } | Kind::Holder { .. }, IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Ask { interface: self.interface, source, target: self.address }
    }

    fn counts(&self, mac: MacAddress) -> bool {
        match &self.kind {
            Kind::Duplicate { own } | Kind::Holder { own } => !own.contains(&mac),
            Kind::Witness { .. } => true,
        }
    }

    fn settled(self, answer: Option<MacAddress>) -> Report {
        let address = self.address;
        match self.kind {
            Kind::Duplicate { .. } => {
                let check = answer.map_or(DuplicateCheck::Free, DuplicateCheck::InUse);
                Report::Duplicate { address, check }
            }
            Kind::Holder { .. } => Report::Holder { address, answer },
            Kind::Witness { .. } => Report::Witness { address, reachable: answer.is_some() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: InterfaceIndex = InterfaceIndex(2);
    const ETH1: InterfaceIndex = InterfaceIndex(3);
    const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

    fn at(millis: u64) -> Instant {
        Instant::BOOT + Duration::from_millis(millis)
    }

    fn vip() -> IpAddr {
        "10.0.0.9".parse().unwrap()
    }

    fn heard(mac: MacAddress) -> Heard {
        Heard { address: vip(), mac }
    }

    fn checking() -> Questions {
        let mut questions = Questions::default();
        questions.check_duplicate(at(0), vip(), ETH0, vec![OWN]);
        questions
    }

    #[test]
    fn silence_after_three_probes_means_free() {
        let mut questions = checking();
        let mut sent = Vec::new();
        while let Some(deadline) = questions.next_deadline() {
            sent.extend(questions.due(deadline).into_iter().map(|ask| (deadline, ask)));
            let reports = questions.silent(deadline);
            if !reports.is_empty() {
                assert_eq!(deadline, at(100));
                assert_eq!(reports, [Report::Duplicate { address: vip(), check: DuplicateCheck::Free }]);
            }
        }
        let probe = Ask { interface: ETH0, source: "0.0.0.0".parse().unwrap(), target: vip() };
        assert_eq!(sent, [(at(0), probe), (at(30), probe), (at(60), probe)]);
        assert!(!questions.open_on(ETH0));
    }

    #[test]
    fn an_answer_settles_at_once_and_once() {
        let mut questions = checking();
        let report = Report::Duplicate { address: vip(), check: DuplicateCheck::InUse(OTHER) };
        assert_eq!(questions.heard(ETH0, heard(OTHER)), [report]);
        assert_eq!(questions.heard(ETH0, heard(OTHER)), []);
        assert_eq!(questions.next_deadline(), None);
    }

    #[test]
    fn our_own_voice_another_link_and_another_address_are_no_answers() {
        let mut questions = checking();
        assert_eq!(questions.heard(ETH0, heard(OWN)), []);
        assert_eq!(questions.heard(ETH1, heard(OTHER)), []);
        let other = Heard { address: "10.0.0.8".parse().unwrap(), mac: OTHER };
        assert_eq!(questions.heard(ETH0, other), []);
        assert!(questions.open_on(ETH0));
    }

    #[test]
    fn the_same_check_twice_is_one() {
        let mut questions = checking();
        questions.check_duplicate(at(50), vip(), ETH0, vec![OWN]);
        assert_eq!(questions.silent(at(100)).len(), 1);
        assert_eq!(questions.next_deadline(), None);
    }

    #[test]
    fn a_silent_holder_is_probed_once_and_our_own_voice_is_none_of_its() {
        let mut questions = Questions::default();
        let patience = Duration::from_millis(25);
        questions.ask_holder(at(0), vip(), ETH0, (vec![OWN], patience));
        let probe = Ask { interface: ETH0, source: "0.0.0.0".parse().unwrap(), target: vip() };
        assert_eq!((questions.due(at(0)), questions.due(at(24))), (vec![probe], vec![]));
        assert_eq!(questions.heard(ETH0, heard(OWN)), []);
        assert_eq!(questions.silent(at(25)), [Report::Holder { address: vip(), answer: None }]);
        questions.ask_holder(at(25), vip(), ETH0, (vec![OWN], patience));
        assert_eq!(questions.heard(ETH0, heard(OTHER)), [Report::Holder { address: vip(), answer: Some(OTHER) }]);
        assert_eq!(questions.next_deadline(), None);
    }

    #[test]
    fn witnesses_asked_twice_answer_twice() {
        let mut questions = Questions::default();
        let source: IpAddr = "10.0.0.1".parse().unwrap();
        questions.ask_witness(at(0), vip(), ETH0, (source, Duration::from_millis(90)));
        questions.ask_witness(at(60), vip(), ETH0, (source, Duration::from_millis(90)));
        assert_eq!(questions.due(at(60)), [Ask { interface: ETH0, source, target: vip() }; 2]);
        let reachable = |reachable| Report::Witness { address: vip(), reachable };
        assert_eq!(questions.silent(at(90)), [reachable(false)]);
        assert_eq!(questions.heard(ETH0, heard(OTHER)), [reachable(true)]);
    }

    #[test]
    fn a_late_turn_does_not_send_a_burst() {
        let mut questions = checking();
        assert_eq!(questions.due(at(95)).len(), 1);
        assert_eq!(questions.due(at(95)).len(), 0);
    }
}
