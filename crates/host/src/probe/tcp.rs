//! The TCP probe: connects, may say something and wait for an answer, and closes in peace.
//!
//! Where it neither says nor expects anything it goes no further than it must (as HAProxy's checks do): the last packet of
//! the handshake is held back (`TCP_QUICKACK` off: the kernel delays the acknowledgement of the SYN-ACK), and a reset takes its
//! place. The service's kernel has said by then that somebody listens and has room in the accept queue; the service itself
//! sees nothing: no connection is queued, nobody is woken, no log grows, and neither end keeps a connection in TIME-WAIT.
//! On a path on which the acknowledgement does get out first, the service sees a connection that was reset.
//!
//! So a service that hangs with an empty accept queue looks well: as ever, for as long as its kernel takes connections
//! for it; but such probes do not fill the queue themselves. `expect` and the protocols' own monitors tell.

use std::{io, net::SocketAddr, time::Duration};

use model::config::probe::TcpProbe;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use super::{
    attempt::{Deadline, Failed, quoted},
    wire::{Wire, not_ourselves},
};

/// Whether the handshake is all that is asked for.
pub(super) fn says_nothing(probe: &TcpProbe) -> bool {
    let TcpProbe { send, expect, tls } = probe;
    send.is_none() && expect.is_none() && tls.is_none()
}

/// Sees whether `target` takes connections, and lets go of this one before it is one.
pub(super) async fn shake_hands(target: SocketAddr, deadline: Deadline) -> Result<(), Failed> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_quickack(false)?;
    // Closing resets.
    socket.set_linger(Some(Duration::ZERO))?;
    let at = target.into();
    let first = socket.connect(&at);
    // Within this machine the answer is there by now, and asking again, which tells, is cheaper than to wait for it.
    let second = if is_under_way(&first) { socket.connect(&at) } else { first };
    if !is_under_way(&second) {
        second?;
        return not_ourselves(socket.local_addr()?.as_socket(), target);
    }
    let stream = TcpStream::from_std(socket.into())?;
    deadline.hold("connecting", stream.writable()).await??;
    if let Some(error) = stream.take_error()? {
        return Err(error.into());
    }
    not_ourselves(stream.local_addr().ok(), target)
}

fn is_under_way(connected: &io::Result<()>) -> bool {
    let code = connected.as_ref().err().and_then(io::Error::raw_os_error);
    matches!(code, Some(libc::EINPROGRESS | libc::EALREADY))
}

pub(super) async fn converse(wire: &mut Wire, probe: &TcpProbe) -> Result<(), Failed> {
    if let Some(send) = &probe.send {
        wire.say(send.as_bytes()).await?;
    }
    let Some(expect) = &probe.expect else { return Ok(()) };
    let what = if probe.send.is_some() { "answer" } else { "greeting" };
    let mut heard = Vec::new();
    loop {
        let more = wire.some(what).await;
        if let Ok(piece) = &more {
            heard.extend_from_slice(piece);
        }
        let text = String::from_utf8_lossy(&heard);
        match more {
            Ok(_) if expect.is_found_in(&text) => return Ok(()),
            Ok(_) => {}
            Err(failed) if heard.is_empty() => return Err(failed),
            Err(failed) => {
                return Err(Failed::lost(format!(
                    "{}; no {:?} in {:?}",
                    failed.reason,
                    expect.as_str(),
                    quoted(&text)
                )));
            }
        }
    }
}
