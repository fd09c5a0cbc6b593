//! The versions of the CNI specification that exist (cni-compat 1.4).

/// A released version of the CNI specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecVersion { V0_1_0, V0_2_0, V0_3_0, V0_3_1, V0_4_0, V1_0_0, V1_1_0 }

impl SpecVersion {
    pub const ALL: &'static [SpecVersion] = &[];
    pub const LATEST: SpecVersion = SpecVersion::V1_1_0;
    pub fn as_str(self) -> &'static str { todo!() }
}
// + Display, FromStr<Err = cni::Error>
