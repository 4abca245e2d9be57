//! DNS (RFC 1035): a question by UDP, by TCP where it is asked for or the answer was cut short.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RData,
};
use model::{config::probe::DnsProbe, report::ProbeOrder};

use super::{
    attempt::{Deadline, Ended, Failed, quoted},
    datagram,
    wire::Wire,
};
use crate::entropy;

const RECURSION_DESIRED: u8 = 1;
/// In the third byte of an answer.
const TRUNCATED: u8 = 2;
const RESPONSE: u8 = 0x80;
const HEADER: usize = 12;

pub(super) async fn run(order: &ProbeOrder, target: SocketAddr, probe: &DnsProbe, deadline: Deadline) -> Ended {
    let question = question(probe);
    if !probe.tcp {
        let result = match by_udp(target, &question, deadline).await {
            Ok(answer) if answer[2] & TRUNCATED != 0 => None,
            Ok(answer) => Some(check(&answer, probe)),
            Err(failed) => Some(Err(failed)),
        };
        if let Some(result) = result {
            return Ended::now(result.map(|()| None));
        }
    }
    match Wire::open(order, None, deadline).await {
        Ok(mut wire) => {
            let result = by_tcp(&mut wire, &question).await.and_then(|answer| check(&answer, probe));
            wire.end(result, b"")
        }
        Err(failed) => Ended::now(Err(failed)),
    }
}

async fn by_udp(target: SocketAddr, question: &[u8], deadline: Deadline) -> Result<Vec<u8>, Failed> {
    let socket = datagram::open(target).await?;
    datagram::ask(&socket, question, deadline, "answer", |answer| is_for(answer, question).then(|| answer.to_vec()))
        .await
}

async fn by_tcp(wire: &mut Wire, question: &[u8]) -> Result<Vec<u8>, Failed> {
    let length = u16::try_from(question.len()).expect("a name has 255 bytes at most");
    wire.say(&[&length.to_be_bytes()[..], question].concat()).await?;
    let head = wire.bytes(2, "answer").await?;
    let answer = wire.bytes(u16::from_be_bytes([head[0], head[1]]).into(), "answer").await?;
    if is_for(&answer, question) { Ok(answer) } else { Err(Failed::said("the answer is to another question")) }
}

/// Whether it is an answer to this very question; letter case is the server's own business.
fn is_for(answer: &[u8], question: &[u8]) -> bool {
    let same = answer.get(HEADER..question.len()).is_some_and(|asked| asked.eq_ignore_ascii_case(&question[HEADER..]));
    // Refused or malformed, it need not have the question.
    let bare = answer.len() == HEADER;
    answer.len() >= HEADER && answer[..2] == question[..2] && answer[2] & RESPONSE != 0 && (same || bare)
}

fn question(probe: &DnsProbe) -> Vec<u8> {
    let number = entropy::spread().to_ne_bytes();
    let mut question = vec![number[0], number[1], RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in probe.query.split('.').filter(|label| !label.is_empty()) {
        question.push(u8::try_from(label.len()).expect("the configuration was checked"));
        question.extend_from_slice(label.as_bytes());
    }
    question.push(0);
    question.extend_from_slice(&probe.record_type.number().to_be_bytes());
    question.extend_from_slice(&[0, 1]);
    question
}

fn check(answer: &[u8], probe: &DnsProbe) -> Result<(), Failed> {
    let message = Message::from_vec(answer).map_err(|error| Failed::said(format!("the answer is not DNS: {error}")))?;
    let code = message.metadata.response_code;
    if code != ResponseCode::NoError {
        return Err(Failed::said(format!("NOERROR expected, {code} answered")));
    }
    let wanted = probe.record_type.number();
    let records = message.answers.iter().filter(|record| u16::from(record.record_type()) == wanted);
    let said: Vec<String> = records.map(|record| text(&record.data)).collect();
    if said.is_empty() {
        return Err(Failed::said(format!("no {} record in the answer", probe.record_type.word())));
    }
    match probe.answer.iter().find(|wanted| !said.iter().any(|said| same(said, wanted))) {
        None => Ok(()),
        Some(lacking) => Err(Failed::said(format!("the answer lacks {lacking}: {}", quoted(&said.join(", "))))),
    }
}

/// As it stands in a zone file.
fn text(data: &RData) -> String {
    match data {
        RData::A(address) => IpAddr::V4(address.0).to_string(),
        RData::AAAA(address) => IpAddr::V6(address.0).to_string(),
        other => other.to_string(),
    }
}

/// Addresses in any spelling; names with or without the final dot; texts with or without quotes.
fn same(said: &str, wanted: &str) -> bool {
    let plain = |text: &str| text.trim_matches('"').trim_end_matches('.').to_ascii_lowercase();
    match (said.parse::<IpAddr>(), wanted.parse::<IpAddr>()) {
        (Ok(said), Ok(wanted)) => said == wanted,
        _ => plain(said) == plain(wanted),
    }
}
