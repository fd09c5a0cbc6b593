//! Running another plugin, in-process where the executable is our own build.

use crate::{AddResult, Attachment, Call, Error, Plugin};
use std::path::PathBuf;

pub enum Delegate<'a> {
    InProcess(&'a dyn Plugin),
    Executable(PathBuf),
}

pub(crate) fn resolve<'a>(
    _t: &str,
    _p: &[PathBuf],
    _r: &'a [&'a dyn Plugin],
) -> Result<Delegate<'a>, Error> {
    todo!()
}

impl Delegate<'_> {
    /// The delegate's ADD; its result in memory shape.
    pub fn add(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<AddResult, Error> {
        todo!()
    }
    pub fn del(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<(), Error> {
        todo!()
    }
    pub fn check(&self, _call: &Call<'_>, _attachment: &Attachment) -> Result<(), Error> {
        todo!()
    }
    pub fn gc(&self, _call: &Call<'_>) -> Result<(), Error> {
        todo!()
    }
    pub fn status(&self, _call: &Call<'_>) -> Result<(), Error> {
        todo!()
    }
}
