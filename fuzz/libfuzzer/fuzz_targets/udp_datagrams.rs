#![no_main]
fuzz_libfuzzer::target!("udp_datagrams");
