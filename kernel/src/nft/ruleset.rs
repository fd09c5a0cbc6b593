//! Changes of the nftables ruleset that depend on what is there: planned on the ruleset as it is, and
//! planned anew when somebody else changed it meanwhile.

use super::{Nft, Transaction};
use crate::Result;

/// Each failure to change the ruleset as planned is somebody else's success, so this many in a row do
/// not happen.
pub const ATTEMPTS: usize = 1000;

/// Commits what `plan` makes of the ruleset; says whether there was anything to do.
///
/// # Errors
/// What `plan` cannot read, what the kernel refuses.
pub fn change(
    nft: &mut Nft,
    mut plan: impl FnMut(&mut Nft, Transaction) -> Result<Transaction>,
) -> Result<bool> {
    let mut outcome = plan_and_commit(nft, &mut plan);
    for _ in 1..ATTEMPTS {
        match outcome {
            Err(error) if Nft::is_outdated(&error) => outcome = plan_and_commit(nft, &mut plan),
            settled => return settled,
        }
    }
    outcome
}

/// As [`change`], where there may be nothing to change: a kernel without nftables has no rules.
///
/// # Errors
/// As [`change`].
pub fn change_what_is_there(
    plan: impl FnMut(&mut Nft, Transaction) -> Result<Transaction>,
) -> Result<bool> {
    let opened = Nft::open().and_then(|mut nft| {
        nft.generation()?;
        Ok(nft)
    });
    match opened {
        Err(error) if Nft::is_unsupported(&error) => Ok(false),
        opened => change(&mut opened?, plan),
    }
}

fn plan_and_commit(
    nft: &mut Nft,
    plan: &mut impl FnMut(&mut Nft, Transaction) -> Result<Transaction>,
) -> Result<bool> {
    let generation = nft.generation()?;
    let transaction = plan(nft, Transaction::at(generation))?;
    let is_needed = !transaction.is_empty();
    nft.commit(transaction)?;
    Ok(is_needed)
}
