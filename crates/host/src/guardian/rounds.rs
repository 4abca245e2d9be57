//! The guardian's rounds: start the daemon, watch it, clean up after it, and again.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
    time::Duration,
};

use model::{
    event::Ending,
    pulse::{BEATS, Finding, PulseWatch},
};

use super::{
    child::{Daemon, Signals},
    kernel::Kernel,
    page::{Before, Page},
};
use crate::{
    clock,
    connections::Connections,
    ether::Voice,
    schedule,
    wake::{pidfd, poll, readable},
};

/// The first pause before the daemon is started again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A daemon that has lived so long has got over its trouble.
const SETTLED: Duration = Duration::from_secs(60);
/// How often [`watch`] tells that it waits.
const GLANCE: Duration = Duration::from_millis(500);
/// How often it is looked whether a killed daemon can still act, in milliseconds.
const LOOK: libc::c_int = 1;
/// The configuration has mistakes, says the daemon's exit code.
const BAD_CONFIGURATION: i32 = 2;

/// The server does not belong to the cluster any more, says the daemon's exit code.
const EXPELLED: i32 = 4;

/// How it ended, for the program's exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The daemon ended, and was not to be started again: its exit code.
    Exited(u8),
    /// It was to stop, and was killed instead: by somebody else, or because it hung.
    Killed,
}

/// What the guardian has at hand: all opened before the daemon runs.
struct Guardian<'a> {
    arguments: &'a [OsString],
    page: Page,
    myself: OwnedFd,
    signals: Signals,
    kernel: Kernel,
    /// None where the kernel does not offer it.
    connections: Option<Connections>,
    farewell: Vec<UdpSocket>,
    /// None without the right to send frames.
    voice: Option<Voice>,
    /// Somebody has asked for the end.
    stopping: bool,
    /// A daemon has once begun to work.
    worked: bool,
    waiting: &'a mut dyn FnMut(),
}

/// Runs the daemon: this program with `arguments` and `FLAG PAGE,GUARDIAN` behind them, for [`super::Ward::inherit`].
/// Returns when it ended and is not to be started again. `waiting` is called now and then while none runs, for the
/// service manager's watchdog. To be called by a process with one thread.
///
/// # Errors
/// What the guardian needs is not to be had; no daemon runs.
pub fn watch(mut arguments: Vec<OsString>, flag: &str, waiting: &mut dyn FnMut()) -> io::Result<End> {
    let page = Page::new()?;
    let pid = libc::pid_t::try_from(std::process::id()).expect("a process number fits");
    let myself = pidfd(pid)?;
    arguments.push(format!("{flag}={},{}", page.memory().as_raw_fd(), myself.as_raw_fd()).into());
    let any = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))];
    // A machine may lack one family.
    let farewell = any.into_iter().filter_map(|any| UdpSocket::bind(any).ok());
    let farewell: Vec<_> = farewell.filter(|socket| socket.set_nonblocking(true).is_ok()).collect();
    let mut guardian = Guardian {
        arguments: &arguments,
        page,
        myself,
        signals: Signals::take()?,
        kernel: Kernel::open()?,
        connections: Connections::open().ok(),
        farewell,
        voice: Voice::open().ok(),
        stopping: false,
        worked: false,
        waiting,
    };
    if let Err(error) = schedule::realtime() {
        tracing::debug!(%error, "the guardian has no real-time priority or locked memory");
    }
    guardian.rounds()
}

impl Guardian<'_> {
    fn rounds(&mut self) -> io::Result<End> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.page.clear();
            let begun = clock::awake();
            let daemon = Daemon::start(self.arguments, &[self.page.memory(), self.myself.as_fd()])?;
            let hung = self.attend(&daemon);
            let mut before = self.last_sign(hung);
            let released = self.clean_up(&daemon);
            let ended = daemon.wait()?;
            self.worked |= self.page.has_begun();
            if let Some(end) = self.end(ended) {
                return Ok(end);
            }
            if clock::awake().saturating_sub(begun) >= SETTLED {
                pause = FIRST_PAUSE;
            }
            let how = if hung { "hung and was killed".to_owned() } else { format!("ended by itself ({ended})") };
            match &released {
                Ok(_) => tracing::error!("the daemon {how}; its addresses are removed; it starts again in {pause:?}"),
                Err(error) => {
                    tracing::error!(%error, "the daemon {how}, and its addresses cannot be removed; it starts again in {pause:?}")
                }
            }
            self.rest(pause);
            if self.stopping {
                return Ok(End::Exited(0));
            }
            before.released = released.ok();
            if self.page.has_begun() {
                self.page.set_before(before);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether this end of the daemon is the end of all.
    fn end(&self, ended: ExitStatus) -> Option<End> {
        let code = ended.code().map(|code| u8::try_from(code).unwrap_or(u8::MAX));
        if ended.success() || self.stopping || ended.code() == Some(EXPELLED) {
            return Some(code.map_or(End::Killed, End::Exited));
        }
        // What cannot begin, because of its configuration or its machine, is for a person to mend.
        let hopeless = !self.worked && (ended.code() == Some(1) || ended.code() == Some(BAD_CONFIGURATION));
        code.filter(|_| hopeless && ended.signal().is_none()).map(End::Exited)
    }

    /// Waits until the daemon has ended, or hangs. Returns whether it hangs.
    fn attend(&mut self, daemon: &Daemon) -> bool {
        let mut watch = PulseWatch::default();
        loop {
            let mut timeout = GLANCE / 10;
            if let Some((beat, detection)) = self.page.pulse() {
                match watch.look(clock::awake(), beat, detection) {
                    Finding::LookAgain(after) => timeout = after,
                    Finding::Hangs => return true,
                }
            }
            let mut fds = [readable(daemon.pidfd.as_raw_fd()), readable(self.signals.0.as_raw_fd())];
            if poll(&mut fds, millis(timeout)).is_err() {
                // Unwatched it must not hold anything.
                return true;
            }
            if fds[0].revents != 0 {
                return false;
            }
            while let Some(signal) = self.signals.next() {
                self.stopping |= signal != libc::SIGHUP;
                daemon.signal(signal);
            }
        }
    }

    /// When the daemon, which has just ended or hangs, ceased to be well: before the beat that was due next, or before its end
    /// was noticed here, which on a busy machine may be late.
    fn last_sign(&self, hung: bool) -> Before {
        let (how, now) = (if hung { Ending::Hung } else { Ending::Died }, clock::awake());
        let (beat, detection) = self.page.pulse().unwrap_or((now, Duration::ZERO));
        let span = if hung { detection / BEATS } else { now.saturating_sub(beat) };
        Before { how, ended: beat + span / 2, within: span / 2, released: None }
    }

    /// The release chain's second link; see the head of this module's parent for the order and its reasons. Returns when the
    /// addresses went.
    fn clean_up(&mut self, daemon: &Daemon) -> io::Result<Duration> {
        daemon.kill();
        // A large process takes milliseconds to die, and its addresses answer meanwhile; but after a hang peers take by
        // themselves once the whole detection time is over.
        let patience = self.page.pulse().map_or(GLANCE, |(_, detection)| detection * 2 / 5);
        let mut until = clock::awake() + patience;
        while !daemon.ends_within(LOOK) {
            if clock::awake() >= until {
                // Inside the kernel, where no signal reaches it: at least what it has now goes.
                let _ = self.kernel.release(&self.page.addresses());
                until = clock::awake() + patience;
            }
        }
        let listed = self.page.addresses();
        let released = clock::awake();
        self.kernel.release(&listed)?;
        self.say_farewell();
        self.end_connections(listed.into_iter().map(|(address, _)| address).collect());
        Ok(released)
    }

    /// By both paths: a packet filter may stand in the way of one. What the kernel does not take is lost, and silence tells
    /// the rest.
    fn say_farewell(&self) {
        let farewell = self.page.farewell();
        for peer in &farewell.peers {
            for socket in &self.farewell {
                if socket.local_addr().is_ok_and(|own| own.is_ipv4() == peer.is_ipv4()) {
                    for datagram in &farewell.datagrams {
                        let _ = socket.send_to(datagram, peer);
                    }
                }
            }
        }
        for (interface, voice) in farewell.interfaces.iter().zip(self.voice.iter().cycle()) {
            for datagram in &farewell.datagrams {
                let _ = voice.broadcast(*interface, datagram);
            }
        }
    }

    /// What is left of connections through addresses that are gone. Peers have been told already.
    fn end_connections(&mut self, addresses: BTreeSet<IpAddr>) {
        let ended = self.connections.as_mut().map(|connections| connections.end(&addresses, &|_| true));
        match ended {
            Some(Ok(0)) | None => {}
            Some(Ok(ended)) => tracing::info!(ended, "ended connections through addresses that are removed"),
            Some(Err(error)) => {
                tracing::warn!(%error, "connections through removed addresses are left to time out");
                self.connections = None;
            }
        }
    }

    /// Waits before the next start, unless somebody asks for the end.
    fn rest(&mut self, pause: Duration) {
        let until = clock::awake() + pause;
        while !self.stopping {
            let left = until.saturating_sub(clock::awake());
            if left.is_zero() {
                return;
            }
            (self.waiting)();
            let mut fds = [readable(self.signals.0.as_raw_fd())];
            if poll(&mut fds, millis(left.min(GLANCE))).is_err() {
                std::thread::sleep(left.min(GLANCE));
            }
            while let Some(signal) = self.signals.next() {
                // SIGHUP: the next start reads everything anew anyway.
                self.stopping |= signal != libc::SIGHUP;
            }
        }
    }
}

/// Rounded up: an early look would find nothing and look again.
fn millis(span: Duration) -> libc::c_int {
    libc::c_int::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
}
