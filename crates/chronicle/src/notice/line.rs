//! One channel: what it was told, what it should be told, and the message on its way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use model::{
    ChannelName, Instant, ServerName,
    config::notify::Rules,
    digest::digest64,
    notice::{NoticeState, Severity, Told},
};

use super::{
    ATTEMPTS, Effect, GROUP, LINGER, LONGEST_PAUSE, MOST_MOVES, MOST_NOTICES, MOST_TOLD, Message, MessageKind, Notice,
    Now, Outcome, Record, SETTLE, Subscription,
    stories::{Stories, Story, wall_ms},
};

/// What a channel was told of an incident last.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    told: Told,
    /// When that became known here.
    at: Instant,
}

/// What a channel was told, as far as this server knows.
#[derive(Debug, Default)]
pub(super) struct Memory {
    told: BTreeMap<Arc<str>, Said>,
    /// Since when it is told by which rules: milliseconds since 1970, and their digest.
    begun: Option<(u64, Arc<str>)>,
}

impl Memory {
    /// What the log says, in whatever order.
    pub(super) fn learn(&mut self, now: Now, record: &Record, wall_ms: u64) {
        if record.incidents.is_empty() {
            let begun = (wall_ms, record.delivery.clone());
            self.begun = Some(self.begun.take().map_or(begun.clone(), |known| known.max(begun)));
        }
        for told in &record.incidents {
            let known = self.told.get(&told.incident);
            if known.is_none_or(|known| known.told.sequence < told.sequence) {
                self.told.insert(told.incident.clone(), Said { told: told.clone(), at: now.at });
            }
        }
        // Ids begin with the time.
        while self.told.len() > MOST_TOLD {
            self.told.pop_first();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }
}

/// What is going on.
#[derive(Debug)]
enum Pace {
    Idle,
    /// A message is on its way.
    Flying(Message),
    /// The last attempt failed: nothing before this.
    Waiting(Instant),
}

/// How a channel is, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineState {
    /// Which.
    pub channel: ChannelName,
    /// Who sends, as this server sees it.
    pub sender: Option<ServerName>,
    /// Incidents whose news wait to be sent by this server.
    pub waiting: usize,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// How the last attempt of this server ended, and when, in milliseconds since 1970.
    pub last: Option<(u64, Outcome)>,
}

/// One channel.
#[derive(Debug)]
pub(super) struct Line {
    subscription: Subscription,
    /// The digest of what of the rules makes a new beginning.
    rules: Arc<str>,
    /// Since when this server sends.
    pub(super) since: Option<Instant>,
    pace: Pace,
    /// Attempts in a row that failed, whatever was in them.
    failures: u32,
    /// Attempts at what is due now.
    attempts: u32,
    /// What was in them: the sequence and content of each incident.
    tried: BTreeMap<String, (u64, String)>,
    /// A quiet time has held something back.
    held: bool,
    waiting: usize,
    last: Option<(u64, Outcome)>,
}

impl Line {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self {
            rules: digest(&subscription.rules),
            subscription,
            since: None,
            pace: Pace::Idle,
            failures: 0,
            attempts: 0,
            tried: BTreeMap::new(),
            held: false,
            waiting: 0,
            last: None,
        }
    }

    pub(super) fn subscribe(&mut self, subscription: Subscription) {
        self.rules = digest(&subscription.rules);
        self.subscription = subscription;
    }

    pub(super) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    pub(super) fn state(&self, sender: Option<&ServerName>) -> LineState {
        LineState {
            channel: self.subscription.channel.clone(),
            sender: sender.cloned(),
            waiting: self.waiting,
            failures: self.failures,
            last: self.last.clone(),
        }
    }

    /// Another server sends. What is on its way is awaited all the same.
    pub(super) fn stand_back(&mut self) {
        (self.since, self.waiting) = (None, 0);
        if matches!(self.pace, Pace::Waiting(_)) {
            self.pace = Pace::Idle;
            self.attempts = 0;
            self.tried.clear();
        }
    }

    /// Sends what is due.
    pub(super) fn work(
        &mut self,
        now: Now,
        memory: &mut Memory,
        (stories, edge_ms): (&Stories, u64),
        effects: &mut Vec<Effect>,
    ) {
        let begun = memory.begun.as_ref().filter(|(_, rules)| *rules == self.rules).map(|(at, _)| *at);
        let begun = begun.unwrap_or_else(|| {
            let record = Record {
                channel: self.subscription.channel.clone(),
                delivery: self.rules.clone(),
                incidents: Vec::new(),
                attempts: 0,
                failed: None,
            };
            memory.learn(now, &record, now.wall_ms);
            effects.push(Effect::Record(record));
            now.wall_ms
        });
        let mut due = self.due(now, memory, stories, begun.max(edge_ms), edge_ms);
        self.waiting = due.len();
        match self.pace {
            Pace::Flying(_) => return,
            Pace::Waiting(until) if now.at < until => return,
            Pace::Waiting(_) | Pace::Idle => {}
        }
        let quiet = self.is_quiet(now);
        if quiet {
            self.held |= due.iter().any(|notice| notice.severity < Severity::Critical);
            due.retain(|notice| notice.severity == Severity::Critical);
        }
        if due.is_empty() {
            // Not forgotten: what has failed may have arrived, and its end is still to come.
            self.pace = Pace::Idle;
            return;
        }
        due.sort_by(|one, other| (other.severity, one.began_ms).cmp(&(one.severity, other.began_ms)));
        let digest = due.len() >= GROUP || due.len() > 1 && self.held && !quiet;
        due.truncate(if digest { MOST_NOTICES } else { 1 });
        let message = self.compose(if digest { MessageKind::Digest } else { MessageKind::Incident }, due);
        effects.push(Effect::Send(message.clone()));
        self.pace = Pace::Flying(message);
    }

    fn compose(&mut self, kind: MessageKind, notices: Vec<Notice>) -> Message {
        self.attempts += 1;
        for notice in &notices {
            self.tried.insert(notice.incident.clone(), (notice.sequence, notice.content.clone()));
        }
        let channel = self.subscription.channel.clone();
        let said = |it: &Notice| format!("{} {} {} {}", it.incident, it.sequence, it.state.word(), it.content);
        let said: Vec<String> = notices.iter().map(said).collect();
        let words: Vec<&str> =
            [channel.as_str(), kind.word()].into_iter().chain(said.iter().map(String::as_str)).collect();
        let delivery = format!("{:016x}", digest64(&words));
        Message { delivery, channel, kind, attempt: self.attempts, notices }
    }

    /// An attempt has ended.
    pub(super) fn attempted(
        &mut self,
        now: Now,
        delivery: &str,
        outcome: Outcome,
        memory: &mut Memory,
        effects: &mut Vec<Effect>,
    ) {
        let message = match std::mem::replace(&mut self.pace, Pace::Idle) {
            Pace::Flying(message) if message.delivery == delivery => message,
            other => {
                self.pace = other;
                return;
            }
        };
        self.last = Some((now.wall_ms, outcome.clone()));
        let failed = match outcome {
            Outcome::Delivered => {
                self.failures = 0;
                None
            }
            Outcome::Failed { reason, again } => {
                self.failures = self.failures.saturating_add(1);
                self.pace = Pace::Waiting(now.at + pause(self.failures, delivery));
                if again && self.attempts < ATTEMPTS {
                    return;
                }
                Some(reason.into())
            }
        };
        let record = Record {
            channel: message.channel,
            delivery: message.delivery.into(),
            incidents: message.notices.iter().map(Notice::told).collect(),
            attempts: self.attempts,
            failed,
        };
        (self.attempts, self.held) = (0, false);
        self.tried.clear();
        memory.learn(now, &record, now.wall_ms);
        effects.push(Effect::Record(record));
    }

    /// Everything that the channel should be told now, but for quiet times. Of what it was never told, what ended before `from_ms` is
    /// not, nor what was noted before `edge_ms`.
    fn due(&self, now: Now, memory: &Memory, stories: &Stories, from_ms: u64, edge_ms: u64) -> Vec<Notice> {
        let mut known = vec![false; stories.all().len()];
        let mut due = Vec::new();
        for (id, said) in &memory.told {
            let Some(number) = stories.owner(id) else { continue };
            known[number] = true;
            due.extend(self.follow(now, id, said, &stories.all()[number]));
        }
        for (story, _) in stories.all().iter().zip(known).filter(|(_, known)| !known) {
            let recent = story.incident.ended_ms.is_none_or(|ended| ended >= from_ms);
            let whole = wall_ms(&story.incident.id).is_some_and(|at| at >= edge_ms);
            if recent && whole && self.wants(story) {
                due.extend(self.begin(now, story));
            }
        }
        due
    }

    /// The first word about an incident.
    fn begin(&self, now: Now, story: &Story) -> Option<Notice> {
        let state = match story.over {
            Some(since) => (now.at.since(since) >= LINGER).then_some(NoticeState::Ended)?,
            None => (now.at.since(story.seen) >= SETTLE).then_some(NoticeState::Opened)?,
        };
        Some(self.notice(&story.incident.id, None, state, story))
    }

    /// Another word about one.
    fn follow(&self, now: Now, id: &str, said: &Said, story: &Story) -> Option<Notice> {
        let told = &said.told;
        let severity = story.severity.max(told.severity);
        let state = match story.over {
            Some(_) if told.state == NoticeState::Ended => return None,
            Some(since) => (now.at.since(since) >= LINGER).then_some(NoticeState::Ended)?,
            None => {
                let changed = told.state == NoticeState::Ended || *told.content != *story.content();
                let turn = severity > told.severity || now.at.since(said.at) >= self.subscription.rules.updates;
                (changed && turn).then_some(NoticeState::Updated)?
            }
        };
        let mut notice = self.notice(id, Some(told.sequence), state, story);
        notice.severity = severity;
        Some(notice)
    }

    fn notice(&self, id: &str, before: Option<u64>, state: NoticeState, story: &Story) -> Notice {
        let (incident, content) = (&story.incident, story.content());
        let next = before.unwrap_or(0) + 1;
        let sequence = match self.tried.get(id) {
            Some((tried, what)) if *what == content => *tried,
            Some((tried, _)) => tried + 1,
            None => next,
        };
        let more_moves = incident.moves.len().saturating_sub(MOST_MOVES);
        Notice {
            incident: id.to_owned(),
            link: incident.id.clone(),
            sequence: sequence.max(next),
            first: before.is_none(),
            state,
            severity: story.severity,
            subject: incident.subject.clone(),
            trouble: incident.trouble,
            cause: incident.cause.clone(),
            began_ms: incident.began_ms,
            ended_ms: incident.ended_ms,
            ended_by: incident.ended_by.clone(),
            moves: incident.moves[more_moves..].to_vec(),
            more_moves,
            content,
        }
    }

    fn wants(&self, story: &Story) -> bool {
        let rules = &self.subscription.rules;
        let matters =
            if story.incident.trouble.is_planned() { rules.planned } else { story.severity >= rules.min_severity };
        // What hits everything hits everybody who is named.
        matters && (story.incident.subject == "everything" || story.names().any(|name| rules.is_about(name)))
    }

    fn is_quiet(&self, now: Now) -> bool {
        let local = i128::from(now.wall_ms / 1000) + i128::from(self.subscription.offset_s);
        let minute = u16::try_from(local.rem_euclid(86_400) / 60).unwrap_or(0);
        self.subscription.rules.quiet.iter().any(|quiet| quiet.covers(minute))
    }
}

/// Of what makes a new beginning: by new rules nobody is told what happened under the old ones.
fn digest(rules: &Rules) -> Arc<str> {
    let words = format!("{:?} {:?} {}", rules.min_severity, rules.about, rules.planned);
    format!("{:016x}", digest64(&[&words])).into()
}

/// Twice as long after each failure, and each message a little differently: servers that failed together do not come back together.
fn pause(failures: u32, delivery: &str) -> Duration {
    let doubled = Duration::from_secs(1) * 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    let jitter = u32::try_from(digest64(&[delivery, &failures.to_string()]) % 41).unwrap_or(0);
    doubled.min(LONGEST_PAUSE) * (80 + jitter) / 100
}
