//! Who else manages an interface's addresses, and whether it leaves strange ones alone: systemd-networkd and NetworkManager,
//! as their run-time files say.
//!
//! networkd removes addresses that it did not set when it configures a link anew, unless `KeepConfiguration=` is `yes` (or, before
//! systemd 248, `static`; systemd.network(5)). Its `ManageForeignRoutes=` is about routes, of which Standin has none.
//! NetworkManager does so when a connection is activated or reapplied.

use std::{fs, path::Path};

use super::Link;

/// Something that manages an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Manager {
    /// systemd-networkd.
    Networkd {
        /// The interface.
        link: String,
        /// The file that rules it.
        file: String,
        /// What it says of addresses set by others.
        keeps: Option<String>,
    },
    /// NetworkManager.
    NetworkManager {
        /// The interface.
        link: String,
    },
}

/// Who manages these interfaces, which must be those that the files below `root` speak of.
pub(super) fn managers(root: &Path, links: &[Link]) -> Vec<Manager> {
    let each = links.iter().flat_map(|link| [networkd(root, link), network_manager(root, link)]);
    each.flatten().collect()
}

fn networkd(root: &Path, link: &Link) -> Option<Manager> {
    let state = fs::read_to_string(root.join("run/systemd/netif/links").join(link.index.to_string())).ok()?;
    if value(&state, "ADMIN_STATE").is_some_and(|state| state == "unmanaged") {
        return None;
    }
    let file = value(&state, "NETWORK_FILE")?;
    let name = Path::new(&file).file_name()?.to_str()?.to_owned();
    let mut texts = vec![fs::read_to_string(root.join(file.trim_start_matches('/'))).unwrap_or_default()];
    // Drop-ins, in the order of their names; among equal names that of /etc counts.
    let mut drop_ins: Vec<(String, std::path::PathBuf)> = Vec::new();
    for place in ["etc", "run", "usr/local/lib", "usr/lib"] {
        let folder = root.join(place).join("systemd/network").join(format!("{name}.d"));
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
            if name.ends_with(".conf") && drop_ins.iter().all(|(known, _)| *known != name) {
                drop_ins.push((name, path));
            }
        }
    }
    drop_ins.sort();
    texts.extend(drop_ins.iter().map(|(_, path)| fs::read_to_string(path).unwrap_or_default()));
    let keeps = texts.iter().filter_map(|text| value(text, "KeepConfiguration")).next_back();
    Some(Manager::Networkd { link: link.name.clone(), file, keeps })
}

fn network_manager(root: &Path, link: &Link) -> Option<Manager> {
    let device = fs::read_to_string(root.join("run/NetworkManager/devices").join(link.index.to_string())).ok()?;
    let managed = value(&device, "managed").is_some_and(|managed| managed == "true" || managed == "1");
    managed.then(|| Manager::NetworkManager { link: link.name.clone() })
}

/// The last value of a key in a file of `KEY=VALUE`.
fn value(text: &str, key: &str) -> Option<String> {
    let of = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    };
    text.lines().filter_map(of).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link { name: "eth0".into(), index: 2, mtu: 1500, addresses: Vec::new() }
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_drop_in_counts_more_than_the_file_and_the_later_name_more_than_the_earlier() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(managers(root, &[link()]), []);
        write(
            root,
            "run/systemd/netif/links/2",
            "# comment\nADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n",
        );
        let found = |keeps: Option<&str>| {
            let file = "/etc/systemd/network/10-eth0.network".to_owned();
            vec![Manager::Networkd { link: "eth0".into(), file, keeps: keeps.map(str::to_owned) }]
        };
        write(root, "etc/systemd/network/10-eth0.network", "[Match]\nName=eth0\n[Network]\nDHCP=no\n");
        assert_eq!(managers(root, &[link()]), found(None));
        write(root, "usr/lib/systemd/network/10-eth0.network.d/a.conf", "[Network]\nKeepConfiguration=yes\n");
        assert_eq!(managers(root, &[link()]), found(Some("yes")));
        write(root, "etc/systemd/network/10-eth0.network.d/a.conf", "[Network]\nKeepConfiguration = dhcp\n");
        assert_eq!(managers(root, &[link()]), found(Some("dhcp")));
        write(root, "run/systemd/network/10-eth0.network.d/b.conf", "[Network]\nKeepConfiguration=yes\n");
        assert_eq!(managers(root, &[link()]), found(Some("yes")));
        write(root, "run/systemd/netif/links/2", "ADMIN_STATE=unmanaged\n");
        assert_eq!(managers(root, &[link()]), []);
    }

    #[test]
    fn network_manager_counts_where_it_manages() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "run/NetworkManager/devices/2", "[device]\nmanaged=true\n");
        assert_eq!(managers(root.path(), &[link()]), [Manager::NetworkManager { link: "eth0".into() }]);
        write(root.path(), "run/NetworkManager/devices/2", "[device]\nmanaged=false\n");
        assert_eq!(managers(root.path(), &[link()]), []);
    }
}
