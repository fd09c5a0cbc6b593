//! MAC spoof check (`macspoofchk`): frames that enter the bridge from a pod's host veth with any
//! source MAC address but the container's are dropped.
//!
//! Table, chains, rules and comments are those of the reference plugin, so either side finds and
//! removes what the other made:
//!
//! ```text
//! table bridge nat {
//!     chain PREROUTING {
//!         type filter hook prerouting priority dstnat; policy accept;
//!         iifname "<host veth>" jump cni-br-iface-<id>-<ifname> comment "macspoofchk-<id>-<ifname>"
//!     }
//!     chain cni-br-iface-<id>-<ifname> {
//!         jump cni-br-iface-<id>-<ifname>-mac comment "..."
//!     }
//!     chain cni-br-iface-<id>-<ifname>-mac {
//!         ether saddr <mac> return comment "..."
//!         drop comment "..."
//!     }
//! }
//! ```
//!
//! What is set up is remembered ([`attach::record`]), so that it comes back when somebody flushed it.

mod restore;

use attach::{Identity, record};
use kernel::{
    MacAddr,
    nft::{
        ChainKind, Existing, Hook, Match, NewChain, NewRule, Nft, Point, Policy, Priority, Rule,
        Table, TableFamily, Test, Transaction, Verdict,
    },
};

/// Shared with other users, ebtables-nft among them.
const TABLE: Table<'_> = Table {
    family: TableFamily::Bridge,
    name: "nat",
};
const PREROUTING: &str = "PREROUTING";
const HOOK: Hook = Hook {
    kind: ChainKind::Filter,
    point: Point::Prerouting,
    priority: Priority::dstnat(TableFamily::Bridge),
    policy: Policy::Accept,
};
const COMMENT_PREFIX: &str = "macspoofchk-";

pub use restore::{SpoofCheck, Wanted};
pub(crate) use restore::{collect, forget, set_up};

/// Why the spoof check could not be set up, removed or confirmed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused an nftables request.
    #[error(transparent)]
    Nftables(#[from] kernel::Error),
    /// What is remembered cannot be read.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// A chain that this attachment's names lead to has rules of somebody else.
    #[error("chain {chain:?} of table {TABLE} holds rules of another owner: {comment:?}")]
    Taken {
        /// The chain.
        chain: String,
        /// The comment of the first such rule.
        comment: String,
    },
    /// CHECK: a rule is missing or says something else.
    #[error(
        "no MAC spoof check of interface {host_if:?} for address {mac}: \
         chain {chain:?} of table {TABLE} is missing or altered"
    )]
    Missing {
        /// The host end of the veth pair.
        host_if: String,
        /// The container's address.
        mac: MacAddr,
        /// The first chain that is not as it should be.
        chain: String,
    },
}

/// The chains and the comment of one attachment.
struct Names {
    interface_chain: String,
    mac_chain: String,
    comment: String,
}

impl Names {
    fn new(identity: Identity<'_>) -> Self {
        let Identity {
            container_id,
            ifname,
            ..
        } = identity;
        let interface_chain = format!("cni-br-iface-{container_id}-{ifname}");
        Self {
            mac_chain: format!("{interface_chain}-mac"),
            interface_chain,
            comment: format!("{COMMENT_PREFIX}{container_id}-{ifname}"),
        }
    }

    /// Each rule with its chain.
    fn rules(&self, host_if: &str, mac: MacAddr) -> [(&str, NewRule<'_>); 4] {
        let rule = |matches, verdict: Verdict| NewRule {
            matches,
            action: Some(verdict.into()),
            comment: Some(&self.comment),
            ..NewRule::default()
        };
        let from_host_if = vec![Match::Is(Test::InputInterface(host_if.to_owned()))];
        let from_mac = vec![Match::Is(Test::EtherSource(mac))];
        let to_interface_chain = Verdict::Jump(self.interface_chain.clone());
        let to_mac_chain = Verdict::Jump(self.mac_chain.clone());
        [
            (PREROUTING, rule(from_host_if, to_interface_chain)),
            (&self.interface_chain, rule(Vec::new(), to_mac_chain)),
            (&self.mac_chain, rule(from_mac, Verdict::Return)),
            (&self.mac_chain, rule(Vec::new(), Verdict::Drop)),
        ]
    }

    fn owns(&self, rule: &Rule) -> bool {
        rule.comment.as_deref() == Some(&self.comment)
    }
}

/// Lets only frames from `mac` through `host_if`, in one transaction. What an earlier ADD of the
/// same attachment left is replaced.
///
/// # Errors
/// What the kernel refuses; nothing is changed then.
pub fn add(host_if: &str, mac: MacAddr, identity: Identity<'_>) -> Result<(), Error> {
    let names = Names::new(identity);
    let mut nft = Nft::open()?;
    match nft.commit(addition(base(), &names, host_if, mac, Existing::Refuse)) {
        Err(error) if error.is_exists() => {}
        result => return Ok(result?),
    }
    let mut transaction = base();
    for rule in nft
        .rules(TABLE, PREROUTING)?
        .iter()
        .filter(|rule| names.owns(rule))
    {
        transaction = transaction.delete_rule(TABLE, PREROUTING, rule.handle);
    }
    for chain in [&names.interface_chain, &names.mac_chain] {
        if let Some(rule) = nft
            .rules(TABLE, chain)?
            .into_iter()
            .find(|rule| !names.owns(rule))
        {
            let comment = rule.comment.unwrap_or_default();
            return Err(Error::Taken {
                chain: chain.clone(),
                comment,
            });
        }
        transaction = transaction
            .add_chain(TABLE, regular(chain), Existing::Keep)
            .flush_chain(TABLE, chain);
    }
    Ok(nft.commit(addition(transaction, &names, host_if, mac, Existing::Keep))?)
}

fn base() -> Transaction {
    let prerouting = NewChain {
        name: PREROUTING,
        hook: Some(HOOK),
        comment: None,
    };
    Transaction::new()
        .add_table(TABLE, None, Existing::Keep)
        .add_chain(TABLE, prerouting, Existing::Keep)
}

fn addition(
    mut transaction: Transaction,
    names: &Names,
    host_if: &str,
    mac: MacAddr,
    existing: Existing,
) -> Transaction {
    for chain in [&names.interface_chain, &names.mac_chain] {
        transaction = transaction.add_chain(TABLE, regular(chain), existing);
    }
    for (chain, rule) in names.rules(host_if, mac) {
        transaction = transaction.add_rule(TABLE, chain, &rule);
    }
    transaction
}

fn regular(name: &str) -> NewChain<'_> {
    NewChain {
        name,
        hook: None,
        comment: None,
    }
}

/// Removes the spoof check of one attachment, in one transaction; nothing there is success.
/// Table and PREROUTING stay: they are shared.
///
/// # Errors
/// What the kernel refuses.
pub fn remove(identity: Identity<'_>) -> Result<(), Error> {
    let names = Names::new(identity);
    let mut nft = Nft::open()?;
    // Without the chains there is no rule that jumps to them, and no need to read PREROUTING.
    let present = match present_chains(&mut nft, &names) {
        Err(error) if Nft::is_unsupported(&error) => return Ok(()),
        present => present?,
    };
    if present.is_empty() {
        return Ok(());
    }
    let mut transaction = Transaction::new();
    for rule in nft
        .rules(TABLE, PREROUTING)?
        .iter()
        .filter(|rule| names.owns(rule))
    {
        transaction = transaction.delete_rule(TABLE, PREROUTING, rule.handle);
    }
    for chain in present {
        transaction = transaction.delete_chain(TABLE, chain);
    }
    Ok(nft.commit(transaction)?)
}

/// Those of the attachment's chains that exist, the jumping one first.
fn present_chains<'a>(nft: &mut Nft, names: &'a Names) -> kernel::Result<Vec<&'a str>> {
    let mut present = Vec::with_capacity(2);
    for chain in [&names.interface_chain, &names.mac_chain] {
        if nft.chain(TABLE, chain)?.is_some() {
            present.push(chain.as_str());
        }
    }
    Ok(present)
}

/// Whether every rule of the spoof check is there.
///
/// # Errors
/// [`Error::Missing`] with the first chain that is not as [`add`] leaves it; what the kernel
/// refuses.
pub fn check(host_if: &str, mac: MacAddr, identity: Identity<'_>) -> Result<(), Error> {
    let names = Names::new(identity);
    let mut nft = Nft::open()?;
    for chain in [PREROUTING, &names.interface_chain, &names.mac_chain] {
        let found = nft.rules(TABLE, chain)?;
        let found = found.iter().filter(|rule| names.owns(rule));
        let found: Vec<_> = found.map(|rule| (&rule.matches, &rule.action)).collect();
        let rules = names.rules(host_if, mac);
        let wanted = rules.iter().filter(|(of, _)| *of == chain);
        let wanted: Vec<_> = wanted
            .map(|(_, rule)| (&rule.matches, &rule.action))
            .collect();
        if found != wanted {
            return Err(Error::Missing {
                host_if: host_if.to_owned(),
                mac,
                chain: chain.to_owned(),
            });
        }
    }
    Ok(())
}

/// Removes the spoof checks of host links that are gone. The comment does not say which network
/// an attachment belongs to, so the link decides: it lives as long as the attachment.
///
/// # Errors
/// What the kernel refuses.
pub fn gc(link_exists: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    let mut nft = Nft::open()?;
    let rules = match nft.rules(TABLE, PREROUTING) {
        Err(error) if Nft::is_unsupported(&error) => return Ok(()),
        rules => rules?,
    };
    for rule in rules {
        let Some(attachment) = rule
            .comment
            .as_deref()
            .and_then(|c| c.strip_prefix(COMMENT_PREFIX))
        else {
            continue;
        };
        let interface_chain = format!("cni-br-iface-{attachment}");
        let is_ours = rule.action == Some(Verdict::Jump(interface_chain.clone()).into());
        let [Match::Is(Test::InputInterface(host_if))] = &rule.matches[..] else {
            continue;
        };
        if is_ours && !link_exists(host_if) {
            let transaction = Transaction::new()
                .delete_rule(TABLE, PREROUTING, rule.handle)
                .delete_chain(TABLE, &interface_chain)
                .delete_chain(TABLE, &format!("{interface_chain}-mac"));
            nft.commit(transaction)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
