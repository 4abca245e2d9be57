//! The thread that listens to the kernel: links, addresses, default routes.
//!
//! Invariants: interfaces and gateways are reported whole, at start and whenever they differ from the last report; what
//! arrives together is reported together. After an overrun (ENOBUFS) everything is read anew.
//!
//! Our own addresses' renewals, several hundred a second where there are many, are no news: the kernel keeps them from us
//! (`filter`).
//!
//! It listens on a connection of its own and asks on another: a notification carries the sequence number of the request
//! that caused it, so on a shared one it could pass for a reply, or a reply of ours swallow it.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt};
use model::net::Interface;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::LinkMessage,
    route::{RouteHeader, RouteMessage},
};
use rtnetlink::{MulticastGroup, sys::SocketAddr};
use tokio::time::{Instant, sleep_until};

use super::{
    Shared, filter,
    netlink::Netlink,
    tables::{Notice, Tables, gateways},
};
use crate::{Report, Sink};

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Least time between two readings of the routing table, which may be long.
const ROUTES_EVERY: Duration = Duration::from_millis(50);

/// After how long the watch is set up again when the kernel would not let us.
const AGAIN: Duration = Duration::from_secs(1);

type Notification = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr);

/// What the watching thread knows and has told.
struct Watch<'a> {
    shared: &'a Shared,
    sink: &'a Sink,
    netlink: Netlink,
    tables: Tables,
    told_interfaces: Option<Vec<Interface>>,
    told_gateways: Option<Vec<IpAddr>>,
    /// When the routes were last read, and whether they may have changed since.
    routes: (Instant, bool),
}

/// The thread's whole life. Says through `ready` when everything has been read and reported for the first time.
pub(super) async fn run(shared: Arc<Shared>, sink: Sink, ready: mpsc::SyncSender<io::Result<()>>) {
    let mut ready = Some(ready);
    let (mut told_interfaces, mut told_gateways) = (None, None);
    while !shared.stopped() {
        let error = match watch(&shared, &sink, (told_interfaces.take(), told_gateways.take())).await {
            Ok((mut watch, notifications)) => {
                ready.take().map(|ready| ready.send(Ok(())));
                let error = watch.listen(notifications).await;
                (told_interfaces, told_gateways) = (watch.told_interfaces, watch.told_gateways);
                error
            }
            Err(error) => error,
        };
        if let Some(ready) = ready.take() {
            // Whoever waits for the start learns why there is none.
            let _ = ready.send(Err(error));
            return;
        }
        if shared.stopped() {
            return;
        }
        tracing::error!(%error, "the kernel's notifications broke off; listening again");
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => shared.resync(),
            () = shared.ended.notified() => return,
        }
    }
}

/// Subscribes first and reads then, so that nothing falls between.
async fn watch<'a>(
    shared: &'a Shared,
    sink: &'a Sink,
    (told_interfaces, told_gateways): (Option<Vec<Interface>>, Option<Vec<IpAddr>>),
) -> io::Result<(Watch<'a>, impl Stream<Item = Notification> + Unpin + use<>)> {
    let (mut connection, _, notifications) = rtnetlink::new_multicast_connection(&GROUPS)?;
    if let Err(error) = filter::without_our_own(connection.socket_mut()) {
        tracing::debug!(%error, "renewals of our own leases will be heard and passed over");
    }
    tokio::spawn(connection);
    let mut watch = Watch {
        shared,
        sink,
        netlink: Netlink::connect()?,
        tables: Tables::default(),
        told_interfaces,
        told_gateways,
        routes: (Instant::now(), false),
    };
    watch.read_machine().await?;
    watch.read_routes().await?;
    Ok((watch, notifications))
}

impl Watch<'_> {
    /// Returns when the stream ends, something cannot be read, or the end is asked for.
    async fn listen(&mut self, mut notifications: impl Stream<Item = Notification> + Unpin) -> io::Error {
        loop {
            let (read_at, stale) = self.routes;
            let first = tokio::select! {
                () = self.shared.ended.notified() => return io::Error::other("the end was asked for"),
                first = notifications.next() => first,
                () = sleep_until(read_at + ROUTES_EVERY), if stale => {
                    match self.read_routes().await {
                        Ok(()) => continue,
                        Err(error) => return error,
                    }
                }
            };
            let Some((first, _)) = first else {
                return io::Error::new(io::ErrorKind::BrokenPipe, "the netlink connection broke");
            };
            // What is already there belongs to the same report.
            let mut batch = vec![first];
            while let Some(Some((next, _))) = notifications.next().now_or_never() {
                batch.push(next);
            }
            if let Err(error) = self.take_in(batch).await {
                return error;
            }
        }
    }

    async fn take_in(&mut self, batch: Vec<NetlinkMessage<RouteNetlinkMessage>>) -> io::Result<()> {
        let mut machine = false;
        for message in batch {
            match message.payload {
                NetlinkPayload::InnerMessage(message) => match self.apply(&message) {
                    Notice::Nothing => {}
                    Notice::Machine => machine = true,
                    Notice::DefaultRoute => self.routes.1 = true,
                    Notice::Lost(address, interface) => self.shared.lost(address, interface),
                },
                NetlinkPayload::Overrun(_) => {
                    tracing::warn!("the kernel had more to tell than we had room for; reading everything again");
                    self.shared.resync();
                    self.read_machine().await?;
                    self.routes.1 = true;
                }
                _ => {}
            }
        }
        if machine {
            // Routes go with a link or an address, for which IPv4 sends no notification.
            self.routes.1 = true;
            self.tell_interfaces();
        }
        Ok(())
    }

    fn apply(&mut self, message: &RouteNetlinkMessage) -> Notice {
        let shared = self.shared;
        self.tables.apply(message, &|address, interface| shared.wants(address, interface))
    }

    async fn read_machine(&mut self) -> io::Result<()> {
        let links = self.netlink.dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).await?;
        let addresses = self.netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default())).await?;
        self.tables = Tables::default();
        for row in links.iter().chain(&addresses) {
            self.apply(row);
        }
        self.tell_interfaces();
        Ok(())
    }

    fn tell_interfaces(&mut self) {
        let interfaces = self.tables.interfaces();
        if self.told_interfaces.as_ref() != Some(&interfaces) {
            (self.sink)(Report::Interfaces(interfaces.clone()));
            self.told_interfaces = Some(interfaces);
        }
    }

    async fn read_routes(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            request.header.table = RouteHeader::RT_TABLE_MAIN;
            let rows = match self.netlink.dump(RouteNetlinkMessage::GetRoute(request)).await {
                Ok(rows) => rows,
                // A kernel without IPv6, or one whose main table has never been used.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::ENOENT)) => continue,
                Err(error) => return Err(error),
            };
            let routes: Vec<&RouteMessage> = rows
                .iter()
                .filter_map(|row| match row {
                    RouteNetlinkMessage::NewRoute(route) => Some(route),
                    _ => None,
                })
                .collect();
            found.extend(gateways(routes));
        }
        self.routes = (Instant::now(), false);
        if self.told_gateways.as_ref() != Some(&found) {
            (self.sink)(Report::Gateways(found.clone()));
            self.told_gateways = Some(found);
        }
        Ok(())
    }
}
