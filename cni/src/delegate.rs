//! Running another plugin, in-process where the executable is our own build (cni-compat 1.12).
use std::path::PathBuf;
use crate::{AddResult, Attachment, Call, Error, Plugin};

pub enum Delegate<'a> { InProcess(&'a dyn Plugin), Executable(PathBuf) }

impl Delegate<'_> {
    /// The delegate's ADD; its result in memory shape.
    pub fn add(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<AddResult, Error> { todo!() }
    pub fn del(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<(), Error> { todo!() }
    pub fn check(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<(), Error> { todo!() }
    pub fn gc(&self, _call: &Call<'_>) -> Result<(), Error> { todo!() }
    pub fn status(&self, _call: &Call<'_>) -> Result<(), Error> { todo!() }
}
