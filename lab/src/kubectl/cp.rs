//! `lab cp`: files and directories into containers and out of them.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result, anyhow, bail};
use sandbox::Interrupt;
use sandbox::tree::{self, Descriptors, Target};

use super::args::CpArgs;
use super::say_which_container;
use super::selection::{NotACommandLine, pod_name};
use crate::interrupt;
use crate::output::escaped;
use crate::pod::Pod;
use crate::pod::carry::{self, Direction, Outcome};
use crate::progress::notice;
use crate::state::{LabDir, Name};

/// One end of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the machine.
    Here(PathBuf),
    /// In a pod.
    InPod(Name, PathBuf),
}

impl std::str::FromStr for Place {
    type Err = anyhow::Error;

    /// `POD:PATH`, or a path: one with a colon begins with `/` or `.`.
    fn from_str(text: &str) -> Result<Self> {
        if let Some((pod, path)) = text.split_once(':')
            && !pod.starts_with(['/', '.'])
        {
            if path.is_empty() {
                bail!("{text:?} has no path: give POD:PATH");
            }
            // As kubectl has it, with the namespace.
            let pod = pod.strip_prefix("default/").unwrap_or(pod);
            return Ok(Self::InPod(pod_name(pod)?, path.into()));
        }
        match text {
            "" => bail!("give a path, or POD:PATH"),
            "-" => bail!(
                "- is no file: `lab exec POD -- cat PATH` prints one, `lab exec -i POD -- tee PATH` writes one"
            ),
            _ => Ok(Self::Here(text.into())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(path) => write!(f, "{}", path.display()),
            Self::InPod(pod, path) => write!(f, "{pod}:{}", path.display()),
        }
    }
}

/// # Errors
/// As [`super::run()`]; both ends are on one side; something cannot be read or written; Ctrl-C.
pub(super) fn cp(dir: &LabDir, args: &CpArgs, interrupt: Interrupt) -> Result<()> {
    let told = format!("copying {} to {}", args.from, args.to);
    let left = match (&args.from, &args.to) {
        (Place::InPod(pod, there), Place::Here(here)) => {
            let way = Way::find(dir, pod, args, interrupt)?;
            let _notice = notice(move || told);
            way.fetch(there, here)
        }
        (Place::Here(here), Place::InPod(pod, there)) => {
            let way = Way::find(dir, pod, args, interrupt)?;
            let _notice = notice(move || told);
            way.bring(here, there)
        }
        _ => bail!(NotACommandLine(
            "one of the two is a path on this machine, the other one POD:PATH".to_owned()
        )),
    };
    // The other side fails, too, when this one has had enough.
    interrupt::check(interrupt)?;
    match &left?[..] {
        [] => Ok(()),
        left => bail!(not_copied(left)),
    }
}

/// In the words of the container's side, and with its names.
fn not_copied(left: &[String]) -> String {
    let left: Vec<_> = left.iter().map(|each| escaped(each)).collect();
    format!("not copied:\n{}", left.join("\n"))
}

/// Between the machine and a container.
struct Way<'a> {
    dir: &'a LabDir,
    pod: Pod,
    container: Option<&'a str>,
    interrupt: Interrupt,
}

impl<'a> Way<'a> {
    fn find(dir: &'a LabDir, pod: &Name, args: &'a CpArgs, interrupt: Interrupt) -> Result<Self> {
        let pod = Pod::find(dir, pod)?;
        let container = args.container.as_deref();
        say_which_container(&pod, container);
        Ok(Self {
            dir,
            pod,
            container,
            interrupt,
        })
    }

    fn start(&self, direction: Direction, path: &Path, name: &OsStr) -> Result<Carrier> {
        let (dir, pod) = (self.dir, &self.pod);
        carry::start(dir, pod, self.container, direction, (path, name)).map(Carrier)
    }

    /// Goes on unless a signal came.
    fn check(&self) -> impl FnMut(u64) -> io::Result<()> + use<> {
        let interrupt = self.interrupt;
        move |_| match interrupt.received() {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::Other.into()),
        }
    }

    fn fetch(&self, there: &Path, here: &Path) -> Result<Vec<String>> {
        let name = name_of(there)?;
        let target = Target::find(here, name, Descriptors::open()?)?;
        let mut carrier = self.start(Direction::Out, there, name)?;
        let from = carrier.0.stdout.take();
        let mut from = BufReader::new(from.context("it has no standard output")?);
        tree::take(&mut from, &target, &mut self.check()).map_err(|error| {
            // The other side may have said it.
            anyhow!(escaped(&format!("{:#}", anyhow::Error::from(error))))
        })
    }

    fn bring(&self, here: &Path, there: &Path) -> Result<Vec<String>> {
        let name = name_of(here)?;
        let mut carrier = self.start(Direction::In, there, name)?;
        let to = carrier.0.stdin.take();
        let mut to = BufWriter::new(to.context("it has no standard input")?);
        let given = tree::give(here, &mut to, &mut self.check());
        drop(to);
        interrupt::check(self.interrupt)?;
        // Where that failed it may be for a reason that the other side tells.
        let container = self.pod.container(self.container)?;
        match (carry::outcome(&mut carrier.0, container), given) {
            (Ok(Outcome::Done { left }), Ok(())) => Ok(left),
            (Ok(Outcome::Failed { why }), Ok(())) => Err(self.refused(&why)),
            (Ok(Outcome::Failed { why }), Err(error)) if is_pipe(&error) => Err(self.refused(&why)),
            (Err(error), Err(given)) if is_pipe(&given) => Err(error),
            (Err(error), Ok(())) => Err(error),
            (_, Err(given)) => Err(given.into()),
        }
    }

    /// In the words of the container's side.
    fn refused(&self, why: &str) -> anyhow::Error {
        anyhow!("{}: {}", self.pod.name, escaped(why))
    }
}

/// Whether the other side had ended.
fn is_pipe(error: &kernel::Error) -> bool {
    error.source.kind() == io::ErrorKind::BrokenPipe
}

/// What something is called in a directory that it is copied into.
fn name_of(path: &Path) -> Result<&OsStr> {
    path.file_name().with_context(|| {
        format!(
            "{} has no name of its own: name what is in it",
            path.display()
        )
    })
}

/// What reads or writes in the container; it ends with this.
struct Carrier(Child);

impl Drop for Carrier {
    fn drop(&mut self) {
        // It has nobody to talk to now.
        drop((self.0.stdin.take(), self.0.stdout.take()));
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_container_do_not_operate_the_terminal() {
        let left = ["a\u{1b}]0;OWNED\u{7}\nb: it is a FIFO".to_owned()];
        assert_eq!(
            not_copied(&left),
            "not copied:\na\\u{1b}]0;OWNED\\u{7}\\nb: it is a FIFO"
        );
    }

    #[test]
    fn places() {
        let in_pod = |pod: &str, path: &str| Place::InPod(pod.parse().unwrap(), path.into());
        for (text, place) in [
            ("web:/etc/hosts", in_pod("web", "/etc/hosts")),
            ("pod/web:hosts", in_pod("web", "hosts")),
            ("web:/a:b", in_pod("web", "/a:b")),
            ("/tmp/a:b", Place::Here("/tmp/a:b".into())),
            ("./a:b", Place::Here("./a:b".into())),
            ("a", Place::Here("a".into())),
        ] {
            assert_eq!(text.parse::<Place>().unwrap(), place, "{text}");
        }
        for text in ["", "web:", "Web:/a", ":/a", "node/n1:/a"] {
            assert!(text.parse::<Place>().is_err(), "{text:?}");
        }
    }
}
