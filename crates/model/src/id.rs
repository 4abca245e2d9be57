//! Names and numbers that identify things. No naked strings or integers travel between modules.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::digest::digest64;

/// What an object's name may look like: letters, digits, `-`, `_`, `.`; 1 to 63 characters; begins with a letter or
/// digit. Names appear in files, metrics, events and commands, so nothing in them ever needs quoting.
pub fn is_valid_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes a name that the configuration check (or a test) has found valid.
            pub fn new(name: &str) -> Self {
                Self(name.into())
            }

            /// The name as the operator wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name!(
    /// A member of the cluster.
    ServerName
);
name!(
    /// A virtual host: addresses with a primary server and ordered backups.
    VirtualHostName
);
name!(
    /// An endpoint: a host that runs no daemon, probed by the cluster's servers.
    EndpointName
);
name!(
    /// A pool: a set of members whose living addresses answer for DNS names.
    PoolName
);
name!(
    /// A channel for notifications: where somebody outside the cluster is told of incidents.
    ChannelName
);
name!(
    /// The apex of a zone that we serve, lower case, without the final dot.
    ZoneName
);

impl ServerName {
    /// The server's brief name inside heartbeats.
    pub fn key(&self) -> u64 {
        digest64(&["server", &self.0])
    }
}

impl VirtualHostName {
    /// The virtual host's brief name inside heartbeats.
    pub fn key(&self) -> u64 {
        digest64(&["virtual-host", &self.0])
    }
}

impl PoolName {
    /// The pool's brief name inside heartbeats.
    pub fn key(&self) -> u64 {
        digest64(&["pool", &self.0])
    }
}

/// What a service monitor watches over.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A virtual host: tried by each of its servers, at that server's own address.
    VirtualHost(VirtualHostName),
    /// One address of an endpoint: tried by the servers that probe the endpoint.
    Endpoint(EndpointName, IpAddr),
    /// A virtual address on the server that holds it: tried by others, through the wire.
    Held(VirtualHostName, IpAddr, ServerName),
}

/// One service monitor of one virtual host, or of one address of an endpoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MonitorId {
    /// What it watches over.
    pub subject: Subject,
    /// Its own name, unique within the virtual host or endpoint, such as `http-80`.
    pub monitor: Arc<str>,
}

impl MonitorId {
    /// A monitor of a virtual host.
    pub fn of_host(virtual_host: &VirtualHostName, monitor: &Arc<str>) -> Self {
        Self { subject: Subject::VirtualHost(virtual_host.clone()), monitor: monitor.clone() }
    }

    /// A monitor of an endpoint's address.
    pub fn of_endpoint(endpoint: &EndpointName, address: IpAddr, monitor: &Arc<str>) -> Self {
        Self { subject: Subject::Endpoint(endpoint.clone(), address), monitor: monitor.clone() }
    }

    /// A monitor of a virtual host, tried at a virtual address on its holder.
    pub fn of_held(virtual_host: &VirtualHostName, address: IpAddr, holder: &ServerName, monitor: &Arc<str>) -> Self {
        Self { subject: Subject::Held(virtual_host.clone(), address, holder.clone()), monitor: monitor.clone() }
    }

    /// Whether an operator's `VIRTUAL-HOST/MONITOR` or `ENDPOINT/MONITOR` means it, whatever the endpoint's address.
    pub fn is_called(&self, name: &str) -> bool {
        let subject = match &self.subject {
            Subject::VirtualHost(subject) => subject.as_str(),
            Subject::Endpoint(subject, _) => subject.as_str(),
            Subject::Held(..) => return false,
        };
        name.split_once('/') == Some((subject, &self.monitor))
    }

    /// The monitor's brief name inside heartbeats.
    pub fn key(&self) -> u64 {
        match &self.subject {
            Subject::VirtualHost(name) => digest64(&["monitor", name.as_str(), &self.monitor]),
            Subject::Endpoint(name, address) => {
                digest64(&["endpoint-monitor", name.as_str(), &address.to_string(), &self.monitor])
            }
            Subject::Held(name, address, holder) => {
                digest64(&["held", name.as_str(), &address.to_string(), holder.as_str(), &self.monitor])
            }
        }
    }
}

impl fmt::Display for MonitorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::VirtualHost(name) => write!(f, "{name}/{}", self.monitor),
            Subject::Endpoint(name, address) => write!(f, "{name}/{} at {address}", self.monitor),
            Subject::Held(name, address, holder) => write!(f, "{name}/{} at {address} on {holder}", self.monitor),
        }
    }
}

impl Serialize for MonitorId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.subject {
            Subject::VirtualHost(name) => map.serialize_entry("virtual_host", name)?,
            Subject::Endpoint(name, address) => {
                map.serialize_entry("endpoint", name)?;
                map.serialize_entry("address", address)?;
            }
            Subject::Held(name, address, holder) => {
                map.serialize_entry("virtual_host", name)?;
                map.serialize_entry("address", address)?;
                map.serialize_entry("holder", holder)?;
            }
        }
        map.serialize_entry("monitor", &self.monitor)?;
        map.end()
    }
}

/// One run of a daemon: random at each start, so that nothing said by an earlier run is taken for news.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub [u8; 16]);

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for BootId {
    /// The first four bytes are enough to tell runs apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for BootId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Numbers the holdings of one virtual host: each taking uses a term above every term seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
pub struct Term(pub u64);

impl Term {
    /// The term of the next holding.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quoting_anywhere() {
        for good in ["web1", "v10.77.0.100", "a", "mail-in_2"] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", "-x", ".x", "a b", "ü", "a/b", &"x".repeat(64)] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }

    #[test]
    fn equal_names_of_different_kinds_have_different_keys() {
        assert_ne!(ServerName::new("a").key(), VirtualHostName::new("a").key());
    }
}
