//! The chain: hashes that show whether the record was changed after the fact.
//!
//! Each request has a chain of its own events, and each commit adds one block over all events
//! in it. A payload stands behind a salted digest, so that it can be erased without breaking
//! either chain.

use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// What a chain begins with.
pub const GENESIS: Hash = [0; 32];

/// The digest that stands for a payload.
pub fn payload_digest(salt: &[u8], payload: &str) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update((salt.len() as u64).to_be_bytes());
    hasher.update(salt);
    hasher.update(payload.as_bytes());
    hasher.finalize().into()
}

/// The hash of one event, after the one before it of the same request.
pub fn event_hash(before: &Hash, key: &str, at_millis: i64, kind: &str, payload: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(before);
    for text in [key, kind] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(at_millis.to_be_bytes());
    hasher.update(payload);
    hasher.finalize().into()
}

/// The hash of one block, over the hashes of its events in order.
pub fn block_hash<'h>(before: &Hash, events: impl IntoIterator<Item = &'h Hash>) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(before);
    for event in events {
        hasher.update(event);
    }
    hasher.finalize().into()
}
