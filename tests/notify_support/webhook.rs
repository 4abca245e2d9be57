//! A receiver of webhooks that answers as it is told.

use std::{
    collections::VecDeque,
    io::Read,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use host::lab::Host;
use serde_json::Value;
use tokio_rustls::rustls::ServerConfig;

use super::{Duplex, Inbox, within_tls};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// Of its first incident: state, subject, sequence.
    pub(crate) fn said(&self) -> (String, String, u64) {
        let first = &self.json["incidents"][0];
        let text = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
        (text("state"), text("subject"), first["sequence"].as_u64().unwrap_or(0))
    }
}

pub(crate) struct Webhook {
    pub(crate) inbox: Inbox<Got>,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
}

impl Webhook {
    /// On a port of a host, with or without TLS.
    pub(crate) fn start(host: &Host, port: u16, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = host.run(|| TcpListener::bind(("0.0.0.0", port))).flatten().expect("a free port");
        let webhook = Self { inbox: Inbox::new(), answers: Arc::default() };
        let (inbox, answers) = (webhook.inbox.clone(), webhook.answers.clone());
        // It ends with the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
                let mut stream: Box<dyn Duplex> = match &tls {
                    Some(tls) => within_tls(tls, stream),
                    None => Box::new(stream),
                };
                let Some(got) = read(&mut stream) else { continue };
                let answer = answers.lock().expect("no panic").pop_front().unwrap_or("204 No Content");
                let _gone = stream.write_all(
                    format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
                );
                let _gone = stream.flush();
                inbox.put(got);
            }
        });
        webhook
    }

    /// What the next requests are answered; those after them well.
    pub(crate) fn answer(&self, answers: &[&'static str]) {
        self.answers.lock().expect("no panic").extend(answers);
    }
}

fn read(stream: &mut dyn Read) -> Option<Got> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: Vec<(String, String)> = head.lines().skip(1).filter_map(header).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse::<usize>().ok()?;
        if body.len() >= length {
            return Some(Got { headers, text: body.to_owned(), json: serde_json::from_str(body).ok()? });
        }
    }
}
