//! What an entry can say.

use std::net::SocketAddr;

use model::access::{Fingerprint, Role, Secret};
use serde::{Deserialize, Serialize};

/// What an entry says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Item {
    /// A server.
    Member(Member),
    /// A person.
    User(User),
    /// A session, or a program's token.
    Token(Token),
    /// A join token.
    Invitation(Invitation),
    /// What signs servers' certificates.
    Authority(Authority),
    /// What seals heartbeats.
    HeartbeatKey(HeartbeatKey),
    /// Which key of a kind is in use.
    Current(Current),
    /// It was removed.
    Gone(Gone),
}

/// A server of the cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its name in the configuration.
    pub name: String,
    /// Digests of its public keys (SubjectPublicKeyInfo): one, and during a rotation the next one.
    pub keys: Vec<Fingerprint>,
    /// Where its admin port is reached.
    pub reach: SocketAddr,
    /// Its last start, as far as it was told: how a machine that was restored or copied is recognised.
    pub start: Start,
}

/// One start of a server: a number, and a random name, so that two starts of the same number differ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Start {
    /// Counts the starts.
    pub number: u64,
    /// This start's own name.
    pub name: String,
}

/// A person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct User {
    /// How the person logs in.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// How the person is recognised.
    pub password: PasswordHash,
}

/// A password as it is kept: Argon2id (RFC 9106) with its parameters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PasswordHash {
    /// KiB of memory.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Random, for this password alone.
    pub salt: Secret,
    /// What the password must give.
    pub hash: Secret,
}

/// Whoever shows the text with this digest is let in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the token, which itself is 256 random bits and kept nowhere.
    pub digest: Fingerprint,
    /// Whose session it is, by the person's id; none for a program's token.
    pub user: Option<String>,
    /// The person's name, or the program's.
    pub name: String,
    /// What it allows at most.
    pub role: Role,
    /// Until when, in seconds since 1970.
    pub expires: u64,
}

/// A newcomer is expected.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Invitation {
    /// SHA-256 of the token's secret.
    pub digest: Fingerprint,
    /// Until when, in seconds since 1970.
    pub expires: u64,
}

/// A certificate authority of the cluster. Every server has its key: any of them may admit a newcomer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Authority {
    /// Counts the authorities.
    pub number: u64,
    /// When it was made, in seconds since 1970: the cluster's clocks have been there.
    pub founded: u64,
    /// Its certificate, DER. Public; a secret only in its form.
    pub certificate: Secret,
    /// The one before it.
    pub last: Option<Predecessor>,
    /// Its private key, PKCS #8, DER.
    pub key: Secret,
}

/// The authority before: who knows that one alone can follow to this one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its certificate, DER.
    pub certificate: Secret,
    /// What it says of its successor, DER.
    pub certifies: Secret,
}

/// A heartbeat key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HeartbeatKey {
    /// Counts the keys.
    pub number: u64,
    /// At least 32 bytes.
    pub secret: Secret,
}

/// Which key of a kind is in use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Current {
    /// Its number, so that no merge goes back.
    pub number: u64,
    /// The key's entry.
    pub key: String,
}

/// What is left of an entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Gone {
    /// Its name, for messages.
    pub name: String,
    /// A server's keys, by which it is recognised when it comes back.
    pub keys: Vec<Fingerprint>,
    /// When, in seconds since 1970.
    pub at: u64,
    /// When it would have expired by itself, in seconds since 1970.
    pub until: Option<u64>,
}

impl Item {
    /// What is left of it.
    pub(super) fn gone(&self, at: u64) -> Gone {
        let (name, keys, until) = match self {
            Self::Member(member) => (member.name.clone(), member.keys.clone(), None),
            Self::User(user) => (user.name.clone(), Vec::new(), None),
            Self::Token(token) => (token.name.clone(), Vec::new(), Some(token.expires)),
            Self::Invitation(invitation) => (String::new(), Vec::new(), Some(invitation.expires)),
            Self::Authority(_) | Self::HeartbeatKey(_) | Self::Current(_) => (String::new(), Vec::new(), None),
            Self::Gone(gone) => (gone.name.clone(), gone.keys.clone(), gone.until),
        };
        Gone { name, keys, at, until }
    }
}
