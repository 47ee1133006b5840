//! The file of rejected rows.

use std::io::{self, Write};

use super::rejection::Rejection;
use crate::rows::refused::Format;

pub struct RejectedFile {
    output: Box<dyn Write + Send>,
    has_begun: bool,
}

impl RejectedFile {
    pub fn new(output: Box<dyn Write + Send>) -> Self {
        Self { output, has_begun: false }
    }

    pub fn write(&mut self, format: &Format, rejections: &[Rejection]) -> io::Result<()> {
        let mut text = Vec::new();
        for rejection in rejections {
            if !self.has_begun {
                format.begin(&mut text);
                self.has_begun = true;
            }
            let row = rejection.source.as_deref().unwrap_or_default();
            format.write(&mut text, [rejection.cause.code.name(), rejection.reason.as_str()], row);
        }
        self.output.write_all(&text)?;
        self.output.flush()
    }
}
