//! Tables for a terminal and for Markdown.

use crate::figures::grouped;
use crate::visible::visible;
use std::fmt::Write as _;

/// Rows under headings; columns of figures stand to the right. What would steer a terminal is spelt out.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// The least width of each column.
    widths: Vec<usize>,
}

impl Table {
    /// A heading that begins with `>` has its column stand to the right.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self {
            right: headings.iter().map(|text| text.starts_with('>')).collect(),
            headings: headings
                .iter()
                .map(|text| text.trim_start_matches('>'))
                .collect(),
            rows: Vec::new(),
            widths: Vec::new(),
        }
    }

    /// Adds a row, which has as many cells as there are headings.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.headings.len(), "a cell for each heading");
        let cells = cells.map(|cell| visible(&cell).into_owned());
        self.rows.push(cells.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// In columns of two spaces' distance, headings in capitals.
    pub(crate) fn to_text(&self) -> String {
        let headings: Vec<String> = self.headings.iter().map(|h| h.to_uppercase()).collect();
        self.lines(&self.widths(), Some(&headings))
    }

    /// The rows that were added since the call before, in its columns; headings the first time.
    pub(crate) fn next_text(&mut self) -> String {
        let widths = self.widths();
        let text = if self.widths.is_empty() {
            self.to_text()
        } else {
            self.lines(&widths, None)
        };
        self.widths = widths;
        self.rows.clear();
        text
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.headings.len())
            .map(|at| {
                let cells = self.rows.iter().map(|row| row[at].chars().count());
                let least = self.widths.get(at).copied().unwrap_or(0);
                cells.fold(least.max(self.headings[at].len()), usize::max)
            })
            .collect()
    }

    fn lines(&self, widths: &[usize], headings: Option<&Vec<String>>) -> String {
        let mut text = String::new();
        for row in headings.into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                let width = widths[at];
                if self.right[at] {
                    let _ = write!(line, "{cell:>width$}  ");
                } else {
                    let _ = write!(line, "{cell:<width$}  ");
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// As a table of Markdown.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!("| {} |\n|", self.headings.join(" | "));
        for &right in &self.right {
            text.push_str(if right { " ---: |" } else { " --- |" });
        }
        text.push('\n');
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }
}

/// Names and values, one below the other. What would steer a terminal is spelt out.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in fields {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<width$}  {}", visible(value));
    }
    text
}

/// A number of bytes, as `1.2 GiB`.
pub(crate) fn bytes(count: i64) -> String {
    let mut amount = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            return if unit == "B" {
                format!("{count} B")
            } else {
                format!("{amount:.1} {unit}")
            };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}

/// A count, as `1,234,567`; estimates lose their fraction.
pub(crate) fn count(number: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is positive and far below 2^64; the cast saturates anyway"
    )]
    grouped(number.round() as u64)
}

/// A time in milliseconds with three significant digits.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms {
        _ if ms < 1.0 => format!("{ms:.3}"),
        _ if ms < 10.0 => format!("{ms:.2}"),
        _ if ms < 100.0 => format!("{ms:.1}"),
        _ => count(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_to_the_right_and_no_line_ends_in_spaces() {
        let mut table = Table::new(&["name", ">rows", "note"]);
        table.row(["a".to_owned(), "1,000".to_owned(), String::new()]);
        table.row(["längst".to_owned(), "1".to_owned(), "x|y".to_owned()]);
        insta::assert_snapshot!(table.to_text(), @r"
        NAME     ROWS  NOTE
        a       1,000
        längst      1  x|y
        ");
        insta::assert_snapshot!(table.to_markdown(), @r"
        | name | rows | note |
        | --- | ---: | --- |
        | a | 1,000 |  |
        | längst | 1 | x\|y |
        ");
    }

    #[test]
    fn a_table_goes_on_in_its_columns() {
        let mut table = Table::new(&["name", "note"]);
        table.row(["longest".to_owned(), "x".to_owned()]);
        let first = table.next_text();
        table.row(["a".to_owned(), "\u{1b}[2J".to_owned()]);
        insta::assert_snapshot!(first + &table.next_text(), @r"
        NAME     NOTE
        longest  x
        a        \u{1b}[2J
        ");
        assert_eq!(table.next_text(), "");
    }

    #[test]
    fn fields_stand_below_each_other() {
        insta::assert_snapshot!(fields(&[("id", "1".to_owned()), ("name", "a\tb".to_owned())]), @r"
        id    1
        name  a\u{9}b
        ");
    }

    #[test]
    fn amounts_are_readable() {
        assert_eq!(
            [0, 1023, 1024, 1_500_000, 3 << 40].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "3.0 TiB"]
        );
        assert_eq!(
            [0.0, 999.0, 1000.4, 1_234_567.0].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0.0421, 1.234, 45.67, 12_345.6].map(milliseconds),
            ["0.042", "1.23", "45.7", "12,346"]
        );
    }
}
