//! The properties that the fuzz targets ask of any bytes: those of the tests of every build.

#[path = "../../tests/hostile/properties/mod.rs"]
pub mod properties;
