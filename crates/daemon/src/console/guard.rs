//! In front of every handler: who has no session is sent to the form of login; a POST must be allowed, be made by one of
//! our own pages, and carry this session's token.
//!
//! Invariant: a POST that [`POSTS`] does not have is refused.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use super::{
    Does, POSTS,
    forms::Fields,
    page::Shell,
    session::{LOGIN, Visitor},
};
use crate::{
    access::Who,
    admin::{Admin, Failure},
};

/// The field of every form that tells the session.
pub(super) const TOKEN: &str = "token";
/// What `receive` has let through is no longer.
const LONGEST: usize = 256 << 20;

/// Lets a request through, or says why not.
pub(super) async fn guard(State(admin): State<Arc<Admin>>, mut request: Request, next: Next) -> Response {
    let Some(visitor) = request.extensions().get::<Visitor>().cloned() else {
        return Redirect::to(LOGIN).into_response();
    };
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let open = matches!(path.as_str(), "/" | LOGIN) || path.rsplit_once('.').is_some();
    if visitor.who.is_none() && !open {
        return Redirect::to(LOGIN).into_response();
    }
    let shell = Shell::of(&admin, &visitor, &path);
    if *request.method() == Method::POST {
        match check(&admin, &visitor, &path, request).await {
            Ok(checked) => request = checked,
            Err(failure) => return with(shell, failure.into_response()),
        }
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return with(shell, next.run(request).await);
    }
    request.extensions_mut().insert(shell.clone());
    with(shell, next.run(request).await)
}

/// A failure's page needs to know who looks at it.
fn with(shell: Shell, mut response: Response) -> Response {
    response.extensions_mut().insert(shell);
    response
}

/// A POST whose fields have been read.
async fn check(admin: &Admin, visitor: &Visitor, path: &str, request: Request) -> Result<Request, Failure> {
    let does = POSTS.iter().find(|(post, _)| *post == path).map(|(_, does)| *does);
    let does = does.ok_or_else(|| Failure::Missing("there is nothing to do here".into()))?;
    let refuse = |why: &str| {
        let who = visitor.who.as_ref();
        let (name, from) = who.map_or(("?", visitor.from.as_str()), |who| (who.name.as_str(), who.from.as_str()));
        admin.access.audit.denied(name, from, "console", why);
        Failure::Request(format!("{why}: open the page again, and send it from there"))
    };
    if let (Does::Act(action), Some(who)) = (does, &visitor.who) {
        Who::may(who, admin, action)?;
    }
    if !is_from_here(request.headers()) {
        return Err(refuse("this form was sent by a page of somebody else"));
    }
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, LONGEST).await.map_err(|error| Failure::Request(error.to_string()))?;
    let fields = Fields::read(&bytes).map_err(Failure::Request)?;
    let shown = fields.get(TOKEN).as_bytes();
    if verify_slices_are_equal(shown, visitor.token.as_bytes()).is_err() {
        return Err(refuse("this form is of another session"));
    }
    let mut request = Request::from_parts(parts, Body::empty());
    request.extensions_mut().insert(fields);
    Ok(request)
}

/// Whether a browser says that its own page of this server sent it. One that says nothing is an old one, or a program: the
/// token decides.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    let host = text(header::HOST.as_str()).unwrap_or_default();
    text(header::ORIGIN.as_str()).is_none_or(|origin| origin.split_once("://").is_some_and(|(_, other)| other == host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_places_are_known_by_what_the_browser_says() {
        let said = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            headers.iter().for_each(|(name, value)| drop(map.insert(*name, value.parse().unwrap())));
            is_from_here(&map)
        };
        assert!(said(&[
            ("host", "10.0.0.1:8053"),
            ("origin", "https://10.0.0.1:8053"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(said(&[("host", "10.0.0.1:8053")]));
        assert!(!said(&[("host", "10.0.0.1:8053"), ("origin", "https://evil.example")]));
        assert!(!said(&[("host", "10.0.0.1:8053"), ("origin", "null")]));
        for site in ["cross-site", "same-site", "none"] {
            assert!(!said(&[("host", "10.0.0.1:8053"), ("sec-fetch-site", site)]), "{site}");
        }
    }
}
