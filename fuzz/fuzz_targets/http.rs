#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lapsed_fuzz::properties::http::hold(data));
