//! What anybody may send: files, answers of providers, schedules, requests. Whatever it is, it is
//! refused in words, or accepted for what it says.
//!
//! `properties` holds what the fuzz targets under `fuzz/` ask as well.

mod bounds;
mod corpus;
mod cut;
mod mutated;
mod overwritten;
mod properties;
mod same;
mod shapes;
mod told;
