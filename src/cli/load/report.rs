//! What a load says in the end.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::{Value, json};

use crate::load::{
    fault::Trouble,
    hints::hint,
    journal::{Counts, Failures},
    outcomes::Outcomes,
    run::Run,
};

/// Prints what became of the rows, by code, where the files of it are, and in the end the counts.
pub fn print(run: &Run, ended: &Result<(), Trouble>, code: u8, as_json: bool) -> io::Result<()> {
    if as_json {
        return writeln!(io::stdout().lock(), "{}", json!({"summary": summary(run, ended, code)}));
    }
    let counts = &run.journal.counts;
    let mut errors = io::stderr().lock();
    table(&mut errors, counts)?;
    if let Some(failed) = made(run.failed.as_ref()) {
        // Until the load has ended, the file belongs to it.
        let advice = if run.is_rehearsal || ended.is_err() { "" } else { ": mend it, and load it the same way" };
        writeln!(errors, "the failed rows are in {}{advice}", failed.display())?;
    }
    if run.failed.is_none() && counts.failed > 0 {
        writeln!(errors, "the failed rows are kept nowhere; --failed FILE keeps them")?;
    }
    if let Some(created) = made(run.created.as_ref()) {
        writeln!(errors, "the created events are in {}", created.display())?;
    }
    if let Err(trouble) = ended {
        let begin = if let Trouble::ToldToStop = trouble { "" } else { "error: " };
        writeln!(errors, "{begin}{trouble}")?;
        if let Some(journal) = run.journal_path.as_ref().filter(|journal| journal.exists()) {
            writeln!(
                errors,
                "the same command goes on after {} rows, by {}",
                run.journal.position.rows,
                journal.display()
            )?;
        }
    }
    let begin = if run.is_rehearsal { "rehearsed, nothing was created: " } else { "" };
    let Counts { created, already_there, failed, .. } = counts;
    writeln!(
        io::stdout().lock(),
        "{begin}created {created}, already there {already_there}, failed {failed}: {} rows",
        run.journal.position.rows
    )
}

fn table(errors: &mut impl Write, counts: &Counts) -> io::Result<()> {
    let failures = by_count(counts);
    let width = failures.iter().map(|(code, _)| code.len()).max().unwrap_or_default();
    if !failures.is_empty() {
        writeln!(errors, "failed rows by code:")?;
    }
    for (code, Failures { count, first_line }) in failures {
        writeln!(errors, "{count:>8} × {code:width$}  first on line {first_line}")?;
        writeln!(errors, "{:11}{}", "", hint(code))?;
    }
    Ok(())
}

/// The most first.
fn by_count(counts: &Counts) -> Vec<(&str, &Failures)> {
    let mut failures: Vec<_> = counts.failures.iter().map(|(code, failures)| (code.as_str(), failures)).collect();
    failures.sort_by_key(|(_, failures)| std::cmp::Reverse(failures.count));
    failures
}

/// The file, where there was something for it.
fn made(outcomes: Option<&Outcomes>) -> Option<&Path> {
    outcomes.filter(|outcomes| outcomes.length() > 0).map(Outcomes::path)
}

fn summary(run: &Run, ended: &Result<(), Trouble>, code: u8) -> Value {
    let Counts { created, already_there, failed, .. } = &run.journal.counts;
    let by_code = by_count(&run.journal.counts).into_iter().map(|(code, failures)| {
        json!({"error_code": code, "count": failures.count, "first_line": failures.first_line, "hint": hint(code)})
    });
    json!({
        "state": if ended.is_ok() { "finished" } else { "stopped" },
        "exit_code": code,
        "error": ended.as_ref().err().map(ToString::to_string),
        "is_dry_run": run.is_rehearsal,
        "load_id": run.journal.load_id,
        "rows": run.journal.position.rows,
        "created": created,
        "already_there": already_there,
        "failed": failed,
        "failed_by_code": by_code.collect::<Vec<_>>(),
        "failed_file": made(run.failed.as_ref()),
        "created_file": made(run.created.as_ref()),
        "journal": run.journal_path,
    })
}
