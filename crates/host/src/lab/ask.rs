//! One DNS question over UDP from a lab's host, and its answer in words.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RData,
};

use super::{Host, probe::Question};

/// How long an answer may take; one try.
const PATIENCE: Duration = Duration::from_millis(500);
/// Longest answer read, in bytes.
const LONGEST_ANSWER: usize = 4096;

/// What a server answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The response code.
    pub rcode: ResponseCode,
    /// The addresses in the answer section, in the order of the wire.
    pub addresses: Vec<IpAddr>,
}

/// Asks `server` for `name` and a record type's number from `host`. Errors: no answer in time, refused, or not DNS.
pub fn ask(host: &Host, server: SocketAddr, name: &str, record_type: u16) -> io::Result<Answer> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some(Question::Dns(query)) = Question::dns(name, record_type) else {
        return Err(invalid(format!("{name:?} is no domain name")));
    };
    let reply = host.run(|| {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(&query)?;
        let mut reply = vec![0; LONGEST_ANSWER];
        let length = socket.recv(&mut reply)?;
        reply.truncate(length);
        io::Result::Ok(reply)
    })??;
    let message = Message::from_vec(&reply).map_err(|error| invalid(format!("no DNS message: {error}")))?;
    let addresses = message.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    Ok(Answer { rcode: message.metadata.response_code, addresses: addresses.collect() })
}
