//! Whose rules and elements are: the names that tell, ours and the reference plugin's.

use attach::{Identity, identity};

use crate::error::Claimant;

/// Bytes of a comment that nft(8) reads back.
const NFT_COMMENT: usize = 128;
/// Bytes of a comment that iptables stores, and what is kept of a longer one before `...`.
const IPTABLES_COMMENT: usize = 255;
const KEPT_OF_LONGER: usize = 252;

/// The chain of a container's mappings in iptables. It does not depend on the interface.
pub(crate) fn chain(owner: &Identity<'_>) -> String {
    hashed("CNI-DN-", owner)
}

/// The chain for masquerading that early releases of the reference plugin made.
pub(crate) fn early_chain(owner: &Identity<'_>) -> String {
    hashed("CNI-SN-", owner)
}

fn hashed(prefix: &str, owner: &Identity<'_>) -> String {
    identity::hash(
        prefix,
        &format!("{}{}", owner.network, owner.container_id),
        28,
    )
}

/// The comment of the rules in iptables that lead to the container's chain.
pub(crate) fn iptables_comment(owner: &Identity<'_>) -> String {
    let comment = format!(
        "dnat name: {:?} id: {:?}",
        owner.network, owner.container_id
    );
    match comment.len() > IPTABLES_COMMENT {
        true => format!("{}...", &comment[..KEPT_OF_LONGER]),
        false => comment,
    }
}

/// Network and container of such a comment; of one that was cut, as much as is left.
pub(crate) fn of_iptables_comment(comment: &str) -> Option<Claimant> {
    let (network, rest) = comment
        .strip_prefix("dnat name: \"")?
        .split_once("\" id: \"")?;
    let container_id = rest.strip_suffix('"').unwrap_or(rest);
    Some(Claimant {
        network: Some(network.to_owned()),
        container_id: container_id.to_owned(),
        ifname: None,
    })
}

/// The comment of the reference plugin's rules in nftables, as far as nft(8) takes it.
pub(crate) fn reference_comment(container_id: &str) -> &str {
    &container_id[..container_id.len().min(NFT_COMMENT)]
}

/// Whose an element of ours is; of a comment that was cut, as much as is left.
pub(crate) fn of_comment(comment: &str) -> Option<Claimant> {
    let (_, rest) = comment.split_once(", net: ")?;
    let (network, rest) = rest.split_once(", if: ")?;
    let (ifname, container_id) = rest.split_once(", id: ")?;
    Some(Claimant {
        network: Some(network.to_owned()),
        container_id: container_id.to_owned(),
        ifname: Some(ifname.to_owned()),
    })
}

/// Whether a comment of ours, which the kernel may have cut, names this container.
pub(crate) fn names_container(comment: &str, container_id: &str) -> bool {
    let is_cut = comment.len() >= NFT_COMMENT - 1;
    of_comment(comment).is_some_and(|whose| {
        whose.container_id == container_id
            || is_cut && container_id.starts_with(&whose.container_id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CTR1: Identity<'_> = Identity {
        network: "dbnet",
        container_id: "ctr1",
        ifname: "eth0",
    };

    #[test]
    fn chains_and_comments_are_the_references() {
        assert_eq!(chain(&CTR1), "CNI-DN-a4fa0b217749fd390b69a");
        assert_eq!(early_chain(&CTR1), "CNI-SN-a4fa0b217749fd390b69a");
        let comment = iptables_comment(&CTR1);
        assert_eq!(comment, r#"dnat name: "dbnet" id: "ctr1""#);
        let whose = of_iptables_comment(&comment).unwrap();
        assert_eq!(whose.to_string(), r#"network "dbnet", container "ctr1""#);
    }

    #[test]
    fn owners_are_read_from_comments() {
        let whose = of_comment(&CTR1.comment()).unwrap();
        let text = r#"network "dbnet", container "ctr1", interface "eth0""#;
        assert_eq!(whose.to_string(), text);
        for other in ["ctr1", "", "77fa, net: dbnet"] {
            assert_eq!(of_comment(other), None, "{other}");
        }
    }

    #[test]
    fn a_container_is_named_whole_or_as_far_as_the_kernel_keeps_it() {
        let named = |container_id: &str| {
            let owner = Identity {
                container_id,
                ..CTR1
            };
            owner.comment()
        };
        let whole = named("web");
        assert!(names_container(&whole, "web") && !names_container(&whole, "web-2"));
        let id = "a".repeat(120);
        let cut = &named(&id)[..NFT_COMMENT - 1];
        assert!(names_container(cut, &id) && !names_container(cut, &"b".repeat(120)));
    }

    #[test]
    fn long_comments_are_cut_as_the_reference_cuts_them() {
        let container_id = "a".repeat(240);
        let owner = Identity {
            container_id: &container_id,
            ..CTR1
        };
        let comment = iptables_comment(&owner);
        assert!(
            comment.len() <= IPTABLES_COMMENT && comment.ends_with("aaa..."),
            "{comment}"
        );
        assert_eq!(reference_comment(&container_id).len(), 128);
    }
}
