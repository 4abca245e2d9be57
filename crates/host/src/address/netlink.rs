//! Requests to the kernel's routing tables over one rtnetlink connection.
//!
//! Invariant: a change has happened only when the kernel has acknowledged it, a dump is complete only when the kernel has
//! said so. A connection that breaks in between is an error; rtnetlink's own request types would call that success.
//!
//! This connection listens to no multicast group: a notification that carries a pending request's sequence number would
//! pass for its reply.

use std::io;

use futures_util::StreamExt;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{RouteNetlinkMessage, address::AddressMessage, neighbour::NeighbourMessage};
use rtnetlink::Handle;

/// `NLM_F_DUMP_INTR`: the table changed during the dump, which may lack something.
const INTERRUPTED: u16 = 0x10;

/// Dumps that may be interrupted in a row before we take what we got.
const DUMPS: u32 = 8;

/// The connection. Ends with the runtime that it was made in.
#[derive(Clone, Debug)]
pub(super) struct Netlink(Handle);

impl Netlink {
    /// Opens the connection; to be called inside the runtime that will drive it.
    pub(super) fn connect() -> io::Result<Self> {
        let (mut connection, handle, _) =
            rtnetlink::new_connection_with_strict_check().or_else(|_| rtnetlink::new_connection())?;
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// Adds an address; `AlreadyExists` where the interface has it.
    pub(super) async fn add(&self, message: AddressMessage) -> io::Result<()> {
        self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL).await
    }

    /// Deletes an address; fine where it, or its interface, is gone already.
    pub(super) async fn delete(&self, message: AddressMessage) -> io::Result<()> {
        match self.change(RouteNetlinkMessage::DelAddress(message), 0).await {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO)) => {
                Ok(())
            }
            result => result,
        }
    }

    /// Forgets a neighbour; fine where it is known no longer.
    pub(super) async fn forget(&self, message: NeighbourMessage) -> io::Result<()> {
        match self.change(RouteNetlinkMessage::DelNeighbour(message), 0).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    async fn change(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut replies = self.0.clone().request(request).map_err(|_| broken())?;
        while let Some(reply) = replies.next().await {
            if let NetlinkPayload::Error(error) = reply.payload {
                return match error.code {
                    None => Ok(()),
                    Some(_) => Err(error.to_io()),
                };
            }
        }
        Err(broken())
    }

    /// The whole table that `request` asks for.
    pub(super) async fn dump(&self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut tried = 1;
        loop {
            let (rows, interrupted) = self.dump_once(request.clone()).await?;
            if !interrupted || tried == DUMPS {
                return Ok(rows);
            }
            tried += 1;
        }
    }

    async fn dump_once(&self, request: RouteNetlinkMessage) -> io::Result<(Vec<RouteNetlinkMessage>, bool)> {
        let mut request = NetlinkMessage::from(request);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut replies = self.0.clone().request(request).map_err(|_| broken())?;
        let mut rows = Vec::new();
        let mut interrupted = false;
        while let Some(reply) = replies.next().await {
            interrupted |= reply.header.flags & INTERRUPTED != 0;
            match reply.payload {
                NetlinkPayload::InnerMessage(row) => rows.push(row),
                NetlinkPayload::Done(_) => return Ok((rows, interrupted)),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => return Err(broken()),
            }
        }
        Err(broken())
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the netlink connection broke")
}

/// The kernel's words for an error, without the number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_come_without_its_numbers() {
        assert_eq!(words(&io::Error::from_raw_os_error(libc::EPERM)), "Operation not permitted");
        assert_eq!(words(&broken()), "the netlink connection broke");
    }
}
