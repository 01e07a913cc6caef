//! Tables for people: columns as wide as what stands in them.

use super::screen::{Channel, Tone, harmless, paint};

/// Blanks between two columns.
const GAP: &str = "  ";

/// One field of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A field with a colour.
    pub fn new(text: impl ToString, tone: Tone) -> Self {
        Self { text: harmless(&text.to_string()), tone }
    }

    /// A field; a dash when there is nothing.
    pub fn or_dash(text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => Self::new(text, Tone::Plain),
            None => Self::new("-", Tone::Faint),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A table as text, without a last line end: the heads, then a line for each row.
pub fn table<const N: usize>(heads: [&str; N], rows: &[[Cell; N]]) -> String {
    let heads = heads.map(|head| Cell::new(head, Tone::Faint));
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().chain([&heads]).filter_map(|row| row.get(column));
        cells.map(|cell| width(&cell.text)).max().unwrap_or(0)
    });
    let lines = [&heads].into_iter().chain(rows).map(|row| line(row, &widths));
    lines.collect::<Vec<_>>().join("\n")
}

/// Names and values, one pair a line.
pub fn pairs(rows: &[(&str, Cell)]) -> String {
    let widest = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let lines = rows
        .iter()
        .map(|(name, cell)| line(&[Cell::new(name, Tone::Faint), cell.clone()], &[widest, 0]));
    lines.collect::<Vec<_>>().join("\n")
}

fn line(row: &[Cell], widths: &[usize]) -> String {
    let mut line = String::new();
    for (number, (cell, widest)) in row.iter().zip(widths).enumerate() {
        line.push_str(&paint(&cell.text, cell.tone, Channel::Out));
        if number + 1 < row.len() {
            line.push_str(&" ".repeat(widest.saturating_sub(width(&cell.text))));
            line.push_str(GAP);
        }
    }
    line
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_field_and_the_last_has_no_blanks_after_it() {
        let rows = [
            ["nightly".into(), Cell::or_dash(None::<String>)],
            ["a".into(), Cell::or_dash(Some(3))],
        ];
        assert_eq!(table(["JOB", "N"], &rows), "JOB      N\nnightly  -\na        3");
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs(&[("id", "x".into()), ("state", "y".into())]), "id     x\nstate  y");
    }
}
