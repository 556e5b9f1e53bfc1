//! The integration tests, as one binary: it links once.

// Said once more, so that clippy knows their helpers for test code.
#[cfg(test)]
mod sandbox;
