//! The tests of lapsed, one module for each boundary, in one binary that links once.

// Said once more for each, so that clippy knows their helpers for test code.
#[cfg(test)]
mod arrows;
#[cfg(test)]
mod file;
#[cfg(test)]
mod http;
#[cfg(test)]
mod pass;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod schedule;
#[cfg(test)]
mod source;
