//! Hooks as real processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

use std::{
    fs,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use host::{
    Report, Sink,
    hook::{Hooks, Task, TaskId},
};
use model::{
    MonitorId, VirtualHostName,
    config::Hook,
    hook::{HookId, HookMoment, HookOutcome, HookReport, RecoveryId},
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);

/// Hooks, their reports, and a place for programs that anybody may enter.
struct Bench {
    hooks: Option<Hooks>,
    reports: Receiver<(TaskId, HookReport)>,
    home: TempDir,
    numbered: u64,
}

impl Bench {
    fn new() -> Self {
        let (sender, reports) = sync_channel(256);
        let sink: Sink = std::sync::Arc::new(move |report| {
            let (id, report) = match report {
                Report::Hook { id, report } => (TaskId::Hook(id), report),
                Report::Recovery { id, report } => (TaskId::Recovery(id), report),
                _ => return,
            };
            let _nobody_listens = sender.try_send((id, report));
        });
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { hooks: Some(Hooks::start(sink).unwrap()), reports, home, numbered: 0 }
    }

    /// A shell script of this text.
    fn script(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn task(&mut self, program: &str, virtual_host: &str, moment: HookMoment, limit: Duration) -> Task {
        self.numbered += 1;
        Task {
            id: TaskId::Hook(HookId {
                virtual_host: VirtualHostName::new(virtual_host),
                moment,
                number: self.numbered,
            }),
            hook: Hook { position: 0, program: program.into(), arguments: Vec::new(), user: None, timeout: limit },
            environment: vec![("STANDIN_MOMENT", moment.word().to_owned())],
            document: b"{\"term\":7}\n".to_vec(),
        }
    }

    fn order(&self, task: Task) {
        self.hooks.as_ref().unwrap().run(task).unwrap();
    }

    /// Orders it after a take, without haste.
    fn begin(&mut self, program: &str, virtual_host: &str) {
        let task = self.task(program, virtual_host, HookMoment::AfterTake, LONG);
        self.order(task);
    }

    fn next(&self) -> (HookId, HookReport) {
        match self.reports.recv_timeout(PATIENCE).expect("a report") {
            (TaskId::Hook(id), report) => (id, report),
            (TaskId::Recovery(id), _) => panic!("{id:?} was not awaited"),
        }
    }

    /// Runs a script by itself.
    fn run(&mut self, text: &str, limit: Duration) -> HookReport {
        let program = self.script("hook", text);
        let task = self.task(&program, "v1", HookMoment::AfterTake, limit);
        self.order(task);
        self.next().1
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Whether a process runs: neither gone nor waiting to be buried by init.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

fn await_that(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Lowers the soft limit of open files below the hard one, so that it can be raised, and says what it is then.
fn lower_the_soft_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which outlives the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit.rlim_cur = (limit.rlim_max - 1).min(1000);
    // SAFETY: the kernel reads one rlimit, which outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    limit.rlim_cur
}

#[test]
fn it_is_told_everything_and_has_nothing_else() {
    let mut bench = Bench::new();
    // As one that the guardian passed might be: not marked to be closed.
    let marker = fs::File::create(bench.home.path().join("marker")).unwrap();
    // SAFETY: takes numbers only; the descriptor is open.
    assert_eq!(unsafe { libc::fcntl(marker.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let before = lower_the_soft_limit();
    assert!(host::descriptors::raise().unwrap() > before);
    let text = "cat; env | sort; pwd; echo limit $(ulimit -Sn); echo fds $(ls -l /proc/$$/fd); cut -d' ' -f5 /proc/$$/stat; echo $$\n\
                grep -E '^(NoNewPrivs|CapEff|CapAmb|Groups)' /proc/self/status >&2";
    let report = bench.run(text, LONG);
    assert_eq!(report.outcome, HookOutcome::Succeeded, "{report:?}");
    let lines: Vec<&str> = report.stdout.lines().collect();
    assert_eq!(lines[0], "{\"term\":7}");
    let told = |line: &&&str| !line.starts_with("PATH=") && !line.starts_with("PWD=") && line.contains('=');
    assert_eq!(lines.iter().filter(told).collect::<Vec<_>>(), [&"STANDIN_MOMENT=after-take"], "{lines:?}");
    assert!(lines.contains(&"/"), "{lines:?}");
    let limit = lines.iter().find_map(|line| line.strip_prefix("limit "));
    assert_eq!(limit, Some(&*before.to_string()), "not what the daemon has raised it to");
    let fds = lines.iter().find(|line| line.starts_with("fds ")).unwrap();
    assert!(fds.contains("pipe:") && !fds.contains("marker"), "{fds}");
    let [group, leader] = lines[lines.len() - 2..] else { panic!("{lines:?}") };
    assert_eq!(group, leader, "a process group of its own");
    assert!(report.stderr.contains("NoNewPrivs:\t1"), "{}", report.stderr);
    if is_root() {
        assert!(report.stderr.contains("CapEff:\t0000000000000000"), "nobody has no capability: {}", report.stderr);
        assert!(report.stderr.lines().any(|line| line.trim_end() == "Groups:"), "{}", report.stderr);
    }
}

#[test]
fn root_runs_it_as_nobody_unless_told_otherwise() {
    if !is_root() {
        return; // Others run hooks as themselves, which the next test sees to.
    }
    let mut bench = Bench::new();
    let program = bench.script("who", "id -un");
    for (user, name) in
        [(None, "nobody"), (Some("nobody"), "nobody"), (Some("root"), "root"), (Some("daemon"), "daemon")]
    {
        let mut task = bench.task(&program, "v1", HookMoment::AfterTake, LONG);
        task.hook.user = user.map(Into::into);
        bench.order(task);
        let report = bench.next().1;
        assert_eq!((report.outcome, &*report.stdout), (HookOutcome::Succeeded, name), "{report:?}");
    }
}

#[test]
fn what_is_not_safe_or_not_there_is_refused() {
    let mut bench = Bench::new();
    let open = bench.script("open", "true");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let good = bench.script("good", "true");
    let none = format!("{good}-none");
    for (program, user, why) in [
        (&open, None, "mode 777"),
        (&none, None, "does not exist"),
        (&good, Some("no-such-user-here"), "there is no user no-such-user-here"),
    ] {
        let mut task = bench.task(program, "v1", HookMoment::BeforeTake, LONG);
        task.hook.user = user.map(Into::into);
        bench.order(task);
        let report = bench.next().1;
        assert_eq!(report.outcome, HookOutcome::Refused);
        assert!(report.reason.contains(why), "{}", report.reason);
    }
    // Looked at anew each time.
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    bench.begin(&open, "v1");
    assert_eq!(bench.next().1.outcome, HookOutcome::Succeeded);
}

#[test]
fn at_the_limit_the_whole_process_group_is_killed() {
    let mut bench = Bench::new();
    let report = bench.run("sh -c 'sleep 1000 & echo $!; wait' & echo $$; wait", Duration::from_millis(700));
    assert_eq!(report.outcome, HookOutcome::TimedOut, "{report:?}");
    let pids: Vec<&str> = report.stdout.lines().collect();
    assert_eq!(pids.len(), 2, "itself and a grandchild have begun: {report:?}");
    for pid in pids {
        await_that("it is gone", || !runs(pid));
    }
}

#[test]
fn what_a_program_leaves_in_its_group_goes_with_it() {
    let mut bench = Bench::new();
    let report = bench.run("sleep 1000 & echo $! $$", LONG);
    assert_eq!(report.outcome, HookOutcome::Succeeded, "the pipe that it holds open is not waited for: {report:?}");
    let (left, itself) = report.stdout.split_once(' ').unwrap();
    await_that("what was left is gone", || !runs(left));
    await_that("no zombie is left", || !Path::new("/proc").join(itself).exists());
}

#[test]
fn much_is_read_and_little_is_kept() {
    let mut bench = Bench::new();
    let text = "head -c 3000000 /dev/zero | tr '\\0' x; printf 'one\\n\\033[31mtwo\\n' >&2; exit 3";
    let report = bench.run(text, LONG);
    assert_eq!((report.outcome, &*report.reason), (HookOutcome::Failed, "exit code 3: one"));
    assert_eq!(report.stdout.len(), 4096 + " ...".len());
    assert_eq!(&*report.stderr, "one\n\u{fffd}[31mtwo", "no control characters for the log");
    assert!(report.took_us > 0);
}

#[test]
fn a_document_is_read_whole_or_not_at_all() {
    let mut bench = Bench::new();
    for (text, said) in [("wc -c", "1000000"), ("exec 0<&-", "")] {
        let program = bench.script("hook", text);
        let mut task = bench.task(&program, "v1", HookMoment::AfterTake, LONG);
        task.document = vec![b' '; 1_000_000];
        bench.order(task);
        let report = bench.next().1;
        assert_eq!((report.outcome, report.stdout.trim()), (HookOutcome::Succeeded, said), "{report:?}");
    }
}

#[test]
fn one_virtual_hosts_hooks_wait_for_each_other_and_no_other() {
    let mut bench = Bench::new();
    let gate = bench.home.path().join("gate");
    let slow = bench.script("slow", &format!("until [ -e {} ]; do sleep 0.01; done; echo slow", gate.display()));
    let quick = bench.script("quick", "echo quick");
    bench.begin(&slow, "v1");
    for _ in 0..6 {
        bench.begin(&quick, "v1");
    }
    // Four may wait; the oldest of the others are not run.
    for number in [2, 3] {
        let (id, report) = bench.next();
        assert_eq!((id.number, report.outcome), (number, HookOutcome::NotRun), "{report:?}");
    }
    bench.begin(&quick, "v2");
    assert_eq!(bench.next().0.virtual_host, VirtualHostName::new("v2"));
    fs::write(&gate, "").unwrap();
    let order: Vec<(u64, String)> =
        (0..5).map(|_| bench.next()).map(|(id, it)| (id.number, it.stdout.to_string())).collect();
    let quick = |number| (number, "quick".to_owned());
    assert_eq!(order, [(1, "slow".to_owned()), quick(4), quick(5), quick(6), quick(7)]);
}

#[test]
fn a_limit_before_a_take_counts_the_waiting() {
    let mut bench = Bench::new();
    let gate = bench.home.path().join("gate");
    let slow = bench.script("slow", &format!("until [ -e {} ]; do sleep 0.01; done", gate.display()));
    bench.begin(&slow, "v1");
    let task = bench.task(&slow, "v1", HookMoment::BeforeTake, Duration::from_millis(50));
    bench.order(task);
    thread::sleep(Duration::from_millis(60)); // The limit itself.
    fs::write(&gate, "").unwrap();
    assert_eq!(bench.next().0.number, 1);
    let (id, report) = bench.next();
    assert_eq!((id.number, report.outcome), (2, HookOutcome::NotRun), "{report:?}");
}

#[test]
fn slow_hooks_leave_room_for_those_that_addresses_wait_for() {
    let mut bench = Bench::new();
    let gate = bench.home.path().join("gate");
    let slow = bench.script("slow", &format!("until [ -e {} ]; do sleep 0.1; done", gate.display()));
    let quick = bench.script("quick", "true");
    for number in 0..40 {
        bench.begin(&slow, &format!("slow{number}"));
    }
    let task = bench.task(&quick, "urgent", HookMoment::BeforeTake, LONG);
    bench.order(task);
    assert_eq!(bench.next().0.virtual_host, VirtualHostName::new("urgent"));
    fs::write(&gate, "").unwrap();
    for _ in 0..40 {
        assert_eq!(bench.next().1.outcome, HookOutcome::Succeeded);
    }
}

#[test]
fn the_end_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let pids = bench.home.path().join("pids");
    fs::write(&pids, "").unwrap();
    fs::set_permissions(&pids, fs::Permissions::from_mode(0o666)).unwrap();
    let endless = bench.script("endless", &format!("sleep 1000 & echo $! $$ >> {}; wait", pids.display()));
    bench.begin(&endless, "v1");
    bench.begin(&endless, "v1");
    await_that("it runs", || fs::read_to_string(&pids).unwrap().ends_with('\n'));
    drop(bench.hooks.take());
    let begun = fs::read_to_string(&pids).unwrap();
    assert_eq!(begun.lines().count(), 1, "what waited was forgotten");
    for pid in begun.split_whitespace() {
        await_that("it is gone", || !runs(pid));
    }
    assert!(bench.next().1.reason.contains("the daemon ends"));
}

#[test]
fn recoveries_run_beside_the_hooks_of_their_virtual_host_and_one_after_the_other() {
    let mut bench = Bench::new();
    let gate = bench.home.path().join("gate");
    let program = bench.script("mend", &format!("until [ -e {} ]; do sleep 0.01; done; echo $$", gate.display()));
    let quick = bench.script("quick", "true");
    let monitor = MonitorId::of_host(&VirtualHostName::new("v1"), &"http-80".into());
    for number in [1, 2] {
        let task = bench.task(&program, "v1", HookMoment::AfterTake, LONG);
        let id = TaskId::Recovery(RecoveryId { monitor: monitor.clone(), number });
        bench.order(Task { id, ..task });
    }
    bench.begin(&quick, "v1");
    assert_eq!(bench.next().1.outcome, HookOutcome::Succeeded, "no hook waits for a recovery");
    fs::write(&gate, "").unwrap();
    let ids: Vec<TaskId> = (0..2).map(|_| bench.reports.recv_timeout(PATIENCE).unwrap().0).collect();
    let id = |number| TaskId::Recovery(RecoveryId { monitor: monitor.clone(), number });
    assert_eq!(ids, [id(1), id(2)]);
}
