//! The DNS that clients use: zone templates, views of them under the health of the moment, and answers.
//!
//! Read [`zone`] (what a template says), [`Zones`] (templates compiled), [`View`] (zones under health) and [`respond()`], in
//! this order.
//!
//! Invariants: no clock, socket, file, thread, randomness or hash-map order; what is compiled never changes.
//!
//! Deliberately not here: sockets and the general server (`host`), who holds which address (`cluster`).

mod compile;
mod cookie;
pub mod delegation;
mod foresight;
mod limit;
mod lookup;
mod name;
mod pool;
mod respond;
mod ring;
pub mod usage;
mod view;
mod why;
mod wire;
pub mod zone;

pub use compile::Zones;
pub use cookie::CookieSecrets;
pub use foresight::AHEAD;
pub use limit::Limiter;
pub use lookup::{Answer, Transport};
pub use respond::{Client, Outcome, respond, respond_limited};
pub use view::{AnswerSet, View};
pub use zone::Zone;
