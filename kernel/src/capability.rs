//! What this thread may do: capabilities(7). None needed to ask.

use std::fs;

/// In which numbers the kernel counts them (`linux/capability.h`).
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

/// The first capability of those that changing links of other namespaces takes, and entering them,
/// which this thread has not. `None` also where the kernel does not tell, because there is no
/// `/proc`.
pub fn missing_for_networks() -> Option<&'static str> {
    missing_in(&fs::read_to_string("/proc/thread-self/status").ok()?)
}

fn missing_in(status: &str) -> Option<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    let lacks = |(number, _): &(u32, &str)| effective & (1 << number) == 0;
    let (_, name) = NEEDED.into_iter().find(lacks)?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_bits() {
        for (status, expected) in [
            ("Name:\tx\nCapEff:\t000001ffffffffff\n", None),
            ("CapEff:\t0000000000201000\n", None),
            ("CapEff:\t0000000000200000\n", Some("CAP_NET_ADMIN")),
            (
                "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000001000\n",
                Some("CAP_SYS_ADMIN"),
            ),
            ("CapEff:\t0000000000000000\n", Some("CAP_NET_ADMIN")),
            ("CapEff:\tx\n", None),
            ("", None),
        ] {
            assert_eq!(missing_in(status), expected, "{status}");
        }
    }
}
