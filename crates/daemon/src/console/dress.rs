//! What every answer of the console has: headers that forbid what is not from here, and failures as pages.
//!
//! Invariant: this is the outermost layer, so that no answer goes without.

use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use model::api::request::Refusal;

use super::page::{Shell, failure};

/// Nothing but what this server itself serves, in nobody's frame. The one policy of trusted types is the script's own, which
/// takes the fresh picture.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types standin";
/// A refusal's words are never longer, but those of a template with many mistakes.
const LONGEST: usize = 1 << 20;

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Runs the rest, and dresses what comes out.
pub(super) async fn dress(request: Request, next: Next) -> Response {
    let mut response = in_html(next.run(request).await).await;
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::ETAG) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.remove(header::WWW_AUTHENTICATE);
    response
}

/// A refusal in words of the API, or of axum, as a page.
async fn in_html(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec()).unwrap_or_default();
    if !(status.is_client_error() || status.is_server_error()) || kind.starts_with(b"text/html") {
        return response;
    }
    let (parts, body) = response.into_parts();
    let shell = parts.extensions.get::<Shell>().cloned().unwrap_or_default();
    let said = to_bytes(body, LONGEST).await.unwrap_or_default();
    let words = serde_json::from_slice::<Refusal>(&said).map(|refusal| refusal.error);
    let words = words.unwrap_or_else(|_| String::from_utf8_lossy(&said).into_owned());
    let mut page = failure(shell, status, words).into_response();
    if let Some(wait) = parts.headers.get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, wait.clone());
    }
    page
}
