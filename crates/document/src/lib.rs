//! The cluster's document: what all servers agree on, edited anywhere, merged everywhere.
//!
//! Read [`Key`] and [`object`] (the document is a flat map from `kind/name` to the text of one object), [`Document`] (the
//! replicated map: edits, history, clashes, over Automerge), [`Checker`] (objects to a checked configuration and zones),
//! [`Ledger`] (a document with the configuration that it puts in force) and [`Session`] (two of them becoming one), in this
//! order.
//!
//! Invariants
//! - Everything is a function of the changes alone, in whatever order, how often and by whichever way they came: the
//!   values, the winner of each clash, and also the configuration in force ([`settle`]).
//! - No edit is lost: a value is current, or was overwritten by somebody who had seen it, or is one side of a [`Clash`].
//! - What does not check is never in force, and is refused where it is edited.
//! - Automerge alone would draw random actor ids; here they are given from outside. Times are given too, for display.
//!
//! Deliberately not here: disk (`host::store`), sockets, who may edit what; keys and password hashes, which are never in
//! the document.

mod check;
mod document;
mod edit;
pub mod fields;
mod history;
mod key;
mod ledger;
pub mod object;
mod pieces;
mod session;
pub mod settle;

pub use automerge::ChangeHash;
pub use check::{Checked, Checker, Mistake, beside};
pub use document::{Clash, Document, DocumentError, Incarnation, Stamp, Version};
pub use edit::{Author, Change, Transaction, Was};
pub use history::{Entry, Touch, Touched};
pub use key::{Key, Kind};
pub use ledger::{Considered, Ledger, Refusal};
pub use object::Objects;
pub use session::Session;
