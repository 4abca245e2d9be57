//! Requests to the console as a browser makes them, and as none does.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::Instant,
};

use host::lab::Host;
use tokio_rustls::rustls::StreamOwned;

use crate::{stage_support::PATIENCE, tls_support::gullible};

/// web1's admin port.
pub(crate) const GATE: &str = "10.77.0.11:8053";

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let code = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_lowercase(), value.to_owned()))
        };
        Self { code, headers: lines.filter_map(header).collect(), body: body.to_owned() }
    }

    /// A header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// All cookies that it sets.
    pub(crate) fn cookies(&self) -> Vec<&str> {
        self.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect()
    }

    /// What its first form carries.
    pub(crate) fn token(&self) -> String {
        self.between("name=\"token\" value=\"", "\"")
    }

    /// The first text between two others.
    pub(crate) fn between(&self, before: &str, after: &str) -> String {
        let found = self.body.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        found.map_or_else(|| panic!("no {before:?} in {}", self.body), |(text, _)| text.to_owned())
    }
}

/// A request: what is not given is what a browser on our own page sends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) cookie: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) fields: Vec<(&'static str, String)>,
    /// Instead of what a browser says of where it comes from.
    pub(crate) site: Option<&'static str>,
}

pub(crate) fn get(path: &str, cookie: &str) -> Request {
    Request { method: "GET", path: path.into(), cookie: cookie.into(), ..Request::default() }
}

pub(crate) fn post(path: &str, cookie: &str, fields: &[(&'static str, &str)]) -> Request {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Request { method: "POST", path: path.into(), cookie: cookie.into(), fields, ..Request::default() }
}

impl Request {
    fn text(&self, host: &str) -> String {
        let encode = |text: &str| -> String {
            let one = |byte: u8| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            };
            text.bytes().map(one).collect()
        };
        let pairs = self.fields.iter().map(|(name, value)| format!("{name}={}", encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n", self.method, self.path);
        if self.method == "POST" {
            text += &format!("content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n", body.len());
            match self.site {
                None => text += &format!("origin: https://{host}\r\nsec-fetch-site: same-origin\r\n"),
                Some(site) => text += site,
            }
        }
        if !self.cookie.is_empty() {
            text += &format!("cookie: {}\r\n", self.cookie);
        }
        self.headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        text + "\r\n" + &body
    }

    /// Sends it to web1 from a host, over TLS.
    pub(crate) fn send(&self, from: &Host) -> Answer {
        self.send_then(from, || {})
    }

    /// The same; `begun` is called when an answer has begun.
    pub(crate) fn send_then(&self, from: &Host, begun: impl FnOnce() + Send) -> Answer {
        let text = self.text(GATE);
        from.run(move || {
            let socket = TcpStream::connect(GATE).expect("the port is open");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut tls = StreamOwned::new(gullible(), socket);
            tls.write_all(text.as_bytes()).expect("it is sent");
            let mut bytes = vec![0; 1];
            if tls.read_exact(&mut bytes).is_ok() {
                begun();
            }
            // An answer that never ends, such as a stream, is given up.
            let given_up = Instant::now() + 2 * PATIENCE;
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = tls.read(&mut piece) {
                bytes.extend_from_slice(&piece[..length]);
                assert!(Instant::now() < given_up, "no end: {}", String::from_utf8_lossy(&bytes));
            }
            Answer::read(&bytes)
        })
        .expect("the host runs")
    }

    /// Sends it to web1 from a host without TLS, as in file mode.
    pub(crate) fn send_plainly(&self, from: &Host) -> Answer {
        let text = self.text(GATE);
        from.run(move || {
            let mut stream = TcpStream::connect(GATE).expect("the port is open");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream.write_all(text.as_bytes()).expect("it is sent");
            let mut bytes = Vec::new();
            let _cut_off = stream.read_to_end(&mut bytes);
            Answer::read(&bytes)
        })
        .expect("the host runs")
    }

    /// Sends it by the Unix socket.
    pub(crate) fn send_locally(&self, socket: &Path, host: &str) -> Answer {
        let mut stream = UnixStream::connect(socket).expect("the socket is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(self.text(host).as_bytes()).expect("it is sent");
        let mut bytes = Vec::new();
        let _cut_off = stream.read_to_end(&mut bytes);
        Answer::read(&bytes)
    }
}

/// The session's cookie after a login.
pub(crate) fn log_in(from: &Host, user: &str, password: &str) -> Result<String, Answer> {
    let form = get("/console/login", "").send(from);
    let before = form.cookies()[0].split(';').next().unwrap_or_default().to_owned();
    let token = form.token();
    let fields = [("token", token.as_str()), ("user", user), ("password", password)];
    let answer = post("/console/login", &before, &fields).send(from);
    let session = answer.cookies().into_iter().find(|cookie| cookie.starts_with("__Secure-standin="));
    session.map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned()).ok_or_else(|| answer.clone())
}

/// What every answer of the console must have, whatever it is.
pub(crate) fn assert_dressed(answer: &Answer, what: &str) {
    let policy = answer.header("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{what}: {policy:?} lacks {part}");
    }
    assert!(!policy.contains("unsafe"), "{what}: {policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(answer.header("referrer-policy"), "same-origin", "{what}");
    let kept = answer.header("cache-control");
    let is_file = !answer.header("etag").is_empty();
    assert_eq!(kept, if is_file { "no-cache" } else { "no-store" }, "{what}");
    let html = answer.header("content-type").starts_with("text/html");
    assert!(html || is_file || answer.body.is_empty(), "{what}: not for people: {}", answer.body);
    for (inline, why) in [
        ("<style", "style"),
        (" style=", "style"),
        (" onclick", "script"),
        ("javascript:", "script"),
        ("<script>", "script"),
    ] {
        assert!(!answer.body.contains(inline) || is_file, "{what}: an inline {why}");
    }
    assert!(!answer.body.contains("://") || is_file || html_is_own(&answer.body), "{what}: something from elsewhere");
}

/// Whether nothing is loaded from elsewhere.
pub(crate) fn html_is_own(body: &str) -> bool {
    !["src=\"http", "href=\"http", "src=\"//", "href=\"//"].iter().any(|elsewhere| body.contains(elsewhere))
}

/// What a form carries, as a browser would read it.
pub(crate) fn carried(answer: &Answer, field: &str) -> String {
    let text = answer.between(&format!("name=\"{field}\" value=\""), "\"");
    [("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#39;", "'"), ("&#38;", "&")]
        .iter()
        .fold(text, |text, (escaped, plain)| text.replace(escaped, plain))
}

/// One more stream, by the socket, and its code.
pub(crate) fn open(socket: &Path, page: &str) -> (u16, BufReader<UnixStream>) {
    let mut stream = UnixStream::connect(socket).expect("the socket is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(format!("GET {page} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).expect("it is sent");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer");
    (line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), reader)
}

/// The next event of a kind.
pub(crate) fn next(stream: &mut BufReader<UnixStream>, kind: &str) -> String {
    let mut event = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).expect("an event"), 0, "the stream ends: {event}");
        event += &line;
        if line.trim().is_empty() {
            if event.contains(&format!("event: {kind}\n")) {
                return event;
            }
            event.clear();
        }
    }
}
