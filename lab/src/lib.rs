//! Nodes, pods and a pod network on one machine, from namespaces and control groups.
//!
//! ```text
//! keeper (PID namespace, network namespace with a bridge for each underlay)
//!   etcd     in its own network namespace, address .254 on the first underlay
//!   r1       network namespace that forwards between underlays, where there are several
//!   n1       network + mount + UTS namespace, address .1, eth0 -- veth -- underlay
//!     netd
//!     pod    network namespace bound to the node's /run/netns/POD,
//!            IPC + UTS namespaces held by its supervisor
//!       container   mount + cgroup + PID namespace (unless the pod shares one);
//!                   fourteen capabilities, no new privileges, a system call filter
//!   n2 ...
//! ```
//!
//! All processes live in the keeper's PID namespace: the end of the keeper is the end of the lab.
//! Nothing is made in the machine's own network, and outside the lab's own namespaces only control
//! groups (`podwire-lab/NAME`) and files (`/run/podwire-lab/NAME`) are.
//!
//! Who is not root has the same in a user namespace ([`home`]), without control groups.
//!
//! A pod is confined as a container runtime confines its containers by default, unless it is
//! privileged: `docs/lab.md` says what that keeps from it and what not.

// It panics where nobody can read it: `output::warn` does not.
#![warn(clippy::print_stderr)]

pub mod bench;
pub mod called;
pub mod cli;
pub mod cluster_file;
pub mod cni_tool;
pub mod completion;
pub mod demo;
pub mod down;
pub mod explain;
mod failures;
pub mod fault;
pub mod figures;
pub mod foreign;
pub mod home;
pub mod image;
pub mod impairment;
pub mod interrupt;
pub mod keeper;
pub mod kubectl;
pub mod list;
pub mod name;
pub mod netd;
pub mod network;
pub mod node;
pub mod output;
pub mod pod;
pub mod program;
pub mod progress;
pub mod report;
pub mod router;
pub mod size;
pub mod state;
pub mod store;
pub mod top;
pub mod topology;
pub mod ui;
pub mod underlay;
pub mod up;
mod watch;
mod web;
