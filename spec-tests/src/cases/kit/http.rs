//! A web server in a namespace, and asking one.

use crate::cases::{
    packets::said_by,
    prelude::*,
    sight::{HOST, inside},
};

/// What a server in this namespace hands out.
fn root(ns: &str) -> String {
    let name = if ns == HOST { "host" } else { ns };
    format!("/run/www-{name}")
}

/// `/cgi-bin/NAME` of the namespace's server: one line with what the shell makes of `says`.
pub(in crate::cases) fn page(
    bench: &mut Bench,
    ns: &str,
    name: &str,
    says: &str,
) -> Result<(), Failure> {
    let dir = format!("{}/cgi-bin", root(ns));
    let script = format!("{dir}/{name}");
    bench.run("mkdir", &["-p", &dir])?;
    bench.write(&script, &format!("#!/bin/sh\necho\necho {says}\n"))?;
    bench.run("chmod", &["755", &script])?;
    Ok(())
}

/// `/NAME` of the namespace's server: a file of this many bytes.
pub(in crate::cases) fn file(
    bench: &mut Bench,
    ns: &str,
    name: &str,
    size: u64,
) -> Result<(), Failure> {
    let dir = root(ns);
    bench.run("mkdir", &["-p", &dir])?;
    bench.run(
        "truncate",
        &["-s", &size.to_string(), &format!("{dir}/{name}")],
    )?;
    Ok(())
}

/// Starts the namespace's server: `80` on all addresses, `[2001:db8::1]:80` on one.
pub(in crate::cases) fn serve_on(bench: &mut Bench, ns: &str, listen: &str) -> Result<(), Failure> {
    let server = ["busybox", "httpd", "-h", &root(ns), "-p", listen];
    inside(bench, ns, &server).map(drop)
}

/// Shell words that ask a server for a path and hand its answer to `taker` as descriptor 3;
/// `$start` is when the connection stood, in milliseconds.
///
/// bash asks because the static busybox's wget cannot look up names and ends with a signal.
pub(in crate::cases) fn get(server: &str, port: u16, path: &str, taker: &str) -> String {
    format!(
        "exec 3<>/dev/tcp/{server}/{port} && start=$(date +%s%3N) \
         && printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3 && {taker}"
    )
}

/// What a server's page says, without what is put around an address; empty when it does not answer
/// within the limit, in seconds.
pub(in crate::cases) fn told_by(
    bench: &mut Bench,
    ns: &str,
    (server, port): (&str, u16),
    page: &str,
    limit: &str,
) -> String {
    let line = get(server, port, &format!("/cgi-bin/{page}"), "cat <&3");
    said_by(bench, ns, &["timeout", limit, "bash", "-c", &line])
}
