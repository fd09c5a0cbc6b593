//! Plugins as a runtime calls them, and two suites of plugins on one node.

mod chain;
mod takeover;
mod takeover_chain;
mod takeover_chained;
mod takeover_links;
