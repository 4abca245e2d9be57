//! NTP (RFC 5905): one client's question; the server must be synchronised.

use std::net::SocketAddr;

use super::{
    attempt::{Deadline, Failed},
    datagram,
};
use crate::entropy;

/// Version 4, mode 3 (client).
const CLIENT: u8 = 4 << 3 | 3;
const SERVER: u8 = 4;
/// "Not synchronised", in the first two bits.
const ALARM: u8 = 3;
const LENGTH: usize = 48;

pub(super) async fn run(target: SocketAddr, max_stratum: u8, deadline: Deadline) -> Result<(), Failed> {
    let socket = datagram::open(target).await?;
    let mut question = [0; LENGTH];
    question[0] = CLIENT;
    // The answer repeats our time of sending: any number will do (section 8), and a random one is hard to guess.
    question[40..].copy_from_slice(&entropy::spread().to_ne_bytes());
    let cookie = &question[40..];
    let fits = |answer: &[u8]| (answer.get(24..32) == Some(cookie)).then(|| answer.to_vec());
    let answer = datagram::ask(&socket, &question, deadline, "answer", fits).await?;
    let (leap, mode, stratum) = (answer[0] >> 6, answer[0] & 7, answer[1]);
    match (mode, leap, stratum) {
        (SERVER, _, 0) => {
            let kiss = String::from_utf8_lossy(&answer[12..16]).into_owned();
            Err(Failed::lost(format!("refused with {:?} (RFC 5905 section 7.4)", kiss.trim_end_matches('\0'))))
        }
        (SERVER, ALARM, _) | (SERVER, _, 16..) => Err(Failed::lost("not synchronised")),
        (SERVER, _, stratum) if stratum > max_stratum => {
            Err(Failed::lost(format!("stratum {stratum}, at most {max_stratum} expected")))
        }
        (SERVER, ..) => Ok(()),
        (other, ..) => Err(Failed::lost(format!("answer of mode {other}, not of a server"))),
    }
}
