//! nft(8) as the judge.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use kernel::nft::Table;

/// Runs nft(8) on the calling thread's namespace.
#[allow(
    clippy::disallowed_methods,
    reason = "the judge must not be the code under test"
)]
pub fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(output.status.success(), "nft {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Has nft(8) carry out what a file says.
#[allow(
    clippy::disallowed_methods,
    reason = "the judge must not be the code under test"
)]
pub fn nft_file(text: &str) {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}: {output:?}");
}

/// What `nft -j` says of the rules of a chain: their expressions and comments.
pub fn listed_rules(table: Table<'_>, chain: &str) -> Vec<serde_json::Value> {
    let text = nft(&[
        "-j",
        "list",
        "chain",
        &table.family.to_string(),
        table.name,
        chain,
    ]);
    let listing: serde_json::Value = serde_json::from_str(&text).unwrap();
    let objects = listing["nftables"].as_array().unwrap();
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    rules
        .map(|rule| serde_json::json!({ "expr": rule["expr"], "comment": rule["comment"] }))
        .collect()
}
