//! The rules for text that people type: trimmed, NFC, no control characters, bounded in characters.

use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// More characters than allowed.
    #[error("must have at most {max} characters, has {actual}")]
    TooLong {
        /// The limit.
        max: usize,
        /// What there were, after normalisation.
        actual: usize,
    },
    /// A control character, NUL among them.
    #[error("must not contain the control character U+{code:04X}")]
    Control {
        /// Its code point.
        code: u32,
    },
}

impl TextError {
    /// The stable word for it in problem documents.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong { .. } => "too_long",
            Self::Control { .. } => "control_character",
        }
    }
}

/// A text of one line: no line breaks either. `Ok("")` for white space only.
pub fn line(raw: &str, max: usize) -> Result<String, TextError> {
    clean(raw, max, false)
}

/// A text of one line that must say something.
pub fn required_line(raw: &str, max: usize) -> Result<String, TextError> {
    let text = line(raw, max)?;
    if text.is_empty() {
        Err(TextError::Empty)
    } else {
        Ok(text)
    }
}

/// A text of several lines: line breaks and tabs stay, `\r\n` becomes `\n`.
pub fn paragraphs(raw: &str, max: usize) -> Result<String, TextError> {
    clean(&raw.replace("\r\n", "\n"), max, true)
}

fn clean(raw: &str, max: usize, breaks: bool) -> Result<String, TextError> {
    let text: String = raw.trim().nfc().collect();
    if let Some(control) = text
        .chars()
        .find(|c| c.is_control() && !(breaks && matches!(c, '\n' | '\t')))
    {
        return Err(TextError::Control {
            code: control.into(),
        });
    }
    let actual = text.chars().count();
    if actual > max {
        Err(TextError::TooLong { max, actual })
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn length_counts_characters_after_normalisation() {
        // Four code points that NFC makes two.
        assert_eq!(line("e\u{301}e\u{301}", 2), Ok("éé".to_owned()));
        assert_eq!(
            line("ééé", 2),
            Err(TextError::TooLong { max: 2, actual: 3 })
        );
    }

    #[test]
    fn control_characters_are_refused_and_named() {
        assert_eq!(line("a\0b", 9), Err(TextError::Control { code: 0 }));
        assert_eq!(line("a\nb", 9), Err(TextError::Control { code: 10 }));
        assert_eq!(paragraphs("a\r\nb", 9), Ok("a\nb".to_owned()));
        assert_eq!(
            line("a\u{9f}b", 9).map_err(TextError::code),
            Err("control_character")
        );
    }

    #[test]
    fn white_space_alone_is_empty() {
        assert_eq!(required_line(" \t ", 9), Err(TextError::Empty));
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(raw in ".{0,40}") {
            if let Ok(once) = line(&raw, 100) {
                prop_assert_eq!(line(&once, 100), Ok(once.clone()));
            }
        }
    }
}
