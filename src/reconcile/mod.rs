//! A revision into the ledger; one pass, start to finish; and what people are told of both.

pub mod live;
pub mod report;
