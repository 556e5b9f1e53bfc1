//! The tests of lapsed, one module for each boundary.

mod arrows;
mod file;
mod plan;
mod schedule;
mod source;
