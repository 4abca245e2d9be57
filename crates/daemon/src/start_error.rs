//! Why the daemon could not start: what it tried, what the system said, what to do.

use std::{fmt, io, net::SocketAddr};

/// Nothing was left behind when this is returned.
#[derive(Debug)]
pub(crate) struct StartError {
    doing: String,
    source: io::Error,
    advice: Option<String>,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.source)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "\n  {advice}"))
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl StartError {
    /// "cannot `doing`: `source`".
    pub(crate) fn new(doing: &str, source: io::Error) -> Self {
        Self { doing: doing.to_owned(), source, advice: None }
    }

    /// The same with what to do.
    #[must_use]
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// A socket could not be opened; the advice follows from the error and the port.
    pub(crate) fn listen(what: &str, address: SocketAddr, source: io::Error) -> Self {
        let port = address.port();
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse if port == 53 => Some(
                "another name server has the port, often systemd-resolved, dnsmasq or BIND: find it with \
                 `ss -lunp 'sport = :53'`, then stop it, or give `[dns] listen` an address that it does not use"
                    .to_owned(),
            ),
            io::ErrorKind::AddrInUse => Some(format!(
                "another program, perhaps another standin, has the port: find it with `ss -lnptu 'sport = :{port}'`"
            )),
            io::ErrorKind::AddrNotAvailable => Some(format!(
                "this machine has no address {}: correct `listen` in the node file, or wait until the network is up",
                address.ip()
            )),
            io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need CAP_NET_BIND_SERVICE: run it as root, or by the systemd unit".to_owned())
            }
            _ => None,
        };
        Self { doing: format!("listen for {what} on {address}"), source, advice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_says_what_to_do() {
        let taken = || io::Error::from(io::ErrorKind::AddrInUse);
        let text = StartError::listen("DNS", "10.0.0.1:53".parse().unwrap(), taken()).to_string();
        assert!(text.starts_with("cannot listen for DNS on 10.0.0.1:53: "), "{text}");
        assert!(text.contains("systemd-resolved"), "{text}");
        let text = StartError::listen("metrics", "10.0.0.1:9853".parse().unwrap(), taken()).to_string();
        assert!(text.contains("sport = :9853") && !text.contains("systemd-resolved"), "{text}");
    }
}
