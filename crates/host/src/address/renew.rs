//! Renews many leases at once: one system call for up to [`BATCH`] of them, or [`FEW`] where each takes the kernel long.
//!
//! The kernel carries requests out while they are sent, in their order. It answers those that fail; the last one asks
//! for an answer in any case, which proves that it has dealt with all of them.
//!
//! Invariant: a renewal is told only after that proof. Whether it comes in time is its caller's business: the kernel
//! brings back an address that has run out (it ignores a missing `NLM_F_CREATE`).

use std::{io, net::IpAddr, thread};

use model::net::InterfaceIndex;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::message;

/// Renewals in one call: some ten thousand bytes, well below the default limit of a socket's buffer.
const BATCH: usize = 128;

/// The same of IPv6 addresses, of a thousand of which each takes the kernel up to a third of a millisecond.
const FEW: usize = 16;

/// An address on an interface.
pub(super) type Place = (IpAddr, InterfaceIndex);

/// A connection for renewals alone.
#[derive(Debug)]
pub(super) struct Renewals(Socket);

impl Renewals {
    /// Opens the connection.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel answers before it returns from sending: there is nothing to wait for.
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Renews all leases. Returns those that the kernel would not renew.
    ///
    /// # Errors
    ///
    /// The kernel has not dealt with all of them. This connection is of no more use: answers may be under way.
    pub(super) fn renew(&self, leases: &[Place]) -> io::Result<Vec<Place>> {
        let mut refused = Vec::new();
        let most = if leases.iter().any(|(address, _)| address.is_ipv6()) { FEW } else { BATCH };
        for batch in leases.chunks(most) {
            self.send(batch)?;
            self.hear(batch, &mut refused)?;
            // The kernel takes the processor from no real-time thread for its equals: the driver, which must not look hung.
            thread::yield_now();
        }
        Ok(refused)
    }

    /// The requests are numbered from 1.
    fn send(&self, batch: &[Place]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(batch.len() * 96);
        for (number, (address, interface)) in (1..).zip(batch) {
            let mut request =
                NetlinkMessage::from(RouteNetlinkMessage::NewAddress(message::renew(*address, *interface)));
            let last = if usize::try_from(number) == Ok(batch.len()) { NLM_F_ACK } else { 0 };
            request.header.flags = NLM_F_REQUEST | NLM_F_REPLACE | last;
            request.header.sequence_number = number;
            request.finalize();
            let start = bytes.len();
            // Netlink messages begin at multiples of four.
            bytes.resize(start + request.buffer_len().next_multiple_of(4), 0);
            request.serialize(&mut bytes[start..]);
        }
        match self.0.send(&bytes, 0)? {
            sent if sent == bytes.len() => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::WriteZero, "the kernel took only some of the renewals")),
        }
    }

    /// Reads the answers, up to that to the last request.
    fn hear(&self, batch: &[Place], refused: &mut Vec<Place>) -> io::Result<()> {
        loop {
            let (bytes, _) = self.0.recv_from_full()?;
            let reply: NetlinkMessage<RouteNetlinkMessage> = NetlinkMessage::deserialize(&bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let number = usize::try_from(reply.header.sequence_number).unwrap_or(usize::MAX);
            let NetlinkPayload::Error(answer) = reply.payload else { continue };
            if let (Some(_), Some(place)) = (answer.code, batch.get(number.wrapping_sub(1))) {
                tracing::debug!(address = %place.0, error = %answer.to_io(), "the kernel would not renew a lease");
                refused.push(*place);
            }
            if number == batch.len() {
                return Ok(());
            }
        }
    }
}
