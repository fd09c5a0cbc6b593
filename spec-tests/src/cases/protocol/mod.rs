//! What the specification asks of every plugin: variables, configuration, versions, results, errors.

mod arguments;
mod check;
mod collection;
mod environment;
mod format;
mod front;
mod garbage;
mod keys;
mod newest_keys;
mod prev_result;
mod results;
mod special_files;
mod undeliverable;
mod unready;
mod untracked;
mod versions;
