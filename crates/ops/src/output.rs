//! Where results go: as text for people, as JSON for programs.

use crate::visible::json_visible;
use serde::Serialize;
use std::io::Write;

/// Where results go, and in which shape.
pub(crate) struct Output<'a> {
    json: bool,
    out: &'a mut (dyn Write + Send),
}

impl<'a> Output<'a> {
    pub(crate) fn new(json: bool, out: &'a mut (dyn Write + Send)) -> Self {
        Self { json, out }
    }

    /// Shows a result.
    pub(crate) fn show(
        &mut self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            self.line(&serde_json::to_string_pretty(value)?)
        } else {
            self.text(&text())
        }
    }

    /// Shows some of many results: JSON has each on a line of its own.
    pub(crate) fn show_each(
        &mut self,
        values: &[impl Serialize],
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if !self.json {
            return self.text(&text());
        }
        for value in values {
            self.line(&serde_json::to_string(value)?)?;
        }
        Ok(())
    }

    fn line(&mut self, json: &str) -> anyhow::Result<()> {
        self.text(&format!("{}\n", json_visible(json)))
    }

    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }
}
