//! What a form sends: fields by name, in a browser's own encoding.

use std::borrow::Cow;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::admin::Failure;

/// More fields than any form here has.
const MOST: usize = 256;

/// Fields by name. One that is not there is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let pairs: Vec<_> = form_urlencoded::parse(bytes).take(MOST + 1).collect();
        if pairs.len() > MOST {
            return Err(format!("a form has {MOST} fields at most"));
        }
        // Lines of a text area end as on the wire.
        let plain = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.replace("\r\n", "\n"));
        Ok(Self(pairs.into_iter().map(plain).collect()))
    }

    /// A field's text.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// A field's text without what stands around it; none where nothing is in it.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        Some(self.get(name).trim()).filter(|text| !text.is_empty())
    }
}

/// The query of a page.
#[derive(Clone, Debug)]
pub(super) struct Asked(pub Fields);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Fields::read(parts.uri.query().unwrap_or_default().as_bytes()).map(Self).map_err(Failure::Request)
    }
}
