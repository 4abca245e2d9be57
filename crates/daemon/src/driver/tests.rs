use cluster::{Key, Keys, Settings};
use model::{
    BootId, ServerName,
    net::{Interface, InterfaceIndex, MacAddress, Origin},
    report::{AddressOutcome, DuplicateCheck},
};

use super::*;

/// What a test awaits normally comes in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

const CLUSTER: &str = "
[cluster]
name = \"test\"
partition = { policy = \"availability\" }
[server.web1]
address = \"10.77.0.11\"
[server.web2]
address = \"10.77.0.12\"
[virtual-host.v1]
addresses = [\"10.77.0.101\"]
servers = [\"web1\"]
";

/// What an executor of a test has no use for.
macro_rules! of_no_use {
    () => {
        fn run_late(&mut self, _: Duration) {}

        fn configure(&mut self, _: &ClusterConfig, _: Arc<Zones>) {}

        fn told(&mut self) {}

        fn published(&mut self, _: Arc<Health>) {}
    };
}

/// Grants every wish at once, and shows every effect.
struct Obliging(SyncSender<Effect>);

impl Execute for Obliging {
    of_no_use!();

    fn beat(&self) -> Duration {
        BEAT
    }

    fn execute(&mut self, effect: Effect, outcomes: &mut VecDeque<Input>) {
        match &effect {
            Effect::Addresses(desired) => outcomes.extend(
                desired.keys().map(|address| Input::Address { address: *address, outcome: AddressOutcome::Present }),
            ),
            Effect::CheckDuplicate { address, .. } => {
                outcomes.push_back(Input::Duplicate { address: *address, check: DuplicateCheck::Free });
            }
            Effect::Send { .. }
            | Effect::Ethernet(_)
            | Effect::Broadcast(_)
            | Effect::Farewell(_)
            | Effect::Announce(_)
            | Effect::AskHolder { .. }
            | Effect::AskWitnesses { .. }
            | Effect::Probes(_)
            | Effect::ProbeNow(_)
            | Effect::RunHook(_)
            | Effect::RunRecovery(_)
            | Effect::Keep(_)
            | Effect::Health(_)
            | Effect::Record(_)
            | Effect::Goodbye => {}
        }
        self.0.send(effect).unwrap();
    }
}

struct Rig {
    queue: Queue,
    effects: Receiver<Effect>,
    thread: JoinHandle<()>,
}

/// A node that began `age` ago.
fn node(age: Duration) -> (Node, Effects, Applied) {
    let config = Arc::new(model::config::parse_cluster("cluster.toml", CLUSTER).unwrap());
    let name = ServerName::new("web1");
    let applied = Applied::first(&name, &config);
    let keys = Keys::new(Key::from_bytes(&[1; 32]).unwrap());
    let settings =
        Settings { name, boot: BootId([1; 16]), keys, serial: 1, config, ethernet: true, holds: Default::default() };
    let mut effects = Effects::new();
    let node = Node::new(host::clock::now() - age, settings, &mut effects);
    (node, effects, applied)
}

/// A driver around such a node, which finds `waiting` in its queue.
fn rig(age: Duration, waiting: Vec<Message>) -> Rig {
    let (node, effects, applied) = node(age);
    let metrics = Arc::new(Metrics::new());
    let (queue, messages) = Queue::new().unwrap();
    waiting.into_iter().for_each(|message| queue.offer(message).unwrap());
    let (shown, seen) = sync_channel(100_000);
    let (_, thread) =
        Driver::start(node, effects, Obliging(shown), messages, applied, metrics, Recorder::default()).unwrap();
    Rig { queue, effects: seen, thread }
}

impl Rig {
    /// The events up to the one wanted.
    fn await_event(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let effect = self.effects.recv_timeout(PATIENCE);
            assert!(effect.is_ok(), "not in {events:?}");
            if let Ok(Effect::Record(event)) = effect {
                events.push(event);
                if events.last().is_some_and(&wanted) {
                    return events;
                }
            }
        }
    }

    fn end(self) {
        self.queue.send(Message::Stop).unwrap();
        self.thread.join().unwrap();
        assert_eq!(self.queue.offer(Message::Stop), Err(Refused::Ended));
    }
}

fn interfaces() -> Input {
    Input::Interfaces(vec![Interface {
        index: InterfaceIndex(2),
        name: "eth0".into(),
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        up: true,
        own: vec!["10.77.0.11/24".parse().unwrap()],
    }])
}

/// Ends its module, which has more to report than the queue takes, as a module's thread would when it is joined.
struct Talkative(Sink);

impl Drop for Talkative {
    fn drop(&mut self) {
        (0..=DEPTH).for_each(|_| (self.0)(Report::Gateways(vec![])));
    }
}

impl Execute for Talkative {
    of_no_use!();

    fn beat(&self) -> Duration {
        BEAT
    }

    fn execute(&mut self, _: Effect, _: &mut VecDeque<Input>) {}
}

#[test]
fn a_module_that_reports_while_it_ends_does_not_hold_up_the_end() {
    let (node, effects, applied) = node(Duration::ZERO);
    let metrics = Arc::new(Metrics::new());
    let (queue, messages) = Queue::new().unwrap();
    let module = Talkative(queue.sink());
    let (_, thread) = Driver::start(node, effects, module, messages, applied, metrics, Recorder::default()).unwrap();
    queue.send(Message::Stop).unwrap();
    let (ended, end) = sync_channel(1);
    thread::spawn(move || ended.send(thread.join().is_ok()));
    assert_eq!(end.recv_timeout(PATIENCE), Ok(true));
}

/// Tells how often the loop went round.
struct Beating(SyncSender<()>);

impl Execute for Beating {
    of_no_use!();

    fn beat(&self) -> Duration {
        let _seen = self.0.try_send(());
        BEAT
    }

    fn execute(&mut self, _: Effect, _: &mut VecDeque<Input>) {}
}

#[test]
fn the_loop_shows_that_it_lives_though_nothing_happens() {
    let (node, effects, applied) = node(Duration::ZERO);
    let metrics = Arc::new(Metrics::new());
    let (queue, messages) = Queue::new().unwrap();
    let (beat, beats) = sync_channel(1);
    let (_, thread) =
        Driver::start(node, effects, Beating(beat), messages, applied, metrics, Recorder::default()).unwrap();
    (0..5).for_each(|_| beats.recv_timeout(PATIENCE).unwrap());
    queue.send(Message::Stop).unwrap();
    thread.join().unwrap();
}

#[test]
fn results_that_come_together_do_not_look_like_a_hang() {
    const RESULTS: usize = 100;
    let (node, effects, applied) = node(Duration::ZERO);
    let metrics = Arc::new(Metrics::new());
    let (queue, messages) = Queue::new().unwrap();
    let monitor = model::MonitorId::of_host(&model::VirtualHostName::new("v1"), &"tcp-80".into());
    queue.offer(Message::Probes(vec![(monitor, model::report::ProbeResult::Success, None); RESULTS])).unwrap();
    queue.offer(Message::Stop).unwrap();
    let (beat, beats) = sync_channel(10 * RESULTS);
    let (_, thread) =
        Driver::start(node, effects, Beating(beat), messages, applied, metrics, Recorder::default()).unwrap();
    thread.join().unwrap();
    let beats = beats.try_iter().count();
    assert!(beats >= RESULTS, "{beats}");
}

#[test]
fn what_is_overdue_comes_before_what_waits_in_the_queue() {
    let (done, _) = oneshot::channel();
    let command = Command::Standby(ServerName::new("web1"));
    let rig = rig(Duration::from_secs(10), vec![Message::Command { command, done }]);
    let events = rig.await_event(|event| matches!(event, Event::Standby { .. }));
    assert!(events.contains(&Event::Listened), "the time to listen was over before the command: {events:?}");
    rig.end();
}

#[test]
fn an_outcome_known_at_once_reaches_the_core() {
    let rig = rig(Duration::ZERO, vec![Message::Input(interfaces())]);
    rig.await_event(|event| matches!(event, Event::Active { .. }));
    rig.end();
}

#[test]
fn a_sample_is_of_one_instant_and_knows_what_was_refused() {
    let (reply, answer) = oneshot::channel();
    let refused = Message::Refused("cluster.toml:1:1: no".into());
    let rig = rig(Duration::ZERO, vec![refused, Message::Sample(reply)]);
    let sample = answer.blocking_recv().unwrap();
    assert_eq!(sample.applied.refused.as_deref(), Some("cluster.toml:1:1: no"));
    assert_eq!((sample.applied.version, sample.cluster.servers.len()), (1, 2));
    rig.await_event(|event| matches!(event, Event::ConfigurationRefused { .. }));
    rig.end();
}

#[test]
fn who_reports_to_a_full_queue_waits_for_room() {
    let (queue, Inbox { messages, .. }) = Queue::new().unwrap();
    (0..DEPTH).for_each(|_| queue.offer(Message::Input(Input::Deadline)).unwrap());
    assert_eq!(queue.offer(Message::Stop), Err(Refused::Full));
    let sink = queue.sink();
    let waiting = thread::spawn(move || sink(Report::Gateways(vec![])));
    // Room comes with each message that is taken; the report is the last.
    let found = (0..=DEPTH).find(|_| {
        let message = messages.recv_timeout(PATIENCE).unwrap();
        matches!(message, Message::Input(Input::Gateways(_)))
    });
    assert_eq!(found, Some(DEPTH));
    waiting.join().unwrap();
}

/// Sleeps until the bell rings, whatever is due.
struct Sleeper;

impl Execute for Sleeper {
    of_no_use!();

    fn beat(&self) -> Duration {
        BEAT
    }

    fn execute(&mut self, _: Effect, _: &mut VecDeque<Input>) {}

    fn wait(&mut self, bell: &Bell, patience: Duration) {
        bell.wait(if patience.is_zero() { patience } else { PATIENCE * 10 });
    }
}

#[test]
fn whoever_tells_the_driver_something_wakes_it() {
    let (node, effects, applied) = node(Duration::ZERO);
    let (queue, messages) = Queue::new().unwrap();
    let metrics = Arc::new(Metrics::new());
    let (_, thread) = Driver::start(node, effects, Sleeper, messages, applied, metrics, Recorder::default()).unwrap();
    let (answers, answered) = sync_channel(3);
    let telling = thread::spawn(move || {
        for _ in 0..3 {
            let ((offered, offer), (sent, send)) = (oneshot::channel(), oneshot::channel());
            queue.offer(Message::Sample(offered)).unwrap();
            offer.blocking_recv().unwrap();
            queue.send(Message::Sample(sent)).unwrap();
            answers.send(send.blocking_recv().is_ok()).unwrap();
        }
        queue.send(Message::Stop).unwrap();
    });
    (0..3).for_each(|_| assert_eq!(answered.recv_timeout(PATIENCE), Ok(true)));
    telling.join().unwrap();
    thread.join().unwrap();
}

/// Hears more than can be handled, and tells what was recorded.
struct Flooded(SyncSender<Event>);

impl Execute for Flooded {
    of_no_use!();

    fn beat(&self) -> Duration {
        BEAT
    }

    fn execute(&mut self, effect: Effect, _: &mut VecDeque<Input>) {
        if let Effect::Record(event) = effect {
            self.0.send(event).unwrap();
        }
    }

    fn hear(&mut self) -> Option<Input> {
        Some(Input::Datagram { from: Origin::Udp("10.0.0.1:1".parse().unwrap()), bytes: vec![7; 100] })
    }

    fn dropped(&mut self) -> u64 {
        3
    }
}

#[test]
fn a_flood_on_the_wire_holds_up_neither_deadlines_nor_the_queue() {
    let (node, effects, applied) = node(Duration::ZERO);
    let (queue, messages) = Queue::new().unwrap();
    let (shown, seen) = sync_channel(100_000);
    let metrics = Arc::new(Metrics::new());
    let (_, thread) =
        Driver::start(node, effects, Flooded(shown), messages, applied, metrics.clone(), Recorder::default()).unwrap();
    // A deadline: the time to listen is over.
    while !matches!(seen.recv_timeout(PATIENCE).unwrap(), Event::Listened) {}
    let (done, answer) = oneshot::channel();
    queue.send(Message::Command { command: Command::Standby(ServerName::new("web1")), done }).unwrap();
    answer.blocking_recv().unwrap();
    while !matches!(seen.recv_timeout(PATIENCE).unwrap(), Event::Standby { .. }) {}
    let (reply, sample) = oneshot::channel();
    queue.send(Message::Sample(reply)).unwrap();
    sample.blocking_recv().unwrap();
    assert_eq!(metrics.heartbeats_dropped.get(), 3, "what the machine dropped is counted when it is asked");
    queue.send(Message::Stop).unwrap();
    thread.join().unwrap();
}
