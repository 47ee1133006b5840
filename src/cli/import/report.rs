//! What an import says in the end.

use std::io::{self, Write};

use crate::directory::{DirectoryKind, End, ImportSummary, Remarks};

/// Prints the rejected rows, their reasons, what else was noticed, and in the end the counts.
pub fn print(summary: &ImportSummary, end: &End, kind: DirectoryKind, is_dry_run: bool) -> io::Result<()> {
    let mut errors = io::stderr().lock();
    for rejection in &summary.rejections {
        writeln!(errors, "line {}: {}", rejection.line, rejection.reason)?;
    }
    more(&mut errors, summary.rejected, summary.rejections.len(), ": --rejected FILE writes all of them")?;
    if summary.rejected > 0 {
        writeln!(errors, "rejected rows by reason:")?;
    }
    let mut causes: Vec<_> = summary.causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (cause, count) in causes {
        writeln!(errors, "{count} × {}", cause.explain(kind))?;
    }
    remark(&mut errors, summary, kind)?;
    let ImportSummary { read, inserted, updated, unchanged, rejected, .. } = summary;
    if !matches!(end, End::Complete) && *read > 0 && !is_dry_run {
        let stored = read - rejected;
        writeln!(
            errors,
            "of the first {read} rows of the file {stored} are in and {rejected} were rejected; the rest is not in. To \
             go on, import the whole file again: rows that are in already count as unchanged"
        )?;
    }
    let begin = if is_dry_run { "dry run, nothing was written: " } else { "" };
    writeln!(
        io::stdout().lock(),
        "{begin}inserted {inserted}, updated {updated}, unchanged {unchanged}, rejected {rejected}: {read} rows read"
    )
}

fn remark(errors: &mut impl Write, summary: &ImportSummary, kind: DirectoryKind) -> io::Result<()> {
    let Remarks { blanks_cut, blank_rows, repeated, repeats, delimiters, first_delimiter, suspect } = &summary.remarks;
    if let Some(suspect) = suspect.filter(|_| summary.rejected > 0) {
        writeln!(errors, "the columns are those of {suspect}: is that the kind that is meant, rather than {kind}?")?;
    }
    if let Some((line, delimiter)) = first_delimiter {
        writeln!(
            errors,
            "{delimiters} cells hold a {delimiter:?}, the first on line {line}: are they several cells? The header has \
             one column"
        )?;
    }
    for repeat in repeats {
        let (line, first, name) = (repeat.line, repeat.first_line, &repeat.name);
        writeln!(errors, "line {line}: the {name} is on line {first} already; what comes last holds")?;
    }
    more(errors, *repeated, repeats.len(), "")?;
    if *blanks_cut > 0 {
        writeln!(errors, "blanks around {blanks_cut} cells were cut")?;
    }
    if *blank_rows > 0 {
        writeln!(errors, "{blank_rows} rows without a value were passed over")?;
    }
    Ok(())
}

fn more(errors: &mut impl Write, all: u64, named: usize, hint: &str) -> io::Result<()> {
    match all - named as u64 {
        0 => Ok(()),
        unnamed => writeln!(errors, "and {unnamed} more{hint}"),
    }
}
