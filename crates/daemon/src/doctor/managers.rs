//! Who else manages addresses, and would remove ours.

use host::survey::Manager;

use super::{Facts, Finding, Severity};

const WHY: &str =
    "it removes virtual addresses when it configures the interface anew; the daemon puts them back, after a gap";

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    facts.machine.managers.iter().filter_map(finding).collect()
}

fn finding(manager: &Manager) -> Option<Finding> {
    match manager {
        Manager::Networkd { keeps: Some(keeps), .. } if matches!(keeps.as_str(), "yes" | "true" | "1" | "on") => None,
        Manager::Networkd { link, file, keeps } => {
            let said = keeps
                .as_deref()
                .map_or_else(|| "no KeepConfiguration=".to_owned(), |keeps| format!("KeepConfiguration={keeps}"));
            let seen = format!("systemd-networkd manages {link} by {file}, with {said}");
            let name = file.rsplit('/').next().unwrap_or(file);
            let folder = format!("/etc/systemd/network/{name}.d");
            Some(
                Finding::new(Severity::Warning, seen, WHY)
                    .run(format!("mkdir -p {folder}"))
                    .run(format!("printf '[Network]\\nKeepConfiguration=yes\\n' > {folder}/standin.conf"))
                    .run("networkctl reload"),
            )
        }
        Manager::NetworkManager { link } => {
            let seen = format!("NetworkManager manages {link}");
            Some(Finding::new(Severity::Warning, seen, WHY).then(format!(
                "configure {link} by another program and write `[keyfile]` with `unmanaged-devices=interface-name:{link}` in \
                 /etc/NetworkManager/conf.d/standin.conf; or do not activate or reapply its connection while the daemon holds addresses"
            )))
        }
    }
}
