//! The IPAM plugin of an attachment.

use cni::{AddResult, Attachment, Call, Detachment, delegate::Delegate};
use kernel::Undo;

/// An IPAM plugin, with what it is called with.
pub struct Ipam<'a> {
    delegate: Delegate<'a>,
    call: &'a Call<'a>,
}

impl<'a> Ipam<'a> {
    /// The plugin of this type; `None` for an empty type: an attachment without addresses.
    ///
    /// # Errors
    /// The plugin's name is not one, or no directory of `CNI_PATH` holds it.
    pub fn find(call: &'a Call<'a>, plugin_type: &str) -> Result<Option<Self>, cni::Error> {
        if plugin_type.is_empty() {
            return Ok(None);
        }
        let delegate = call.ipam_delegate(plugin_type)?;
        Ok(Some(Self { delegate, call }))
    }

    /// ADD; its inverse goes onto `undo`.
    ///
    /// # Errors
    /// The plugin's, unchanged; a result without addresses.
    pub fn add<'u>(
        &'u self,
        attachment: &'u Attachment,
        undo: &mut Undo<'u>,
    ) -> Result<AddResult, cni::Error> {
        let result = self.delegate.add(self.call, attachment)?;
        undo.push("release addresses", move || {
            Ok(self.delegate.del(self.call, &attachment.into())?)
        })
        .map_err(cni::Error::internal)?;
        if result.ips.is_empty() {
            return Err(cni::Error::msg("IPAM plugin returned missing IP config"));
        }
        Ok(result)
    }

    /// DEL.
    ///
    /// # Errors
    /// The plugin's, unchanged.
    pub fn del(&self, attachment: &Detachment) -> Result<(), cni::Error> {
        self.delegate.del(self.call, attachment)
    }

    /// CHECK.
    ///
    /// # Errors
    /// The plugin's, unchanged.
    pub fn check(&self, attachment: &Attachment) -> Result<(), cni::Error> {
        self.delegate.check(self.call, attachment)
    }

    /// GC, which the specification asks plugins to hand on.
    ///
    /// # Errors
    /// The plugin's, unchanged.
    pub fn gc(&self) -> Result<(), cni::Error> {
        self.delegate.gc(self.call)
    }

    /// STATUS.
    ///
    /// # Errors
    /// The plugin's, unchanged.
    pub fn status(&self) -> Result<(), cni::Error> {
        self.delegate.status(self.call)
    }
}
