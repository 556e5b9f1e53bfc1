//! The tests of lapsed, one module for each boundary.

mod arrows;
mod http;
mod plan;
mod schedule;
mod source;
