//! What a pool is answered with, in short.

use std::{fmt, net::IpAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::PoolName;

/// Addresses, or names, that an event lists; of more it gives the number.
pub const LISTED: usize = 8;

/// What a pool is answered with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Answers {
    /// How many addresses; none: the server does not know (SERVFAIL, so that resolvers ask another one).
    pub count: Option<usize>,
    /// The first of them in order, eight at most.
    pub listed: Vec<IpAddr>,
}

/// A change of what a server answers for a pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AnswersChanged {
    /// Which pool.
    pub pool: PoolName,
    /// What it was answered with.
    pub before: Answers,
    /// What it is answered with.
    pub after: Answers,
    /// Addresses that are answered now and were not, [`LISTED`] at most.
    pub added: Vec<IpAddr>,
    /// Addresses that were answered and are not any more, [`LISTED`] at most.
    pub dropped: Vec<IpAddr>,
    /// The members whose addresses these are: virtual hosts, servers and endpoints, [`LISTED`] at most.
    pub members: Vec<Arc<str>>,
    /// Milliseconds since it changed. Of a pool that changes again and again only the last change is told, once a second.
    pub ago_ms: u64,
}

impl Answers {
    /// The answers with these addresses, which are sorted; none: it is not known.
    pub fn of(sorted: Option<&[IpAddr]>) -> Self {
        let listed = sorted.into_iter().flatten().take(LISTED).copied().collect();
        Self { count: sorted.map(<[IpAddr]>::len), listed }
    }

    /// Whether there are fewer addresses than in `other`.
    pub fn are_fewer(&self, other: &Self) -> bool {
        self.count.unwrap_or(0) < other.count.unwrap_or(0)
    }
}

/// `192.0.2.1, 192.0.2.2 and 3 more`; `no address`; `not known`.
impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            None => f.write_str("not known"),
            Some(0) => f.write_str("no address"),
            Some(count) => {
                let names: Vec<String> = self.listed.iter().map(IpAddr::to_string).collect();
                f.write_str(&names.join(", "))?;
                match count.saturating_sub(self.listed.len()) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_addresses_are_a_line() {
        let all: Vec<IpAddr> = (0..1_000_u16).map(|n| IpAddr::from([10, 0, (n >> 8) as u8, n as u8])).collect();
        let answers = Answers::of(Some(&all));
        assert!(answers.to_string().ends_with("10.0.0.7 and 992 more"), "{answers}");
        assert!(serde_json::to_string(&answers).unwrap().len() < 200);
        assert_eq!(Answers::of(Some(&[])).to_string(), "no address");
        assert_eq!(Answers::of(None).to_string(), "not known");
        assert!(Answers::of(None).are_fewer(&answers) && !answers.are_fewer(&answers));
    }
}
