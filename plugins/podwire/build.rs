//! Delegation runs a plugin in-process when the executable it would start is this very build. An
//! installer may copy instead of linking, so the build ID tells; not every linker writes one
//! unasked.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,--build-id");
}
