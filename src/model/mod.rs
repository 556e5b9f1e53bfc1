//! The nouns: subscriptions and their providers, terms, observations, acts, and where a
//! cancellation stands.
//!
//! Nothing here reads a clock, a disk or a network, and nothing here is asynchronous. Text
//! is checked once, where it enters; whoever holds one of these types need not check again.

pub mod act;
pub mod approval;
pub mod hold;
pub mod ids;
pub mod labels;
pub mod memory;
pub mod notice;
pub mod observed;
pub mod provider;
pub mod request;
pub mod standing;
pub mod terms;
pub mod text;
