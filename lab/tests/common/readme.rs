//! The code blocks of README.md and of other pages: what a newcomer copies is what the tests run.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::fs;
use std::path::Path;

/// A fenced block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// All blocks of README.md, in order.
pub(crate) fn blocks() -> Vec<Block> {
    blocks_of("README.md")
}

/// All blocks of a page, in order.
pub(crate) fn blocks_of(page: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = fs::read_to_string(path).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .take_while(|line| !line.starts_with("```"))
            .collect();
        blocks.push(Block {
            language: language.to_owned(),
            text: body.join("\n") + "\n",
        });
    }
    blocks
}

/// The one block that contains `words`.
pub(crate) fn block(words: &str) -> String {
    let mut found = blocks();
    found.retain(|block| block.text.contains(words));
    assert_eq!(found.len(), 1, "blocks of README.md with {words:?}");
    found.remove(0).text
}
