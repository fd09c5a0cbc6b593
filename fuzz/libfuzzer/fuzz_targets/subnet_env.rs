#![no_main]
fuzz_libfuzzer::target!("subnet_env");
