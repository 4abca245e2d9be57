//! One run of one program, on a thread of its own, from the look at it to its last breath.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use model::hook::{HookOutcome, HookReport};

use super::{trust, user};
use crate::{
    descriptors,
    wake::{Wake, pidfd, poll, readable},
};

/// So much of standard output, and of standard error, is kept; the rest is read and forgotten.
const KEPT: usize = 4096;
/// Read or written at once: a pipe that poll(2) calls writable takes so much without waiting (PIPE_BUF, pipe(7)).
const PIECE: usize = 4096;
/// Pieces read after the program's end, at most: what it wrote before. Others may hold the pipe open, and write on.
const REMAINDER: usize = 16;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'c> {
    /// An absolute path.
    pub(crate) program: &'c str,
    pub(crate) arguments: &'c [Arc<str>],
    /// None: the one who may do least.
    pub(crate) user: Option<&'c str>,
    /// Whole but for `PATH`.
    pub(crate) environment: &'c [(&'static str, String)],
    /// Its standard input.
    pub(crate) document: &'c [u8],
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Done {
    pub(crate) report: HookReport,
    /// None where it did not run to an end of its own.
    pub(crate) code: Option<i32>,
}

impl From<HookReport> for Done {
    fn from(report: HookReport) -> Self {
        Self { report, code: None }
    }
}

/// Runs it until `until` at most, or until `end` rings. `report` is called once, before a program that does not die even when
/// killed is waited for.
pub(crate) fn run(call: &Call<'_>, until: Instant, end: &Wake, report: impl Fn(Done)) {
    match begin(call, until) {
        Ok(mut run) => {
            report(run.watch(until, end));
            run.reap();
        }
        Err(refused) => report(refused.into()),
    }
}

/// Starts it, if it may be.
fn begin(call: &Call<'_>, until: Instant) -> Result<Run, HookReport> {
    let refuse = |outcome, why: String| Err(HookReport::without_run(outcome, why));
    if let Err(distrust) = trust::examine(Path::new(call.program)) {
        return refuse(HookOutcome::Refused, format!("not run: {distrust}"));
    }
    let identity = match user::resolve(call.user) {
        Ok(identity) => identity,
        Err(why) => return refuse(HookOutcome::Refused, format!("not run: {why}")),
    };
    if Instant::now() >= until {
        let why = "not run: its time limit was over before its turn came";
        return refuse(HookOutcome::NotRun, why.to_owned());
    }
    start(call, identity).or_else(|error| refuse(HookOutcome::NotRun, format!("could not be started: {error}")))
}

fn start(call: &Call<'_>, identity: Option<user::Identity>) -> io::Result<Run> {
    let mut command = Command::new(call.program);
    command.args(call.arguments.iter().map(|argument| &**argument));
    command.env_clear().env("PATH", PATH).envs(call.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(identity) = identity {
        // With a user given, and as root, the standard library also gives up all further groups.
        command.uid(identity.user).gid(identity.group);
    }
    let parent = std::process::id();
    // SAFETY: between fork and exec; system calls only, nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(move || confine(parent)) };
    let mut child = command.spawn()?;
    let begun = Instant::now();
    let (input, output, error) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut run = Run {
        pidfd: None,
        begun,
        input: input.map(|pipe| Input { pipe, document: call.document.to_vec(), written: 0 }),
        output: output.map(Output::new),
        error: error.map(Output::new),
        child,
    };
    let pid = libc::pid_t::try_from(run.child.id()).expect("a process number fits");
    match pidfd(pid) {
        Ok(pidfd) => run.pidfd = Some(pidfd),
        Err(error) => {
            // Unwatched it must not run.
            run.kill();
            run.reap();
            return Err(error);
        }
    }
    Ok(run)
}

/// In the child, after it has become the user and before it becomes the program.
fn confine(parent: u32) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    let checked = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: takes numbers only. No set-user-ID program and no file capability gives it more than it has.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, none, none, none) })?;
    // SAFETY: takes numbers only. A daemon that is not root has capabilities by inheritance: the program has none.
    checked(unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, none, none, none)
    })?;
    // SAFETY: takes numbers only. It dies with the thread that watches it.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, none, none, none) })?;
    // SAFETY: takes nothing and cannot fail.
    let orphaned = libc::pid_t::try_from(parent) != Ok(unsafe { libc::getppid() });
    if orphaned {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    descriptors::restore()?;
    let (first, last): (libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX);
    // Kernels before 5.11 don't know it. Whatever we opened is marked so anyway; this is the second lock.
    // SAFETY: takes numbers only; no descriptor is closed before exec.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// A program that runs.
struct Run {
    child: Child,
    /// Becomes readable when it has ended.
    pidfd: Option<OwnedFd>,
    begun: Instant,
    input: Option<Input>,
    output: Option<Output<std::process::ChildStdout>>,
    error: Option<Output<std::process::ChildStderr>>,
}

impl Run {
    /// Feeds and reads it until it has ended, or has to.
    fn watch(&mut self, until: Instant, end: &Wake) -> Done {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let killed = self.kill();
                return self.report(HookOutcome::TimedOut, format!("{killed} at its time limit")).into();
            }
            let mut fds = [
                readable(self.pidfd.as_ref().map_or(-1, AsRawFd::as_raw_fd)),
                readable(end.fd()),
                readable(self.output.as_ref().map_or(-1, Output::fd)),
                readable(self.error.as_ref().map_or(-1, Output::fd)),
                writable(self.input.as_ref().map_or(-1, |input| input.pipe.as_raw_fd())),
            ];
            let polled = poll(&mut fds, whole_millis(left));
            let ready = fds.map(|fd| fd.revents != 0);
            if polled.is_err() || ready[1] {
                let killed = self.kill();
                return self.report(HookOutcome::Failed, format!("{killed}: the daemon ends")).into();
            }
            if ready[4] {
                self.input = self.input.take().and_then(Input::write);
            }
            self.read(ready[2], ready[3]);
            if ready[0] {
                return self.ended();
            }
        }
    }

    fn read(&mut self, output: bool, error: bool) {
        if output && let Some(output) = &mut self.output {
            output.read();
        }
        if error && let Some(error) = &mut self.error {
            error.read();
        }
    }

    /// It has ended by itself.
    fn ended(&mut self) -> Done {
        // Before it is waited for: as long as it is not, no other process group has its number.
        self.kill();
        for _ in 0..REMAINDER {
            let fd = |fd: Option<RawFd>| readable(fd.unwrap_or(-1));
            let mut fds = [fd(self.output.as_ref().map(Output::fd)), fd(self.error.as_ref().map(Output::fd))];
            let ready = poll(&mut fds, 0).map(|()| fds.map(|fd| fd.revents != 0)).unwrap_or_default();
            if ready == [false; 2] {
                break;
            }
            self.read(ready[0], ready[1]);
        }
        match self.child.wait() {
            Ok(status) => {
                let report = match status.success() {
                    true => self.report(HookOutcome::Succeeded, "succeeded".to_owned()),
                    false => self.report(HookOutcome::Failed, format!("{}{}", how(status), self.first_complaint())),
                };
                Done { report, code: status.code() }
            }
            Err(error) => self.report(HookOutcome::Failed, format!("it cannot be told how it ended: {error}")).into(),
        }
    }

    /// SIGKILL to the whole group; says whether it took.
    fn kill(&self) -> String {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process number fits");
        // SAFETY: takes numbers only. The group's number is the child's, which has not been waited for.
        if unsafe { libc::kill(-pid, libc::SIGKILL) } == 0 {
            return "killed".to_owned();
        }
        format!("could not be killed ({})", io::Error::last_os_error())
    }

    /// No zombie is left. Does nothing where it has been waited for already.
    fn reap(&mut self) {
        (self.input, self.output, self.error) = (None, None, None);
        let _status = self.child.wait();
    }

    fn report(&self, outcome: HookOutcome, reason: String) -> HookReport {
        HookReport {
            outcome,
            reason: reason.into(),
            took_us: u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            stdout: self.output.as_ref().map(Output::text).unwrap_or_default().into(),
            stderr: self.error.as_ref().map(Output::text).unwrap_or_default().into(),
        }
    }

    /// The first line that it wrote to standard error.
    fn first_complaint(&self) -> String {
        const LONGEST: usize = 160;
        let text = self.error.as_ref().map(Output::text).unwrap_or_default();
        match text.lines().find(|line| !line.trim().is_empty()) {
            Some(line) => format!(": {}", line.chars().take(LONGEST).collect::<String>()),
            None => String::new(),
        }
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The document on its way.
struct Input {
    pipe: ChildStdin,
    document: Vec<u8>,
    written: usize,
}

impl Input {
    /// Writes a piece; none when that was the last, or nobody reads it.
    fn write(mut self) -> Option<Self> {
        let rest = &self.document[self.written..];
        let piece = &rest[..rest.len().min(PIECE)];
        if piece.is_empty() {
            return None;
        }
        self.written += self.pipe.write(piece).ok()?;
        (self.written < self.document.len()).then_some(self)
    }
}

/// What it says.
struct Output<P> {
    pipe: Option<P>,
    kept: Vec<u8>,
    more: bool,
}

impl<P: Read + AsRawFd> Output<P> {
    fn new(pipe: P) -> Self {
        Self { pipe: Some(pipe), kept: Vec::new(), more: false }
    }

    fn fd(&self) -> RawFd {
        self.pipe.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Reads what is there.
    fn read(&mut self) {
        let mut piece = [0; PIECE];
        match self.pipe.as_mut().map(|pipe| pipe.read(&mut piece)) {
            Some(Ok(length @ 1..)) => {
                let kept = length.min(KEPT - self.kept.len());
                self.kept.extend_from_slice(&piece[..kept]);
                self.more |= kept < length;
            }
            Some(Ok(_) | Err(_)) | None => self.pipe = None,
        }
    }

    /// For the log: no control characters but the ends of lines.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let plain = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
        let text: String = text.trim_end().chars().map(plain).collect();
        if self.more { text + " ..." } else { text }
    }
}

fn writable(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLOUT, revents: 0 }
}

/// For poll(2): rounded up, so that the time is over when it returns.
fn whole_millis(span: Duration) -> libc::c_int {
    libc::c_int::try_from(span.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX)
}
