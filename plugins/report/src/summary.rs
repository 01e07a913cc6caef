//! From the text of a CSV file to totals. Knows no files and no host.

use std::collections::BTreeMap;
use std::io::Read;

use campanile_sdk::{Result, permanent};

use crate::amount::Amount;

/// At most this many groups: a column of many more was chosen by mistake, and the result of a run
/// is kept.
const MAX_GROUPS: usize = 1_000;

/// Rows between two calls of `on_rows`.
const STEP: u64 = 1_000;

/// The names of the columns to look at.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Its values make the groups.
    pub group: &'a str,
    /// Its values are added up.
    pub value: &'a str,
}

/// What a file comes to.
#[derive(Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Rows, the head line not counted.
    pub rows: u64,
    /// Different values of the group column.
    pub groups: usize,
    /// The sum of each group, in the order of their names.
    pub totals: BTreeMap<String, Amount>,
    /// The sum of all.
    pub total: Amount,
}

/// Reads all rows. `on_rows` learns from time to time how many there were, and may stop it.
///
/// # Errors
///
/// For good: a column or a value is missing or malformed. Another attempt may help: reading failed.
pub fn summarize(
    input: impl Read,
    columns: Columns<'_>,
    mut on_rows: impl FnMut(u64) -> Result<()>,
) -> Result<Summary> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let head = reader.headers().map_err(refuse)?;
    let group = position(head, columns.group)?;
    let value = position(head, columns.value)?;

    let mut totals = BTreeMap::<String, Amount>::new();
    let (mut rows, mut total) = (0, Amount::default());
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(refuse)? {
        let line = row.position().map_or(0, csv::Position::line);
        let amount = Amount::parse(&row[value]).ok_or_else(|| {
            permanent(format!("line {line}: `{}` is not an amount, as `12.50` is", &row[value]))
        })?;
        let group = &row[group];
        if let Some(sum) = totals.get_mut(group) {
            *sum += amount;
        } else if totals.len() < MAX_GROUPS {
            totals.insert(group.into(), amount);
        } else {
            return Err(permanent(format!(
                "line {line}: column `{}` has more than {MAX_GROUPS} values; group by another",
                columns.group
            )));
        }
        total += amount;
        rows += 1;
        if rows % STEP == 0 {
            on_rows(rows)?;
        }
    }
    Ok(Summary { rows, groups: totals.len(), totals, total })
}

fn position(head: &csv::StringRecord, name: &str) -> Result<usize> {
    head.iter().position(|column| column == name).ok_or_else(|| {
        let known: Vec<_> = head.iter().map(|column| format!("`{column}`")).collect();
        permanent(format!("no column `{name}`; there are: {}", known.join(", ")))
    })
}

/// Only reading can go better next time.
fn refuse(error: csv::Error) -> campanile_sdk::Error {
    if error.is_io_error() { error.into() } else { permanent(error) }
}

#[cfg(test)]
mod tests {
    use campanile_sdk::retryable;

    use super::*;

    fn sum_up(text: &str) -> Result<Summary> {
        summarize(text.as_bytes(), Columns { group: "region", value: "amount" }, |_| Ok(()))
    }

    #[test]
    fn amounts_are_added_up_by_group() {
        let summary =
            sum_up("region,amount\nnorth,1.10\nsouth, 2\nnorth,-0.10\n").expect("a right file");
        let amount = |text| Amount::parse(text).expect("an amount");
        let totals = [("north".into(), amount("1.00")), ("south".into(), amount("2"))];
        assert_eq!(
            summary,
            Summary { rows: 3, groups: 2, totals: totals.into(), total: amount("3") }
        );
    }

    #[test]
    fn a_head_line_alone_is_a_file_without_rows() {
        let summary = sum_up("region,amount\n").expect("a right file");
        assert_eq!((summary.rows, summary.groups), (0, 0));
    }

    #[test]
    fn what_is_malformed_fails_for_good_and_says_where() {
        for (text, message) in [
            ("region,units\nnorth,1\n", "no column `amount`; there are: `region`, `units`"),
            (
                "region,amount\nnorth,1\nsouth,much\n",
                "line 3: `much` is not an amount, as `12.50` is",
            ),
            (
                "region,amount\nnorth\n",
                "CSV error: record 1 (line: 2, byte: 14): found record with 1 fields, but the \
                 previous record has 2 fields",
            ),
        ] {
            assert_eq!(sum_up(text), Err(permanent(message)), "{text}");
        }
    }

    #[test]
    fn a_column_with_a_value_for_each_row_is_no_group() {
        let rows: String = (0..=MAX_GROUPS).map(|row| format!("{row},1\n")).collect();
        let error = sum_up(&format!("region,amount\n{rows}")).expect_err("too many groups");
        assert_eq!(
            error.message(),
            "line 1002: column `region` has more than 1000 values; group by another"
        );
    }

    #[test]
    fn whoever_watches_may_stop_it() {
        let text = format!("region,amount\n{}", "north,1\n".repeat(2_500));
        let mut seen = Vec::new();
        let columns = Columns { group: "region", value: "amount" };
        let stopped = summarize(text.as_bytes(), columns, |rows| {
            seen.push(rows);
            if rows < 2_000 { Ok(()) } else { Err(retryable("stop")) }
        });
        assert_eq!((stopped, seen), (Err(retryable("stop")), vec![1_000, 2_000]));
    }

    #[test]
    fn the_example_file_adds_up() {
        let text = include_str!("../data/sales.csv");
        let summary = sum_up(text).expect("a right file");
        assert_eq!((summary.rows, summary.groups), (3_000, 5));
    }
}
