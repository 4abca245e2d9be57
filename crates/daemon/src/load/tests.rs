use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use model::ServerName;
use tempfile::TempDir;

use super::{LoadError, Loaded, load};

const NODE: &str = "name = \"web1\"\nstate-dir = \"state\"\ncluster-file = \"shared/cluster.toml\"\nsocket = \"/run/s.sock\"\n\
                    [heartbeat]\nlisten = \"10.0.0.1:7946\"\nkey-file = \"cluster.key\"\n";
const CLUSTER: &str = "[cluster]\nname = \"x\"\n[server.web1]\naddress = \"10.0.0.1\"\n[server.web2]\naddress = \"10.0.0.2\"\n\
                       [pool.www]\nmembers = [\"web1\", \"web2\"]\n\
                       [zone.\"LB.example\"]\ntemplate = \"zones/lb.zone\"\n";
const ZONE: &str =
    "$TTL 60\n@ SOA ns1 admin 0 3600 600 86400 5\n  NAMESERVERS ns1=web1 ns2=web2\n$INCLUDE hosts.zone\n";
const HOSTS: &str = "www POOL www\n";
/// 32 bytes.
const KEY: &str = "c3RhbmRpbiBiZW5jaCBrZXksIG5vdCBhIHNlY3JldCE=\n";

/// A directory with good files, which a test then spoils.
fn good() -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::create_dir_all(directory.path().join("shared/zones")).unwrap();
    for (name, text) in [
        ("standin.toml", NODE),
        ("cluster.key", KEY),
        ("shared/cluster.toml", CLUSTER),
        ("shared/zones/lb.zone", ZONE),
        ("shared/zones/hosts.zone", HOSTS),
    ] {
        write(&directory, name, text);
    }
    let key = directory.path().join("cluster.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    directory
}

fn write(directory: &TempDir, name: &str, text: &str) {
    fs::write(directory.path().join(name), text).unwrap();
}

fn load_in(directory: &TempDir) -> Result<Loaded, LoadError> {
    load(&directory.path().join("standin.toml"))
}

/// The brief forms of all mistakes, without the directory.
fn mistakes(directory: &TempDir) -> Vec<String> {
    let error = load_in(directory).err().expect("the files have a mistake");
    let prefix = format!("{}/", directory.path().display());
    error.mistakes.iter().map(|mistake| mistake.brief().replace(&prefix, "")).collect()
}

#[test]
fn everything_is_loaded_and_paths_are_resolved() {
    let directory = good();
    let loaded = load_in(&directory).map_err(|error| error.to_string()).unwrap();
    assert_eq!(loaded.node.name, ServerName::new("web1"));
    assert_eq!(loaded.node.state_dir, directory.path().join("state"));
    assert_eq!(loaded.node.cluster_file, directory.path().join("shared/cluster.toml"));
    assert_eq!(loaded.node.socket, Path::new("/run/s.sock"));
    assert_eq!(loaded.zones.len(), 1);
    assert_eq!(loaded.zones[0].name.as_str(), "lb.example");
    assert_eq!(loaded.zones[0].owners.iter().filter(|owner| owner.pool().is_some()).count(), 1);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_digest_covers_template_and_include_and_not_the_node_file() {
    let directory = good();
    let digest = || load_in(&directory).map_err(|error| error.to_string()).unwrap().cluster.digest;
    let first = digest();
    write(&directory, "standin.toml", &NODE.replace("web1", "web2").replace("10.0.0.1", "10.0.0.2"));
    assert_eq!(digest(), first);
    write(&directory, "shared/zones/hosts.zone", "mail POOL www\n");
    let second = digest();
    assert_ne!(second, first);
    write(&directory, "shared/zones/lb.zone", &ZONE.replace("3600", "7200"));
    assert_ne!(digest(), second);
}

#[test]
fn mistakes_of_all_files_come_at_once_in_the_order_of_reading() {
    let directory = good();
    write(&directory, "standin.toml", &NODE.replace("web1", "web9").replace("cluster.key", "no.key"));
    write(&directory, "shared/zones/hosts.zone", "www POOL wwww\n");
    let found = mistakes(&directory);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("standin.toml:1:8: there is no server `web9` in shared/cluster.toml"), "{found:#?}");
    assert!(found[1].starts_with("standin.toml:7:12: the key file no.key: No such file"), "{found:#?}");
    assert!(found[2].starts_with("hosts.zone:1:10: "), "{found:#?}");
}

#[test]
fn a_broken_node_file_does_not_hide_the_cluster_files_mistakes() {
    let directory = good();
    write(&directory, "standin.toml", &NODE.replace("name = \"web1\"", "nam = \"web1\""));
    write(&directory, "shared/cluster.toml", &CLUSTER.replace("\"web2\"]", "\"web3\"]"));
    let found = mistakes(&directory);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("standin.toml:1:1: "), "{found:#?}");
    assert!(
        found[2].starts_with("shared/cluster.toml:8:20: there is no virtual host, server or endpoint `web3`"),
        "{found:#?}"
    );
}

#[test]
fn a_missing_file_is_reported_where_it_is_named() {
    let directory = good();
    fs::remove_file(directory.path().join("shared/zones/lb.zone")).unwrap();
    let found = mistakes(&directory);
    assert!(
        found[0].starts_with("shared/cluster.toml:10:12: the zone template shared/zones/lb.zone cannot be read"),
        "{found:#?}"
    );
    fs::remove_dir_all(directory.path().join("shared")).unwrap();
    let found = mistakes(&directory);
    assert!(
        found[0].starts_with("standin.toml:3:16: the cluster file shared/cluster.toml cannot be read"),
        "{found:#?}"
    );
    fs::remove_file(directory.path().join("standin.toml")).unwrap();
    assert_eq!(mistakes(&directory), ["standin.toml:1:1: cannot be read: No such file or directory (os error 2)"]);
}

#[test]
fn a_missing_include_is_reported_in_the_template() {
    let directory = good();
    fs::remove_file(directory.path().join("shared/zones/hosts.zone")).unwrap();
    let found = mistakes(&directory);
    assert!(found[0].starts_with("shared/zones/lb.zone:4:"), "{found:#?}");
    assert!(found[0].contains("No such file"), "{found:#?}");
}

#[test]
fn a_bad_key_is_refused_and_never_shown() {
    let directory = good();
    let secrets = [("", "it is empty"), ("c2hvcnQgc2VjcmV0", "at least 32 bytes"), ("not?base64", "not base64")];
    for (secret, reason) in secrets {
        write(&directory, "cluster.key", secret);
        let drawn = load_in(&directory).err().expect("a bad key").to_string();
        assert!(drawn.contains("standin.toml:7:12: the key file ") && drawn.contains(reason), "{drawn}");
        assert!(secret.is_empty() || !drawn.contains(secret), "{drawn}");
    }
}

#[test]
fn a_key_that_others_may_read_is_a_warning() {
    let directory = good();
    let key = directory.path().join("cluster.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let loaded = load_in(&directory).map_err(|error| error.to_string()).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].contains("mode 640"), "{:?}", loaded.warnings);
}

#[test]
fn heartbeats_that_would_not_arrive_are_a_warning() {
    let directory = good();
    write(&directory, "standin.toml", &NODE.replace("7946", "7947"));
    let loaded = load_in(&directory).map_err(|error| error.to_string()).unwrap();
    assert!(loaded.warnings[0].contains("listens on 10.0.0.1:7947, while the other servers send to 10.0.0.1:7946"));
    write(&directory, "standin.toml", &NODE.replace("10.0.0.1", "0.0.0.0"));
    assert!(load_in(&directory).map_err(|error| error.to_string()).unwrap().warnings.is_empty());
}

#[test]
fn virtual_addresses_are_not_named_to_listen_on() {
    let directory = good();
    let host = "[virtual-host.v]\naddresses = [\"10.0.0.9\"]\nservers = \"all\"\n";
    write(&directory, "shared/cluster.toml", &format!("{CLUSTER}{host}"));
    let dns = "[dns]\nlisten = [\"10.0.0.1:53\", \"10.0.0.9:53\"]\n";
    write(&directory, "standin.toml", &format!("{}{dns}", NODE.replace("10.0.0.1", "10.0.0.9")));
    let found = mistakes(&directory);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("standin.toml:6:10: 10.0.0.9 belongs to virtual host `v`"), "{found:#?}");
    assert!(found[1].starts_with("standin.toml:9:10: 10.0.0.9 belongs to virtual host `v`"), "{found:#?}");
}

#[test]
fn a_file_that_is_not_utf8_is_refused_at_its_line() {
    let directory = good();
    fs::write(directory.path().join("shared/zones/lb.zone"), b"; one\n; caf\xe9\n").unwrap();
    assert_eq!(mistakes(&directory), ["shared/zones/lb.zone:2:6: not UTF-8 text"]);
}
