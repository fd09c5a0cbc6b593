//! Whose a host link is: names that can be computed and an alias that people can read.
//!
//! No file remembers which link belongs to an attachment. The name of the host end is
//! computed, so DEL finds it without the container's namespace, after a crash, and twice;
//! the alias says whose the link is, so that nothing of anyone else's is removed.

use kernel::{IfName, MacAddr};
use sha2::{Digest, Sha512};

/// What every alias of ours starts with.
const ALIAS_PREFIX: &str = "podwire:";
/// An alias holds at most 255 bytes (kernel: IFALIASZ 256). Prefix, separators and the
/// interface name take 25; what is left is shared by network and container ID.
const LONGEST_PART: usize = 100;
/// What is kept of a longer part in front of its hash.
const KEPT_OF_LONGER: usize = 60;
/// What every computed name starts with, and how many hex digits follow.
const NAME_PREFIX: &str = "veth";
const NAME_DIGITS: usize = 8;
/// How many names an attachment has for its host end. One is used unless someone else's link
/// has it: with random names, a collision at the second is as unlikely as at the first.
const NAMES: usize = 4;

/// The key of an attachment: network, container and interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The network's name.
    pub network: &'a str,
    /// `CNI_CONTAINERID`
    pub container_id: &'a str,
    /// The container's interface: `CNI_IFNAME`.
    pub ifname: &'a str,
}

impl<'a> Identity<'a> {
    /// The identity of `attachment` to the network of `call`.
    pub fn new<N>(call: &'a cni::Call<'_>, attachment: &'a cni::Attachment<N>) -> Self {
        Self {
            network: call.network.as_str(),
            container_id: attachment.container_id.as_str(),
            ifname: attachment.ifname.as_str(),
        }
    }

    /// Names for the host end, in the order in which ADD tries them: `veth` and eight hex
    /// digits of a SHA-512 over network, container ID and interface; the next name takes the
    /// next eight digits.
    ///
    /// ADD takes the first that no foreign link holds. DEL looks at all, and at the alias.
    pub fn host_veth_names(&self) -> [IfName; NAMES] {
        let key = format!("{}/{}/{}", self.network, self.container_id, self.ifname);
        veth_names(&key)
    }

    /// A MAC address for the container's interface, where what is made for it must be found without
    /// asking anyone: unicast, locally administered, of a SHA-512 over network, container ID and
    /// interface.
    pub fn mac(&self) -> MacAddr {
        let key = format!("mac/{}/{}/{}", self.network, self.container_id, self.ifname);
        let digest = Sha512::digest(key.as_bytes());
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&digest[..6]);
        bytes[0] = bytes[0] & 0xfe | 0x02;
        MacAddr(bytes)
    }

    /// The alias of the host end: `podwire:<network>/<container ID>/<interface>`, where a part
    /// over 100 bytes is cut and ends in `~` and a hash of the whole.
    pub fn alias(&self) -> String {
        alias(self.network, self.container_id, self.ifname)
    }

    /// Whether the alias of a link says that it belongs to somebody else's attachment.
    /// An alias that podwire did not write says nothing about an attachment.
    pub fn is_anothers(&self, link: &kernel::Link) -> bool {
        is_marked(link) && !self.owns(link)
    }

    /// Whether a link under one of this attachment's names is a pair whose creation was cut
    /// off: the kernel takes no alias in the request that creates it, so an ADD killed right
    /// there leaves one without. Nobody else computes these names.
    pub fn left_unmarked(&self, link: &kernel::Link) -> bool {
        link.alias.is_none() && link.kind == kernel::LinkKind::Veth && link.peer_elsewhere
    }

    /// Two hashes, of the network and of interface and container, as the reference plugins begin
    /// their comments: a name of fixed length for what belongs to the attachment.
    pub fn hash_pair(&self) -> String {
        let instance = format!("{}:{}", self.ifname, self.container_id);
        format!("{}{}", hash_prefix(self.network), hash("", &instance, 16))
    }

    /// Whether the alias of a link says that it belongs to this attachment.
    pub fn owns(&self, link: &kernel::Link) -> bool {
        link.alias.as_deref() == Some(self.alias().as_str())
    }
}

/// Names for a veth that `key` stands for: `veth` and eight hex digits of a SHA-512 over it; the next
/// name takes the next eight digits.
pub fn veth_names(key: &str) -> [IfName; NAMES] {
    let digits = hex(&Sha512::digest(key.as_bytes()));
    std::array::from_fn(|n| {
        #[allow(
            clippy::expect_used,
            reason = "`veth` and 8 hex digits is a valid name"
        )]
        format!(
            "{NAME_PREFIX}{}",
            &digits[n * NAME_DIGITS..(n + 1) * NAME_DIGITS]
        )
        .parse()
        .expect("valid interface name")
    })
}

/// Whether the alias of a link says that it belongs to an attachment, whosever.
pub fn is_marked(link: &kernel::Link) -> bool {
    let alias = link.alias.as_deref();
    alias.is_some_and(|alias| alias.starts_with(ALIAS_PREFIX))
}

/// Whether a link is the host end of some attachment to the network: its alias says so, and it is
/// a veth under a name as we compute them. An alias alone proves nothing, anyone can write it.
pub fn is_host_end(link: &kernel::Link, network: &str) -> bool {
    let alias = link.alias.as_deref();
    link.kind == kernel::LinkKind::Veth
        && is_computed(&link.name)
        && alias.is_some_and(|alias| alias.starts_with(&network_prefix(network)))
}

fn is_computed(name: &IfName) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.as_str()
        .strip_prefix(NAME_PREFIX)
        .is_some_and(|digits| digits.len() == NAME_DIGITS && digits.bytes().all(is_digit))
}

/// What the hash pairs of one network's attachments start with.
pub fn hash_prefix(network: &str) -> String {
    hash("", network, 16) + "-"
}

/// `prefix` and the beginning of the lower-case SHA-512 of `text`, `length` characters together.
pub fn hash(prefix: &str, text: &str, length: usize) -> String {
    let mut name = prefix.to_owned() + &hex(&Sha512::digest(text.as_bytes()));
    name.truncate(length);
    name
}

/// The alias of one attachment's host end.
pub fn alias(network: &str, container_id: &str, ifname: &str) -> String {
    format!("{}{}/{ifname}", network_prefix(network), part(container_id))
}

/// What the aliases of one network's attachments start with.
pub fn network_prefix(network: &str) -> String {
    // Neither networks nor container IDs may contain `/` or `~`, so parts cannot be confused.
    format!("{ALIAS_PREFIX}{}/", part(network))
}

fn part(text: &str) -> String {
    if text.len() <= LONGEST_PART {
        return text.to_owned();
    }
    let kept: String = text.chars().take(KEPT_OF_LONGER).collect();
    let digits = hex(&Sha512::digest(text.as_bytes()));
    format!("{kept}~{}", &digits[..32])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_identity<T>(
        network: &str,
        container_id: &str,
        test: impl FnOnce(Identity<'_>) -> T,
    ) -> T {
        test(Identity {
            network,
            container_id,
            ifname: "eth0",
        })
    }

    /// Names must never change: pods that an older podwire attached are found by them.
    #[test]
    fn names_are_what_they_always_were() {
        let names = with_identity("dbnet", "ctr1", |identity| identity.host_veth_names());
        let names: Vec<&str> = names.iter().map(IfName::as_str).collect();
        // printf dbnet/ctr1/eth0 | sha512sum
        assert_eq!(
            names,
            [
                "veth474641f3",
                "veth7ec12880",
                "veth7bc162ff",
                "veth637443f6"
            ]
        );
        let alias = with_identity("dbnet", "ctr1", |identity| identity.alias());
        assert_eq!(alias, "podwire:dbnet/ctr1/eth0");
    }

    #[test]
    fn each_part_of_the_key_counts() {
        let first = |network: &str, container: &str| {
            with_identity(network, container, |identity| {
                identity.host_veth_names()[0].clone()
            })
        };
        let names = [
            first("a", "bc"),
            first("ab", "c"),
            first("a", "b"),
            first("b", "a"),
        ];
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }

    #[test]
    fn an_alias_fits_and_tells_long_ids_apart() {
        let long = "x".repeat(300);
        let alias = |network: &str, container: &str| {
            with_identity(network, container, |identity| identity.alias())
        };
        let one = alias(&long, &format!("{long}1"));
        let other = alias(&long, &format!("{long}2"));
        assert!(one.len() <= 255, "{}", one.len());
        assert_ne!(one, other);
        assert!(one.starts_with(&network_prefix(&long)));
        assert!(!one.starts_with(&network_prefix(&"x".repeat(299))));
        let just_fits = "y".repeat(LONGEST_PART);
        assert_eq!(
            alias("n", &just_fits),
            format!("podwire:n/{just_fits}/eth0")
        );
    }

    #[test]
    fn a_network_is_not_taken_for_one_with_a_longer_name() {
        assert!(!alias("net2", "c", "eth0").starts_with(&network_prefix("net")));
    }
}
