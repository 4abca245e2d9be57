//! The loop: one thread, one bounded queue, the heartbeat sockets, one machine.
//!
//! `now = clock.now()`; overdue deadlines first, then one message, then one datagram; the effects of each are executed, in
//! order, before the next. Nothing here waits for anything but all of them together ([`Execute::wait`]).
//!
//! Invariants: after a pause of the process (a frozen virtual machine, SIGSTOP) overdue deadlines are handled before
//! packets that queued up meanwhile; the core's effects are executed by this thread alone.
//!
//! Deliberately not here: decisions (`cluster`), and what an effect means for the machine (`execute`).

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use cluster::{Command, Effect, Effects, Input, Keys, Node};
use dns::Zones;
use host::{Report, Sink, bell::Bell};
use model::{Health, Instant, config::ClusterConfig, event::Event, report::Probed};
use tokio::sync::oneshot;

use crate::{
    metrics::Metrics,
    recorder::{self, Recorder, Seen},
    status::Applied,
};

/// Messages that may wait for the driver.
pub(crate) const DEPTH: usize = 1024;
/// The driver wakes at least so often, to show that it lives; oftener where a guardian watches.
const BEAT: Duration = Duration::from_millis(250);
/// Deadlines handled in a row before a message is read.
const DEADLINES: usize = 16;

/// What the driver is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Something happened.
    Input(Input),
    /// Probes finished: thousands of them would wake the driver as often.
    Probes(Vec<Probed>),
    /// Somebody wants something; `done` hears when the core has dealt with it.
    Command {
        /// What.
        command: Command,
        /// Hears about it.
        done: oneshot::Sender<()>,
    },
    /// A checked configuration and its zones come into force, together.
    Configure {
        /// The cluster file.
        config: Arc<ClusterConfig>,
        /// Its zones.
        zones: Arc<Zones>,
    },
    /// Heartbeat keys come into force; `done` hears when they are.
    Keys {
        /// What seals, and what is accepted beside.
        keys: Keys,
        /// Hears about it.
        done: oneshot::Sender<()>,
    },
    /// A configuration was offered and refused: every error.
    Refused(Arc<str>),
    /// Something happened that the core does not decide.
    Record(Event),
    /// Somebody wants to know everything, at one instant.
    Sample(oneshot::Sender<Sample>),
    /// The loop ends.
    Stop,
}

/// The core at one instant.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Members and virtual hosts.
    pub cluster: cluster::ClusterStatus,
    /// What the core counts.
    pub counters: cluster::Counters,
    /// What DNS believes.
    pub health: Arc<Health>,
    /// The configuration in force.
    pub applied: Applied,
    /// Since the daemon started.
    pub uptime: Duration,
}

/// The driver's queue, for everybody who tells it something.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    sender: SyncSender<Message>,
    /// Rung with each message.
    bell: Bell,
}

/// The other end of a [`Queue`].
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: Receiver<Message>,
    bell: Bell,
}

/// The driver did not take a message: its queue is full, or it has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// [`DEPTH`] messages wait already.
    #[error("the driver is overloaded")]
    Full,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Ended,
}

impl Queue {
    /// A queue of [`DEPTH`], and its end for [`Driver::start`].
    ///
    /// # Errors
    /// When there is no descriptor for its bell.
    pub(crate) fn new() -> io::Result<(Self, Inbox)> {
        let ((sender, messages), bell) = (sync_channel(DEPTH), Bell::new()?);
        Ok((Self { sender, bell: bell.clone() }, Inbox { messages, bell }))
    }

    /// Tells the driver something, without waiting.
    ///
    /// # Errors
    /// [`Refused`]; the message is lost then.
    pub(crate) fn offer(&self, message: Message) -> Result<(), Refused> {
        self.sender.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => Refused::Ended,
        })?;
        self.bell.ring();
        Ok(())
    }

    /// Tells the driver something and waits for room. Not for async tasks, not for the driver itself.
    ///
    /// # Errors
    /// [`Refused::Ended`].
    pub(crate) fn send(&self, message: Message) -> Result<(), Refused> {
        self.sender.send(message).map_err(|_| Refused::Ended)?;
        self.bell.ring();
        Ok(())
    }

    /// Where the machine's modules report to. What they say is said once, so their threads wait for room.
    pub(crate) fn sink(&self) -> Sink {
        let queue = self.clone();
        Arc::new(move |report| match report {
            Report::Interfaces(interfaces) => queue.wait(Input::Interfaces(interfaces)),
            Report::Gateways(gateways) => queue.wait(Input::Gateways(gateways)),
            Report::Address { address, outcome } => queue.wait(Input::Address { address, outcome }),
            Report::Duplicate { address, check } => queue.wait(Input::Duplicate { address, check }),
            Report::Rival { address, mac } => queue.wait(Input::Rival { address, mac }),
            Report::Holder { address, answer } => queue.wait(Input::Holder { address, answer }),
            Report::Witness { address, reachable } => queue.wait(Input::Witness { address, reachable }),
            Report::Probes(results) => {
                let _ended = queue.send(Message::Probes(results));
            }
            Report::ListenerClosed { port } => queue.wait(Input::ListenerClosed { port }),
            Report::Hook { id, report } => queue.wait(Input::HookDone { id, report }),
            Report::Recovery { id, report } => queue.wait(Input::RecoveryDone { id, report }),
        })
    }

    /// A report after the driver's end concerns nobody.
    fn wait(&self, input: Input) {
        let _ended = self.send(Message::Input(input));
    }
}

/// When the driver last showed that it lives, in nanoseconds since boot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// How long ago the driver last went round its loop.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.since(Instant::from_nanos(self.0.load(Ordering::Relaxed)))
    }

    fn beat(&self, now: Instant) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }
}

/// Executes effects.
pub(crate) trait Execute: Send + 'static {
    /// The loop goes round: the driver lives. Returns how soon it should do so again; at least every 250 ms it does.
    fn beat(&self) -> Duration;
    /// A deadline is handled so late: what is sent for it is, too.
    fn run_late(&mut self, late: Duration);
    /// Does one thing, without waiting for it. An outcome that is known at once goes to `outcomes`: the driver cannot
    /// wait for room in its own queue.
    fn execute(&mut self, effect: Effect, outcomes: &mut VecDeque<Input>);
    /// All effects of one input have been executed: what can be told of them at once is.
    fn told(&mut self);
    /// A configuration comes into force right after this.
    fn configure(&mut self, config: &ClusterConfig, zones: Arc<Zones>);
    /// The health after a configuration, whether or not the core thought it worth an effect.
    fn published(&mut self, health: Arc<Health>);
    /// The loop begins: what was heard before is not how things are.
    fn begin(&mut self, _: &Bell) {}
    /// Something that the last wait has found on the wire. Never waits. Who has no ears hears nothing.
    fn hear(&mut self) -> Option<Input> {
        None
    }
    /// Waits for the bell, and for what can be heard, for `patience` at most.
    fn wait(&mut self, bell: &Bell, patience: Duration) {
        bell.wait(patience);
    }
    /// Datagrams that the machine has dropped unheard, since this was last asked.
    fn dropped(&mut self) -> u64 {
        0
    }
}

/// The loop's state.
pub(crate) struct Driver<E> {
    /// Declared first, so dropped first, also when the loop panics: a module that waits for room in the queue would
    /// otherwise wait for ever while `execute` waits for the module to end.
    messages: Receiver<Message>,
    bell: Bell,
    node: Node,
    execute: E,
    effects: Effects,
    /// Known at once: handled one at a time, before the queue.
    outcomes: VecDeque<Input>,
    metrics: Arc<Metrics>,
    pulse: Pulse,
    applied: Applied,
    started: Instant,
    recorder: Recorder,
    /// How late the last deadline was handled.
    late: Duration,
}

impl<E: Execute> Driver<E> {
    /// Starts the loop on a thread of its own, with real-time priority and locked memory where that is permitted.
    ///
    /// `effects` are those of the node's making. The thread ends with [`Message::Stop`], or when nobody can send any more.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(crate) fn start(
        node: Node,
        effects: Effects,
        execute: E,
        inbox: Inbox,
        applied: Applied,
        metrics: Arc<Metrics>,
        recorder: Recorder,
    ) -> io::Result<(Pulse, JoinHandle<()>)> {
        let (pulse, started) = (Pulse::default(), host::clock::now());
        pulse.beat(started);
        let outcomes = VecDeque::new();
        let Inbox { messages, bell } = inbox;
        let late = Duration::ZERO;
        let driver = Self {
            node,
            execute,
            effects,
            outcomes,
            messages,
            bell,
            metrics,
            pulse: pulse.clone(),
            applied,
            started,
            recorder,
            late,
        };
        let thread = thread::Builder::new().name("standin-driver".into()).spawn(move || {
            match host::schedule::realtime() {
                Ok(()) => tracing::info!("the driver has real-time priority and locked memory"),
                Err(error) => tracing::warn!(%error, "no real-time priority or locked memory: on a busy machine heartbeats may wait"),
            }
            driver.run();
        })?;
        Ok((pulse, thread))
    }

    fn run(mut self) {
        self.execute_all();
        self.execute.begin(&self.bell);
        loop {
            let mut now = self.overdue();
            if let Some(outcome) = self.outcomes.pop_front() {
                self.handle(now, outcome);
                now = self.overdue();
            }
            let queued = match self.messages.try_recv() {
                Ok(Message::Stop) | Err(TryRecvError::Disconnected) => return,
                Ok(message) => {
                    self.message(now, message);
                    // However much is in the queue, the wire is looked at between any two of it.
                    self.execute.wait(&self.bell, Duration::ZERO);
                    now = self.overdue();
                    true
                }
                Err(TryRecvError::Empty) => false,
            };
            if let Some(heard) = self.execute.hear() {
                self.message(now, Message::Input(heard));
            } else if !queued && self.outcomes.is_empty() {
                self.execute.wait(&self.bell, self.patience(now));
            }
        }
    }

    /// How long there is nothing to do, unless somebody says something.
    fn patience(&self, now: Instant) -> Duration {
        let beat = self.execute.beat().min(BEAT);
        self.node.next_deadline().map_or(beat, |(due, _)| due.since(now)).min(beat)
    }

    /// Handles what is overdue, and returns the time: a wait may have been long, or this process may not have run. Boundedly:
    /// deadlines must not keep messages from being read, even if handling one takes longer than the next one's distance.
    fn overdue(&mut self) -> Instant {
        for _ in 0..DEADLINES {
            let now = host::clock::now();
            self.pulse.beat(now);
            self.execute.beat();
            match self.node.next_deadline() {
                Some((due, _)) if due <= now => {
                    self.late = now.since(due);
                    self.metrics.driver_lateness.observe(self.late.as_secs_f64());
                    self.execute.run_late(self.late);
                    self.handle(now, Input::Deadline);
                }
                Some(_) | None => return now,
            }
        }
        host::clock::now()
    }

    fn message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Input(Input::Datagram { from, bytes }) => {
                let (seen, before) = (Seen::of(from.path(), &bytes), self.heard());
                self.handle(now, Input::Datagram { from, bytes });
                self.recorder.received(now, seen, recorder::judged(before, self.heard()), self.late);
            }
            Message::Input(input) => self.handle(now, input),
            Message::Probes(results) => {
                // Each may change decisions about everything, and together they must not look like a hang.
                for (monitor, result, took) in results {
                    let now = self.overdue();
                    self.handle(now, Input::Probe { monitor, result, took });
                }
            }
            Message::Command { command, done } => {
                self.handle(now, Input::Command(command));
                let _gone = done.send(());
            }
            Message::Configure { config, zones } => self.configure(now, config, zones),
            Message::Keys { keys, done } => {
                self.handle(now, Input::Keys(keys));
                let _gone = done.send(());
            }
            Message::Refused(errors) => {
                self.applied.refused = Some(errors.clone());
                self.effects.record(Event::ConfigurationRefused { errors });
                self.execute_all();
            }
            Message::Record(event) => {
                self.effects.record(event);
                self.execute_all();
            }
            Message::Sample(reply) => {
                let _gone = reply.send(self.sample(now));
            }
            Message::Stop => {}
        }
    }

    fn configure(&mut self, now: Instant, config: Arc<ClusterConfig>, zones: Arc<Zones>) {
        self.applied.next(&config);
        self.execute.configure(&config, zones);
        self.handle(now, Input::Configure(config));
        self.execute.published(self.node.health().clone());
    }

    fn handle(&mut self, now: Instant, input: Input) {
        self.node.handle(now, input, &mut self.effects);
        self.execute_all();
    }

    /// Heartbeats accepted, and those of them that told nothing new.
    fn heard(&self) -> (u64, u64) {
        let counters = self.node.counters();
        (counters.heartbeats_received, counters.heartbeats_redundant)
    }

    fn execute_all(&mut self) {
        for effect in self.effects.drain() {
            self.execute.execute(effect, &mut self.outcomes);
        }
        self.execute.told();
    }

    fn sample(&mut self, now: Instant) -> Sample {
        self.metrics.heartbeats_dropped.inc_by(self.execute.dropped());
        Sample {
            cluster: self.node.status(now),
            counters: self.node.counters().clone(),
            health: self.node.health().clone(),
            applied: self.applied.clone(),
            uptime: now.since(self.started),
        }
    }
}

#[cfg(test)]
mod tests;
