//! Changes of the answers, for the journal: one event for each change of a pool, with the addresses that came and went.
//!
//! A pool that changes again and again must not fill the log, nor a thousand pools that change at once: each pool may tell
//! [`BURST`] changes in a row, and one a second after that; all together a hundred a second. What is not told at once is told
//! later, with its age, and the pool's newest state stands for those between.
//!
//! Deliberately not here: what is answered (`dns`). What a pool is answered with before it is first known is not told: that is
//! how every start looks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use dns::AnswerSet as Set;
use model::{
    Instant, PoolName,
    event::{Answers, AnswersChanged, Event, LISTED},
};

/// Changes of one pool that are told in a row; one more each [`PACE`].
const BURST: u32 = 8;
const PACE: Duration = Duration::from_secs(1);
/// The same for all pools together.
const BURST_OF_ALL: u32 = 64;
const PACE_OF_ALL: Duration = Duration::from_millis(10);

/// What was told of every pool.
#[derive(Debug)]
pub(super) struct Told {
    pools: BTreeMap<PoolName, Pool>,
    all: Bucket,
}

#[derive(Debug)]
struct Pool {
    told: Set,
    /// It has been known once.
    known: bool,
    now: Set,
    /// Not told yet, and since when it is so.
    changed: Option<Instant>,
    may: Bucket,
}

/// How often something may be done.
#[derive(Debug)]
struct Bucket {
    left: u32,
    most: u32,
    pace: Duration,
    filled: Instant,
}

impl Bucket {
    fn new(most: u32, pace: Duration) -> Self {
        Self { left: most, most, pace, filled: Instant::BOOT }
    }

    fn fill(&mut self, now: Instant) {
        let more = now.since(self.filled).as_nanos() / self.pace.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(self.most);
        self.filled = if self.left == self.most { now } else { self.filled + self.pace * more };
    }

    /// When it may be done again.
    fn next(&self) -> Instant {
        if self.left > 0 { Instant::BOOT } else { self.filled + self.pace }
    }
}

impl Default for Told {
    fn default() -> Self {
        Self { pools: BTreeMap::new(), all: Bucket::new(BURST_OF_ALL, PACE_OF_ALL) }
    }
}

impl Told {
    /// These pools are answered so from `now` on.
    pub(super) fn take(&mut self, now: Instant, changes: Vec<(PoolName, Set)>) {
        for (name, set) in changes {
            let pool = self.pools.entry(name).or_insert_with(Pool::new);
            if !pool.known {
                pool.known = set.is_some();
                pool.told.clone_from(&set);
                pool.now = set;
            } else if set != pool.now {
                pool.now = set;
                pool.changed = (pool.now != pool.told).then_some(now);
            }
        }
    }

    /// When something is to be told next.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.pools.values().filter(|pool| pool.changed.is_some());
        waiting.map(|pool| pool.may.next()).min().map(|next| next.max(self.all.next()))
    }

    /// What is to be told.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        if self.next().is_none_or(|next| now < next) {
            return events;
        }
        self.all.fill(now);
        for (name, pool) in &mut self.pools {
            let Some(changed) = pool.changed else { continue };
            pool.may.fill(now);
            if self.all.left == 0 {
                break;
            }
            if pool.may.left > 0 {
                (pool.may.left, self.all.left) = (pool.may.left - 1, self.all.left - 1);
                let ago_ms = u64::try_from(now.since(changed).as_millis()).unwrap_or(u64::MAX);
                events.push(event(name, &pool.told, &pool.now, ago_ms));
                pool.told.clone_from(&pool.now);
                pool.changed = None;
            }
        }
        events
    }
}

impl Pool {
    fn new() -> Self {
        Self { told: None, known: false, now: None, changed: None, may: Bucket::new(BURST, PACE) }
    }
}

fn event(name: &PoolName, before: &Set, after: &Set, ago_ms: u64) -> Event {
    let answers = |set: &Set| {
        let all = set.as_ref().map(|set| set.keys().copied().collect::<Vec<_>>());
        Answers::of(all.as_deref())
    };
    let missing = |from: &Set, to: &Set| -> Vec<(IpAddr, Arc<str>)> {
        let has = |address: &IpAddr| to.as_ref().is_some_and(|set| set.contains_key(address));
        let lost = from.iter().flatten().filter(|(address, _)| !has(address));
        lost.map(|(address, member)| (*address, member.clone())).collect()
    };
    let (added, dropped) = (missing(after, before), missing(before, after));
    let members: BTreeSet<Arc<str>> = added.iter().chain(&dropped).map(|(_, member)| member.clone()).collect();
    let listed = |all: Vec<(IpAddr, Arc<str>)>| all.into_iter().take(LISTED).map(|(address, _)| address).collect();
    Event::AnswersChanged(AnswersChanged {
        pool: name.clone(),
        before: answers(before),
        after: answers(after),
        added: listed(added),
        dropped: listed(dropped),
        members: members.into_iter().take(LISTED).collect(),
        ago_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn set(last: &[u8]) -> Set {
        Some(last.iter().map(|last| (IpAddr::from([10, 0, 0, *last]), format!("v{last}").into())).collect())
    }

    fn pool(number: usize) -> PoolName {
        PoolName::new(&format!("p{number}"))
    }

    #[test]
    fn a_change_is_told_once_with_what_came_and_went_and_the_start_is_none() {
        let mut told = Told::default();
        told.take(at(0), vec![(pool(1), None)]);
        told.take(at(100), vec![(pool(1), set(&[1, 2]))]);
        assert_eq!((told.next(), told.due(at(100))), (None, Vec::new()));
        told.take(at(5_000), vec![(pool(1), set(&[2, 3]))]);
        let [event] = &told.due(at(5_003))[..] else { unreachable!("one change") };
        let Event::AnswersChanged(AnswersChanged { before, after, added, dropped, members, ago_ms, .. }) = event else {
            unreachable!("{event:?}")
        };
        assert_eq!((before.to_string(), after.to_string()), ("10.0.0.1, 10.0.0.2".into(), "10.0.0.2, 10.0.0.3".into()));
        assert_eq!((&added[..], &dropped[..]), (&[[10, 0, 0, 3].into()][..], &[[10, 0, 0, 1].into()][..]));
        assert_eq!((members.join(" "), *ago_ms), ("v1 v3".to_owned(), 3));
        assert_eq!((told.next(), told.due(at(9_000))), (None, Vec::new()), "told once");
    }

    #[test]
    fn a_flapping_pool_tells_some_changes_and_then_the_newest_each_second() {
        let mut told = Told::default();
        told.take(at(0), vec![(pool(1), set(&[1]))]);
        let mut times = Vec::new();
        for ms in 0..5_000 {
            told.take(at(ms), vec![(pool(1), set(&[(ms % 7) as u8]))]);
            times.extend(told.due(at(ms)).iter().map(|_| ms));
        }
        assert_eq!(times.len(), 8 + 4, "{times:?}");
    }

    #[test]
    fn a_thousand_pools_are_told_one_after_the_other_with_their_age() {
        let mut told = Told::default();
        let all = |last: u8| (0..1_000).map(|number| (pool(number), set(&[last]))).collect();
        told.take(at(0), all(1));
        told.take(at(20_000), all(2));
        let (mut now, mut told_now) = (20_000, Vec::new());
        while let Some(next) = told.next() {
            now = now.max(next.as_nanos() / 1_000_000);
            told_now.extend(told.due(at(now)).into_iter().map(|event| (now, event)));
        }
        assert_eq!(told_now.len(), 1_000);
        assert!(told_now.iter().filter(|(now, _)| *now == 20_000).count() <= 64);
        let aged = |(now, event): &(u64, Event)| matches!(event, Event::AnswersChanged(changed) if changed.ago_ms == now - 20_000);
        assert!(told_now.iter().all(aged));
        assert!(now < 30_000, "{now}");
    }
}
