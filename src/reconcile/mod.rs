//! A revision into the ledger; one pass, start to finish; and what people are told of both.

pub mod accept;
pub mod account;
pub mod excerpt;
mod execute;
pub mod inbox;
pub mod live;
mod log;
pub mod notice;
pub mod pass;
mod period;
pub mod preview;
pub mod report;
pub mod set_back;
pub mod story;
