//! lapsed carries out the subscription cancellations that a reviewed file asks for, each once.
//!
//! > A pass takes what is due, looks, decides and acts; every act is journaled before and
//! > after; and a restart is nothing but the next pass.
//!
//! The modules below stand in floors, lowest first; a module may import only what stands
//! beneath it, and `tests/arrows.rs` holds every `use crate::…` against that table.
//! Import from the module that defines a thing: this file declares and explains, and is no
//! shortcut.

// Only for the tests: faults that something must notice.
pub mod planted;

// The ground: imports nothing of ours.
pub mod clock;
pub mod schedule;
pub mod source;
pub mod telemetry;
pub mod yaml;

// The nouns.
pub mod model;

// What is wanted, how we run, what is remembered, what is counted.
pub mod config;
pub mod desired;
pub mod ledger;
pub mod metrics;

// Deciding, asking the providers, and telling webhooks.
pub mod plan;
pub mod provider;
pub mod webhook;

// A revision into the ledger; one pass, start to finish.
pub mod reconcile;

// The edge.
pub mod cli;
pub mod daemon;
pub mod http;
pub mod sandbox;
pub mod wiring;
