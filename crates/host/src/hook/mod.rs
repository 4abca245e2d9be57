//! Hooks and recovery programs: an operator's programs, run beside everything else.
//!
//! [`Hooks::run`] hands a task over and never waits. A thread of its own, `standin-hooks`, decides what begins when; each run
//! has a thread (`standin-hook`) that starts the program, feeds and reads it, kills its process group at the limit, and
//! reports once. A program on a dead file system holds up its own thread, and nothing else.
//!
//! What a program gets: its own process group, the user's identity with no further groups, no capability beyond that and no
//! way to gain one (`no_new_privs`), `/` as its directory, a few variables, its document on standard input, no descriptor
//! but the three. What remains of its group when it ends, or when its time is over, is killed. A program that has to leave
//! something running asks the service manager for it.
//!
//! Order and bounds. One virtual host's hooks run one after the other, in the order of the tasks, and so do one monitor's
//! recovery programs, beside the hooks; `WAITING` may wait, then
//! the oldest of them is not run. `SLOTS` run at a time, of which `RESERVED` are for `before-take` alone: whoever waits
//! for addresses waits for no other virtual host's hooks. The limit of a `before-take`, and of a recovery, counts from its
//! order, waiting included; all others' from their start. Whatever is not run is reported as such.
//!
//! The end: dropping [`Hooks`] forgets what waits, gives what runs `GRACE`, and kills the rest. Who dies without dropping
//! it takes the programs themselves with it (`PR_SET_PDEATHSIG`), though not what they have started.
//!
//! Deliberately not here: what a hook is for, and what it is told (`daemon`); cgroups: a program that leaves its process
//! group on purpose is not found again.

mod run;
mod single;
mod trust;
mod user;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use model::{
    MonitorId, VirtualHostName,
    config::Hook,
    hook::{HookId, HookMoment, HookOutcome, HookReport, RecoveryId},
};

pub(crate) use self::run::{Call, Done, run};
pub use self::{
    single::Single,
    trust::{Distrust, examine},
};
use crate::{Report, Sink, wake::Wake};

/// Tasks and ends that may wait for the thread that decides. A task that finds it full is handed back.
const DEPTH: usize = 1024;
/// Programs that run at a time.
const SLOTS: usize = 64;
/// So many of them only for `before-take`.
const RESERVED: usize = 32;
/// Tasks of one virtual host that wait for the one before them.
const WAITING: usize = 4;
/// So long what runs may go on after the end has come.
const GRACE: Duration = Duration::from_secs(2);
/// So long a killed program may take to be gone.
const DYING: Duration = Duration::from_millis(200);

/// Which run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskId {
    /// Of a hook.
    Hook(HookId),
    /// Of a recovery program.
    Recovery(RecoveryId),
}

impl TaskId {
    /// Whether addresses wait for it.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Hook(id) => id.moment == HookMoment::BeforeTake,
            Self::Recovery(_) => false,
        }
    }

    /// Whether somebody waits for it from its order on.
    fn is_awaited(&self) -> bool {
        match self {
            Self::Hook(_) => self.is_urgent(),
            Self::Recovery(_) => true,
        }
    }

    fn owner(&self) -> Owner {
        match self {
            Self::Hook(id) => Owner::VirtualHost(id.virtual_host.clone()),
            Self::Recovery(id) => Owner::Monitor(id.monitor.clone()),
        }
    }

    fn report(self, report: HookReport) -> Report {
        match self {
            Self::Hook(id) => Report::Hook { id, report },
            Self::Recovery(id) => Report::Recovery { id, report },
        }
    }
}

/// Whose programs run one after the other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Owner {
    VirtualHost(VirtualHostName),
    Monitor(MonitorId),
}

/// One run of one program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Which run.
    pub id: TaskId,
    /// What, as whom, how long.
    pub hook: Hook,
    /// Its environment, whole but for `PATH`.
    pub environment: Vec<(&'static str, String)>,
    /// Its standard input.
    pub document: Vec<u8>,
}

/// Runs hooks.
pub struct Hooks {
    queue: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

enum Message {
    Run(Box<Task>),
    /// A run of this owner is over.
    Over(Owner),
    End,
}

impl Hooks {
    /// Starts the thread that decides; reports go to `sink`.
    ///
    /// # Errors
    /// When the thread, or the descriptor that ends the others, cannot be made.
    pub fn start(sink: Sink) -> io::Result<Self> {
        let (queue, messages) = sync_channel(DEPTH);
        let dispatcher = Dispatcher {
            sink,
            queue: queue.clone(),
            lines: BTreeMap::new(),
            ordered: 0,
            running: 0,
            end: Arc::new(Wake::new()?),
        };
        let thread = thread::Builder::new().name("standin-hooks".into()).spawn(move || dispatcher.run(&messages))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Has a program run. Never waits.
    ///
    /// # Errors
    /// The report of a task that finds `DEPTH` others waiting.
    pub fn run(&self, task: Task) -> Result<(), HookReport> {
        let full = |_| HookReport::without_run(HookOutcome::NotRun, "not run: too many hooks wait");
        self.queue.try_send(Message::Run(Box::new(task))).map_err(full)
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        let _ended = self.queue.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// A task that waits.
struct Waiting {
    task: Box<Task>,
    since: Instant,
    /// Counts all tasks.
    number: u64,
}

/// The tasks of one owner.
#[derive(Default)]
struct Line {
    busy: bool,
    waiting: VecDeque<Waiting>,
}

struct Dispatcher {
    sink: Sink,
    queue: SyncSender<Message>,
    lines: BTreeMap<Owner, Line>,
    ordered: u64,
    running: usize,
    /// Rings when everything that still runs has to die.
    end: Arc<Wake>,
}

impl Dispatcher {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Run(task) => self.enqueue(task),
                Message::Over(owner) => self.over(&owner),
                Message::End => break,
            }
            while self.begin_next() {}
        }
        self.lines.clear();
        self.await_end(messages, GRACE);
        self.end.ring();
        self.await_end(messages, DYING);
    }

    /// Until nothing runs any more, or the time is over.
    fn await_end(&mut self, messages: &Receiver<Message>, patience: Duration) {
        let until = Instant::now() + patience;
        while self.running > 0 {
            match messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Over(owner)) => self.over(&owner),
                Ok(Message::Run(_) | Message::End) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn enqueue(&mut self, task: Box<Task>) {
        self.ordered += 1;
        let waiting = Waiting { task, since: Instant::now(), number: self.ordered };
        let line = self.lines.entry(waiting.task.id.owner()).or_default();
        line.waiting.push_back(waiting);
        // The newest are nearest to what is: the oldest go.
        let dropped = (line.waiting.len() > WAITING).then(|| line.waiting.pop_front()).flatten();
        if let Some(dropped) = dropped {
            let reason = "not run: those before it are too slow";
            let report = HookReport::without_run(HookOutcome::NotRun, reason);
            (self.sink)(dropped.task.id.report(report));
        }
    }

    fn over(&mut self, owner: &Owner) {
        self.running -= 1;
        if let Some(line) = self.lines.get_mut(owner) {
            line.busy = false;
            if line.waiting.is_empty() {
                self.lines.remove(owner);
            }
        }
    }

    /// Begins the run whose turn it is, if there is room for it.
    fn begin_next(&mut self) -> bool {
        let urgent = |waiting: &Waiting| waiting.task.id.is_urgent();
        let fits = |waiting: &&Waiting| self.running < if urgent(waiting) { SLOTS } else { SLOTS - RESERVED };
        let ready = self.lines.values().filter(|line| !line.busy).filter_map(|line| line.waiting.front());
        let next = ready.filter(fits).min_by_key(|waiting| (!urgent(waiting), waiting.number));
        let Some(owner) = next.map(|waiting| waiting.task.id.owner()) else { return false };
        let line = self.lines.get_mut(&owner).expect("it was just found there");
        let waiting = line.waiting.pop_front().expect("it was just found there");
        line.busy = true;
        self.running += 1;
        self.begin(waiting);
        true
    }

    fn begin(&mut self, Waiting { task, since, .. }: Waiting) {
        let (sink, queue, end) = (self.sink.clone(), self.queue.clone(), self.end.clone());
        let id = task.id.clone();
        let whole = move || {
            let from = if task.id.is_awaited() { since } else { Instant::now() };
            let call = Call {
                program: &task.hook.program,
                arguments: &task.hook.arguments,
                user: task.hook.user.as_deref(),
                environment: &task.environment,
                document: &task.document,
            };
            run(&call, from + task.hook.timeout, &end, |done| {
                sink(task.id.clone().report(done.report));
            });
            let _ended = queue.send(Message::Over(task.id.owner()));
        };
        if let Err(error) = thread::Builder::new().name("standin-hook".into()).spawn(whole) {
            let report = HookReport::without_run(HookOutcome::NotRun, format!("not run: no thread: {error}"));
            self.over(&id.owner());
            (self.sink)(id.report(report));
        }
    }
}
