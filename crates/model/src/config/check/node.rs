//! `standin.toml`.

use std::{net::SocketAddr, path::PathBuf};

use toml::de::DeTable;

use super::{
    super::{
        node::NodeConfig,
        read::{Fields, Firsts, Source, Value},
    },
    is_new,
};
use crate::{diagnostic::Diagnostic, id::ServerName};

const KNOWN: &[&str] =
    &["name", "state-dir", "cluster-file", "secrets-dir", "socket", "heartbeat", "dns", "admin", "metrics"];
/// `sun_path` of unix(7) has 108 bytes, with the final zero.
const SOCKET_PATH: usize = 107;

/// Reads the text of a node file; `file` is its name in messages. Paths stay as they are written.
///
/// # Errors
/// All mistakes, in the order of the text. A text that is not TOML gives only what TOML has against it.
pub fn parse_node(file: &str, text: &str) -> Result<NodeConfig, Vec<Diagnostic>> {
    let source = Source::new(file, text);
    let (tree, errors) = DeTable::parse_recoverable(text);
    source.refuse_syntax(&errors);
    if !errors.is_empty() {
        return Err(source.into_mistakes());
    }
    let config = node(&source, &Fields::of(&source, tree.get_ref(), "the node file".to_owned(), 0..0, KNOWN));
    // Without a config there are mistakes.
    source.finish(config).map(|config| config.expect("a node file without mistakes has all required fields"))
}

fn node<'s>(source: &'s Source<'s>, root: &Fields<'s>) -> Option<NodeConfig> {
    let name = root.require("name", "name = \"web1\"").and_then(|value| value.object_name("web1"));
    let path =
        |name, default: &str| PathBuf::from(root.get(name).and_then(|value| value.text(default)).unwrap_or(default));
    let (state_dir, cluster_file) =
        (path("state-dir", "/var/lib/standin"), path("cluster-file", "/etc/standin/cluster.toml"));
    let secrets_dir = path("secrets-dir", "secrets");
    let socket = path("socket", "/run/standin/standin.sock");
    if let Some(value) = root.get("socket")
        && socket.as_os_str().len() > SOCKET_PATH
    {
        value.refuse(
            format!("the path of a Unix socket has at most {SOCKET_PATH} bytes, not {}", socket.as_os_str().len()),
            "choose a shorter path, such as \"/run/standin/standin.sock\"",
        );
    }
    let heartbeat = root
        .require("heartbeat", "[heartbeat]` with `listen = \"10.77.0.11:7946\"")
        .and_then(|value| value.fields("[heartbeat]", &["listen", "key-file", "ethernet"]));
    let heartbeat_listen = heartbeat
        .as_ref()
        .and_then(|fields| fields.require("listen", "listen = \"10.77.0.11:7946\""))
        .and_then(|value| value.socket("10.77.0.11:7946"));
    let ethernet = heartbeat.as_ref().and_then(|fields| fields.get("ethernet")).and_then(|value| value.boolean());
    let key_file = heartbeat.as_ref().and_then(|fields| fields.get("key-file"));
    let mut tcp = Firsts::new(source);
    let (dns_listen, dns_threads) = dns(root, &mut tcp);
    let mut http = |section, what: &str, example: &str| {
        let fields = root.get(section).and_then(|value| value.fields(format!("[{section}]"), &["listen"]))?;
        let value = fields.require("listen", &format!("listen = \"{example}\""))?;
        let socket = value.socket(example)?;
        refuse_taken(&mut tcp, &value, socket, what);
        Some(socket)
    };
    Some(NodeConfig {
        admin_listen: http("admin", "the admin API", "10.77.0.11:8053"),
        metrics_listen: http("metrics", "the metrics", "127.0.0.1:9853"),
        name: ServerName::new(name?),
        state_dir,
        cluster_file,
        secrets_dir,
        socket,
        heartbeat_listen: heartbeat_listen?,
        heartbeat_ethernet: ethernet.unwrap_or(true),
        key_file: key_file
            .and_then(|value| value.text("/etc/standin/cluster.key"))
            .unwrap_or("/etc/standin/cluster.key")
            .into(),
        dns_listen,
        dns_threads,
    })
}

/// `[dns]`: where to listen, and with how many threads.
fn dns<'s>(root: &Fields<'s>, tcp: &mut Firsts<'s, SocketAddr>) -> (Vec<SocketAddr>, usize) {
    let everywhere = || vec![SocketAddr::from(([0; 4], 53)), SocketAddr::from(([0_u16; 8], 53))];
    let fields = root.get("dns").and_then(|value| value.fields("[dns]", &["listen", "threads"]));
    let Some(fields) = fields else { return (everywhere(), 1) };
    let threads = fields.get("threads").and_then(|value| value.integer(1..=64_u8)).unwrap_or(1);
    let Some(list) = fields.get("listen") else { return (everywhere(), threads.into()) };
    let mut sockets = Vec::new();
    for value in list.list("\"10.77.0.11:53\"").unwrap_or_default() {
        let Some(socket) = value.socket("10.77.0.11:53") else { continue };
        if is_new(&value, &socket, &sockets) {
            sockets.push(socket);
            refuse_taken(tcp, &value, socket, "the DNS");
        }
    }
    (sockets, threads.into())
}

/// DNS, admin API and metrics all listen on TCP.
fn refuse_taken(tcp: &mut Firsts<'_, SocketAddr>, value: &Value<'_>, socket: SocketAddr, what: &str) {
    if let Some((other, line)) = tcp.note(socket, what, &value.span()) {
        value.refuse(format!("{other} already listens on {socket} (line {line})"), "choose another port");
    }
}
