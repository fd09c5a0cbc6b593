//! What a case works with: the plugin it judges, pods, and ways to look.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use cni::SpecVersion;
use serde_json::Value;

use crate::{
    actor::{Actor, Answer},
    case::Failure,
    plugins::Known,
    steps::{self, Kind, quote},
};

/// Where the world keeps plugins of the suite's own.
pub(crate) const OWN_PLUGINS: &str = "/run/suite";

/// One case's world and the plugin it judges there.
pub(crate) struct Bench {
    /// Directory under judgement; becomes `CNI_PATH`.
    pub plugin_dir: PathBuf,
    /// The other directory of a takeover case: its plugins were here before.
    pub other_dir: Option<PathBuf>,
    /// The plugin under judgement.
    pub plugin: &'static Known,
    /// The version in the configuration.
    pub version: SpecVersion,
    /// Directories searched before the one under judgement, for plugins of the suite's own.
    pub first_in_path: Vec<PathBuf>,
    /// Directories searched behind it, for plugins that it does not have.
    pub last_in_path: Vec<PathBuf>,
    /// How long what should come may take: long for a plugin, which may stand on a busy machine,
    /// short for a stub, which is expected to fail.
    pub patience: Duration,
}

/// The environment and configuration of one call; start from [`Bench::call`].
pub(crate) struct Call {
    program: PathBuf,
    /// A program and its arguments, which runs the plugin.
    through: &'static [&'static str],
    environment: BTreeMap<String, String>,
    stdin: Input,
}

/// What a call finds on its standard input.
enum Input {
    Text(String),
    File(PathBuf),
}

/// What a plugin answered.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Standard output, verbatim.
    pub stdout: String,
    /// Standard error, verbatim.
    pub stderr: String,
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
}

impl Bench {
    /// Makes a namespace `NAME`, its `lo` up, and returns its path.
    pub(crate) fn pod(&mut self, name: &str) -> Result<String> {
        self.run("ip", &["netns", "add", name])?;
        self.run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        Ok(format!("/run/netns/{name}"))
    }

    /// The plugin's minimal configuration.
    #[must_use]
    pub(crate) fn config(&self) -> Value {
        self.plugin.config(self.version)
    }

    /// A call of the plugin with a runtime's usual environment: container `ctr1`, `eth0`, pod `pod`.
    pub(crate) fn call(&self, command: &str, config: &Value) -> Call {
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
        environment.insert("CNI_PATH".to_owned(), self.search_path());
        let program = self.plugin_dir.join(self.plugin.name);
        Call {
            program,
            through: &[],
            environment,
            stdin: Input::Text(config.to_string()),
        }
    }

    /// `CNI_PATH`: the suite's own plugins first.
    #[must_use]
    pub(crate) fn search_path(&self) -> String {
        self.searched()
            .map(|dir| dir.display().to_string())
            .collect::<Vec<_>>()
            .join(":")
    }

    fn searched(&self) -> impl Iterator<Item = &PathBuf> {
        let all = self.first_in_path.iter().chain([&self.plugin_dir]);
        all.chain(&self.last_in_path)
    }

    /// The directory of `CNI_PATH` that has this plugin.
    #[must_use]
    pub(crate) fn dir_of(&self, plugin: &str) -> Option<PathBuf> {
        self.searched()
            .find(|dir| dir.join(plugin).is_file())
            .cloned()
    }

    /// The first plugin of these needs (`plugin:NAME`) that no directory has, or that of a takeover
    /// case's two sides only one has.
    #[must_use]
    pub(crate) fn lacks(&self, needs: &[&'static str]) -> Option<&'static str> {
        let mut plugins = needs.iter().filter_map(|need| need.strip_prefix("plugin:"));
        let other = self.other_dir.as_ref();
        plugins.find(|plugin| {
            let others_lack = other.is_some_and(|dir| !dir.join(plugin).is_file());
            others_lack || self.dir_of(plugin).is_none()
        })
    }

    /// Puts a plugin of the suite's own, which answers as told, first into `CNI_PATH`.
    /// Commands that are not named get silence and exit status 0.
    pub(crate) fn actor(&mut self, name: &str, answers: &[(&str, Answer)]) -> Result<Actor> {
        let dir = PathBuf::from(OWN_PLUGINS);
        if !self.first_in_path.contains(&dir) {
            self.first_in_path.push(dir);
        }
        self.actor_in(OWN_PLUGINS, name, answers)
    }

    /// Puts a plugin of the suite's own into a directory; writing it again changes its answers.
    pub(crate) fn actor_in(
        &mut self,
        dir: &str,
        name: &str,
        answers: &[(&str, Answer)],
    ) -> Result<Actor> {
        self.run("mkdir", &["-p", dir])?;
        let path = format!("{dir}/{name}");
        let actor = Actor::at(PathBuf::from(&path));
        self.write(&path, &Actor::script()?)?;
        self.run("chmod", &["755", &path])?;
        let answers: BTreeMap<_, _> = answers.iter().cloned().collect();
        self.write(
            &actor.answers().to_string_lossy(),
            &serde_json::to_string(&answers)?,
        )?;
        Ok(actor)
    }

    /// Whether it holds now or before the bench's patience ends; the steps of the last try are kept.
    pub(crate) fn in_time(&mut self, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let start = Instant::now();
        let limit = self.patience.as_secs();
        steps::did(
            Kind::Look,
            format!("# until it is so, for up to {limit} s:"),
        );
        let done = steps::count();
        while !holds(self) {
            if start.elapsed() > self.patience {
                return false;
            }
            steps::forget_after(done);
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Writes a file.
    pub(crate) fn write(&mut self, path: &str, text: &str) -> Result<()> {
        steps::did(
            Kind::Prepare,
            format!("printf %s {} > {}", quote(text), quote(path)),
        );
        std::fs::write(path, text).with_context(|| format!("write {path}"))
    }

    /// A file's text.
    pub(crate) fn read(&mut self, path: &str) -> Result<String> {
        steps::did(Kind::Look, format!("cat {}", quote(path)));
        std::fs::read_to_string(path).with_context(|| format!("read {path}"))
    }

    /// The same call of the plugin in the other directory of a takeover case.
    pub(crate) fn call_other(&self, command: &str, config: &Value) -> Result<Call> {
        let other = self
            .other_dir
            .clone()
            .context("a takeover case needs --takeover")?;
        let plugin = self.plugin.name;
        let path = other.display().to_string();
        Ok(self
            .call(command, config)
            .of(&other, plugin)
            .env("CNI_PATH", &path))
    }

    /// Whether the VERSION answers of all plugins of the case list its version.
    pub(crate) fn version_is_listed(&self) -> Result<bool, Failure> {
        let dirs = [Some(self.plugin_dir.clone()), self.other_dir.clone()];
        let this = Value::from(self.version.as_str());
        let plugin = self.plugin.name;
        for dir in dirs.into_iter().flatten() {
            let asked = serde_json::json!({ "cniVersion": self.version.as_str() });
            let answer = self.call("VERSION", &asked).of(&dir, plugin).reply()?;
            steps::forget_after(steps::count() - 1);
            let answer = answer.result()?;
            let listed = answer["supportedVersions"].as_array();
            if !listed.is_some_and(|listed| listed.contains(&this)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// ADD that must succeed; returns its result.
    pub(crate) fn add(&self, config: &Value) -> Result<Value, Failure> {
        self.call("ADD", config).reply()?.result()
    }

    /// The JSON that a looking program (`ip -j …`, `bridge -j …`, `nft -j …`) prints.
    pub(crate) fn look(&mut self, program: &str, args: &[&str]) -> Result<Value> {
        let text = self.perform(Kind::Look, program, args)?;
        if text.trim().is_empty() {
            return Ok(Value::Array(Vec::new()));
        }
        serde_json::from_str(&text).with_context(|| format!("{program} {}: {text}", args.join(" ")))
    }

    /// Runs a program that shows something in its own words; it must succeed.
    pub(crate) fn watch(&mut self, program: &str, args: &[&str]) -> Result<String> {
        self.perform(Kind::Look, program, args)
    }

    /// Runs a program that must succeed; returns its stdout.
    pub(crate) fn run(&mut self, program: &str, args: &[&str]) -> Result<String> {
        self.perform(Kind::Prepare, program, args)
    }

    fn perform(&mut self, kind: Kind, program: &str, args: &[&str]) -> Result<String> {
        let words: Vec<_> = [program]
            .iter()
            .chain(args)
            .map(|word| quote(word))
            .collect();
        let line = words.join(" ");
        let number = steps::did(kind, line.clone());
        let output = command(Path::new(program))
            .args(args)
            .output()
            .context(line.clone())?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        steps::printed(number, &stdout);
        if !output.status.success() {
            bail!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(stdout)
    }
}

impl Call {
    /// Sets a variable.
    #[must_use]
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Removes a variable.
    #[must_use]
    pub(crate) fn unset(mut self, key: &str) -> Self {
        self.environment.remove(key);
        self
    }

    /// Sends these bytes instead of the configuration.
    #[must_use]
    pub(crate) fn stdin(mut self, stdin: &str) -> Self {
        self.stdin = Input::Text(stdin.to_owned());
        self
    }

    /// Runs the plugin through this program, which finds the plugin's path as its last argument.
    #[must_use]
    pub(crate) fn through(mut self, words: &'static [&'static str]) -> Self {
        self.through = words;
        self
    }

    /// Opens this as standard input instead of sending a configuration.
    #[must_use]
    pub(crate) fn stdin_from(mut self, path: &str) -> Self {
        self.stdin = Input::File(PathBuf::from(path));
        self
    }

    /// Calls the plugin of that name in `dir` instead.
    #[must_use]
    pub(crate) fn of(mut self, dir: &Path, name: &str) -> Self {
        self.program = dir.join(name);
        self
    }

    /// The same of another plugin of the directory.
    #[must_use]
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.program.set_file_name(name);
        self
    }

    /// Runs it.
    pub(crate) fn reply(self) -> Result<Reply> {
        let line = self.shell_line();
        self.spawn(line)?.end()
    }

    /// Starts it, to run beside others until [`Running::reply`].
    pub(crate) fn start(self) -> Result<Running> {
        let line = self.shell_line() + " &";
        self.spawn(line)
    }

    fn spawn(self, line: String) -> Result<Running> {
        let step = steps::did(Kind::Call, line);
        let (stdin, text) = match self.stdin {
            Input::Text(text) => (Stdio::piped(), text),
            Input::File(path) => (std::fs::File::open(path)?.into(), String::new()),
        };
        let (program, arguments) = match self.through {
            [] => (self.program.as_path(), None),
            [first, rest @ ..] => (Path::new(first), Some((rest, &self.program))),
        };
        let mut call = command(program);
        if let Some((rest, plugin)) = arguments {
            call.args(rest).arg(plugin);
        }
        let mut child = call
            .env_clear()
            .envs(&self.environment)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {}", self.program.display()))?;
        // VERSION need not read its input: a closed pipe is no failure of the plugin.
        if let Some(mut pipe) = child.stdin.take()
            && let Err(error) = pipe.write_all(text.as_bytes())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(error.into());
        }
        Ok(Running { child, step })
    }

    fn shell_line(&self) -> String {
        let variables: Vec<_> = self
            .environment
            .iter()
            .map(|(key, value)| format!("{key}={}", quote(value)))
            .collect();
        let mut words: Vec<_> = self.through.iter().map(|word| quote(word)).collect();
        words.push(quote(&self.program.display().to_string()));
        let call = format!("env -i {} {}", variables.join(" "), words.join(" "));
        match &self.stdin {
            Input::Text(text) => format!("printf %s {} | {call}", quote(text)),
            Input::File(path) => format!("{call} < {}", quote(&path.display().to_string())),
        }
    }
}

/// A call under way.
pub(crate) struct Running {
    child: std::process::Child,
    step: usize,
}

impl Running {
    /// Waits for its end, and by hand for that of all that run.
    pub(crate) fn reply(self) -> Result<Reply> {
        if steps::last_line() != "wait" {
            steps::did(Kind::Call, "wait".to_owned());
        }
        self.end()
    }

    fn end(self) -> Result<Reply> {
        let mut child = self.child;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = std::thread::scope(|scope| {
            let stderr = scope.spawn(|| text_of(stderr));
            (text_of(stdout), stderr.join())
        });
        let reply = Reply {
            stdout: stdout?,
            stderr: stderr.map_err(|_| anyhow::anyhow!("reading stderr panicked"))??,
            status: child.wait()?.code(),
        };
        steps::answered(self.step, reply.status, &reply.stdout);
        Ok(reply)
    }
}

/// The most that a plugin may print, in bytes; what runs on for ever shall not fill the memory.
const MOST_OUTPUT: u64 = 1 << 20;

/// All that comes through a pipe; one that brings too much is closed, which ends its writer.
fn text_of(pipe: Option<impl Read>) -> Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MOST_OUTPUT + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > MOST_OUTPUT {
        bail!("the plugin printed more than {MOST_OUTPUT} bytes");
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Reply {
    /// The result document of a call that must have succeeded.
    pub(crate) fn result(&self) -> Result<Value, Failure> {
        self.succeeds()?;
        serde_json::from_str(&self.stdout)
            .map_err(|error| Failure::new(error, "one JSON document on stdout", &self.stdout))
    }

    /// Exit status 0.
    pub(crate) fn succeeds(&self) -> Result<(), Failure> {
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
    pub(crate) fn succeeds_silently(&self) -> Result<(), Failure> {
        self.succeeds()?;
        expect("stdout", &"", &self.stdout.as_str())
    }

    /// The error object of a call that must have failed: exit status other than 0, one JSON
    /// document on stdout with a numeric `code` and a text `msg`.
    pub(crate) fn error(&self) -> Result<Value, Failure> {
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
    pub(crate) fn fails_with(&self, code: u32) -> Result<Value, Failure> {
        let error = self.error()?;
        expect("error code", &Value::from(code), &error["code"])?;
        Ok(error)
    }
}

/// Both sides equal, or a failure that shows them.
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(
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
pub(crate) fn expect_that(holds: bool, what: &str, seen: impl ToString) -> Result<(), Failure> {
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
