//! The daemon's side: its pulse, what it may have in the kernel, its farewell, and whether the guardian lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{event::Event, net::InterfaceIndex, report::AddressOutcome};

use super::page::{Farewell, Page};
use crate::{
    Report, Sink, clock,
    wake::{poll, readable},
};

/// What ties the daemon to its guardian. Cheap to share.
#[derive(Clone, Debug)]
pub struct Ward(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    page: Page,
    /// Becomes readable when the guardian has ended.
    guardian: OwnedFd,
    ledger: Mutex<Ledger>,
}

/// What the kernel may have: what is wished, and what was and is not yet confirmed absent.
#[derive(Default, Debug)]
struct Ledger {
    desired: BTreeMap<IpAddr, InterfaceIndex>,
    listed: BTreeSet<(IpAddr, InterfaceIndex)>,
}

impl Ward {
    /// Takes over the two descriptors that the guardian passed by number, `PAGE,GUARDIAN`. Once in a process.
    ///
    /// # Errors
    /// These are no such descriptors: nobody but the guardian can start a daemon so.
    pub fn inherit(passed: &str) -> io::Result<Self> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "only the guardian starts a daemon so");
        let (page, guardian) = passed.split_once(',').ok_or_else(wrong)?;
        let mut owned = [page, guardian].into_iter().map(|number| {
            let fd: RawFd = number.parse().ok().filter(|fd| *fd > 2).ok_or_else(wrong)?;
            // SAFETY: takes numbers only. Programs that this one starts do not get it.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
                return Err(wrong());
            }
            // SAFETY: it is open, and the guardian passed it to be owned here; nobody else knows the number.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        });
        // The kernel named the process after `/proc/self/exe`, by which it was started.
        // SAFETY: the name is a terminated string and outlives the call.
        unsafe { libc::prctl(libc::PR_SET_NAME, c"standin".as_ptr()) };
        let (page, guardian) = owned.next().zip(owned.next()).ok_or_else(wrong)?;
        Ok(Self::new(Page::map(page?)?, guardian?))
    }

    fn new(page: Page, guardian: OwnedFd) -> Self {
        Self(Arc::new(Inside { page, guardian, ledger: Mutex::default() }))
    }

    /// How the run before this one ended, where nobody had told it to; none where there was none.
    pub fn before(&self) -> Option<Event> {
        let before = self.0.page.before()?;
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let ago = |at: Duration| millis(clock::awake().saturating_sub(at));
        Some(Event::DaemonEnded {
            how: before.how,
            ended_ms: ago(before.ended),
            within_ms: millis(before.within),
            released_ms: before.released.map(ago),
        })
    }

    /// The driver lives, and wants to be watched. It must beat again within a fifth of the detection time.
    pub fn beat(&self, detection: Duration) {
        self.0.page.beat(clock::awake(), detection);
    }

    /// The driver ends as planned.
    pub fn rest(&self) {
        self.0.page.rest();
    }

    /// These addresses are wished from now on: to be said before the kernel is asked.
    pub fn wish(&self, desired: &BTreeMap<IpAddr, InterfaceIndex>) {
        let mut ledger = self.ledger();
        ledger.desired.clone_from(desired);
        ledger.listed.extend(desired.iter().map(|(address, interface)| (*address, *interface)));
        self.0.page.set_addresses(&ledger.listed);
    }

    /// A sink in front of `sink` that takes off the list what the kernel confirms to be absent.
    pub fn noting(&self, sink: Sink) -> Sink {
        let ward = self.clone();
        Arc::new(move |report| {
            if let Report::Address { address, outcome: AddressOutcome::Absent } = &report {
                ward.absent(*address);
            }
            sink(report);
        })
    }

    /// The thread that changes addresses reports one after the other: what is wished anew since then it has not begun to
    /// add, and the list has it already.
    fn absent(&self, address: IpAddr) {
        let mut ledger = self.ledger();
        if !ledger.desired.contains_key(&address) {
            ledger.listed.retain(|(listed, _)| *listed != address);
            self.0.page.set_addresses(&ledger.listed);
        }
    }

    /// What the guardian sends to `peers`, and as a broadcast on `interfaces`, when this process is gone.
    pub fn farewell(&self, datagrams: Vec<Vec<u8>>, peers: Vec<SocketAddr>, interfaces: Vec<InterfaceIndex>) {
        self.0.page.set_farewell(&Farewell { datagrams, peers, interfaces });
    }

    /// Whether the guardian lives.
    pub fn is_guarded(&self) -> bool {
        let mut fds = [readable(self.0.guardian.as_raw_fd())];
        poll(&mut fds, 0).is_ok() && fds[0].revents == 0
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use model::event::Ending;

    use super::{super::page::Before, *};
    use crate::wake::pidfd;

    fn ward() -> (Ward, Page) {
        let page = Page::new().unwrap();
        let other = Page::map(page.memory().try_clone_to_owned().unwrap()).unwrap();
        let me = libc::pid_t::try_from(std::process::id()).unwrap();
        (Ward::new(page, pidfd(me).unwrap()), other)
    }

    #[test]
    fn an_address_is_listed_from_the_wish_until_the_kernel_has_confirmed_its_absence() {
        let (ward, page) = ward();
        let sink = ward.noting(Arc::new(|_| {}));
        let one = (IpAddr::from([10, 77, 0, 101]), InterfaceIndex(2));
        let absent = || sink(Report::Address { address: one.0, outcome: AddressOutcome::Absent });
        ward.wish(&BTreeMap::from([one]));
        assert_eq!(page.addresses(), [one]);
        ward.wish(&BTreeMap::new());
        assert_eq!(page.addresses(), [one], "not yet confirmed");
        ward.wish(&BTreeMap::from([one]));
        absent();
        assert_eq!(page.addresses(), [one], "wished anew");
        ward.wish(&BTreeMap::new());
        absent();
        assert_eq!(page.addresses(), []);
    }

    #[test]
    fn the_guardians_end_is_seen() {
        assert!(ward().0.is_guarded(), "this process lives");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let guardian = pidfd(libc::pid_t::try_from(child.id()).unwrap()).unwrap();
        child.wait().unwrap();
        assert!(!Ward::new(Page::new().unwrap(), guardian).is_guarded());
    }

    #[test]
    fn a_run_learns_how_the_one_before_it_ended() {
        let (ward, page) = ward();
        assert_eq!(ward.before(), None, "there was none");
        let (ended, within) = (clock::awake(), Duration::from_millis(15));
        page.set_before(Before { how: Ending::Hung, ended, within, released: None });
        page.clear();
        let is = |how, released: bool| {
            matches!(ward.before(), Some(Event::DaemonEnded { how: told, within_ms: 15, released_ms, .. })
                if told == how && released_ms.is_some() == released)
        };
        assert!(is(Ending::Hung, false));
        page.set_before(Before { how: Ending::Died, ended, within, released: Some(ended) });
        assert!(is(Ending::Died, true));
    }

    #[test]
    fn nobody_else_starts_a_daemon_so() {
        for passed in ["", "3", "0,1", "9000,9001", "x,y"] {
            assert!(Ward::inherit(passed).is_err(), "{passed:?}");
        }
    }
}
