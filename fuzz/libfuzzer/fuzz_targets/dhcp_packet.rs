#![no_main]
fuzz_libfuzzer::target!("dhcp_packet");
