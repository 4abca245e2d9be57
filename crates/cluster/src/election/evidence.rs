//! What the wire says of addresses whose holder has fallen silent (design R3).
//!
//! While the holder is suspected, whoever would succeed it asks the wire, in rounds, who has the addresses. Silence agrees
//! with the missed heartbeats: they are taken the moment the holder is dead. An answer says that the holder's machine is
//! up, whatever became of its daemon: guardian or kernel will remove the addresses within the release bound, and until the
//! wire falls silent nobody else takes them. Whoever answers after that bound is alive, and only our path to it is dead:
//! that is told, and not fought over.
//!
//! Invariants: the wire agrees only by a whole round of silence since the holder was suspected, or by two in a row once
//! somebody has answered, because one answer may be lost. What the wire owes for twice its time counts as silence: no
//! delay of ours leaves an address uncovered for long (design R8).
//!
//! Deliberately not here: whether an address that nobody of ours has held belongs to a stranger (`proof`).

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use model::{Instant, config::HeartbeatSettings, net::MacAddress};

/// After so much time guardian and kernel lease have removed the addresses of a daemon that does not run: two seconds of
/// lease, 1.25 of the kernel's own batching, and a little.
pub(super) const RELEASE_BOUND: Duration = Duration::from_millis(3_500);
/// The pause between rounds after that: nobody waits for the next one any more.
const SLOW: Duration = Duration::from_millis(250);

/// The questions about one virtual host's addresses; none while its holder is heard, or is not ours to succeed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Evidence(Option<Inquiry>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Inquiry {
    since: Instant,
    /// When this round began, and the addresses that the wire still owes an answer for.
    round: Instant,
    owed: BTreeSet<IpAddr>,
    /// Somebody has answered in this round.
    answered: bool,
    /// Whole rounds of silence, one after the other.
    silent: u32,
    /// Who answered last.
    last: Option<(IpAddr, MacAddress)>,
    /// When the last round began in which somebody did, and how much later the one after it.
    heard: Option<Instant>,
    pause: Option<Duration>,
    told: Told,
}

/// What has been told of an inquiry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Told {
    Nothing,
    Waiting,
    Alarm,
}

/// News for the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    /// The holder is dead, and its machine answers: its addresses are waited for.
    Answers(IpAddr, MacAddress),
    /// It still answers after the release bound.
    StillAnswers(IpAddr, MacAddress),
}

impl Evidence {
    /// The holder is heard again, has left, or somebody else is to succeed it.
    pub(crate) fn drop(&mut self) {
        self.0 = None;
    }

    /// Asks anew where that is due. Returns the addresses to ask about, and for how long to wait for answers.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        heartbeat: HeartbeatSettings,
        addresses: &[IpAddr],
    ) -> Option<(BTreeSet<IpAddr>, Duration)> {
        let patience = patience(heartbeat);
        let first = self.0.is_none();
        let inquiry = self.0.get_or_insert_with(|| Inquiry::new(now));
        inquiry.close(now, patience);
        if !first && (!inquiry.owed.is_empty() || now < inquiry.round + inquiry.pace(patience)) {
            return None;
        }
        if inquiry.answered {
            inquiry.pause = Some(now.since(inquiry.round));
        }
        inquiry.round = now;
        inquiry.answered = false;
        inquiry.owed = addresses.iter().copied().collect();
        Some((inquiry.owed.clone(), patience))
    }

    /// The wire has answered, or not.
    pub(crate) fn take(&mut self, address: IpAddr, answer: Option<MacAddress>) {
        let Some(inquiry) = &mut self.0 else { return };
        if !inquiry.owed.remove(&address) {
            return;
        }
        if let Some(mac) = answer {
            inquiry.answered = true;
            inquiry.silent = 0;
            inquiry.last = Some((address, mac));
            inquiry.heard = Some(inquiry.round);
        }
        inquiry.settle();
    }

    /// Whether nobody has the addresses any more, as far as the wire tells.
    pub(crate) fn agrees(&self) -> bool {
        self.0.as_ref().is_some_and(|inquiry| inquiry.silent > u32::from(inquiry.last.is_some()))
    }

    /// Since when nobody has answered who did before: since the middle between the last question that was answered and the
    /// first that was not. None where nobody ever answered.
    pub(crate) fn unanswered(&self, now: Instant) -> Option<Duration> {
        let inquiry = self.0.as_ref()?;
        let (heard, pause) = (inquiry.heard?, inquiry.pause?);
        Some(now.since(heard + pause / 2))
    }

    /// What is new about a holder that is dead.
    pub(crate) fn finding(&mut self, now: Instant) -> Option<Finding> {
        let inquiry = self.0.as_mut()?;
        let (address, mac) = inquiry.last.filter(|_| inquiry.silent == 0)?;
        let (told, finding) = if now >= inquiry.since + RELEASE_BOUND {
            (Told::Alarm, Finding::StillAnswers(address, mac))
        } else {
            (Told::Waiting, Finding::Answers(address, mac))
        };
        let is_news = told > inquiry.told;
        inquiry.told = inquiry.told.max(told);
        is_news.then_some(finding)
    }

    /// When there is something to ask, or to give up.
    pub(crate) fn next_deadline(&self, heartbeat: HeartbeatSettings) -> Option<Instant> {
        let patience = patience(heartbeat);
        let due = |inquiry: &Inquiry| {
            let wait = if inquiry.owed.is_empty() { inquiry.pace(patience) } else { patience * 2 };
            inquiry.round + wait
        };
        self.0.as_ref().map(due)
    }
}

impl Inquiry {
    fn new(now: Instant) -> Self {
        let owed = BTreeSet::new();
        Self {
            since: now,
            round: now,
            owed,
            answered: false,
            silent: 0,
            last: None,
            heard: None,
            pause: None,
            told: Told::Nothing,
        }
    }

    /// From this round to the next.
    fn pace(&self, patience: Duration) -> Duration {
        if self.round >= self.since + RELEASE_BOUND { SLOW.max(patience) } else { patience }
    }

    /// The round is over where nothing is owed any more.
    fn settle(&mut self) {
        if self.owed.is_empty() && !self.answered {
            self.silent += 1;
        }
    }

    /// What is owed for too long counts as silence.
    fn close(&mut self, now: Instant, patience: Duration) {
        if !self.owed.is_empty() && now >= self.round + patience * 2 {
            self.owed.clear();
            self.settle();
        }
    }
}

/// For how long an answer is waited for: short enough for a round between suspicion and death, long enough for a host that
/// is busy.
fn patience(heartbeat: HeartbeatSettings) -> Duration {
    (heartbeat.interval / 2).clamp(Duration::from_millis(10), Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn addresses() -> [IpAddr; 2] {
        ["10.77.0.101", "fd00:77::101"].map(|text| text.parse().unwrap())
    }

    /// One round: asked at `ms`, answered as told. Returns whether there was one.
    fn round(evidence: &mut Evidence, ms: u64, answers: [bool; 2]) -> bool {
        let asked = evidence.ask(at(ms), HeartbeatSettings::default(), &addresses()).is_some();
        for (address, answers) in addresses().into_iter().zip(answers) {
            evidence.take(address, answers.then_some(MAC));
        }
        asked
    }

    #[test]
    fn a_round_of_silence_agrees_where_nobody_has_answered() {
        let mut evidence = Evidence::default();
        assert!(!evidence.agrees(), "nobody was asked");
        let (asked, patience) = evidence.ask(at(75), HeartbeatSettings::default(), &addresses()).unwrap();
        assert_eq!((asked.len(), patience), (2, Duration::from_millis(25)));
        evidence.take(addresses()[0], None);
        assert!(!evidence.agrees(), "one is owed");
        evidence.take(addresses()[1], None);
        assert!(evidence.agrees());
    }

    #[test]
    fn one_answer_means_wait_and_only_two_rounds_of_silence_after_it_agree() {
        let mut evidence = Evidence::default();
        assert!(round(&mut evidence, 75, [false, false]));
        assert!(evidence.agrees());
        assert!(round(&mut evidence, 100, [true, false]));
        assert!(!evidence.agrees());
        assert_eq!(evidence.finding(at(163)), Some(Finding::Answers(addresses()[0], MAC)));
        assert_eq!(evidence.finding(at(164)), None, "told once");
        assert!(round(&mut evidence, 125, [false, false]));
        assert!(!evidence.agrees(), "an answer may have been lost");
        assert!(!round(&mut evidence, 149, [true, true]), "too early; and nobody was asked");
        assert!(round(&mut evidence, 150, [false, false]));
        assert!(evidence.agrees());
        assert_eq!(evidence.unanswered(at(150)), Some(Duration::from_micros(37_500)), "asked at 100, and at 125");
    }

    #[test]
    fn who_answers_for_too_long_is_told_and_asked_slowly() {
        let mut evidence = Evidence::default();
        let mut rounds = 0;
        let mut findings = Vec::new();
        for ms in 0..5_000 {
            rounds += u32::from(round(&mut evidence, ms, [true, true]));
            findings.extend(evidence.finding(at(ms)).map(|finding| (ms, finding)));
        }
        let told = addresses()[1];
        assert_eq!(findings, [(0, Finding::Answers(told, MAC)), (3_500, Finding::StillAnswers(told, MAC))]);
        assert_eq!(rounds, 140 + 6);
    }

    #[test]
    fn a_wire_that_owes_an_answer_for_twice_its_time_is_silent() {
        let mut evidence = Evidence::default();
        evidence.ask(at(0), HeartbeatSettings::default(), &addresses());
        assert_eq!(evidence.next_deadline(HeartbeatSettings::default()), Some(at(50)));
        assert!(evidence.ask(at(49), HeartbeatSettings::default(), &addresses()).is_none());
        assert!(evidence.ask(at(50), HeartbeatSettings::default(), &addresses()).is_some(), "the next round");
        assert!(evidence.agrees());
        evidence.drop();
        assert!(!evidence.agrees());
        assert_eq!(evidence.next_deadline(HeartbeatSettings::default()), None);
    }
}
