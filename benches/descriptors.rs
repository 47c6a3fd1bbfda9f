//! Times of parsing and checking descriptors of 1 MiB, the default limit, of shapes that could be slow.
//!
//! `cargo bench --bench descriptors -- TEXT` takes only the shapes that have the text in their names.
//!
//! Prints a table in Markdown: for each shape the longest of a few runs, and what came of it. What is timed is what a
//! server does with a posted text before it looks at anything else: [`hdag::parse`], and the digest of what is accepted.

mod shapes;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use shapes::{SHAPES, Shape};
use smo::hdag::{self, IntentMapping, Limits, ParseError};

/// Runs of each shape.
const RUNS: usize = 3;

fn main() -> io::Result<()> {
    let mut out = io::stdout();
    let (mapping, limits) = (IntentMapping::default(), Limits::default());
    writeln!(out, "| descriptor | syntax | time | answer |")?;
    writeln!(out, "|---|---|---|---|")?;
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(&filter)) {
        let text = (shape.make)(limits.max_bytes);
        assert!(text.len() <= limits.max_bytes && text.len() > limits.max_bytes * 9 / 10, "{}", shape.name);
        let mut longest = Duration::ZERO;
        let mut answer = String::new();
        for _ in 0..RUNS {
            let begun = Instant::now();
            answer = parse(&text, shape, &mapping, &limits);
            longest = longest.max(begun.elapsed());
        }
        writeln!(out, "| {} | {:?} | {} ms | {answer} |", shape.name, shape.format, longest.as_millis())?;
    }
    Ok(())
}

fn parse(text: &str, shape: &Shape, mapping: &IntentMapping, limits: &Limits) -> String {
    match hdag::parse(text, shape.format, mapping, limits) {
        Ok(parsed) => {
            std::hint::black_box(hdag::digest(&parsed.descriptor.document));
            let (services, warnings) = (parsed.descriptor.services.len(), parsed.warnings.len());
            format!("accepted: {services} services, {warnings} warnings")
        }
        Err(ParseError::Invalid(findings)) => {
            let first: String = findings[0].message.chars().take(60).collect();
            format!("{} errors: {}", findings.len(), first.replace('|', "\\|"))
        }
        Err(ParseError::TooLarge(message)) => message,
    }
}
