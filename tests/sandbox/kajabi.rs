//! kajabi
