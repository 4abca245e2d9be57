//! A mail server that keeps what it gets: plain, with STARTTLS, or within TLS; within TLS it wants a password.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use data_encoding::BASE64;
use host::lab::Host;
use tokio_rustls::rustls::ServerConfig;

use super::{Duplex, Inbox, within_tls};

/// When TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begins {
    AtOnce,
    WithStarttls,
}

/// One mail: as it came, who sent it and to whom, and whether within TLS.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) text: String,
    pub(crate) envelope: Vec<String>,
    pub(crate) tls: bool,
}

impl Letter {
    /// A header, unfolded.
    pub(crate) fn header(&self, name: &str) -> String {
        let text = self.text.replace("\r\n ", " ");
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_default().to_owned()
    }
}

/// Starts it. It believes `user` with `password`, and nobody else.
pub(crate) fn start(
    host: &Host,
    port: u16,
    tls: Arc<ServerConfig>,
    begins: Begins,
    (user, password): (&str, &str),
) -> Inbox<Letter> {
    let listener = host.run(|| TcpListener::bind(("0.0.0.0", port))).flatten().expect("a free port");
    let inbox = Inbox::new();
    let (kept, plain) = (inbox.clone(), BASE64.encode(format!("\0{user}\0{password}").as_bytes()));
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
            let _gone = serve(stream, &tls, begins, &plain, &kept);
        }
    });
    inbox
}

fn serve(
    stream: TcpStream,
    tls: &Arc<ServerConfig>,
    begins: Begins,
    plain: &str,
    inbox: &Inbox<Letter>,
) -> std::io::Result<()> {
    let socket = stream.try_clone()?;
    let mut within = begins == Begins::AtOnce;
    let mut wire: BufReader<Box<dyn Duplex>> =
        BufReader::new(if within { within_tls(tls, stream) } else { Box::new(stream) });
    say(&mut wire, "220 mail.test ESMTP")?;
    let (mut known, mut envelope) = (false, Vec::new());
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        match line.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" if within => say(&mut wire, "250-mail.test\r\n250 AUTH PLAIN")?,
            "EHLO" => say(&mut wire, "250-mail.test\r\n250 STARTTLS")?,
            "STARTTLS" if !within => {
                say(&mut wire, "220 go ahead")?;
                wire = BufReader::new(within_tls(tls, socket.try_clone()?));
                within = true;
            }
            "AUTH" if line == format!("AUTH PLAIN {plain}") => {
                known = true;
                say(&mut wire, "235 welcome")?;
            }
            "AUTH" => say(&mut wire, "535 5.7.8 nobody known")?,
            "MAIL" | "RCPT" if known => {
                envelope.push(line.to_owned());
                say(&mut wire, "250 ok")?;
            }
            "DATA" if known => {
                say(&mut wire, "354 go on")?;
                let text = data(&mut wire)?;
                inbox.put(Letter { text, envelope: std::mem::take(&mut envelope), tls: within });
                say(&mut wire, "250 kept")?;
            }
            "QUIT" => return say(&mut wire, "221 bye"),
            _ => say(&mut wire, "530 5.7.0 not so")?,
        }
    }
}

fn say(wire: &mut BufReader<Box<dyn Duplex>>, text: &str) -> std::io::Result<()> {
    wire.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
    wire.get_mut().flush()
}

/// Up to the line with a dot alone.
fn data(wire: &mut BufReader<Box<dyn Duplex>>) -> std::io::Result<String> {
    let mut text = String::new();
    while !text.ends_with("\r\n.\r\n") {
        if wire.read_line(&mut text)? == 0 {
            break;
        }
    }
    Ok(text)
}
