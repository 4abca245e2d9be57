//! What comes with a request: whole, in time, and not too long, before a handler runs.
//!
//! Invariant: of who has not logged in little is read, and not for long; nobody holds a connection by sending nothing.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{Admin, Failure};
use crate::access::{SOCKET, Who, address};

/// The longest body of somebody who has not logged in: a login, or a newcomer.
const OF_NOBODY: usize = 64 << 10;
/// The longest body, but for configurations.
const LONGEST: usize = 1 << 20;
/// A form of the console with the longest template that it edits, encoded as browsers do.
const FORM: usize = 4 << 20;
/// A whole configuration with large zones is not longer.
const CONFIGURATION: usize = 256 << 20;
/// The longest wait for the next piece; and for all pieces, of nobody and of others.
const PAUSE: Duration = Duration::from_secs(10);
const TIME_OF_NOBODY: Duration = Duration::from_secs(10);
const TIME: Duration = Duration::from_secs(600);

/// Receives the body, for whoever has been identified (`access::identify`).
pub(crate) async fn receive(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let known = request.extensions().get::<Who>().is_some();
    let (longest, time) = match known {
        false => (OF_NOBODY, TIME_OF_NOBODY),
        true if request.uri().path().starts_with("/v1/config/") => (CONFIGURATION, TIME),
        true if request.uri().path().starts_with("/console/") => (FORM, TIME),
        true => (LONGEST, TIME),
    };
    let (parts, body) = request.into_parts();
    let received = timeout(time, whole(body, longest)).await.unwrap_or(Err(Failure::Slow));
    let bytes = received.inspect_err(|failure| {
        let (who, from) = (parts.extensions.get::<Who>(), address(&parts));
        let who = who.map_or("?", |who| who.name.as_str());
        let from = from.map_or_else(|| SOCKET.to_owned(), |from| from.to_string());
        admin.access.audit.denied(who, &from, "request", &failure.to_string());
    })?;
    Ok(next.run(Request::from_parts(parts, Body::from(bytes))).await)
}

async fn whole(body: Body, longest: usize) -> Result<Bytes, Failure> {
    let too_long = || Failure::TooLong { longest };
    let announced = usize::try_from(body.size_hint().lower()).map_err(|_| too_long())?;
    if announced > longest {
        return Err(too_long());
    }
    let mut body = pin!(Limited::new(body, longest));
    // What is announced is not yet there: room grows with what comes.
    let mut bytes = Vec::new();
    loop {
        match timeout(PAUSE, body.frame()).await {
            Err(_) => return Err(Failure::Slow),
            Ok(None) => return Ok(bytes.into()),
            Ok(Some(Ok(frame))) => frame.data_ref().into_iter().for_each(|data| bytes.extend_from_slice(data)),
            Ok(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(too_long()),
            Ok(Some(Err(error))) => return Err(Failure::Request(format!("the body does not come: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn what_is_too_long_is_not_read_to_its_end() {
        let piece = |_| Ok::<_, std::convert::Infallible>(Bytes::from(vec![7; 1000]));
        let endless = Body::from_stream(stream::iter((0..).map(piece)));
        assert!(matches!(whole(endless, 1 << 16).await, Err(Failure::TooLong { .. })));
        assert!(matches!(whole(Body::from(vec![7; 65]), 64).await, Err(Failure::TooLong { longest: 64 })));
        assert_eq!(whole(Body::from(vec![7; 64]), 64).await.unwrap().len(), 64);
    }
}
