//! Running iptables: listings through the iptables crate, changes through iptables-restore,
//! which the crate does not know.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
};

use iptables::IPTables;

use super::Line;
use crate::Family;

/// Why iptables did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of the programs that could serve is installed.
    #[error("{program}: not found in PATH {path:?}")]
    NotFound {
        /// The program that was looked for.
        program: &'static str,
        /// The value of PATH.
        path: OsString,
    },
    /// The program could not be started or talked to.
    #[error("running {program:?}")]
    Run {
        /// The program's path.
        program: PathBuf,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// What iptables-nft made could not be read or changed over netlink.
    #[error(transparent)]
    Nftables(#[from] crate::Error),
    /// The program refused.
    #[error("running [{command}]: {status}: {output}")]
    Refused {
        /// The command line; for iptables-restore followed by what it was given to read.
        command: String,
        /// How the program ended.
        status: ExitStatus,
        /// What it printed.
        output: String,
    },
}

/// Which kernel interface an iptables program speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// nf_tables: its rules can be read and changed over netlink.
    Nft,
    /// The old one, which only itself can read and change.
    Legacy,
}

/// One flavour of iptables for one address family.
pub struct Iptables {
    list: IPTables,
    restore: PathBuf,
}

impl Iptables {
    /// The flavour that the machine's owner chose: `iptables` in PATH.
    ///
    /// # Errors
    /// It is not there.
    pub fn new(family: Family) -> Result<Self, Error> {
        match family {
            Family::V4 => Self::find("iptables", "iptables-restore"),
            Family::V6 => Self::find("ip6tables", "ip6tables-restore"),
        }
    }

    /// The flavour that speaks to the old kernel interface, for what an earlier program left
    /// there; plain `iptables` where no program bears the longer name.
    ///
    /// # Errors
    /// Neither is there.
    pub fn legacy(family: Family) -> Result<Self, Error> {
        let legacy = match family {
            Family::V4 => Self::find("iptables-legacy", "iptables-legacy-restore"),
            Family::V6 => Self::find("ip6tables-legacy", "ip6tables-legacy-restore"),
        };
        legacy.or_else(|_| Self::new(family))
    }

    /// The flavour that speaks to nf_tables, where the machine's owner chose another.
    ///
    /// # Errors
    /// It is not there.
    pub fn nft(family: Family) -> Result<Self, Error> {
        match family {
            Family::V4 => Self::find("iptables-nft", "iptables-nft-restore"),
            Family::V6 => Self::find("ip6tables-nft", "ip6tables-nft-restore"),
        }
    }

    /// The name of the program.
    pub fn program(&self) -> &'static str {
        self.list.cmd
    }

    fn family(&self) -> Family {
        match self.list.cmd.starts_with("ip6") {
            true => Family::V6,
            false => Family::V4,
        }
    }

    /// Removes `chain` as [`super::remove_chain`] does.
    ///
    /// # Errors
    /// What iptables says.
    pub fn remove_chain(&self, table: &str, chain: &str) -> Result<bool, Error> {
        let changes = super::remove_script(&self.list(table)?, chain);
        self.restore(table, &changes)?;
        Ok(!changes.is_empty())
    }

    /// What the name of the program's file says, behind all symbolic links (`xtables-nft-multi`,
    /// `xtables-legacy-multi`). Runs nothing; `None` for one that bears neither word.
    pub fn flavour(&self) -> Option<Flavour> {
        let file = find_in_path(self.list.cmd).ok()?.canonicalize().ok()?;
        let name = file.file_name()?.to_string_lossy();
        match (name.contains("nft"), name.contains("legacy")) {
            (true, false) => Some(Flavour::Nft),
            (false, true) => Some(Flavour::Legacy),
            _ => None,
        }
    }

    fn find(program: &'static str, restore: &'static str) -> Result<Self, Error> {
        find_in_path(program)?;
        // Every release that has `iptables-restore --wait` has these options too, so nothing
        // needs to be run to find out.
        let list = IPTables {
            cmd: program,
            has_check: true,
            has_wait: true,
            is_numeric: false,
        };
        Ok(Self {
            list,
            restore: find_in_path(restore)?,
        })
    }

    /// All chains and rules of `table`.
    ///
    /// # Errors
    /// What iptables says.
    pub fn list(&self, table: &str) -> Result<Vec<Line>, Error> {
        let program = Path::new(self.list.cmd);
        let output = self.list.execute(table, "-S").map_err(|error| {
            let source = match error.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error.to_string()),
            };
            Error::Run {
                program: program.to_owned(),
                source,
            }
        })?;
        let output = checked(output, || {
            describe(program, &["-t", table, "-S", "--wait"], "")
        })?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(Line::parse)
            .collect())
    }

    /// Applies `commands` (`:CHAIN - [0:0]`, `-A CHAIN ...`, `-D ...`) to `table`, all or none,
    /// and leaves the rest of the table alone. Runs nothing when there is nothing to do.
    ///
    /// # Errors
    /// What iptables-restore says.
    pub fn restore(&self, table: &str, commands: &[String]) -> Result<(), Error> {
        if commands.is_empty() {
            return Ok(());
        }
        if self.flavour() == Some(Flavour::Nft) {
            // A table that cannot be made like this is made by iptables, and stays.
            let _ = super::made::make(self.family(), table);
        }
        let script = format!("*{table}\n{}\nCOMMIT\n", commands.join("\n"));
        self.run_restore(&["--noflush", "--wait"], &script)
            .map(drop)
    }

    fn run_restore(&self, arguments: &[&str], input: &str) -> Result<Output, Error> {
        let fail = |source| Error::Run {
            program: self.restore.clone(),
            source,
        };
        #[allow(clippy::disallowed_methods, reason = "iptables-restore is a program")]
        let mut child = Command::new(&self.restore)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(input.as_bytes()) {
                // A program that ends early says why on stderr.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(fail(error)),
                _ => {}
            }
        }
        let output = child.wait_with_output().map_err(fail)?;
        checked(output, || describe(&self.restore, arguments, input))
    }
}

fn checked(output: Output, command: impl Fn() -> String) -> Result<Output, Error> {
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Refused {
        command: command(),
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned(),
    })
}

fn describe(program: &Path, arguments: &[&str], input: &str) -> String {
    let command = format!("{} {}", program.display(), arguments.join(" "));
    match input {
        "" => command,
        input => format!("{command} <<< {input:?}"),
    }
}

fn find_in_path(program: &'static str) -> Result<PathBuf, Error> {
    let path = env::var_os("PATH").unwrap_or_default();
    let executable = |file: &PathBuf| {
        file.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(executable)
        .ok_or(Error::NotFound { program, path })
}
