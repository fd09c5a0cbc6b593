//! Golden scenarios: see [`harness::scenarios`].

#[test]
fn scenarios_end_as_recorded() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    harness::scenarios::play_all::<ptp::Ptp>(directory.as_ref(), 15);
}
