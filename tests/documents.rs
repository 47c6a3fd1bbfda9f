//! Pages under `docs/` that are written by hand agree with the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::floors::sources;

/// The text constants of a file.
fn constants(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let constant = |line: &str| {
        let (_, value) = line.trim().strip_prefix("pub const ")?.split_once(": &str = \"")?;
        Some(value.trim_end_matches("\";").to_owned())
    };
    text.lines().filter_map(constant).collect()
}

/// The words in code style in a column of the table below a heading.
fn column(page: &str, heading: &str, column: usize) -> BTreeSet<String> {
    let section = page.split(heading).nth(1).unwrap();
    let table =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = table.skip(2).map(|line| line.split('|').nth(column).unwrap().to_owned());
    let words = |cell: String| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    cells.flat_map(words).collect()
}

#[test]
fn the_page_of_conditions_and_events_has_those_of_the_code() {
    let page = fs::read_to_string("docs/conditions-and-events.md").unwrap();
    let (types, reasons) = (column(&page, "## Conditions", 1), column(&page, "## Conditions", 4));
    let documented: BTreeSet<String> = types.union(&reasons).cloned().collect();
    let missing: Vec<String> = constants("src/model/condition.rs").difference(&documented).cloned().collect();
    assert!(missing.is_empty(), "conditions without a row: {missing:?}");
    assert_eq!(constants("src/model/event.rs"), column(&page, "## Events", 1));
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let unknown: Vec<&String> =
        documented.iter().filter(|word| !code.contains(&format!("\"{word}\""))).collect();
    assert!(unknown.is_empty(), "documented, but not in the code: {unknown:?}");
}
