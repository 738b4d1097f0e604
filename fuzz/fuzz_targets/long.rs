#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcp_rill_fuzz::long::check(data));
