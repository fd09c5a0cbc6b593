//! One look at iptables with the change that follows from it, while no other podwire does the same. What nftables
//! refuses by the ruleset's generation, `iptables-restore` writes: a port twice, a rule twice, a shared chain anew.

use std::{fs::File, io, time::Duration};

use files::Lock;

use crate::record::make_run;

/// Many who come at once wait for each other's programs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the turn, a lock on the directory of what podwire remembers until a reboot; it ends when the lock is
/// dropped. Whoever cannot have it works without, and the log tells: rules that came twice are better than a pod that
/// has none.
pub fn take() -> Option<Lock> {
    take_within(PATIENCE)
}

fn take_within(patience: Duration) -> Option<Lock> {
    match locked(patience) {
        Ok(lock) => Some(lock),
        Err(error) => {
            tracing::warn!(%error, "cannot wait for others who change iptables");
            None
        }
    }
}

fn locked(patience: Duration) -> io::Result<Lock> {
    let directory = File::open(make_run()?)?;
    Lock::exclusive(directory, patience).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::{
        env, fs,
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    use kernel::testing::World;

    use super::*;

    /// Enough where nobody has the turn, and soon over where somebody keeps it.
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn one_has_the_turn_and_who_waited_long_enough_goes_without() {
        let Some(_world) = World::new() else { return };
        let turn = take().expect("nobody has it");
        let error = locked(SHORT).expect_err("it is taken").to_string();
        assert_eq!(error, "another process has held the lock for 0 s");
        assert!(take_within(SHORT).is_none());
        drop(turn);
        assert!(take().is_some(), "given back");
    }

    #[test]
    fn who_cannot_have_the_turn_goes_without() {
        let Some(_world) = World::new() else { return };
        fs::write("/run/podwire", "").unwrap();
        let error = locked(SHORT).expect_err("no directory");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
        assert!(take().is_none());
    }

    /// What a child is told, and prints when it has the turn.
    const TAKEN: &str = "THE_TURN_IS_TAKEN";

    #[test]
    #[ignore = "started by another test"]
    fn takes_the_turn_and_stays() {
        if env::var_os(TAKEN).is_none() {
            return;
        }
        let _turn = take().unwrap();
        println!("{TAKEN}");
        // Until it is killed, or nobody is there who would.
        let _ = io::stdin().lines().count();
    }

    #[test]
    fn the_turn_of_one_who_was_killed_is_free() {
        let Some(_world) = World::new() else { return };
        let itself = concat!(module_path!(), "::takes_the_turn_and_stays");
        let (_, itself) = itself.split_once("::").unwrap();
        #[allow(clippy::disallowed_methods, reason = "somebody who can be killed")]
        let mut other = Command::new(env::current_exe().unwrap())
            .args(["--exact", itself, "--ignored", "--nocapture"])
            .env(TAKEN, "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(other.stdout.take().unwrap()).lines();
        let mut said = said.map(Result::unwrap);
        assert!(said.any(|line| line.ends_with(TAKEN)));
        assert!(take_within(SHORT).is_none(), "another process has it");
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(take().is_some());
    }
}
