//! The DNS sockets as one thing: UDP threads, and TCP with the general server, opened, changed and stopped together.
//!
//! Deliberately not here: answers (`dns`), and which view is in force (`publish`).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use dns::View;
use host::{
    dns_stream::DnsStream,
    dns_udp::{Deferred, DnsUdp},
};
use model::config::ClusterConfig;
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    load::Loaded,
    metrics::scrape::Sampled,
    start_error::StartError,
    usage::{PACE, Usage},
};

/// Queries that may wait for the general server; more are dropped and counted.
const DEFERRED: usize = 1024;

/// DNS as the operator configured it.
#[derive(Debug)]
pub(crate) struct NameService {
    view: Arc<ArcSwap<View>>,
    runtime: Handle,
    inner: Mutex<Option<Inner>>,
    usage: Mutex<Usage>,
}

#[derive(Debug)]
struct Inner {
    wanted: Wanted,
    udp: DnsUdp,
    stream: DnsStream,
}

/// What makes new sockets necessary.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted {
    listen: Vec<SocketAddr>,
    threads: usize,
}

impl NameService {
    /// Opens the sockets and begins to answer from the view in force.
    ///
    /// # Errors
    /// The socket that could not be opened, why, and what to do.
    pub(crate) fn start(loaded: &Loaded, view: Arc<ArcSwap<View>>, runtime: &Handle) -> Result<Self, StartError> {
        let this = Self { view, runtime: runtime.clone(), inner: Mutex::new(None), usage: Mutex::default() };
        *this.lock() = Some(this.open(wanted(loaded), &virtual_addresses(&loaded.cluster))?);
        Ok(this)
    }

    /// Follows a new configuration. Sockets that stay wanted are not touched, unless listening addresses or threads
    /// themselves have changed.
    ///
    /// # Errors
    /// As for [`NameService::start`]; everything is as it was then.
    pub(crate) fn configure(&self, loaded: &Loaded) -> Result<(), StartError> {
        let (wanted, addresses) = (wanted(loaded), virtual_addresses(&loaded.cluster));
        let mut inner = self.lock();
        if let Some(open) = inner.as_mut().filter(|open| open.wanted == wanted) {
            return open.set_virtual_addresses(&addresses);
        }
        // A port can only be taken anew when it is free.
        let before = inner.take().map(|open| open.wanted);
        match self.open(wanted, &addresses) {
            Ok(open) => *inner = Some(open),
            Err(error) => {
                let again = before.map(|before| self.open(before, &addresses)).transpose();
                *inner = again.unwrap_or_else(|error| {
                    tracing::error!(%error, "DNS cannot go back to its old sockets either: it is off");
                    None
                });
                return Err(error);
            }
        }
        Ok(())
    }

    /// Where it listens.
    pub(crate) fn listening(&self) -> Vec<SocketAddr> {
        self.lock().as_ref().map_or_else(Vec::new, |open| open.udp.local_addresses().to_vec())
    }

    /// Adds what DNS has counted.
    pub(crate) fn count(&self, sampled: &mut Sampled) {
        if let Some(open) = self.lock().as_ref() {
            sampled.dns(&open.udp.counts());
            sampled.dns(&open.stream.counts());
        }
    }

    /// What DNS was asked most.
    pub(crate) fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what is asked, once in a while, until everything stops.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let (mut ticks, mut spare) = (interval(PACE), host::dns_usage::spare());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let inner = self.lock();
            let Some(open) = inner.as_ref() else { continue };
            let mut counts = open.udp.counts();
            counts.add(&open.stream.counts());
            self.usage().add(host::clock::now(), counts, |each| {
                open.udp.take_usage(&mut spare, &mut *each);
                open.stream.take_usage(&mut spare, each);
            });
        }
    }

    /// Closes every socket, after what is being answered.
    pub(crate) fn stop(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Inner>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, wanted: Wanted, addresses: &[IpAddr]) -> Result<Inner, StartError> {
        let (defer, deferred) = mpsc::channel::<Deferred>(DEFERRED);
        let udp = DnsUdp::start(&wanted.listen, addresses, wanted.threads, &self.view, &defer).map_err(failed)?;
        let stream =
            DnsStream::start(&self.runtime, udp.local_addresses(), addresses, &self.view, deferred).map_err(failed)?;
        Ok(Inner { wanted, udp, stream })
    }
}

impl Inner {
    fn set_virtual_addresses(&mut self, addresses: &[IpAddr]) -> Result<(), StartError> {
        self.udp.set_virtual_addresses(addresses).map_err(failed)?;
        self.stream.set_virtual_addresses(addresses).map_err(failed)
    }
}

fn failed((address, error): (SocketAddr, io::Error)) -> StartError {
    StartError::listen("DNS", address, error)
}

fn wanted(loaded: &Loaded) -> Wanted {
    Wanted { listen: loaded.node.dns_listen.clone(), threads: loaded.node.dns_threads }
}

/// All virtual addresses, in a fixed order.
fn virtual_addresses(config: &ClusterConfig) -> Vec<IpAddr> {
    config.virtual_hosts.values().flat_map(|host| host.addresses.iter().copied()).collect()
}
