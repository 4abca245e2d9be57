//! How many connections there may be.
//!
//! Invariants: a [`Ticket`] is one connection, and gives its place back when dropped; the total leaves half of the
//! process's open files to others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::descriptors;

/// Connections at a time, where the limit of open files allows it.
const TOTAL: usize = 2000;
/// Connections of one client at a time, as a share of all.
const SHARE: usize = 10;

/// Counts connections, in total and by client.
#[derive(Debug)]
pub(super) struct Limits {
    total: usize,
    per_client: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    total: usize,
    clients: HashMap<IpAddr, usize>,
}

impl Limits {
    /// What this process can afford.
    pub(super) fn of_this_process() -> Arc<Self> {
        Self::new(TOTAL.min(descriptors::soft_limit() / 2))
    }

    fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total, per_client: (total / SHARE).max(1), used: Mutex::default() })
    }

    /// A place for a connection from `client`, unless all or its own are taken.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Ticket> {
        let client = network(client);
        let mut used = self.used();
        let own = used.clients.get(&client).copied().unwrap_or(0);
        if used.total >= self.total || own >= self.per_client {
            return None;
        }
        used.total += 1;
        used.clients.insert(client, own + 1);
        let under_pressure = used.total > self.total / 2;
        drop(used);
        Some(Ticket { limits: Arc::clone(self), client, under_pressure })
    }

    /// Connections at the moment.
    pub(super) fn taken(&self) -> usize {
        self.used().total
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for one connection.
#[derive(Debug)]
pub(super) struct Ticket {
    limits: Arc<Limits>,
    client: IpAddr,
    under_pressure: bool,
}

impl Ticket {
    /// More than half of all places were taken when this one was given.
    pub(super) fn under_pressure(&self) -> bool {
        self.under_pressure
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut used = self.limits.used();
        used.total -= 1;
        if let Some(own) = used.clients.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                used.clients.remove(&self.client);
            }
        }
    }
}

/// Who counts as one client: an IPv4 address, or an IPv6 /64, which is the least that one subscriber gets.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_its_share_and_all_together_the_total() {
        let limits = Limits::new(20);
        let client = |last: u8| IpAddr::from([192, 0, 2, last]);
        let first = limits.admit(client(1)).expect("a place");
        let _second = limits.admit(client(1)).expect("another");
        assert!(limits.admit(client(1)).is_none(), "its share is a tenth");
        let others: Vec<Ticket> = (2..11).flat_map(|last| [client(last); 2]).map_while(|c| limits.admit(c)).collect();
        assert_eq!((others.len(), limits.taken()), (18, 20));
        assert!(!others[7].under_pressure() && others[8].under_pressure());
        assert!(limits.admit(client(99)).is_none(), "all are taken");
        drop(first);
        assert!(limits.admit(client(99)).is_some(), "one was given back");
        drop(others);
        assert_eq!(limits.taken(), 1);
        assert_eq!(limits.used().clients.len(), 1);
    }

    #[test]
    fn an_ipv6_subscriber_is_one_client_and_a_mapped_address_is_ipv4() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(address("2001:db8:1:2:3::4")), address("2001:db8:1:2::"));
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
