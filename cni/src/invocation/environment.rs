//! The variables of a call: which command needs which, and what they may hold.

use super::Env;
use crate::{Attachment, ContainerId, Detachment, Error, IfName, code};

/// A command with what it needs from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Add(Attachment),
    Del(Detachment),
    Check(Attachment),
    Gc,
    Status,
    Version,
    /// Refused only after the configuration was read, as the reference does.
    Unknown(String),
}

/// A variable and the commands that need it.
struct Requirement {
    variable: &'static str,
    commands: &'static [&'static str],
}

/// In the order in which missing ones are reported.
const REQUIREMENTS: [Requirement; 4] = [
    Requirement {
        variable: "CNI_CONTAINERID",
        commands: &["ADD", "CHECK", "DEL"],
    },
    Requirement {
        variable: "CNI_NETNS",
        commands: &["ADD", "CHECK"],
    },
    Requirement {
        variable: "CNI_IFNAME",
        commands: &["ADD", "CHECK", "DEL"],
    },
    Requirement {
        variable: "CNI_PATH",
        commands: &["ADD", "CHECK", "DEL", "GC", "STATUS"],
    },
];

impl Command {
    /// The command of `CNI_COMMAND`, which must be there, with the variables that it needs.
    ///
    /// # Errors
    /// Code 4: an invalid name at once, otherwise all missing variables together. An empty value
    /// counts as missing.
    pub(crate) fn read(env: &Env) -> Result<Self, Error> {
        let command = variable(env, "CNI_COMMAND").unwrap_or_default();
        let mut missing = Vec::new();
        for requirement in REQUIREMENTS
            .iter()
            .filter(|r| r.commands.contains(&command))
        {
            match variable(env, requirement.variable) {
                None => missing.push(requirement.variable),
                Some(value) => validate(requirement.variable, value)?,
            }
        }
        if !missing.is_empty() {
            let msg = format!("required env variables [{}] missing", missing.join(","));
            return Err(Error::new(code::INVALID_ENVIRONMENT, msg));
        }
        Ok(match command {
            "ADD" => Self::Add(attachment(env, netns(env).unwrap_or_default())?),
            "DEL" => Self::Del(attachment(env, netns(env))?),
            // Missing, it was reported above.
            "CHECK" => Self::Check(attachment(env, netns(env).unwrap_or_default())?),
            "GC" => Self::Gc,
            "STATUS" => Self::Status,
            "VERSION" => Self::Version,
            other => Self::Unknown(other.to_owned()),
        })
    }

    /// The value of `CNI_COMMAND`.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Add(_) => "ADD",
            Self::Del(_) => "DEL",
            Self::Check(_) => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
            Self::Unknown(name) => name,
        }
    }
}

fn variable<'e>(env: &'e Env, name: &str) -> Option<&'e str> {
    env.get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

fn validate(name: &str, value: &str) -> Result<(), Error> {
    let checked = match name {
        "CNI_CONTAINERID" => value.parse::<ContainerId>().map(|_| ()),
        "CNI_IFNAME" => value.parse::<IfName>().map(|_| ()),
        _ => Ok(()),
    };
    checked.map_err(|error| name_variable(error, name, value))
}

/// Puts the variable into the details: an error of code 4 must name it (CNI specification 1.1.0,
/// section 5).
fn name_variable(error: Error, name: &str, value: &str) -> Error {
    let details = match error.details.as_str() {
        "" => format!("{name}={value}"),
        details if details == value => format!("{name}={value}"),
        details => format!("{details}: {name}={value}"),
    };
    error.with_details(details)
}

fn netns(env: &Env) -> Option<String> {
    variable(env, "CNI_NETNS").map(str::to_owned)
}

fn attachment<N>(env: &Env, netns: N) -> Result<Attachment<N>, Error> {
    Ok(Attachment {
        container_id: variable(env, "CNI_CONTAINERID")
            .unwrap_or_default()
            .parse()?,
        ifname: variable(env, "CNI_IFNAME").unwrap_or_default().parse()?,
        netns,
    })
}
