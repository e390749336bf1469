// SPDX-License-Identifier: GPL-2.0

//! Columns as wide as what is in them.

use std::io::{
    self,
    Write, //
};

/// Prints rows of equal length. The columns for which `is_right` is true are aligned to the right.
pub fn print(
    out: &mut dyn Write,
    rows: &[Vec<String>],
    is_right: impl Fn(usize) -> bool,
) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            line += &if is_right(column) {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns line up, numbers to the right, and no line ends in blanks.
    #[test]
    fn columns_line_up() {
        let rows = [["NAME", "SIZE", "ON"], ["rblk10", "1G", ""]]
            .map(|row| row.map(String::from).to_vec());
        let mut out = Vec::new();
        print(&mut out, &rows, |column| column == 1).expect("print");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "NAME    SIZE  ON\nrblk10    1G\n"
        );
    }
}
