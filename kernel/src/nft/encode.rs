//! From rules to the kernel's expressions, as nft(8) composes them, so that nft(8) can print them.

mod action;
mod condition;
mod expression;

use netlink_packet_netfilter::nftables::{ExpressionAttribute, ListAttribute};

use super::{NewRule, TableFamily};
pub(super) use condition::{DNATTED, LOCAL};
use expression::Expression;
pub(super) use expression::{data, nested, number, text, verdict};

/// The expressions of `rule` in a table of `family`.
pub(super) fn rule(
    family: TableFamily,
    rule: &NewRule<'_>,
) -> Vec<ListAttribute<ExpressionAttribute>> {
    let (mut expressions, known) = condition::all(family, &rule.matches);
    expressions.extend(rule.statements.iter().flat_map(action::statement));
    if let Some(wanted) = &rule.action {
        let needed = action::family(wanted).filter(|needed| known != Some(*needed));
        expressions.extend(
            needed
                .into_iter()
                .flat_map(|needed| condition::version(family, needed)),
        );
        expressions.extend(action::action(wanted));
    }
    expressions.into_iter().map(Expression::finish).collect()
}
