//! What the nodes' netds say: all asked at once, and none waited for much longer than it takes to answer.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};
use serde_json::Value;

use crate::netd;
use crate::node::Node;
use crate::program::Programs;
use crate::state::{LabDir, Name};

/// All netds together have so long.
const PATIENCE: Duration = Duration::from_millis(800);

/// What a netd says.
#[derive(Debug)]
pub(super) enum Answer {
    Status(Value),
    /// It runs, and does not say anything.
    Silence(Error),
    /// It does not run.
    Stopped,
}

/// The questions that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Netds {
    asked: BTreeMap<Name, Receiver<Result<Value>>>,
}

impl Netds {
    /// One answer for each node, in their order.
    ///
    /// # Errors
    /// A state file cannot be read, or no thread can be made.
    pub(super) fn ask(
        &mut self,
        dir: &LabDir,
        programs: &Programs,
        nodes: &[Node],
    ) -> Result<Vec<Answer>> {
        let running: Vec<bool> = nodes
            .iter()
            .map(|node| netd::running(dir, node).map(|netd| netd.is_some()))
            .collect::<Result<_>>()?;
        for (node, _) in nodes.iter().zip(&running).filter(|(_, running)| **running) {
            if !self.asked.contains_key(&node.name) {
                self.asked
                    .insert(node.name.clone(), question(programs, node)?);
            }
        }
        let deadline = Instant::now() + PATIENCE;
        let answers = nodes
            .iter()
            .zip(running)
            .map(|(node, running)| match running {
                true => self.answer(&node.name, deadline),
                false => {
                    self.asked.remove(&node.name);
                    Answer::Stopped
                }
            });
        Ok(answers.collect())
    }

    fn answer(&mut self, node: &Name, deadline: Instant) -> Answer {
        let Some(asked) = self.asked.get(node) else {
            return Answer::Stopped;
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        let answer = match asked.recv_timeout(patience) {
            Ok(Ok(status)) => Answer::Status(status),
            Ok(Err(error)) => Answer::Silence(error),
            // It is not asked a second time before it answers.
            Err(RecvTimeoutError::Timeout) => {
                return Answer::Silence(anyhow!("netd does not answer"));
            }
            Err(RecvTimeoutError::Disconnected) => Answer::Silence(anyhow!("nobody asked netd")),
        };
        self.asked.remove(node);
        answer
    }
}

fn question(programs: &Programs, node: &Node) -> Result<Receiver<Result<Value>>> {
    let (tell, told) = mpsc::channel();
    let (programs, node) = (programs.clone(), node.clone());
    std::thread::Builder::new().spawn(move || {
        // Perhaps nobody wants to know any more.
        let _ = tell.send(netd::status(&programs, &node));
    })?;
    Ok(told)
}
