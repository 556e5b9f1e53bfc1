//! revere
