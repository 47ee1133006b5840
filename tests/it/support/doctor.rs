//! What `doctor` says.

use super::Workplace;

/// What the doctor says of a check: its outcome and its message; and how the command ends.
pub struct Report {
    pub code: i32,
    pub lines: Vec<(String, String, String)>,
}

impl Report {
    pub fn of(workplace: &Workplace, arguments: &[&str]) -> Self {
        // A port that nobody else has, unless the test says which.
        let listen: &[&str] = if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let ended = workplace.run(&[&["doctor"], listen, arguments].concat());
        assert_eq!(ended.stderr, "");
        let line = |line: &str| {
            let (outcome, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            let (check, message) = rest.trim_start().split_once(": ").unwrap_or_else(|| panic!("{line}"));
            (outcome.to_owned(), check.to_owned(), message.to_owned())
        };
        let report = Self { code: ended.code.expect("a code"), lines: ended.stdout.lines().map(line).collect() };
        let fails = report.lines.iter().any(|(outcome, ..)| outcome == "failed");
        assert_eq!(report.code, i32::from(fails), "{:#?}", report.lines);
        report
    }

    pub fn checks(&self) -> Vec<&str> {
        self.lines.iter().map(|(_, check, _)| check.as_str()).collect()
    }

    #[track_caller]
    pub fn says(&self, check: &str) -> (&str, &str) {
        let line = self.lines.iter().find(|(_, name, _)| name == check);
        let (outcome, _, message) = line.unwrap_or_else(|| panic!("{check} is not in {:#?}", self.lines));
        (outcome, message)
    }

    #[track_caller]
    pub fn expect(&self, check: &str, outcome: &str, message: &str) {
        assert_eq!(self.says(check), (outcome, message));
    }
}
