use std::{collections::BTreeMap, time::Duration};

use model::{ChannelName, Instant, ServerName, config::notify::Quiet, notice::NoticeState};
use proptest::prelude::*;

use super::{stories::severity, *};
use crate::incident::Line as Noted;

const HOUR_MS: u64 = 3_600_000;
/// Midnight, UTC.
const BEGIN_MS: u64 = 1_800_057_600_000;

fn rules() -> Rules {
    Rules {
        min_severity: Severity::Warning,
        about: Vec::new(),
        planned: false,
        quiet: Vec::new(),
        timezone: "UTC".into(),
        updates: Duration::from_secs(60),
    }
}

fn incident(number: u64, at_ms: u64, trouble: Trouble) -> Incident {
    let server = "web2".to_owned();
    Incident {
        id: format!("{at_ms}-{number}-{server}"),
        also_known_as: Vec::new(),
        subject: format!("web{number}"),
        trouble,
        cause: "it died".to_owned(),
        began_ms: at_ms,
        began_within_ms: 0,
        ended_ms: None,
        ended_within_ms: 0,
        ended_by: None,
        moves: Vec::new(),
        stayed: None,
        answers: Vec::new(),
        timeline: vec![Noted { at_ms, server, level: crate::Level::Warn, message: "it died".to_owned() }],
        more: 0,
    }
}

fn moved(at_ms: u64) -> Move {
    Move {
        virtual_host: "virtual1".to_owned(),
        from: None,
        to: "web2".to_owned(),
        at_ms,
        gap_ms: Some(100),
        gap_within_ms: 0,
        cause: "server-dead".to_owned(),
    }
}

/// One server's machine with its clock, the truth, and what a receiver has got.
struct Stage {
    notifier: Notifier,
    this: &'static str,
    rules: Rules,
    passed: Duration,
    stories: Vec<Incident>,
    alive: Vec<&'static str>,
    flying: Option<Message>,
    sent: Vec<(u64, Message)>,
    delivered: Vec<Message>,
    records: Vec<(u64, Record)>,
}

impl Stage {
    fn new(rules: Rules) -> Self {
        let mut stage = Self {
            notifier: Notifier::new(ServerName::new("web2")),
            this: "web2",
            rules,
            passed: Duration::ZERO,
            stories: Vec::new(),
            alive: vec!["web2"],
            flying: None,
            sent: Vec::new(),
            delivered: Vec::new(),
            records: Vec::new(),
        };
        stage.restart();
        stage.pass(6);
        stage
    }

    fn wall_ms(&self) -> u64 {
        BEGIN_MS + u64::try_from(self.passed.as_millis()).unwrap()
    }

    fn input(&mut self, input: Input) {
        let now = Now { at: Instant::BOOT + self.passed, wall_ms: self.wall_ms() };
        let mut effects = Vec::new();
        self.notifier.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send(message) => {
                    assert!(self.flying.is_none(), "one at a time");
                    self.sent.push((now.wall_ms, message.clone()));
                    self.flying = Some(message);
                }
                Effect::Record(record) => self.records.push((now.wall_ms, record)),
            }
        }
    }

    /// A daemon that knows what the log says.
    fn restart(&mut self) {
        self.notifier = Notifier::new(ServerName::new(self.this));
        self.flying = None;
        let channel = ChannelName::new("ops");
        let sent_by = ["web1", "web2"].map(ServerName::new).to_vec();
        let rules = self.rules.clone();
        self.input(Input::Subscriptions(vec![Subscription { channel, sent_by, rules, offset_s: 0 }]));
        for (wall_ms, record) in self.records.clone() {
            self.input(Input::Recorded { record, wall_ms });
        }
        self.tell();
        self.world(&[]);
    }

    fn world(&mut self, unserved: &[&str]) {
        let alive = self.alive.iter().map(|name| ServerName::new(name)).collect();
        let unserved = unserved.iter().map(|host| (*host).to_owned()).collect();
        self.input(Input::World(World { alive, isolated: false, unserved }));
    }

    fn tell(&mut self) {
        let stories = self.stories.clone();
        self.input(Input::Stories { stories, edge_ms: 0 });
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.passed += Duration::from_secs(1);
            self.input(Input::Tick);
        }
    }

    fn answer(&mut self, outcome: Outcome) {
        let Some(message) = self.flying.take() else { return };
        let delivery = message.delivery.clone();
        if outcome == Outcome::Delivered {
            self.delivered.push(message);
        }
        self.input(Input::Attempted { channel: ChannelName::new("ops"), delivery, outcome });
    }

    fn fail(&mut self) {
        self.answer(Outcome::Failed { reason: "no".to_owned(), again: true });
    }

    /// Lets time pass and takes everything that comes.
    fn deliver(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1);
            self.answer(Outcome::Delivered);
        }
    }

    fn open(&mut self, number: u64, trouble: Trouble) {
        self.stories.push(incident(number, self.wall_ms(), trouble));
        self.tell();
    }

    fn end(&mut self, index: usize) {
        self.stories[index].ended_ms = Some(self.wall_ms());
        self.tell();
    }

    /// State and sequence of what was delivered.
    fn got(&self) -> Vec<(NoticeState, u64)> {
        let notices = self.delivered.iter().flat_map(|message| &message.notices);
        notices.map(|notice| (notice.state, notice.sequence)).collect()
    }
}

use NoticeState::{Ended, Opened, Updated};

#[test]
fn an_incident_is_opened_updated_and_ended() {
    let mut stage = Stage::new(rules());
    stage.open(1, Trouble::Died);
    stage.deliver(1);
    assert_eq!(stage.got(), [], "not before its moves are known");
    stage.deliver(5);
    let at_ms = stage.wall_ms();
    stage.stories[0].moves.push(moved(at_ms));
    stage.tell();
    stage.deliver(30);
    assert_eq!(stage.got(), [(Opened, 1)], "updates have their time");
    stage.deliver(40);
    stage.end(0);
    stage.deliver(4);
    assert_eq!(stage.got(), [(Opened, 1), (Updated, 2)], "it may go on");
    stage.deliver(5);
    assert_eq!(stage.got(), [(Opened, 1), (Updated, 2), (Ended, 3)]);
    stage.deliver(600);
    assert_eq!(stage.got().len(), 3);
    assert!(stage.delivered[0].notices[0].first && !stage.delivered[1].notices[0].first);
}

#[test]
fn what_ended_before_it_could_be_told_is_one_message() {
    let mut stage = Stage::new(rules());
    stage.open(1, Trouble::Hung);
    stage.end(0);
    stage.deliver(20);
    assert_eq!(stage.got(), [(Ended, 1)]);
}

#[test]
fn what_was_over_before_the_channel_began_is_not_told_and_what_is_open_is() {
    let mut stage = Stage::new(rules());
    stage.open(1, Trouble::Died);
    stage.open(3, Trouble::Died);
    stage.records.clear();
    stage.end(0);
    stage.pass(60);
    // A new channel: other rules are as good as one.
    stage.rules.min_severity = Severity::Info;
    stage.restart();
    stage.sent.clear();
    stage.deliver(30);
    assert_eq!(stage.got(), [(Opened, 1)]);
    assert_eq!(stage.delivered[0].notices[0].subject, "web3");
}

#[test]
fn a_failure_is_tried_again_with_the_newest_word() {
    let mut stage = Stage::new(rules());
    stage.open(1, Trouble::Died);
    stage.pass(3);
    let first = stage.flying.clone().unwrap();
    stage.fail();
    stage.pass(1);
    stage.pass(1);
    let second = stage.flying.clone().unwrap();
    assert_eq!((&second.delivery, second.attempt, second.notices[0].sequence), (&first.delivery, 2, 1));
    stage.fail();
    stage.end(0);
    stage.pass(20);
    let third = stage.flying.clone().unwrap();
    assert_ne!(third.delivery, first.delivery);
    assert_eq!((third.notices[0].state, third.notices[0].sequence), (Ended, 2), "the first one may have arrived");
    stage.answer(Outcome::Delivered);
    stage.deliver(100);
    assert_eq!(stage.got(), [(Ended, 2)]);
}

#[test]
fn a_message_is_given_up_and_what_comes_then_is_sent() {
    let mut stage = Stage::new(rules());
    stage.open(1, Trouble::Died);
    let mut pauses = Vec::new();
    let mut last = stage.passed;
    while stage.sent.len() < ATTEMPTS as usize {
        stage.pass(1);
        if stage.flying.is_some() {
            pauses.push((stage.passed - last).as_secs());
            last = stage.passed;
            stage.fail();
        }
    }
    assert!(pauses.iter().skip(2).is_sorted() || pauses.last() >= Some(&240), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 361), "{pauses:?}");
    let (_, failed) = stage.records.last().unwrap();
    assert_eq!((failed.failed.as_deref(), failed.attempts), (Some("no"), ATTEMPTS));
    stage.deliver(400);
    assert_eq!(stage.got(), []);
    stage.end(0);
    stage.deliver(400);
    assert_eq!(stage.got(), [(Ended, 2)]);
}

#[test]
fn a_quiet_time_holds_back_what_is_not_critical_and_sends_one_digest() {
    let mut stage = Stage::new(Rules { quiet: vec![Quiet { from: 0, to: 7 * 60 }], ..rules() });
    stage.open(1, Trouble::Died);
    stage.open(3, Trouble::EndpointDown);
    stage.deliver(60);
    stage.end(0);
    stage.deliver(60);
    assert_eq!(stage.got(), []);
    stage.open(4, Trouble::SharedCause);
    stage.deliver(10);
    assert_eq!(stage.got(), [(Opened, 1)], "the critical one");
    stage.passed = Duration::from_millis(7 * HOUR_MS);
    stage.deliver(3);
    assert_eq!(stage.delivered.len(), 2);
    assert_eq!(stage.delivered[1].kind, MessageKind::Digest);
    let told: Vec<_> = stage.delivered[1].notices.iter().map(|it| (it.subject.as_str(), it.state)).collect();
    assert_eq!(told, [("web1", Ended), ("web3", Opened)]);
}

#[test]
fn a_time_zone_moves_the_quiet_time() {
    let mut stage = Stage::new(Rules { quiet: vec![Quiet { from: 0, to: 60 }], ..rules() });
    let subscription = Subscription {
        channel: ChannelName::new("ops"),
        sent_by: vec![ServerName::new("web2")],
        rules: stage.rules.clone(),
        offset_s: 3600,
    };
    stage.input(Input::Subscriptions(vec![subscription]));
    stage.open(1, Trouble::Died);
    stage.deliver(10);
    assert_eq!(stage.got(), [(Opened, 1)], "there it is one o'clock");
}

#[test]
fn many_at_once_are_one_message() {
    let mut stage = Stage::new(rules());
    (0..30).for_each(|number| stage.open(number, Trouble::Died));
    stage.deliver(10);
    let sizes: Vec<usize> = stage.delivered.iter().map(|message| message.notices.len()).collect();
    assert_eq!(sizes, [MOST_NOTICES, 10]);
}

#[test]
fn what_nobody_is_served_for_is_critical_and_what_was_planned_never_is() {
    use Severity::{Critical, Info, Warning};
    let table = [
        (Trouble::Standby, Info, Info),
        (Trouble::Stopped, Info, Info),
        (Trouble::DaemonDied, Warning, Critical),
        (Trouble::Died, Warning, Critical),
        (Trouble::Hung, Warning, Critical),
        (Trouble::CutOff, Warning, Critical),
        (Trouble::ServiceDown, Warning, Critical),
        (Trouble::Degraded, Warning, Warning),
        (Trouble::EndpointDown, Warning, Warning),
        (Trouble::SharedCause, Critical, Critical),
        (Trouble::PathDown, Critical, Critical),
        (Trouble::Refused, Critical, Critical),
    ];
    for (trouble, served, unserved) in table {
        let one = incident(1, 0, trouble);
        let found = [[].into(), [&*one.subject].into()].map(|hosts| severity(&one, &hosts));
        assert_eq!(found, [served, unserved], "{trouble:?}");
    }
}

#[test]
fn who_becomes_the_sender_waits_for_what_the_last_one_has_told() {
    let mut stage = Stage::new(rules());
    stage.alive = vec!["web1", "web2"];
    stage.world(&[]);
    stage.open(3, Trouble::Died);
    stage.pass(60);
    stage.alive = vec!["web2"];
    stage.world(&[]);
    stage.pass(4);
    assert_eq!(stage.sent, [], "what web1 has told may be on its way");
    let told = Told {
        incident: stage.stories[0].id.as_str().into(),
        sequence: 1,
        state: Opened,
        severity: Severity::Warning,
        content: "".into(),
    };
    let (channel, incidents) = (ChannelName::new("ops"), vec![told]);
    let record = Record { channel, delivery: "".into(), incidents, attempts: 1, failed: None };
    let wall_ms = stage.wall_ms();
    stage.input(Input::Recorded { record, wall_ms });
    stage.deliver(30);
    assert_eq!(stage.got(), [], "it had told this");
    stage.end(0);
    stage.deliver(10);
    assert_eq!(stage.got(), [(Ended, 2)]);
}

#[test]
fn who_is_first_among_the_living_sends_and_the_next_goes_on() {
    let mut stage = Stage::new(rules());
    stage.alive = vec!["web1", "web2"];
    stage.world(&[]);
    stage.open(3, Trouble::Died);
    stage.pass(60);
    assert_eq!(stage.sent, [], "web1 sends");
    // It has sent that.
    let told = Told {
        incident: stage.stories[0].id.as_str().into(),
        sequence: 1,
        state: Opened,
        severity: Severity::Warning,
        content: "".into(),
    };
    let begun = stage.records[0].1.clone();
    let record = Record { incidents: vec![told], ..begun };
    stage.input(Input::Recorded { record, wall_ms: stage.wall_ms() });
    stage.alive = vec!["web2"];
    stage.world(&[]);
    stage.end(0);
    stage.deliver(4);
    assert_eq!(stage.got(), [], "its last word may be on its way");
    stage.deliver(5);
    assert_eq!(stage.got(), [(Ended, 2)]);
}

#[test]
fn who_is_cut_off_sends_nothing() {
    let mut stage = Stage::new(rules());
    let alive = [ServerName::new("web2")].into();
    stage.input(Input::World(World { alive, isolated: true, unserved: BTreeSet::new() }));
    stage.open(1, Trouble::Died);
    stage.pass(600);
    assert_eq!(stage.sent, []);
}

#[test]
fn a_story_whose_beginning_came_later_is_the_same_one() {
    let mut stage = Stage::new(rules());
    stage.open(1, Trouble::Died);
    stage.deliver(10);
    let story = &mut stage.stories[0];
    let at_ms = story.began_ms - 40;
    story.id = format!("{at_ms}-9-web1");
    story.timeline.insert(0, Noted { at_ms, server: "web1".to_owned(), ..story.timeline[0].clone() });
    story.trouble = Trouble::CutOff;
    stage.end(0);
    stage.deliver(20);
    assert_eq!(stage.got(), [(Opened, 1), (Ended, 2)]);
    let [first, last] = [0, 1].map(|at| &stage.delivered[at].notices[0]);
    assert_eq!(first.incident, last.incident);
    assert_eq!(last.link, format!("{at_ms}-9-web1"));
}

#[test]
fn what_nobody_serves_becomes_critical_and_does_not_wait_for_its_turn() {
    let mut stage = Stage::new(Rules { quiet: vec![Quiet { from: 0, to: 60 }], ..rules() });
    stage.open(1, Trouble::Died);
    stage.world(&["virtual1"]);
    stage.deliver(1);
    stage.world(&[]);
    stage.deliver(10);
    assert_eq!(stage.got(), [], "a move");
    stage.world(&["virtual1"]);
    stage.deliver(4);
    stage.world(&["virtual1"]);
    stage.deliver(2);
    assert_eq!(stage.got(), [(Opened, 1)]);
    assert_eq!(stage.delivered[0].severity(), Severity::Critical);
}

#[test]
fn planned_things_and_others_are_told_to_who_wants_them() {
    let subjects = |rules: Rules| {
        let mut stage = Stage::new(rules);
        stage.open(1, Trouble::Standby);
        stage.open(2, Trouble::EndpointDown);
        stage.open(3, Trouble::PathDown);
        stage.deliver(20);
        let notices = stage.delivered.iter().flat_map(|message| &message.notices);
        let mut subjects: Vec<String> = notices.map(|notice| notice.subject.clone()).collect();
        subjects.sort();
        subjects
    };
    assert_eq!(subjects(rules()), ["web2", "web3"]);
    assert_eq!(subjects(Rules { planned: true, ..rules() }), ["web1", "web2", "web3"]);
    assert_eq!(subjects(Rules { min_severity: Severity::Critical, ..rules() }), ["web3"]);
    assert_eq!(subjects(Rules { about: vec!["w*2".into()], ..rules() }), ["web2"]);
}

#[test]
fn what_the_log_may_have_lost_the_beginning_of_is_not_begun() {
    let mut stage = Stage::new(rules());
    stage.stories.push(incident(1, stage.wall_ms(), Trouble::Died));
    let (stories, edge_ms) = (stage.stories.clone(), stage.wall_ms() + 1);
    stage.input(Input::Stories { stories, edge_ms });
    stage.pass(60);
    assert_eq!(stage.sent, []);
}

#[test]
fn what_was_told_is_bounded() {
    let mut stage = Stage::new(rules());
    for number in 0..3_000 {
        let told = Told {
            incident: format!("{}-1-web1", BEGIN_MS + number).into(),
            sequence: 1,
            state: Ended,
            severity: Severity::Warning,
            content: "".into(),
        };
        let record = Record { incidents: vec![told], ..stage.records[0].1.clone() };
        stage.input(Input::Recorded { record, wall_ms: BEGIN_MS });
    }
    assert_eq!(stage.notifier.told(), MOST_TOLD);
}

#[derive(Clone, Debug)]
enum Step {
    Open(bool),
    Move(usize),
    End(usize),
    Again(usize),
    Pass(u64),
    Deliver,
    Fail,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<bool>().prop_map(Step::Open),
        2 => (0_usize..9).prop_map(Step::Move),
        2 => (0_usize..9).prop_map(Step::End),
        1 => (0_usize..9).prop_map(Step::Again),
        4 => (1_u64..90).prop_map(Step::Pass),
        1 => (600_u64..4000).prop_map(Step::Pass),
        5 => Just(Step::Deliver),
        3 => Just(Step::Fail),
        1 => Just(Step::Restart),
    ]
}

fn take(stage: &mut Stage, step: Step) {
    let count = stage.stories.len().max(1);
    match step {
        Step::Open(critical) => {
            let number = stage.stories.len() as u64;
            stage.open(number, if critical { Trouble::PathDown } else { Trouble::Died });
        }
        // A story goes on only within its time.
        Step::Move(index) => {
            let at_ms = stage.wall_ms();
            if let Some(story) = stage.stories.get_mut(index % count)
                && story.ended_ms.is_none_or(|ended| ended + crate::incident::LINGER_MS > at_ms)
            {
                story.moves.push(moved(at_ms));
            }
            stage.tell();
        }
        Step::End(index) => {
            let at_ms = stage.wall_ms();
            if let Some(story) = stage.stories.get_mut(index % count) {
                story.ended_ms.get_or_insert(at_ms);
            }
            stage.tell();
        }
        Step::Again(index) => {
            let at_ms = stage.wall_ms();
            if let Some(story) = stage.stories.get_mut(index % count)
                && story.ended_ms.is_some_and(|ended| ended + crate::incident::LINGER_MS > at_ms)
            {
                story.ended_ms = None;
            }
            stage.tell();
        }
        Step::Pass(seconds) => stage.pass(seconds),
        Step::Deliver => stage.answer(Outcome::Delivered),
        Step::Fail => stage.fail(),
        Step::Restart => {
            // What is on its way at that moment may be told twice.
            stage.answer(Outcome::Delivered);
            stage.restart();
        }
    }
}

proptest! {
    #[test]
    fn laws(steps in prop::collection::vec(step(), 1..60)) {
        let mut stage = Stage::new(Rules { quiet: vec![Quiet { from: 60, to: 120 }], ..rules() });
        for step in steps {
            take(&mut stage, step);
        }
        // Now nothing changes any more, it is not quiet, and the receiver is there.
        for _ in 0..3 {
            stage.deliver(400);
            let minute = (stage.wall_ms() / 60_000) % 1440;
            if (60..120).contains(&minute) {
                stage.passed += Duration::from_secs((120 - minute) * 60);
            }
        }
        for (wall_ms, message) in &stage.sent {
            let quiet = (60..120).contains(&((wall_ms / 60_000) % 1440));
            prop_assert!(!quiet || message.notices.iter().all(|notice| notice.severity == Severity::Critical));
            prop_assert!(message.notices.len() <= MOST_NOTICES && message.attempt <= ATTEMPTS);
        }
        let mut told: BTreeMap<&str, Vec<&Notice>> = BTreeMap::new();
        for notice in stage.delivered.iter().flat_map(|message| &message.notices) {
            told.entry(&notice.incident).or_default().push(notice);
        }
        for story in &stage.stories {
            let mine = told.get(story.id.as_str()).cloned().unwrap_or_default();
            let opened = mine.iter().filter(|notice| notice.state == Opened).count();
            prop_assert!(opened <= 1, "{:#?}", mine);
            prop_assert!(mine.windows(2).all(|pair| pair[0].sequence < pair[1].sequence), "{:#?}", mine);
            let given_up = stage.records.iter().any(|(_, record)| {
                record.failed.is_some() && record.incidents.iter().any(|told| *told.incident == *story.id)
            });
            if !given_up {
                let last = mine.last().expect("somebody is told");
                prop_assert_eq!(last.state == Ended, story.ended_ms.is_some());
                prop_assert_eq!(last.moves.last(), story.moves.last());
            }
        }
    }
}
