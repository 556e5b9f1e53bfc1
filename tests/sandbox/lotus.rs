//! lotus
