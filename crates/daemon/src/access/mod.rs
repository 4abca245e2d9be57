//! Who asks, and whether they may.
//!
//! Every request is given a [`Who`] by where it comes from: the Unix socket is an admin's, a member speaks for the person
//! whom it names, everybody else shows a session or a token. A handler that takes a `Who` is refused to who has none; what it
//! does is allowed by `model::access::Action`, in one line: `who.may(&admin, Action::Standby)?`.
//!
//! Until a cluster was made (`standin init`) there are no people: then the port is read-only, as in the configuration.
//!
//! Invariants: secrets are compared in constant time; every refusal is in the journal, at a limited rate; one password is
//! checked at a time, on a thread that may wait, and a bounded number of them waits.

mod attempts;
mod password;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use data_encoding::BASE32_NOPAD;
use model::access::{Action, Role, SecretText};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

pub(crate) use self::password::{LENGTHS, hash};
use crate::{
    admin::{Admin, Failure},
    audit::Audit,
    circle::Circle,
    gate::Arrival,
    trust::authority::digest,
};

/// In front of a bearer token, so that it is recognised where it should not be.
const BEARER: &str = "standin_";
/// With which a member names the person for whom it asks: `ROLE NAME`.
pub(crate) const ON_BEHALF: &str = "standin-on-behalf";
/// Where requests by the Unix socket come from.
pub(crate) const SOCKET: &str = "socket";
/// Logins that wait for their turn; more are sent away.
const WAITING: usize = 16;
/// The longest wait for a turn.
const TURN: Duration = Duration::from_secs(5);

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Who {
    /// `root`, a person, a program's token, or a person by way of a member.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// `socket`, or an address.
    pub from: String,
    /// The token shown, by its id.
    pub token: Option<String>,
}

impl Who {
    /// Whether they may do it; a refusal is in the journal.
    ///
    /// # Errors
    /// [`Failure::Forbidden`].
    pub(crate) fn may(&self, admin: &Admin, action: Action) -> Result<(), Failure> {
        if self.role.may(action) {
            return Ok(());
        }
        let needs = action.role();
        admin.access.audit.denied(
            &self.name,
            &self.from,
            action.word(),
            &format!("{} may not, {needs} may", self.role),
        );
        Err(Failure::Forbidden { role: self.role, needs })
    }

    /// Whether they sit at this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.from == SOCKET
    }

    /// They have done it: a line of the audit.
    pub(crate) fn did(&self, admin: &Admin, action: Action, what: &str) {
        admin.access.audit.done(&self.name, &self.from, action.word(), what);
    }
}

/// What access depends on.
#[derive(Debug)]
pub(crate) struct Access {
    /// The cluster that was made; none in file mode.
    pub circle: Option<Arc<Circle>>,
    /// Who did what.
    pub audit: Arc<Audit>,
    attempts: Mutex<attempts::Attempts>,
    turn: Semaphore,
    waiting: Semaphore,
}

impl Access {
    /// For this server.
    pub(crate) fn new(circle: Option<Arc<Circle>>, audit: Arc<Audit>) -> Self {
        let attempts = Mutex::default();
        Self { circle, audit, attempts, turn: Semaphore::new(1), waiting: Semaphore::new(WAITING) }
    }

    /// The cluster.
    ///
    /// # Errors
    /// [`Failure::NoCluster`] where none was made.
    pub(crate) fn circle(&self) -> Result<&Arc<Circle>, Failure> {
        self.circle.as_ref().ok_or(Failure::NoCluster)
    }

    /// Whether one more secret may be tried now.
    ///
    /// # Errors
    /// [`Failure::TooMany`], which is in the journal.
    pub(crate) fn may_try(&self, from: IpAddr, name: &str, action: &'static str) -> Result<(), Failure> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.allow(host::clock::now(), from, name).map_err(|wait| {
            let seconds = wait.as_secs() + 1;
            self.audit.denied(name, &from.to_string(), action, &format!("too many failures: to wait for {seconds} s"));
            Failure::TooMany { seconds }
        })
    }

    /// How an attempt ended.
    pub(crate) fn tried(&self, from: IpAddr, name: &str, well: bool) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if well {
            attempts.succeeded(from, name);
        } else {
            attempts.failed(host::clock::now(), from, name);
        }
    }

    /// Runs expensive work when it is its turn.
    ///
    /// # Errors
    /// [`Failure::Busy`] where too many wait, or the turn does not come.
    pub(crate) async fn in_turn<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Failure::Busy)?;
        let Ok(Ok(_turn)) = timeout(TURN, self.turn.acquire()).await else { return Err(Failure::Busy) };
        spawn_blocking(work).await.map_err(|_| Failure::Busy)
    }

    /// Whether it is this person's password; takes as long where there is no such person.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    pub(crate) async fn is_password(&self, user: &str, password: SecretText) -> Result<bool, Failure> {
        let known = self.circle()?.keeper.known();
        let kept = known.trust.user_named(user).map(|(_, user)| user.password.clone());
        self.in_turn(move || password::fits(&password, kept.as_ref())).await
    }

    /// Who shows this token.
    pub(crate) fn bearer(&self, text: &str, from: IpAddr) -> Option<Who> {
        let bytes = BASE32_NOPAD.decode(text.strip_prefix(BEARER)?.as_bytes()).ok()?;
        let known = self.circle.as_ref()?.keeper.known();
        let (id, token, role) = known.trust.bearer(&digest(&bytes), host::clock::wall_seconds())?;
        Some(Who { name: token.name.clone(), role, from: from.to_string(), token: Some(id.to_owned()) })
    }
}

impl Access {
    /// Whether a token, by its id, still counts.
    pub(crate) fn counts(&self, id: &str) -> bool {
        let now = host::clock::wall_seconds();
        self.circle.as_ref().is_some_and(|circle| {
            circle.keeper.known().trust.tokens().any(|(other, token)| other == id && token.expires > now)
        })
    }
}

/// A new bearer token: what is shown once, and the digest that is kept.
///
/// # Errors
/// Where there is no randomness.
pub(crate) fn new_bearer() -> std::io::Result<(SecretText, model::access::Fingerprint)> {
    let bytes = zeroize::Zeroizing::new(host::entropy::bytes::<32>()?);
    Ok((SecretText::new(format!("{BEARER}{}", BASE32_NOPAD.encode(&*bytes))), digest(&*bytes)))
}

/// Gives each request its [`Who`], if it has one.
pub(crate) async fn identify(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let arrival = request.extensions().get::<Arrival>().cloned();
    let who = match arrival {
        Some(Arrival::Socket { uid }) => {
            let name = if uid == 0 { "root".to_owned() } else { format!("uid {uid}") };
            Some(Who { name, role: Role::Admin, from: SOCKET.to_owned(), token: None })
        }
        Some(Arrival::Member { name, from }) => on_behalf(request.headers(), &name, &from.ip().to_string()),
        Some(Arrival::Stranger { from }) => stranger(&admin.access, request.headers(), from.ip())?,
        None => None,
    };
    if let Some(who) = who {
        request.extensions_mut().insert(who);
    }
    Ok(next.run(request).await)
}

fn on_behalf(headers: &HeaderMap, member: &str, from: &str) -> Option<Who> {
    let (role, name) = headers.get(ON_BEHALF)?.to_str().ok()?.split_once(' ')?;
    let (name, role) = (format!("{name} by way of {member}"), Role::from_word(role)?);
    Some(Who { name, role, from: from.to_owned(), token: None })
}

/// Nobody who shows nothing; refused who shows something that does not count.
fn stranger(access: &Access, headers: &HeaderMap, from: IpAddr) -> Result<Option<Who>, Failure> {
    if access.circle.is_none() {
        return Ok(Some(Who { name: "anybody".into(), role: Role::Viewer, from: from.to_string(), token: None }));
    }
    let Some(shown) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let shown = shown.to_str().ok().and_then(|shown| shown.strip_prefix("Bearer "));
    // Guessing 256 bits needs no brake; a flood of guesses is bounded by the connections.
    match shown.and_then(|shown| access.bearer(shown.trim(), from)) {
        Some(who) => Ok(Some(who)),
        None => {
            access.audit.denied("?", &from.to_string(), "token", "it is unknown, has expired, or was revoked");
            Err(Failure::Unauthorized("this token is unknown, has expired, or was revoked: log in again".into()))
        }
    }
}

impl FromRequestParts<Arc<Admin>> for Who {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Failure> {
        if let Some(who) = parts.extensions.get::<Self>() {
            return Ok(who.clone());
        }
        let from = address(parts).map_or_else(|| "?".to_owned(), |ip| ip.to_string());
        admin.access.audit.denied("?", &from, "request", &format!("nobody is logged in ({})", parts.uri.path()));
        Err(Failure::Unauthorized("log in first: `standin login`".into()))
    }
}

/// The address that a request comes from; none for the Unix socket.
pub(crate) fn address(parts: &Parts) -> Option<IpAddr> {
    match parts.extensions.get::<Arrival>()? {
        Arrival::Socket { .. } => None,
        Arrival::Member { from, .. } | Arrival::Stranger { from } => Some(from.ip()),
    }
}

/// The address for brakes; loopback for the Unix socket.
pub(crate) struct From(pub IpAddr);

impl FromRequestParts<Arc<Admin>> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _admin: &Arc<Admin>) -> Result<Self, Self::Rejection> {
        Ok(Self(address(parts).unwrap_or(IpAddr::from([127, 0, 0, 1]))))
    }
}
