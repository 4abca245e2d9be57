//! Why a request was not served.

use std::io;

use axum::{
    Json,
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use cluster::trust::TrustError;
use model::{ServerName, access::Role, api::request::Refusal};
use serde::de::DeserializeOwned;

use crate::{
    circle::RotateError,
    desk::{self, EditError},
    driver::Refused,
};

/// After how many seconds it may be tried again where this server has too much to do at the moment.
const SOON: u64 = 1;

/// Why a request was not served, with its status code. The body is `{"error": "..."}`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// 503: the driver could not be asked.
    #[error("{0}")]
    Driver(#[from] Refused),
    /// 504: the driver took longer than [`super::PATIENCE`].
    #[error("the driver did not answer within {} s", super::PATIENCE.as_secs())]
    Late,
    /// 400: the request is not as it must be.
    #[error("{0}")]
    Request(String),
    /// 413: the body is too long.
    #[error("the body is longer than {longest} bytes, which is the most that is taken here")]
    TooLong {
        /// What is taken.
        longest: usize,
    },
    /// 408: the body does not come.
    #[error("the body did not come in time")]
    Slow,
    /// 401: nobody, or somebody else than is said.
    #[error("{0}")]
    Unauthorized(String),
    /// 403: not with this role.
    #[error("the role {role} may not do that; {needs} may")]
    Forbidden {
        /// The role of who asks.
        role: Role,
        /// The least role that may.
        needs: Role,
    },
    /// 404: there is no such thing.
    #[error("{0}")]
    Missing(String),
    /// 409: not as things are.
    #[error("{0}")]
    Conflict(String),
    /// 409: there is no cluster yet.
    #[error("no cluster was made yet: this server goes by its files alone; `standin init` makes one")]
    NoCluster,
    /// 409: there is no document to edit.
    #[error(
        "{this} is in file mode: edit {cluster_file} on every server, then `standin check` and SIGHUP; or make it the \
         cluster's document with `standin init` and restart the daemon"
    )]
    FileMode {
        /// This server.
        this: ServerName,
        /// Its cluster file.
        cluster_file: String,
    },
    /// 404, 409, 422 or 507: see there.
    #[error("{0}")]
    Edit(#[from] EditError),
    /// 503: too much is asked of the document already.
    #[error("{0}")]
    Desk(#[from] desk::Busy),
    /// 421: the command is for another server, and there is no link by which it could be passed on.
    #[error("this is {this}, not {asked}: give the command on {asked} itself")]
    Elsewhere {
        /// This server.
        this: ServerName,
        /// Whom the command names.
        asked: String,
    },
    /// 429: too many failures.
    #[error("too many failures: wait for {seconds} s")]
    TooMany {
        /// To wait.
        seconds: u64,
    },
    /// 502: another server could not be asked.
    #[error("{server} could not be reached: {why}")]
    Unreachable {
        /// Which.
        server: String,
        /// Why.
        why: String,
    },
    /// Another server's own refusal.
    #[error("{1}")]
    Relayed(StatusCode, String),
    /// 503: too much to do.
    #[error("too many wait already: try again in a moment")]
    Busy,
    /// 500: the disk, or randomness.
    #[error("this server cannot keep it: {0}")]
    Io(#[from] io::Error),
    /// 409: the trust store.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// 409: a rotation.
    #[error(transparent)]
    Rotate(#[from] RotateError),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = match &self {
            Self::Driver(_) | Self::Busy | Self::Desk(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) | Self::NoCluster | Self::FileMode { .. } | Self::Trust(_) | Self::Rotate(_) => {
                StatusCode::CONFLICT
            }
            Self::Edit(EditError::Refused(document::Refusal::Mistakes(_))) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Edit(EditError::Refused(_) | EditError::Unconfirmed | EditError::NothingToConfirm) => {
                StatusCode::CONFLICT
            }
            Self::Edit(EditError::NoVersion(_)) => StatusCode::NOT_FOUND,
            Self::Edit(EditError::Disk(_)) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Elsewhere { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unreachable { .. } => StatusCode::BAD_GATEWAY,
            Self::Relayed(code, _) => *code,
            Self::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let wait = match (&self, code) {
            (Self::TooMany { seconds }, _) => Some(*seconds),
            (_, StatusCode::SERVICE_UNAVAILABLE) => Some(SOON),
            _ => None,
        };
        let mut response = (code, Json(Refusal { error: self.to_string() })).into_response();
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        if code == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON body, whatever its `Content-Type`; what is wrong with it is told as every other failure.
pub(crate) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = axum::body::Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| Failure::Request(error.to_string()))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Failure::Request(format!("the body: {error}")))
    }
}

/// Nothing has this path.
pub(super) async fn nothing_there(uri: Uri) -> Response {
    let error = format!("there is no {}: GET /v1/openapi.json says what there is", uri.path());
    (StatusCode::NOT_FOUND, Json(Refusal { error })).into_response()
}

/// Something has this path, and another method.
pub(super) async fn not_that_way(method: Method, uri: Uri) -> Response {
    let error = format!("{} does not take {method}: the header Allow says what it takes", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, Json(Refusal { error })).into_response()
}

/// What axum itself refuses, such as a query that is none, reads as every other refusal.
pub(super) async fn in_json(response: Response) -> Response {
    /// Its words are never longer.
    const LONGEST: usize = 4096;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let refuses = response.status().is_client_error() || response.status().is_server_error();
    if !refuses || kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"text/plain")) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let error = to_bytes(body, LONGEST).await.map(|words| String::from_utf8_lossy(&words).into_owned());
    (parts.status, Json(Refusal { error: error.unwrap_or_default() })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_too_often_is_told_when_to_come_again() {
        let wait = |failure: Failure| {
            let response = failure.into_response();
            let wait = response.headers().get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok());
            (response.status().as_u16(), wait.map(str::to_owned))
        };
        assert_eq!(wait(Failure::TooMany { seconds: 7 }), (429, Some("7".into())));
        assert_eq!(wait(Failure::Busy), (503, Some("1".into())));
        assert_eq!(wait(Failure::Driver(Refused::Ended)), (503, Some("1".into())));
        assert_eq!(wait(Failure::Relayed(StatusCode::SERVICE_UNAVAILABLE, "busy".into())), (503, Some("1".into())));
        assert_eq!(wait(Failure::Missing("nothing".into())), (404, None));
    }
}
