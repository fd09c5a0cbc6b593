//! Replays `scenarios/*.json`: calls of the plugin, what it prints, and every file with mode and
//! content afterwards. What the reference plugin does was written down from it; where the plugin
//! differs on purpose, `differs` says why.
//!
//! In the files the default data directory and `/opt/work` are meant literally; the replay puts
//! both below a directory of its own, by a `dataDir` in every configuration.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use cni::{Invocation, Plugin, invocation};
use ipam::HostLocal;
use serde::Deserialize;
use serde_json::{Value, json};

const DATA_DIR: &str = "/var/lib/cni/networks";
const WORK_DIR: &str = "/opt/work";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    #[serde(rename = "about")]
    _about: String,
    #[serde(rename = "differs")]
    _differs: Option<String>,
    /// Files that are there before, mode 0644.
    #[serde(default)]
    before: BTreeMap<String, String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    command: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Where absent: as in the step before.
    config: Option<Value>,
    exit: i32,
    stdout: String,
    /// `<mode> <content>` or `<mode> dir`, below both directories; where absent: not looked at.
    files: Option<BTreeMap<String, String>>,
}

#[test]
fn every_scenario_ends_as_written() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<PathBuf> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() > 90, "scenarios are missing: {}", paths.len());
    let failures: Vec<String> = paths.iter().filter_map(|path| replay(path).err()).collect();
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn replay(path: &Path) -> Result<(), String> {
    let name = path.file_stem().unwrap().to_string_lossy();
    let scenario: Scenario = serde_json::from_slice(&fs::read(path).unwrap())
        .map_err(|error| format!("{name}: {error}"))?;
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    fs::create_dir_all(inside(root, WORK_DIR)).unwrap();
    for (file, content) in &scenario.before {
        let file = inside(root, file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    let mut config = Value::Null;
    for (position, step) in scenario.steps.iter().enumerate() {
        let at = format!("{name}, step {} ({})", position + 1, step.command);
        if let Some(written) = &step.config {
            config = relocated(root, written.clone());
        }
        let outcome = call(root, step, &config);
        let stdout = outcome
            .stdout
            .replace(&root.to_string_lossy().into_owned(), "");
        same(
            &at,
            "exit status and output",
            &(outcome.code, stdout),
            &(step.exit, step.stdout.clone()),
        )?;
        if let Some(wanted) = &step.files {
            same(&at, "files", &files_below(root), wanted)?;
        }
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(
    at: &str,
    what: &str,
    got: &T,
    wanted: &T,
) -> Result<(), String> {
    if got == wanted {
        Ok(())
    } else {
        Err(format!(
            "{at}: {what}\n  got    {got:?}\n  wanted {wanted:?}"
        ))
    }
}

fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The configuration with all paths below `root`.
fn relocated(root: &Path, mut config: Value) -> Value {
    if let Some(ipam) = config.get_mut("ipam").and_then(Value::as_object_mut) {
        ipam.entry("dataDir").or_insert_with(|| json!(DATA_DIR));
        for key in ["dataDir", "resolvConf"] {
            if let Some(Value::String(path)) = ipam.get_mut(key) {
                *path = inside(root, path).to_string_lossy().into_owned();
            }
        }
    }
    config
}

fn call(root: &Path, step: &Step, config: &Value) -> cni::Outcome {
    let plugin = HostLocal::with_index_dir(root.join("index").to_string_lossy());
    let plugins: [&dyn Plugin; 1] = [&plugin];
    let mut env: BTreeMap<String, String> = [
        ("CNI_COMMAND", step.command.as_str()),
        ("CNI_CONTAINERID", "ctr1"),
        ("CNI_NETNS", "/run/netns/pod"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    env.extend(step.env.clone());
    let stdin = config.to_string();
    let invocation = Invocation {
        env,
        stdin: &mut stdin.as_bytes(),
    };
    invocation::run(&plugin, &plugins, invocation)
}

/// Every path below the two directories, as the files write them.
fn files_below(root: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for top in ["var/lib/cni", "opt/work"] {
        collect(root, &root.join(top), &mut files);
    }
    files
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        let mode = meta.permissions().mode() & 0o7777;
        let content = if meta.is_dir() {
            "dir".into()
        } else {
            fs::read_to_string(&path).unwrap()
        };
        files.insert(name, format!("{mode:04o} {content}"));
        if meta.is_dir() {
            collect(root, &path, files);
        }
    }
}
