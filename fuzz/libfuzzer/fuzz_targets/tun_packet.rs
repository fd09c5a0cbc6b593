#![no_main]
fuzz_libfuzzer::target!("tun_packet");
