// SPDX-License-Identifier: GPL-2.0

//! What the hardware queues counted, and how fast they count.

use crate::error::{
    Error,
    Result, //
};
use serde_json::{
    json,
    Map,
    Value, //
};

/// Columns that say which queue a row is about; all others are counters, whatever the module has.
const PLACE: [&str; 4] = ["queue", "node", "memory", "ring"];

/// The table of a device's hardware queues: a row a queue, in the columns of `names`.
#[derive(Debug, PartialEq)]
pub struct Sample {
    names: Vec<String>,
    rows: Vec<Vec<i64>>,
}

impl Sample {
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().map(str::split_whitespace);
        let names: Vec<String> = lines
            .next()
            .into_iter()
            .flatten()
            .map(String::from)
            .collect();
        let mut rows = Vec::new();
        for line in lines {
            let row: std::result::Result<Vec<i64>, _> = line.map(str::parse).collect();
            match row {
                Ok(row) if row.len() == names.len() => rows.push(row),
                _ => {
                    return Err(Error::new(
                        "the table of queues is not understood: is rblkctl too old?",
                    ))
                }
            }
        }
        Ok(Self { names, rows })
    }

    /// What was counted each second since `before`, which is `seconds` ago.
    pub fn rates(&self, before: &Self, seconds: f64) -> Self {
        let rate = |row: &Vec<i64>, column: usize| {
            let now = row[column];
            if !self.is_counter(column) {
                return now;
            }
            // A queue that is new, or a counter that shrank because its device is, began at 0.
            let earlier = before.find(self, row).map_or(0, |old| old[column]);
            let counted = if now >= earlier { now - earlier } else { now };
            (counted as f64 / seconds).round() as i64
        };
        let columns = 0..self.names.len();
        let rates = |row| columns.clone().map(|column| rate(row, column)).collect();
        Self {
            names: self.names.clone(),
            rows: self.rows.iter().map(rates).collect(),
        }
    }

    /// The same queue as `row` of `now`.
    fn find(&self, now: &Self, row: &[i64]) -> Option<&Vec<i64>> {
        let same = |old: &&Vec<i64>| self.names == now.names && old.first() == row.first();
        self.rows.iter().find(same)
    }

    fn is_counter(&self, column: usize) -> bool {
        !PLACE.contains(&self.names[column].as_str())
    }

    fn total(&self, column: usize) -> i64 {
        self.rows.iter().map(|row| row[column]).sum()
    }

    /// A row for each column of the kernel's table, because there are many of these: its name, the
    /// sum over the queues, and a column for each queue. `corner` stands at the top left.
    pub fn turned(&self, corner: &str) -> Vec<Vec<String>> {
        let mut table = Vec::new();
        for (column, name) in self.names.iter().enumerate() {
            let mut line = match name.as_str() {
                "queue" => vec![corner.to_string(), "total".into()],
                _ if self.is_counter(column) => vec![name.clone(), self.total(column).to_string()],
                _ => vec![name.clone(), "".into()],
            };
            line.extend(self.rows.iter().map(|row| row[column].to_string()));
            table.push(line);
        }
        table
    }

    pub fn json(&self, device: &str) -> Value {
        let columns = || self.names.iter().enumerate();
        let total: Map<_, _> = columns()
            .filter(|(column, _)| self.is_counter(*column))
            .map(|(column, name)| (name.clone(), self.total(column).into()))
            .collect();
        let queue = |row: &Vec<i64>| {
            let cells = columns().map(|(column, name)| (name.clone(), row[column].into()));
            cells.collect::<Map<_, Value>>()
        };
        let queues: Vec<_> = self.rows.iter().map(queue).collect();
        json!({ "name": device, "total": total, "queues": queues })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: &str) -> Sample {
        Sample::parse(&format!("queue node memory ring reads brand_new\n{rows}")).expect("table")
    }

    /// The total is over the queues and over counters only, new ones too.
    #[test]
    fn totals_are_sums_over_queues() {
        let sample = sample("    0   -1      0    0   5  1\n    1    1      0    0   7  2\n");
        let table: Vec<String> = sample
            .turned("rblk3")
            .iter()
            .map(|row| row.join(" "))
            .collect();
        let expected = [
            "rblk3 total 0 1",
            "node  -1 1",
            "memory  0 0",
            "ring  0 0",
            "reads 12 5 7",
            "brand_new 3 1 2",
        ];
        assert_eq!(table, expected);
        let json = sample.json("rblk3");
        assert_eq!(json["total"], json!({ "reads": 12, "brand_new": 3 }));
        assert_eq!(json["queues"][1]["node"], 1);
    }

    /// A rate is what was added, by the second; where a queue lies is no rate.
    #[test]
    fn rates_are_differences_by_second() {
        let before = sample("0 1 1 1 100 0\n");
        let now = sample("0 1 1 1 400 1\n");
        assert_eq!(now.rates(&before, 2.0), sample("0 1 1 1 150 1\n"));
    }

    /// A counter that shrank counted from 0 again, because its device was made anew.
    #[test]
    fn counters_that_shrink_began_anew() {
        let before = sample("0 0 0 0 1000 9\n");
        let now = sample("0 0 0 0 30 9\n");
        assert_eq!(now.rates(&before, 1.0), sample("0 0 0 0 30 0\n"));
    }

    /// Queues that came or went under way are matched by their numbers.
    #[test]
    fn queues_may_come_and_go() {
        let before = sample("0 0 0 0 10 0\n2 0 0 0 50 0\n");
        let now = sample("1 0 0 0 4 0\n2 0 0 0 60 0\n");
        let expected = sample("1 0 0 0 4 0\n2 0 0 0 10 0\n");
        assert_eq!(now.rates(&before, 1.0), expected);
    }

    /// A table that is not understood is an error; an empty one is none.
    #[test]
    fn odd_tables_are_errors() {
        assert!(Sample::parse("queue reads\n0 1 2\n").is_err());
        assert!(Sample::parse("queue reads\n0 many\n").is_err());
        assert_eq!(Sample::parse("").expect("empty").turned("x").len(), 0);
    }
}
