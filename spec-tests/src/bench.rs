//! What a case works with: the plugin it judges, pods, and ways to look.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use cni::SpecVersion;
use serde_json::Value;

use crate::{case::Failure, plugins::Known};

/// One case's world and the plugin it judges there.
pub struct Bench {
    /// Directory under judgement; becomes `CNI_PATH`.
    pub plugin_dir: PathBuf,
    /// The plugin under judgement.
    pub plugin: &'static Known,
    /// The version in the configuration.
    pub version: SpecVersion,
    /// Every command that was run, for repeating by hand.
    pub commands: Vec<String>,
}

/// The environment and configuration of one call; start from [`Bench::call`].
pub struct Call<'a> {
    bench: &'a mut Bench,
    program: PathBuf,
    environment: BTreeMap<String, String>,
    stdin: String,
}

/// What a plugin answered.
#[derive(Debug)]
pub struct Reply {
    /// Standard output, verbatim.
    pub stdout: String,
    /// Standard error, verbatim.
    pub stderr: String,
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
}

impl Bench {
    /// Makes a namespace `NAME`, its `lo` up, and returns its path.
    pub fn pod(&mut self, name: &str) -> Result<String> {
        self.run("ip", &["netns", "add", name])?;
        self.run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        Ok(format!("/run/netns/{name}"))
    }

    /// The plugin's minimal configuration.
    #[must_use]
    pub fn config(&self) -> Value {
        self.plugin.config(self.version)
    }

    /// A call of the plugin with a runtime's usual environment: container `ctr1`, `eth0`, pod `pod`.
    pub fn call(&mut self, command: &str, config: &Value) -> Call<'_> {
        let environment = [
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "ctr1"),
            ("CNI_NETNS", "/run/netns/pod"),
            ("CNI_IFNAME", "eth0"),
        ];
        let mut environment: BTreeMap<_, _> = environment
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        environment.insert("CNI_PATH".to_owned(), self.plugin_dir.display().to_string());
        let program = self.plugin_dir.join(self.plugin.name);
        Call {
            bench: self,
            program,
            environment,
            stdin: config.to_string(),
        }
    }

    /// Whether the plugin's VERSION answer lists the case's version.
    pub fn version_is_listed(&mut self) -> Result<bool, Failure> {
        let asked = serde_json::json!({ "cniVersion": self.version.as_str() });
        let answer = self.call("VERSION", &asked).reply()?.result()?;
        self.commands.pop();
        let this = Value::from(self.version.as_str());
        Ok(answer["supportedVersions"]
            .as_array()
            .is_some_and(|listed| listed.contains(&this)))
    }

    /// ADD that must succeed; returns its result.
    pub fn add(&mut self, config: &Value) -> Result<Value, Failure> {
        self.call("ADD", config).reply()?.result()
    }

    /// The JSON that a looking program (`ip -j …`, `bridge -j …`, `nft -j …`) prints.
    pub fn look(&mut self, program: &str, args: &[&str]) -> Result<Value> {
        let text = self.run(program, args)?;
        if text.trim().is_empty() {
            return Ok(Value::Array(Vec::new()));
        }
        serde_json::from_str(&text).with_context(|| format!("{program} {}: {text}", args.join(" ")))
    }

    /// Runs a program that must succeed; returns its stdout.
    pub fn run(&mut self, program: &str, args: &[&str]) -> Result<String> {
        let line = format!("{program} {}", args.join(" "));
        self.commands.push(line.clone());
        let output = command(Path::new(program))
            .args(args)
            .output()
            .context(line.clone())?;
        if !output.status.success() {
            bail!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Call<'_> {
    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Self {
        self.environment.remove(key);
        self
    }

    /// Sends these bytes instead of the configuration.
    #[must_use]
    pub fn stdin(mut self, stdin: &str) -> Self {
        stdin.clone_into(&mut self.stdin);
        self
    }

    /// Runs it.
    pub fn reply(self) -> Result<Reply> {
        self.bench.commands.push(self.shell_line());
        let mut child = command(&self.program)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {}", self.program.display()))?;
        let mut pipe = child.stdin.take().context("the plugin has no stdin")?;
        // VERSION need not read its input: a closed pipe is no failure of the plugin.
        match pipe.write_all(self.stdin.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(error.into());
            }
            _ => drop(pipe),
        }
        let output = child.wait_with_output()?;
        Ok(Reply {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status.code(),
        })
    }

    fn shell_line(&self) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let variables: Vec<_> = self
            .environment
            .iter()
            .map(|(key, value)| format!("{key}={}", quote(value)))
            .collect();
        let (variables, program) = (variables.join(" "), self.program.display());
        format!(
            "printf %s {} | env -i {variables} {program}",
            quote(&self.stdin)
        )
    }
}

impl Reply {
    /// The result document of a call that must have succeeded.
    pub fn result(&self) -> Result<Value, Failure> {
        self.succeeds()?;
        serde_json::from_str(&self.stdout)
            .map_err(|error| Failure::new(error, "one JSON document on stdout", &self.stdout))
    }

    /// Exit status 0.
    pub fn succeeds(&self) -> Result<(), Failure> {
        if self.status == Some(0) {
            return Ok(());
        }
        Err(Failure::new(
            "exit status",
            "0",
            format!("{:?}: {}{}", self.status, self.stdout, self.stderr),
        ))
    }

    /// Exit status 0 and nothing on stdout.
    pub fn succeeds_silently(&self) -> Result<(), Failure> {
        self.succeeds()?;
        expect("stdout", &"", &self.stdout.as_str())
    }

    /// The error object of a call that must have failed: exit status other than 0, one JSON
    /// document on stdout with a numeric `code` and a text `msg`.
    pub fn error(&self) -> Result<Value, Failure> {
        if self.status.is_none_or(|status| status == 0) {
            return Err(Failure::new(
                "exit status",
                "not 0",
                format!("{:?}", self.status),
            ));
        }
        let error: Value = serde_json::from_str(&self.stdout)
            .map_err(|cause| Failure::new(cause, "one error object on stdout", &self.stdout))?;
        if !error["code"].is_u64() || !error["msg"].is_string() {
            return Err(Failure::new(
                "error object",
                "a number 'code' and a text 'msg'",
                &error,
            ));
        }
        Ok(error)
    }

    /// Fails with this code.
    pub fn fails_with(&self, code: u32) -> Result<Value, Failure> {
        let error = self.error()?;
        expect("error code", &Value::from(code), &error["code"])?;
        Ok(error)
    }
}

/// Both sides equal, or a failure that shows them.
pub fn expect<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &T,
    seen: &T,
) -> Result<(), Failure> {
    if expected == seen {
        return Ok(());
    }
    Err(Failure::new(
        what,
        format!("{expected:?}"),
        format!("{seen:?}"),
    ))
}

/// A condition, or a failure that shows what was seen.
pub fn expect_that(holds: bool, what: &str, seen: impl ToString) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(Failure::new(what, "it holds", seen))
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the suite runs the plugins it judges and looks through programs"
)]
pub(crate) fn command(program: &Path) -> Command {
    Command::new(program)
}
