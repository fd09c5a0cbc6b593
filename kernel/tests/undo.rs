//! The hooks that make a step fail or the process die, each in a process of its own.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::RefCell;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use kernel::Undo;

/// Three steps; undoes them when one fails; exits with the number of steps undone.
#[test]
fn three_steps() {
    if std::env::var_os("THREE_STEPS").is_none() {
        return;
    }
    let undone = RefCell::new(0);
    let undone = &undone;
    let mut undo = Undo::new();
    let pushed = (0..3).try_for_each(|_| {
        undo.push("step", move || {
            *undone.borrow_mut() += 1;
            Ok(())
        })
    });
    match pushed {
        Ok(()) => undo.commit(),
        Err(error) => {
            assert!(error.to_string().starts_with("fail after step "), "{error}");
            drop(undo);
        }
    }
    std::process::exit(*undone.borrow());
}

fn run(variable: &str, step: u32) -> ExitStatus {
    let program = std::env::current_exe().unwrap();
    #[allow(clippy::disallowed_methods, reason = "the hooks end the process")]
    let mut command = Command::new(program);
    command
        .args(["--exact", "three_steps"])
        .env("THREE_STEPS", "1");
    command
        .env(variable, step.to_string())
        .output()
        .unwrap()
        .status
}

#[test]
fn every_prefix_can_fail() {
    for step in 1..=3 {
        assert_eq!(
            run("PODWIRE_FAIL_AFTER_STEP", step).code(),
            Some(step as i32)
        );
    }
    assert_eq!(run("PODWIRE_FAIL_AFTER_STEP", 4).code(), Some(0));
}

#[test]
fn every_prefix_can_die() {
    for step in 1..=3 {
        assert_eq!(run("PODWIRE_ABORT_AFTER_STEP", step).signal(), Some(9));
    }
    assert_eq!(run("PODWIRE_ABORT_AFTER_STEP", 4).code(), Some(0));
}
