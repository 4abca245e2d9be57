//! Four resolvers from their Debian packages, each with an empty cache, knowing the root and nothing else.
//!
//! They are configured as they come, except for what a private network needs: no trust anchor, no special treatment of
//! `test.` and of private addresses, no file or socket outside their folder.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use host::lab::Host;

use super::servers::{Server, own};

/// What each knows to begin with.
const HINTS: &str = ".\t3600\tIN\tNS\tns.example.test.\nns.example.test.\t3600\tIN\tA\t10.77.0.53\n";

/// A resolver program.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Its name, and its Debian package's.
    pub name: &'static str,
    /// The file that is run.
    pub program: &'static str,
    /// Where it listens on the client: an address of its own, so that all can run there.
    pub address: IpAddr,
    /// Name of the configuration's file, and its text for a folder and the address.
    config: (&'static str, fn(&str, IpAddr) -> String),
    /// Arguments for a folder.
    arguments: fn(&str) -> Vec<String>,
}

pub(crate) const UNBOUND: Resolver = Resolver {
    name: "unbound",
    program: "unbound",
    address: loopback(1),
    config: ("unbound.conf", unbound),
    arguments: |at| vec!["-c".to_owned(), format!("{at}/unbound.conf")],
};
pub(crate) const BIND: Resolver = Resolver {
    name: "bind9",
    program: "named",
    // It listens only where an interface has the very address: the client's own.
    address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 200)),
    config: ("named.conf", bind),
    arguments: |at| ["-g", "-c"].map(str::to_owned).into_iter().chain([format!("{at}/named.conf")]).collect(),
};
pub(crate) const KNOT: Resolver = Resolver {
    name: "knot-resolver",
    program: "kresd",
    address: loopback(3),
    config: ("kresd.conf", knot),
    arguments: |at| vec!["-n".to_owned(), "-c".to_owned(), format!("{at}/kresd.conf"), at.to_owned()],
};
pub(crate) const PDNS: Resolver = Resolver {
    name: "pdns-recursor",
    program: "pdns_recursor",
    address: loopback(4),
    config: ("recursor.conf", pdns),
    arguments: |at| vec![format!("--config-dir={at}")],
};
/// All of them.
pub(crate) const ALL: [&Resolver; 4] = [&UNBOUND, &BIND, &KNOT, &PDNS];

const fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

impl Resolver {
    /// Starts it on `host` from the file `program`, with a folder of its own in `folder`.
    pub(crate) fn start(&self, host: &Host, program: &Path, folder: &Path) -> Server {
        let folder = own(folder, self.program);
        let at = folder.to_str().expect("a folder of ours");
        let (file, config) = self.config;
        fs::write(folder.join("hints"), HINTS).expect("the hints can be written");
        fs::write(folder.join(file), config(at, self.address)).expect("the configuration can be written");
        // Debian's AppArmor profiles go by the path of the program and allow it no configuration but its own.
        let copy = folder.join(self.program);
        fs::copy(program, &copy).expect("a program can be copied");
        let mut command = host.command(&copy);
        command.args((self.arguments)(at));
        Server::start(host, command, &folder, (self.address, "example.test"))
    }
}

fn unbound(at: &str, address: IpAddr) -> String {
    format!(
        "server:\n  directory: \"{at}\"\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  do-daemonize: no\n\
         \x20 use-syslog: no\n  logfile: \"\"\n  num-threads: 1\n  interface: {address}\n  root-hints: \"{at}/hints\"\n\
         \x20 module-config: \"iterator\"\n  local-zone: \"test.\" nodefault\n  use-caps-for-id: yes\n\
         remote-control:\n  control-enable: no\n"
    )
}

fn bind(at: &str, address: IpAddr) -> String {
    format!(
        "options {{\n  directory \"{at}\";\n  listen-on port 53 {{ {address}; }};\n  listen-on-v6 {{ none; }};\n\
         \x20 recursion yes;\n  dnssec-validation no;\n  pid-file none;\n  session-keyfile none;\n\
         \x20 managed-keys-directory \"{at}\";\n  allow-query {{ any; }};\n  allow-recursion {{ any; }};\n}};\n\
         controls {{ }};\nzone \".\" {{ type hint; file \"{at}/hints\"; }};\n"
    )
}

fn knot(at: &str, address: IpAddr) -> String {
    format!(
        "net.listen('{address}', 53, {{ kind = 'dns' }})\ncache.open(10 * MB, 'lmdb://{at}/cache')\n\
         modules = {{ 'hints > iterate', 'policy' }}\nhints.root({{ ['ns.example.test.'] = {{ '10.77.0.53' }} }})\n\
         trust_anchors.remove('.')\npolicy.special_names = {{}}\n"
    )
}

fn pdns(at: &str, address: IpAddr) -> String {
    format!(
        "local-address={address}\nlocal-port=53\nquery-local-address=0.0.0.0, ::\nhint-file={at}/hints\ndnssec=off\n\
         dont-query=\ndaemon=no\nthreads=1\nsocket-dir={at}\nwrite-pid=no\ndisable-syslog=yes\nsecurity-poll-suffix=\n\
         loglevel=4\n"
    )
}
