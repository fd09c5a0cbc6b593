//! Manual pages and shell completion of `podwire` and `netd`, made of what the executables tell of
//! themselves (`podwire help --output json`), and of the lab, whose command line clap has. A step of building, no
//! part of what is installed.

mod completion;
mod lab;
mod man;
mod plugin;
mod told;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Parser;

use told::Told;

/// Writes manual pages and shell completion.
#[derive(Debug, Parser)]
struct Arguments {
    /// The executable that is asked.
    #[arg(long)]
    podwire: PathBuf,
    /// The daemon's executable, asked as well.
    #[arg(long)]
    netd: PathBuf,
    /// Where the pages go: man/man1, man/man7, man/man8 and completion below it.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut all = lab::pages()?;
    for program in [&arguments.podwire, &arguments.netd] {
        all.extend(pages(&Told::ask(program)?)?);
    }
    for page in all {
        write(&arguments.out.join(&page.path), &page.text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let parent = path.parent().context("a page lies in a directory")?;
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// A file to be.
struct Page {
    /// Below the output directory.
    path: String,
    text: Vec<u8>,
}

fn pages(told: &Told) -> anyhow::Result<Vec<Page>> {
    let command_line = told.command();
    let mut pages = vec![man::program(told, &command_line)?];
    for command in &told.commands {
        pages.push(man::command(told, &command_line, command)?);
    }
    for plugin in &told.plugins {
        pages.push(plugin::page(told, plugin)?);
    }
    pages.extend(completion::pages(&command_line));
    Ok(pages)
}
