//! As whom a hook runs.
//!
//! Users are those of /etc/passwd: a take-over does not wait for a directory server.

use std::fs;

/// A user's identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// Who root's hooks run as unless the configuration says otherwise: who may do least.
const LEAST: &str = "nobody";

/// Whom to become; none: stay who we are.
///
/// # Errors
/// In words: there is no such user, or only root may become it.
pub(super) fn resolve(wanted: Option<&str>) -> Result<Option<Identity>, String> {
    let own = own();
    let name = match wanted {
        Some(name) => name,
        None if own == 0 => LEAST,
        None => return Ok(None),
    };
    let passwd = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd cannot be read: {error}"))?;
    let identity = find(&passwd, name).ok_or_else(|| format!("there is no user {name} in /etc/passwd"))?;
    match own {
        0 => Ok(Some(identity)),
        own if own == identity.user => Ok(None),
        _ => Err(format!("only root can run hooks as {name}")),
    }
}

/// This process' own (effective) user.
pub(super) fn own() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

fn find(passwd: &str, name: &str) -> Option<Identity> {
    let mut fields = passwd.lines().map(|line| line.split(':')).find_map(|mut fields| {
        let is_it = fields.next() == Some(name);
        is_it.then_some(fields)
    })?;
    let mut number = |skipped| fields.nth(skipped).and_then(|field| field.parse().ok());
    Some(Identity { user: number(1)?, group: number(0)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody2:x:7:8::/:/bin/false\nnobody:x:65534:65533::/:/bin/false\n\
                      broken:x:one:two::/:/bin/false\nshort:x\n";
        assert_eq!(find(passwd, "nobody"), Some(Identity { user: 65534, group: 65533 }));
        assert_eq!(find(passwd, "root"), Some(Identity { user: 0, group: 0 }));
        for name in ["nobod", "broken", "short", "x", ""] {
            assert_eq!(find(passwd, name), None, "{name}");
        }
    }
}
