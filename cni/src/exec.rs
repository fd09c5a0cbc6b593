//! Starting another plugin: the one place that executes programs.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::invocation::Env;
use crate::json::{self, print::go_quote};
use crate::{Error, code};

/// For how long an executable that is being written is waited for.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// How often it is tried in that time.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Runs the plugin at `path` with exactly `env` and `stdin` and returns what it printed. Blocks
/// until it exits. It runs in the calling thread's namespaces; what it writes to standard error
/// goes to ours, whether it succeeds or fails.
///
/// # Errors
/// The plugin's own error object; code 0 when it failed without one or could not be started.
pub fn run(path: &Path, env: &Env, stdin: &[u8]) -> Result<Vec<u8>, Error> {
    let child = start(path, env).map_err(|cause| not_started(path, cause))?;
    let output = talk(child, stdin).map_err(|cause| {
        let msg = format!("cannot talk to plugin {}: {cause}", path.display());
        Error {
            source: Some(Box::new(cause)),
            ..Error::new(code::IO_FAILURE, msg)
        }
    })?;
    // Nobody is left to tell when our own standard error is gone.
    let _ = io::stderr().write_all(&output.stderr);
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(diagnose(&output))
    }
}

/// Starts the plugin; one whose file is still open for writing (an installer at work) is tried
/// again for a while.
fn start(path: &Path, env: &Env) -> io::Result<Child> {
    let begin = Instant::now();
    loop {
        #[allow(
            clippy::disallowed_methods,
            reason = "this module is where plugins are executed"
        )]
        let started = Command::new(path)
            .env_clear()
            .envs(env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match started {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy
                    && begin.elapsed() < BUSY_LIMIT =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
}

/// Writes and reads at once, so that neither side can wait for the other for ever.
fn talk(mut child: Child, stdin: &[u8]) -> io::Result<Output> {
    let pipe = child.stdin.take();
    std::thread::scope(|scope| {
        // A plugin need not read its input (VERSION does not): a broken pipe is no failure.
        scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(stdin)));
        child.wait_with_output()
    })
}

fn not_started(path: &Path, cause: io::Error) -> Error {
    let msg = format!(
        "netplugin failed with no error message: cannot start {}: {cause}",
        path.display()
    );
    Error {
        source: Some(Box::new(cause)),
        ..Error::new(code::UNKNOWN, msg)
    }
}

/// The error of a plugin that exited with a failure, in the words of the reference's library.
fn diagnose(output: &Output) -> Error {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Printed {
        code: u32,
        msg: String,
        details: String,
    }
    if output.stdout.is_empty() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let msg = if stderr.is_empty() {
            format!(
                "netplugin failed with no error message: {}",
                exit_text(output.status)
            )
        } else {
            format!("netplugin failed: {}", go_quote(&stderr))
        };
        return Error::new(code::UNKNOWN, msg);
    }
    match json::from_slice::<Printed>(&output.stdout) {
        Ok(printed) => Error::new(printed.code, printed.msg).with_details(printed.details),
        Err(cause) => {
            let stdout = go_quote(&String::from_utf8_lossy(&output.stdout));
            let msg = format!(
                "netplugin failed but error parsing its diagnostic message {stdout}: {cause}"
            );
            Error {
                source: Some(Box::new(cause)),
                ..Error::new(code::UNKNOWN, msg)
            }
        }
    }
}

fn exit_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal: {}", signal_text(signal)),
        (None, None) => status.to_string(),
    }
}

/// The signals that end plugins in practice, by name.
fn signal_text(signal: i32) -> String {
    match signal {
        2 => "interrupt".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        13 => "broken pipe".to_owned(),
        15 => "terminated".to_owned(),
        other => format!("signal {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A plugin that is a shell script with `body`.
    fn script(dir: &tempfile::TempDir, body: &str) -> PathBuf {
        let path = dir.path().join("plugin");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn run_script(body: &str, stdin: &[u8]) -> Result<String, (u32, String)> {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("CNI_COMMAND".to_owned(), "ADD".to_owned()),
        ]);
        run(&script(&dir, body), &env, stdin)
            .map(|stdout| String::from_utf8(stdout).unwrap())
            .map_err(|error| (error.code, error.to_string()))
    }

    #[test]
    fn gets_exactly_the_environment_and_standard_input() {
        let output = run_script(
            "cat; echo; env | sort | grep -v '^PWD\\|^_='",
            b"{\"a\": 1} ",
        );
        assert_eq!(
            output.unwrap(),
            "{\"a\": 1} \nCNI_COMMAND=ADD\nPATH=/usr/bin:/bin\n"
        );
    }

    #[test]
    fn large_input_and_output_do_not_block() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(
            run_script("cat; cat >&2 /dev/null", &input).unwrap().len(),
            input.len()
        );
        assert_eq!(run_script("exec true", &input).unwrap(), "");
    }

    #[test]
    fn failures_have_the_texts_of_the_reference() {
        let error = |code: u32, text: &str| Err((code, text.to_owned()));
        for (body, expected) in [
            (
                r#"echo '{"cniVersion":"1.0.0","code":11,"msg":"later","details":"d"}'; exit 1"#,
                error(11, "later; d"),
            ),
            (
                "exit 2",
                error(0, "netplugin failed with no error message: exit status 2"),
            ),
            (
                "kill -9 $$",
                error(0, "netplugin failed with no error message: signal: killed"),
            ),
            (
                "echo oops >&2; exit 1",
                error(0, r#"netplugin failed: "oops\n""#),
            ),
            (
                "echo '{} {'; exit 1",
                error(
                    0,
                    r#"netplugin failed but error parsing its diagnostic message "{} {\n": invalid character '{' after top-level value"#,
                ),
            ),
            (
                "echo not JSON; exit 1",
                error(
                    0,
                    r#"netplugin failed but error parsing its diagnostic message "not JSON\n": invalid JSON: expected ident at line 1 column 2"#,
                ),
            ),
        ] {
            assert_eq!(run_script(body, b"{}"), expected, "{body}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plain");
        fs::write(&path, "x").unwrap();
        let error = run(&path, &Env::new(), b"{}").unwrap_err();
        assert_eq!(error.code, 0);
        let text = format!(
            "netplugin failed with no error message: cannot start {}: Permission denied",
            path.display()
        );
        assert!(error.msg.starts_with(&text), "{}", error.msg);
    }

    #[test]
    fn a_busy_executable_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("true");
        fs::copy("/bin/true", &path).unwrap();
        let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let closer = std::thread::spawn(move || {
            std::thread::sleep(BUSY_PAUSE * 3);
            drop(writer);
        });
        let begin = Instant::now();
        assert_eq!(run(&path, &Env::new(), b"").unwrap(), b"");
        assert!(begin.elapsed() >= BUSY_PAUSE * 2, "it was never busy");
        closer.join().unwrap();
    }
}
