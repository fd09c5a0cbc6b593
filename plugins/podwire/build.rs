//! The build ID, and the program that `install` puts under names that others write over.
use std::{env, error::Error, ffi::OsString, fs, path::PathBuf, process::Command};

const LAUNCHER: &str = "../../kernel/launcher/main.rs";

/// No libraries and no start-up code: some 1,500 bytes.
const OPTIONS: &[&str] = &[
    "--edition=2024",
    "-Copt-level=z",
    "-Cpanic=abort",
    "-Ccodegen-units=1",
    "-Cstrip=symbols",
    "-Ctarget-feature=+crt-static",
    "-Crelocation-model=static",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-static",
    "-Clink-arg=-Wl,--build-id=none",
    "-Clink-arg=-Wl,-n",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={LAUNCHER}");
    // Delegation runs a plugin in-process when the executable it would start is this very build. An
    // installer may copy instead of linking, so the build ID tells; not every linker writes one
    // unasked.
    println!("cargo:rustc-link-arg-bins=-Wl,--build-id");
    build_launcher()
}

/// `OUT_DIR/launcher`; an empty file where there is none for the target.
#[allow(
    clippy::disallowed_methods,
    reason = "the compiler is the only program that is started here"
)]
fn build_launcher() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(variable("OUT_DIR")?).join("launcher");
    if variable("CARGO_CFG_TARGET_ARCH")? != "x86_64" {
        return Ok(fs::write(out, "")?);
    }
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc.args(OPTIONS).arg(LAUNCHER).arg("-o").arg(out);
    if variable("CARGO_CFG_TARGET_ENV")? == "musl" {
        // The compiler brings start-up code of its own for musl.
        rustc.arg("-Clink-self-contained=no");
    }
    rustc.arg("--target").arg(variable("TARGET")?);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("-Clinker=");
        option.push(linker);
        rustc.arg(option);
    }
    match rustc.status()? {
        status if status.success() => Ok(()),
        status => Err(format!("{LAUNCHER} does not build: {status}").into()),
    }
}

/// What cargo tells a build script.
fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set"))
}
