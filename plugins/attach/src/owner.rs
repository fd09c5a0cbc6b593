//! Whose elements and rules of nftables are: comments that tell, as the reference plugins write them.

use std::collections::BTreeSet;

use cni::ValidAttachment;

use kernel::nft::Nft;

use crate::{Identity, identity::hash_prefix};

impl Identity<'_> {
    /// The comment of an nftables rule or element. The hashes come first because the kernel cuts
    /// long comments; double quotes are left out because nft(8) cannot read them back.
    pub fn comment(&self) -> String {
        format!(
            "{}, net: {}, if: {}, id: {}",
            self.hash_pair(),
            self.network,
            self.ifname,
            self.container_id
        )
        .replace('"', "")
    }
}

/// An attachment that a comment names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The network's name.
    pub network: String,
    /// The container.
    pub container_id: String,
    /// The container's interface.
    pub ifname: String,
}

impl Owner {
    /// Whose [comment](Identity::comment) it is. `None` where the kernel has cut it.
    pub fn read(comment: &str) -> Option<Self> {
        let (pair, rest) = comment.split_once(", net: ")?;
        let (network, rest) = rest.split_once(", if: ")?;
        let (ifname, container_id) = rest.split_once(", id: ")?;
        let owner = Self {
            network: network.to_owned(),
            container_id: container_id.to_owned(),
            ifname: ifname.to_owned(),
        };
        (owner.identity().hash_pair() == pair).then_some(owner)
    }

    /// Whom the comments name that `read` finds in the kernel, each once: nobody where it has no nftables.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn all(
        read: impl FnOnce(&mut Nft) -> kernel::Result<Vec<String>>,
    ) -> kernel::Result<Vec<Self>> {
        let comments = match Nft::open().and_then(|mut nft| read(&mut nft)) {
            Err(error) if Nft::is_unsupported(&error) => Vec::new(),
            comments => comments?,
        };
        let owners = comments.iter().filter_map(|comment| Self::read(comment));
        let owners: BTreeSet<Self> = owners.collect();
        Ok(owners.into_iter().collect())
    }

    /// The same, borrowed.
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            network: &self.network,
            container_id: &self.container_id,
            ifname: &self.ifname,
        }
    }
}

/// What a runtime hands to GC, as [`Garbage::of`] takes it.
pub fn keys(valid: &[ValidAttachment]) -> Vec<(&str, &str)> {
    let valid = valid.iter();
    valid
        .map(|one| (one.container_id.as_str(), one.ifname.as_str()))
        .collect()
}

/// What GC of a network removes: that of attachments that are not valid.
#[derive(Debug)]
pub struct Garbage {
    /// What every comment of the network starts with.
    network: String,
    /// What the comments start with that stay.
    valid: Vec<String>,
}

impl Garbage {
    /// Of `network`, but for the `valid` attachments (container ID, interface).
    pub fn of(network: &str, valid: &[(&str, &str)]) -> Self {
        let pair = |&(container_id, ifname)| {
            let owner = Identity {
                network,
                container_id,
                ifname,
            };
            owner.hash_pair()
        };
        Self {
            network: hash_prefix(network),
            valid: valid.iter().map(pair).collect(),
        }
    }

    /// Whether what bears this comment, or a name that begins as one, is part of it.
    pub fn has(&self, comment: Option<&str>) -> bool {
        comment.is_some_and(|comment| {
            comment.starts_with(&self.network)
                && !self.valid.iter().any(|pair| comment.starts_with(pair))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_the_references() {
        let owner = Identity {
            network: "dbnet",
            container_id: "ctr1",
            ifname: "eth0",
        };
        assert_eq!(
            owner.comment(),
            "77fa157b4f32b23b-7883a6f9ce71eedb, net: dbnet, if: eth0, id: ctr1"
        );
        let read_back = Owner::read(&owner.comment()).unwrap();
        assert_eq!(read_back.identity(), owner);
        assert_eq!(
            Owner::read(owner.comment().trim_end_matches('1')),
            None,
            "cut"
        );
        assert_eq!(Owner::read("somebody else's"), None);
    }

    #[test]
    fn garbage_is_of_the_network_and_of_no_valid_attachment() {
        let garbage = Garbage::of("dbnet", &[("ctr1", "eth0"), ("ctr2", "net1")]);
        let is_garbage = |network, ifname, container_id| {
            let owner = Identity {
                network,
                container_id,
                ifname,
            };
            garbage.has(Some(&owner.comment()))
        };
        assert!(!is_garbage("dbnet", "eth0", "ctr1"));
        assert!(!is_garbage("dbnet", "net1", "ctr2"));
        assert!(is_garbage("dbnet", "net1", "ctr1"));
        assert!(is_garbage("dbnet", "eth0", "ctr3"));
        assert!(!is_garbage("other", "eth0", "ctr3"));
        assert!(!garbage.has(Some("ctr3")) && !garbage.has(None));
    }
}
