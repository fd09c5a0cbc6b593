//! The terminal, which is as it was when this is dropped, and when something panics.

use anyhow::{Context, Result};
use ratatui::{DefaultTerminal, Frame};

/// The terminal while it is drawn on.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Takes it: what it showed comes back later.
    ///
    /// # Errors
    /// The terminal refused.
    pub(super) fn open() -> Result<Self> {
        let opened = ratatui::try_init();
        opened
            .map(Self)
            .context("draw on the terminal")
            .inspect_err(|_| {
                // Perhaps some of it was done.
                let _ = ratatui::try_restore();
            })
    }

    /// # Errors
    /// The terminal has gone.
    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        let drawn = self.0.draw(picture);
        drawn.map(drop).context("draw on the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // With a panic it was given back before its text was printed.
        if !std::thread::panicking() {
            // A terminal that has gone needs nothing.
            let _ = ratatui::try_restore();
        }
    }
}
