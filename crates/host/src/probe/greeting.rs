//! The conversations that begin with the server's greeting: what smtp, ftp, imap, pop3, nntp and ssh share.
//!
//! One shape: banner, a request that changes nothing, TLS where it is asked for, a polite end. The protocols' own files
//! have their words.

use model::config::probe::{GreetingProbe, Protocol, Tls, TlsStart};

use super::{
    attempt::{Failed, quoted},
    ftp, imap, nntp, pop3, smtp, ssh, telnet,
    wire::Wire,
};

/// The conversation, and the goodbye that ends it.
pub(super) async fn converse(wire: &mut Wire, probe: &GreetingProbe) -> (Result<(), Failed>, &'static [u8]) {
    match probe.protocol {
        Protocol::Smtp => (smtp::converse(wire, probe).await, smtp::GOODBYE),
        Protocol::Ftp => (ftp::converse(wire, probe).await, ftp::GOODBYE),
        Protocol::Telnet => (telnet::converse(wire, probe).await, telnet::GOODBYE),
        Protocol::Imap => (imap::converse(wire, probe).await, imap::GOODBYE),
        Protocol::Pop3 => (pop3::converse(wire, probe).await, pop3::GOODBYE),
        Protocol::Nntp => (nntp::converse(wire, probe).await, nntp::GOODBYE),
        Protocol::Ssh => (ssh::converse(wire, probe).await, ssh::GOODBYE),
    }
}

/// TLS that begins after a request for it.
pub(super) fn starttls(probe: &GreetingProbe) -> Option<&Tls> {
    asked_for(probe.tls.as_ref())
}

/// The same, of any protocol.
pub(super) fn asked_for(tls: Option<&Tls>) -> Option<&Tls> {
    tls.filter(|tls| tls.start == TlsStart::StartTls)
}

/// What the operator wants to find in the greeting.
pub(super) fn check(probe: &GreetingProbe, greeting: &str) -> Result<(), Failed> {
    match &probe.expect {
        Some(expect) if !expect.is_found_in(greeting) => {
            Err(Failed::said(format!("greeting lacks {:?}: {:?}", expect.as_str(), quoted(greeting))))
        }
        Some(_) | None => Ok(()),
    }
}

/// A reply of three digits and a text, as in SMTP (RFC 5321 section 4.2), FTP (RFC 959 section 4.2) and NNTP.
pub(super) struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    /// Hears one, whole: where it has several lines, the last one has a blank after the code.
    pub(super) async fn hear(wire: &mut Wire, what: &str) -> Result<Self, Failed> {
        let first = wire.line(what).await?;
        let code = first.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(code) = code.map(str::to_owned) else {
            return Err(Failed::said(format!("{what} has no code: {:?}", quoted(&first))));
        };
        let mut text = first.get(4..).unwrap_or_default().to_owned();
        let mut line = first;
        while line.as_bytes().get(3) == Some(&b'-') || !line.starts_with(&code) {
            line = wire.line(what).await?;
            text.push('\n');
            text.push_str(line.get(4..).unwrap_or_default());
        }
        Ok(Self { code: code.parse().expect("three digits"), text })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// One of the codes that are well; else what was said instead.
    pub(super) fn expect(self, codes: &[u16]) -> Result<Self, Failed> {
        if codes.contains(&self.code) {
            return Ok(self);
        }
        let first = self.text.lines().next().unwrap_or_default();
        Err(Failed::said(format!("{} expected, {} said: {}", codes[0], self.code, quoted(first))))
    }
}

/// Makes a request of one line and hears its reply.
pub(super) async fn ask(wire: &mut Wire, request: &str, codes: &[u16]) -> Result<Reply, Failed> {
    wire.say(format!("{request}\r\n").as_bytes()).await?;
    let verb = request.split(' ').next().unwrap_or(request);
    Reply::hear(wire, &format!("answer to {verb}")).await?.expect(codes)
}
