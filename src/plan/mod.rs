//! Decides: one request, what was observed and the time make what to do; one provider's
//! situation makes what is allowed.
//!
//! Everything here is a function of values. It reads no clock, no disk and no network, has
//! no randomness of its own, and cannot fail: whatever cannot be done now becomes a hold
//! that says why.

pub mod backoff;
pub mod decide;
pub mod due;
pub mod forecast;
pub mod guard;
pub mod health;
pub mod judge;
pub mod sooner;
pub mod window;
