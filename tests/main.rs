//! The tests of lapsed, one module for each boundary, in one binary that links once.
#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in their helpers"
)]

mod abuse;
mod alerts;
mod arrows;
mod attack;
mod canary;
mod cli;
mod clock;
mod crash;
mod daemon;
mod dashboards;
mod deploy;
mod file;
mod hostile;
mod http;
mod ledger;
mod model;
mod notify;
mod older;
mod pass;
mod plan;
mod provider;
mod sandbox;
mod schedule;
mod source;
mod standing;
mod support;
mod telemetry;
