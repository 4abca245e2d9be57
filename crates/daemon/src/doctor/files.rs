//! The state directory and the files of secrets: whose they are, and who else may use them.

use super::{Facts, Finding, Severity};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &facts.guarded {
        let path = file.path.display();
        if file.mode & 0o077 != 0 {
            let (wanted, why) = if file.directory {
                ("700", "whoever may list or enter it can read what a careless copy leaves there")
            } else {
                (
                    "600",
                    "whoever reads it can speak as this cluster; the daemon refuses keys of its own making that others may read",
                )
            };
            let severity = if file.directory { Severity::Warning } else { Severity::Error };
            let seen = format!("{path} has mode {:o}", file.mode & 0o777);
            found.push(Finding::new(severity, seen, why).run(format!("chmod {wanted} {}", quoted(&path.to_string()))));
        }
        let daemon = facts.running.as_ref().and(facts.process.as_ref()).map(|process| process.user);
        if let Some(user) = daemon.filter(|user| *user != 0 && *user != file.owner) {
            let seen = format!("{path} belongs to user {}, and the daemon is user {user}", file.owner);
            let why = "it cannot be written, or not be read after a restart";
            found.push(
                Finding::new(Severity::Error, seen, why).run(format!("chown -R {user} {}", quoted(&path.to_string()))),
            );
        }
    }
    for (path, why) in &facts.hidden {
        let seen = format!("{} cannot be looked at: {why}", path.display());
        found.push(Finding::new(Severity::Note, seen, "its mode is not known").then("run `standin doctor` as root"));
    }
    found
}

/// For a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
