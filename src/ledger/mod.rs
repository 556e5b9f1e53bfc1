//! The append-only record, the queue of what is due, and the only maker of an [`intent::Intent`].

pub mod intent;
