//! Neighbours that the kernel has asked for in vain: while this machine's link was down, whoever answered a client here had the
//! kernel ask for the client's MAC, and the question was lost. The kernel asks again after a second (RFC 1122 section 2.3.2.1,
//! RFC 4861 section 10, `retrans_time_ms`), and what is to be sent waits until then: for that long a returned server would have
//! the address and answer nobody. So whoever takes an address forgets such questions, and the next packet asks at once.
//!
//! Invariants: no take, release or renewal waits for this, which is a task beside the worker's; where hundreds are taken one after the
//! other it is done now and then. What is known of neighbours is never touched, nor a question that may still be answered.

use std::{collections::BTreeSet, time::Duration};

use model::{Instant, net::InterfaceIndex};
use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use tokio::task::JoinHandle;

use super::netlink::Netlink;
use crate::clock;

/// A question that has been open for so long is lost, in the kernel's unit, hundredths of a second.
const LOST: u32 = 5;

/// What was asked in vain before the link came up was forgotten at the first take after it.
const PAUSE: Duration = Duration::from_millis(200);

/// When it was last begun, and the task.
#[derive(Default, Debug)]
pub(super) struct Neighbours(Option<(Instant, JoinHandle<()>)>);

impl Neighbours {
    /// Addresses were taken on these interfaces: forgets questions about neighbours there that were lost.
    pub(super) fn ask_anew(&mut self, netlink: &Netlink, interfaces: BTreeSet<InterfaceIndex>) {
        let now = clock::now();
        let lately = |(begun, task): &(Instant, JoinHandle<()>)| now.since(*begun) < PAUSE || !task.is_finished();
        if interfaces.is_empty() || self.0.as_ref().is_some_and(lately) {
            return;
        }
        self.0 = Some((now, tokio::spawn(forget(netlink.clone(), interfaces))));
    }
}

async fn forget(netlink: Netlink, interfaces: BTreeSet<InterfaceIndex>) {
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let rows = match netlink.dump(request).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::debug!(%error, "the kernel does not tell its neighbours: those asked for in vain are asked for in their time");
            return;
        }
    };
    let lost = rows.into_iter().filter_map(|row| match row {
        RouteNetlinkMessage::NewNeighbour(row) => question(row),
        _ => None,
    });
    for question in lost.filter(|question| interfaces.contains(&InterfaceIndex(question.header.ifindex))) {
        if let Err(error) = netlink.forget(question).await {
            tracing::debug!(%error, "a neighbour that was asked for in vain is asked for in its time");
        }
    }
}

/// What names the neighbour, if it has been asked for in vain.
fn question(row: NeighbourMessage) -> Option<NeighbourMessage> {
    let mut age = None;
    let mut named = NeighbourMessage::default();
    named.header.family = row.header.family;
    named.header.ifindex = row.header.ifindex;
    for attribute in row.attributes {
        match attribute {
            NeighbourAttribute::CacheInfo(info) => age = Some(info.updated),
            NeighbourAttribute::Destination(_) => named.attributes.push(attribute),
            _ => {}
        }
    }
    let lost = row.header.state == NeighbourState::Incomplete && age.is_some_and(|age| age >= LOST);
    (lost && !named.attributes.is_empty()).then_some(named)
}
