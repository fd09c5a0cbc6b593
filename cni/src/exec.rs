//! Starting another plugin: the one place that executes programs.
