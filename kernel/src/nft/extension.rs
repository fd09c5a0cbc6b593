//! The structures of xtables matches: `linux/netfilter/xt_comment.h`, `xt_conntrack.h`. They are padded
//! to eight bytes (XT_ALIGN).

use super::{Extension, States};

/// XT_MAX_COMMENT_LEN
const COMMENT_LENGTH: usize = 256;
/// `struct xt_conntrack_mtinfo3`
const CONNTRACK_LENGTH: usize = 168;
const CONNTRACK_REVISION: u32 = 3;
/// Offsets of `match_flags`, `invert_flags` and `state_mask`.
const MATCH_FLAGS: usize = 146;
const INVERT_FLAGS: usize = 148;
const STATE_MASK: usize = 150;
/// XT_CONNTRACK_STATE, and XT_CONNTRACK_STATE_ALIAS of `-m state`.
const BY_STATE: u16 = 1;
const STATE_ALIAS: u16 = 1 << 13;

impl Extension {
    /// Its name in xtables.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Comment(_) => "comment",
            Self::ConntrackState(_) => "conntrack",
        }
    }

    pub(super) fn revision(&self) -> u32 {
        match self {
            Self::Comment(_) => 0,
            Self::ConntrackState(_) => CONNTRACK_REVISION,
        }
    }

    pub(super) fn info(&self) -> Vec<u8> {
        match self {
            Self::Comment(text) => {
                let mut info = text.as_bytes().to_vec();
                // The kernel wants a zero at the end.
                info.truncate(COMMENT_LENGTH - 1);
                info.resize(COMMENT_LENGTH, 0);
                info
            }
            // xtables numbers the states as nftables does.
            Self::ConntrackState(states) => {
                let mut info = vec![0; CONNTRACK_LENGTH];
                put(&mut info, MATCH_FLAGS, BY_STATE);
                put(&mut info, STATE_MASK, states.0 as u16);
                info
            }
        }
    }
}

/// The states of a conntrack match that looks at nothing else.
pub(super) fn states(info: &[u8]) -> Option<States> {
    let get = |at: usize| Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?));
    let is_by_state = get(MATCH_FLAGS)? & !STATE_ALIAS == BY_STATE && get(INVERT_FLAGS)? == 0;
    let states = u32::from(get(STATE_MASK)?);
    is_by_state.then_some(States(states))
}

fn put(info: &mut [u8], at: usize, value: u16) {
    info[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_back_and_nothing_else_is_taken_for_states() {
        let wanted = States::ESTABLISHED.or(States::RELATED);
        let mut info = Extension::ConntrackState(wanted).info();
        assert_eq!(states(&info), Some(wanted));
        put(&mut info, INVERT_FLAGS, BY_STATE);
        assert_eq!(states(&info), None, "none of the states");
        put(&mut info, INVERT_FLAGS, 0);
        put(&mut info, MATCH_FLAGS, BY_STATE | 2);
        assert_eq!(states(&info), None, "also the protocol");
        assert_eq!(states(&info[..100]), None, "an earlier revision");
    }

    #[test]
    fn comments_end_with_a_zero() {
        for length in [0, 1, 255, 256, 300] {
            let info = Extension::Comment("x".repeat(length)).info();
            assert_eq!(info.len(), COMMENT_LENGTH);
            assert_eq!(
                info.iter().take_while(|byte| **byte != 0).count(),
                length.min(255)
            );
        }
    }
}
