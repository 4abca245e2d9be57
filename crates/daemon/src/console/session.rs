//! Who looks at a page: a cookie that only pages below `/console` are sent, and that the API does not take.
//!
//! The cookie is a session as `POST /v1/login` makes it, in the same store, with the same brakes. Each login makes a new one,
//! whatever was shown; the token of its forms is a digest of it, so that every server knows it and none keeps it. Before a
//! login a cookie of its own binds the form. On the Unix socket whoever may open it is an admin, as in the API; where a
//! browser comes that way, through a tunnel, it must name this machine, or any page could use it under a name of its own.
//! Before a cluster was made anybody may look.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use data_encoding::BASE64URL_NOPAD;
use model::{
    access::{Role, SecretText},
    api::access::Login,
};

use super::{forms::Fields, page};
use crate::{
    access::{From, SOCKET, Who},
    admin::{
        Admin, Failure,
        people::{SESSION, log_in, revoke},
    },
    gate::Arrival,
    trust::authority::digest,
};

/// Where the form of login is.
pub(super) const LOGIN: &str = "/console/login";
/// The session.
const COOKIE: &str = "__Secure-standin";
/// What binds the form of login.
const BEFORE: &str = "__Secure-standin-login";
const ATTRIBUTES: &str = "HttpOnly; Secure; SameSite=Strict; Path=/console";

/// Who looks.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// Nobody who has not logged in.
    pub who: Option<Who>,
    /// What this visitor's forms carry; a new one where there was nothing to bind it to.
    pub token: String,
    /// Where from.
    pub from: String,
    /// A cookie to set before the form of login is sent.
    before: Option<String>,
}

/// What the forms of this secret carry.
fn token(purpose: &str, secret: &[u8]) -> String {
    BASE64URL_NOPAD.encode(&digest(&[purpose.as_bytes(), b"\0", secret].concat()).0)
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Finds out who looks.
pub(super) async fn identify(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let visitor = match request.extensions().get::<Arrival>() {
        Some(Arrival::Socket { uid }) => Some(local(&admin, *uid, request.headers())?),
        Some(Arrival::Stranger { from }) => Some(stranger(&admin, request.headers(), &from.ip())?),
        // Servers have no eyes.
        Some(Arrival::Member { .. }) | None => None,
    };
    if let Some(visitor) = visitor {
        if let Some(who) = &visitor.who {
            request.extensions_mut().insert(who.clone());
        }
        request.extensions_mut().insert(visitor);
    }
    Ok(next.run(request).await)
}

fn local(admin: &Admin, uid: u32, headers: &HeaderMap) -> Result<Visitor, Failure> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    if !matches!(name, "" | "localhost" | "127.0.0.1" | "[::1]" | "standin") {
        return Err(Failure::Request("by the Unix socket this machine is called localhost".into()));
    }
    let name = if uid == 0 { "root".to_owned() } else { format!("uid {uid}") };
    let who = Who { name, role: Role::Admin, from: SOCKET.to_owned(), token: None };
    let token = token("socket", &admin.console.secret);
    Ok(Visitor { who: Some(who), token, from: SOCKET.to_owned(), before: None })
}

fn stranger(admin: &Admin, headers: &HeaderMap, from: &std::net::IpAddr) -> Result<Visitor, Failure> {
    let access = &admin.access;
    let shown = cookie(headers, COOKIE);
    let who = match (&access.circle, shown) {
        (None, _) => Some(Who { name: "anybody".into(), role: Role::Viewer, from: from.to_string(), token: None }),
        (Some(_), None) => None,
        (Some(_), Some(shown)) => {
            let who = access.bearer(shown, *from);
            if who.is_none() {
                access.audit.denied("?", &from.to_string(), "token", "it is unknown, has expired, or was revoked");
            }
            who
        }
    };
    let from = from.to_string();
    if let (Some(shown), Some(_)) = (shown, &who) {
        return Ok(Visitor { who, token: token("session", shown.as_bytes()), from, before: None });
    }
    if let Some(before) = cookie(headers, BEFORE).filter(|before| before.len() >= 32) {
        return Ok(Visitor { who, token: token("login", before.as_bytes()), from, before: None });
    }
    let before = BASE64URL_NOPAD.encode(&host::entropy::bytes::<32>()?);
    Ok(Visitor { who, token: token("login", before.as_bytes()), from, before: Some(before) })
}

/// The form of login.
pub(super) async fn form(Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    if visitor.who.is_some() {
        return Ok(Redirect::to("/console").into_response());
    }
    let mut response = page::login(&visitor, "", None)?;
    if let Some(before) = &visitor.before {
        set(&mut response, &format!("{BEFORE}={before}; {ATTRIBUTES}; Max-Age=3600"));
    }
    Ok(response)
}

/// A session for who knows the password: a new one, and the one shown ends.
pub(super) async fn login(
    State(admin): State<Arc<Admin>>,
    From(from): From,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let user = fields.get("user").trim().to_owned();
    let password = SecretText::new(fields.get("password").to_owned());
    let granted = match log_in(&admin, from, &Login { user: user.clone(), password }).await {
        Ok(granted) => granted,
        Err(failure @ (Failure::Unauthorized(_) | Failure::TooMany { .. })) => {
            return page::login(&visitor, &user, Some(failure));
        }
        Err(failure) => return Err(failure),
    };
    if let Some(before) = visitor.who.and_then(|who| who.token) {
        revoke(&admin, &before).await?;
    }
    let mut response = Redirect::to("/console").into_response();
    set(&mut response, &format!("{COOKIE}={}; {ATTRIBUTES}; Max-Age={SESSION}", granted.token.expose()));
    forget(&mut response, BEFORE);
    Ok(response)
}

/// The session ends, on every server.
pub(super) async fn logout(State(admin): State<Arc<Admin>>, who: Option<Extension<Who>>) -> Result<Response, Failure> {
    if let Some(Extension(who)) = who
        && let Some(id) = who.token.clone()
    {
        revoke(&admin, &id).await?;
        who.did(&admin, model::access::Action::LogOut, &format!("session {id}"));
    }
    let mut response = Redirect::to(LOGIN).into_response();
    forget(&mut response, COOKIE);
    Ok(response)
}

fn set(response: &mut Response, cookie: &str) {
    // Letters, digits and what stands above: always a header.
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

fn forget(response: &mut Response, name: &str) {
    set(response, &format!("{name}=; {ATTRIBUTES}; Max-Age=0"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "other=1; __Secure-standin-login=before".parse().unwrap());
        assert_eq!(cookie(&headers, COOKIE), None);
        headers.append(header::COOKIE, "__Secure-standin=now".parse().unwrap());
        assert_eq!((cookie(&headers, COOKIE), cookie(&headers, BEFORE)), (Some("now"), Some("before")));
    }

    #[test]
    fn tokens_are_of_one_secret_and_one_purpose() {
        assert_ne!(token("session", b"a"), token("session", b"b"));
        assert_ne!(token("session", b"a"), token("login", b"a"));
    }
}
