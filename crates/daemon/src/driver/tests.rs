use cluster::{Key, Keys, Settings};
use model::{
    BootId, ServerName,
    net::{Interface, InterfaceIndex, MacAddress},
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
[virtual-host.v1]
addresses = [\"10.77.0.101\"]
servers = [\"web1\"]
";

/// Grants every wish at once, and shows every effect.
struct Obliging(SyncSender<Effect>);

impl Execute for Obliging {
    fn execute(&mut self, effect: Effect, outcomes: &mut VecDeque<Input>) {
        match &effect {
            Effect::Addresses(desired) => outcomes.extend(
                desired.keys().map(|address| Input::Address { address: *address, outcome: AddressOutcome::Present }),
            ),
            Effect::CheckDuplicate { address, .. } => {
                outcomes.push_back(Input::Duplicate { address: *address, check: DuplicateCheck::Free });
            }
            Effect::Send { .. }
            | Effect::Announce(_)
            | Effect::AskWitnesses { .. }
            | Effect::Probes(_)
            | Effect::Health(_)
            | Effect::Record(_)
            | Effect::Goodbye => {}
        }
        self.0.send(effect).unwrap();
    }

    fn configure(&mut self, _: &ClusterConfig, _: Arc<Zones>) {}

    fn published(&mut self, _: Arc<Health>) {}
}

struct Rig {
    queue: Queue,
    effects: Receiver<Effect>,
    thread: JoinHandle<()>,
}

/// A driver around a node that began `age` ago, which finds `waiting` in its queue.
fn rig(age: Duration, waiting: Vec<Message>) -> Rig {
    let config = Arc::new(model::config::parse_cluster("cluster.toml", CLUSTER).unwrap());
    let name = ServerName::new("web1");
    let applied = Applied::first(&name, &config);
    let keys = Keys::new(Key::from_bytes(&[1; 32]).unwrap());
    let settings = Settings { name, boot: BootId([1; 16]), keys, serial: 1, config };
    let mut effects = Effects::new();
    let node = Node::new(host::clock::now() - age, settings, &mut effects);
    let metrics = Arc::new(Metrics::new());
    let (queue, messages) = Queue::new(metrics.clone());
    waiting.into_iter().for_each(|message| queue.offer(message).unwrap());
    let (shown, seen) = sync_channel(100_000);
    let (_, thread) = Driver::start(node, effects, Obliging(shown), messages, applied, metrics).unwrap();
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
    assert_eq!((sample.applied.version, sample.cluster.servers.len()), (1, 1));
    rig.await_event(|event| matches!(event, Event::ConfigurationRefused { .. }));
    rig.end();
}

#[test]
fn a_full_queue_drops_datagrams_and_keeps_the_rest() {
    let metrics = Arc::new(Metrics::new());
    let (queue, messages) = Queue::new(metrics.clone());
    let sink = queue.sink();
    let datagram = || Report::Datagram { from: "10.0.0.1:1".parse().unwrap(), bytes: vec![] };
    (0..DEPTH + 3).for_each(|_| sink(datagram()));
    assert_eq!(metrics.driver_dropped.get(), 3);
    let waiting = thread::spawn(move || sink(Report::Gateways(vec![])));
    // Room comes with each message that is taken; the report is among them.
    let found = (0..=DEPTH).find(|_| {
        let message = messages.recv_timeout(PATIENCE).unwrap();
        matches!(message, Message::Input(Input::Gateways(_)))
    });
    assert_eq!(found, Some(DEPTH));
    waiting.join().unwrap();
}
