#![no_main]
fuzz_libfuzzer::target!("prev_result");
