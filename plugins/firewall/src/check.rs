//! CHECK: whether packets pass as ADD arranged it, whether podwire or the reference plugin did.
//! Changes nothing.

use cni::{Attachment, Call};

use crate::{add::Task, rules};

/// Checks the rules of every address and of the policy.
///
/// # Errors
/// The first difference.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let task = Task::read(call, attachment)?;
    Ok(rules::check(&task.owner, &task.addresses, &task.wanted)?)
}
