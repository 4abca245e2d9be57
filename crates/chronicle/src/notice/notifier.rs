//! The machine: all channels of this server.

use std::collections::{BTreeMap, BTreeSet};

use model::{ChannelName, Instant, ServerName};

use super::{
    Effect, Input, LineState, Now, Subscription, TAKE_OVER, UNSERVED, World,
    line::{Line, Memory},
    stories::Stories,
};

/// Channels of which is remembered what they were told, also while they are not configured.
const MOST_CHANNELS: usize = 64;

/// Decides what is sent, and when.
#[derive(Debug)]
pub struct Notifier {
    this: ServerName,
    world: World,
    /// Since when nobody serves a virtual host.
    unserved: BTreeMap<String, Instant>,
    stories: Stories,
    edge_ms: u64,
    lines: BTreeMap<ChannelName, Line>,
    memory: BTreeMap<ChannelName, Memory>,
}

impl Notifier {
    /// On this server. It sends nothing before it knows how the cluster is.
    pub fn new(this: ServerName) -> Self {
        Self {
            this,
            world: World::default(),
            unserved: BTreeMap::new(),
            stories: Stories::default(),
            edge_ms: 0,
            lines: BTreeMap::new(),
            memory: BTreeMap::new(),
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Subscriptions(subscriptions) => self.subscribe(subscriptions),
            Input::World(world) => self.look(now, world),
            Input::Stories { stories, edge_ms } => {
                self.edge_ms = edge_ms;
                let unserved = lasting(now, &self.unserved);
                self.stories.tell(now, stories, &unserved);
            }
            Input::Recorded { record, wall_ms } => {
                self.memory.entry(record.channel.clone()).or_default().learn(now, &record, wall_ms);
                self.forget();
                // Many come at once; they call for nothing.
                return;
            }
            Input::Attempted { channel, delivery, outcome } => {
                if let Some(line) = self.lines.get_mut(&channel) {
                    let memory = self.memory.entry(channel).or_default();
                    line.attempted(now, &delivery, outcome, memory, effects);
                }
            }
            Input::Tick => {}
        }
        for (channel, line) in &mut self.lines {
            if sender(&self.world, line.subscription()) != Some(&self.this) {
                line.stand_back();
                continue;
            }
            let since = *line.since.get_or_insert(now.at);
            if now.at.since(since) >= TAKE_OVER {
                let memory = self.memory.entry(channel.clone()).or_default();
                line.work(now, memory, (&self.stories, self.edge_ms), effects);
            }
        }
    }

    /// How each channel is, in the order of their names.
    pub fn states(&self) -> impl Iterator<Item = LineState> {
        self.lines.values().map(|line| line.state(sender(&self.world, line.subscription())))
    }

    fn subscribe(&mut self, subscriptions: Vec<Subscription>) {
        let mut lines = std::mem::take(&mut self.lines);
        for subscription in subscriptions {
            let channel = subscription.channel.clone();
            let line = match lines.remove(&channel) {
                Some(mut line) => {
                    line.subscribe(subscription);
                    line
                }
                None => Line::new(subscription),
            };
            self.lines.insert(channel, line);
        }
    }

    fn look(&mut self, now: Now, world: World) {
        self.unserved.retain(|host, _| world.unserved.contains(host));
        for host in &world.unserved {
            self.unserved.entry(host.clone()).or_insert(now.at);
        }
        self.stories.raise(&lasting(now, &self.unserved));
        self.world = world;
    }

    /// Channels that are not configured go first.
    fn forget(&mut self) {
        while self.memory.len() > MOST_CHANNELS {
            let spare = self.memory.keys().find(|channel| !self.lines.contains_key(*channel)).cloned();
            let Some(spare) = spare else { return };
            self.memory.remove(&spare);
        }
    }

    #[cfg(test)]
    pub(super) fn told(&self) -> usize {
        self.memory.values().map(Memory::len).max().unwrap_or(0)
    }
}

/// Who sends, as this server sees it; nobody, where it is cut off.
fn sender<'s>(world: &World, subscription: &'s Subscription) -> Option<&'s ServerName> {
    let alive = |server: &&ServerName| world.alive.contains(*server);
    subscription.sent_by.iter().find(alive).filter(|_| !world.isolated)
}

/// What has not been served for long enough to count: a move is no such thing.
fn lasting(now: Now, unserved: &BTreeMap<String, Instant>) -> BTreeSet<&str> {
    let lasting = unserved.iter().filter(|(_, since)| now.at.since(**since) >= UNSERVED);
    lasting.map(|(host, _)| host.as_str()).collect()
}
