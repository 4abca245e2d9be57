//! What is asked and answered about servers, people, tokens and keys. Fields are added, never renamed.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::{Fingerprint, Role, Secret, SecretText};

/// What names of people, servers and programs look like (`id::is_valid_name`).
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

/// `POST /v1/login`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Who.
    pub user: String,
    /// What only that person knows.
    pub password: SecretText,
}

/// A session, or a program's token. Shown once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Granted {
    /// Its public name, by which it is revoked.
    pub id: String,
    /// What to send as `Authorization: Bearer ...`.
    pub token: SecretText,
    /// What it allows.
    pub role: Role,
    /// Until when, in seconds since 1970.
    pub expires: u64,
    /// The cluster's authorities, to be known from now on.
    pub authorities: Vec<Fingerprint>,
}

/// `POST /v1/password`: one's own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The one that counts now.
    pub old: SecretText,
    /// The one that counts from now on.
    pub new: SecretText,
}

/// `PUT /v1/users/NAME`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUser {
    /// What the person may do; none: as before.
    pub role: Option<Role>,
    /// The password; none: as before.
    pub password: Option<SecretText>,
}

/// `GET /v1/users`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct People {
    /// The people.
    pub users: Vec<Person>,
    /// Sessions and programs' tokens.
    pub tokens: Vec<TokenStatus>,
}

/// A person.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// How the person logs in.
    pub name: String,
    /// What the person may do.
    pub role: Role,
}

/// A session or a program's token.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenStatus {
    /// Its public name.
    pub id: String,
    /// Whose.
    pub name: String,
    /// What it allows at most.
    pub role: Role,
    /// Until when, in seconds since 1970.
    pub expires: u64,
    /// A person's session.
    pub session: bool,
}

/// `POST /v1/api-tokens`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueToken {
    /// The program's name.
    #[schemars(regex(pattern = NAME))]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// For how long: two years at most.
    #[schemars(range(min = 1, max = 63_244_800))]
    pub seconds: u64,
}

/// `POST /v1/join-tokens`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// For how long: seven days at most.
    #[schemars(range(min = 1, max = 604_800))]
    pub seconds: u64,
}

/// Its answer. Shown once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Invited {
    /// The join token's text.
    pub token: SecretText,
    /// Until when, in seconds since 1970.
    pub expires: u64,
}

/// `POST /v1/join`: a newcomer asks, over TLS, having checked the authority.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The join token's public name.
    pub token: String,
    /// Its secret.
    pub secret: Secret,
    /// The newcomer's name.
    #[schemars(regex(pattern = NAME))]
    pub name: String,
    /// Its own address.
    pub address: IpAddr,
    /// Where it receives heartbeats.
    pub heartbeat: SocketAddr,
    /// Where its admin port is reached.
    pub reach: SocketAddr,
    /// Its public key, SubjectPublicKeyInfo, DER.
    pub key: Secret,
}

/// Its answer: everything that a member knows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Joined {
    /// The newcomer's entry.
    pub member: String,
    /// The trust store, keys and all.
    pub trust: Value,
    /// The cluster's document, with the newcomer in it.
    pub document: Secret,
}

/// `GET /v1/servers`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Servers {
    /// Every member.
    pub servers: Vec<MemberStatus>,
    /// Rotations under way.
    pub rotating: Vec<RotationStatus>,
    /// Join tokens that count; told to who may make them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invitations: Vec<InvitationStatus>,
}

/// A join token that nobody has used yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvitationStatus {
    /// Its public name, by which it is revoked.
    pub id: String,
    /// Until when, in seconds since 1970.
    pub expires: u64,
    /// The server that made it.
    pub made_on: String,
}

/// A member.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Where its admin port is.
    pub reach: SocketAddr,
    /// `self`, `linked` or `not linked`.
    pub link: String,
    /// Its starts.
    pub starts: u64,
}

/// One line of `GET /v1/servers/progress`: what is under way. The last has nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Rotations.
    pub rotating: Vec<RotationStatus>,
}

/// A rotation under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RotationStatus {
    /// Which key.
    pub key: String,
    /// Members without a link, for whom it waits.
    pub awaited: Vec<String>,
}

/// `DELETE /v1/servers/NAME`; it may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveServer {
    /// Why: kept in the history.
    #[serde(default)]
    pub why: String,
}

/// `DELETE /v1/servers/NAME`, `POST /v1/leave`: what has become of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// What the operator still has to do.
    pub advice: Vec<String>,
}

/// `POST /v1/rotate`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// `heartbeat`, `authority` or `server`.
    #[schemars(extend("enum" = ["heartbeat", "authority", "server"]))]
    pub key: String,
}

/// `GET /v1/events?cluster=true`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClusterEvents {
    /// Every server's entries, oldest first, each with `server`.
    pub entries: Vec<Value>,
    /// Who could not be asked.
    pub unreachable: Vec<Unreachable>,
}

/// A server that could not be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Unreachable {
    /// Which.
    pub server: String,
    /// Why.
    pub why: String,
}
