#![no_main]
fuzz_libfuzzer::target!("network_config");
