//! Findings for a person at a terminal, in the manner of a compiler.
//!
//! Only makes text; who prints it, and with which exit code, is not known here. The input is not trusted: its
//! control characters never reach the terminal.

use std::fmt::Write as _;

use super::Finding;

/// At most so many characters of a source line are shown.
const SHOWN: usize = 120;

/// Errors with file, line, column, pointer and the source line with a caret below the place.
///
/// Control characters of the input are shown as `�`, so that it cannot steer the terminal.
#[must_use]
pub fn pretty(findings: &[Finding], file: &str, text: &str) -> String {
    render("error", findings, file, text)
}

/// Warnings in the same form.
#[must_use]
pub fn pretty_warnings(findings: &[Finding], file: &str, text: &str) -> String {
    render("warning", findings, file, text)
}

fn render(severity: &str, findings: &[Finding], file: &str, text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut out = String::new();
    for (index, finding) in findings.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = render_one(&mut out, severity, finding, file, &lines);
    }
    out
}

fn render_one(
    out: &mut String,
    severity: &str,
    finding: &Finding,
    file: &str,
    lines: &[&str],
) -> std::fmt::Result {
    writeln!(out, "{severity}: {}", printable(&finding.message))?;
    let pointer = match finding.pointer.as_str() {
        "" => String::new(),
        pointer => format!("  ({})", printable(pointer)),
    };
    let Some(location) = finding.location else {
        return writeln!(out, " --> {}{pointer}", printable(file));
    };
    writeln!(out, " --> {}:{}:{}{pointer}", printable(file), location.line, location.column)?;
    let Some(source) = location.line.checked_sub(1).and_then(|line| lines.get(line)) else { return Ok(()) };
    let column = location.column.max(1) - 1;
    // A long line is shown around the place only.
    let first = (column + SHOWN / 2).saturating_sub(SHOWN);
    let shown: String = source.trim_end_matches('\r').chars().skip(first).take(SHOWN).collect();
    let number = location.line.to_string();
    let margin = " ".repeat(number.len());
    writeln!(out, "{margin} |")?;
    writeln!(out, "{}", format!("{number} | {}", printable(&shown)).trim_end())?;
    writeln!(out, "{margin} | {}^", " ".repeat(column - first))
}

/// One character for one, so that carets stay in place.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
