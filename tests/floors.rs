//! Imports between the folders of `src/` go down only, by the table of floors in `docs/architecture.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each module: its row in the table, counted from the bottom.
fn floors() -> BTreeMap<String, usize> {
    let page = fs::read_to_string("docs/architecture.md").unwrap();
    let table = page.split("<!-- floors -->").nth(1).expect("docs/architecture.md has a table of floors");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let modules = |(floor, row): (usize, &&str)| {
        let names = row.split('|').nth(1).unwrap_or_default();
        names.split('`').skip(1).step_by(2).map(|name| (name.to_owned(), floor)).collect::<Vec<_>>()
    };
    rows.iter().rev().enumerate().flat_map(modules).collect()
}

/// All Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module of a file: the first folder or file below `src/`.
fn module_of(path: &Path) -> String {
    let first = path.components().nth(1).unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Modules of the crate that a line names: `crate::a::…` and `crate::{a, b::…}`.
fn imports(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let name = |text: &str| {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned()
    };
    let after = code.split("crate::").skip(1);
    let names = after.flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split(',').map(|item| name(item.trim())).collect(),
        None => vec![name(rest)],
    });
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn imports_go_down_only() {
    let floors = floors();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("src/lib.rs")) {
        let own = module_of(file);
        let Some(floor) = floors.get(&own) else {
            wrong.push(format!("{}: module {own} is missing in the table of floors", file.display()));
            continue;
        };
        for (number, line) in (1..).zip(fs::read_to_string(file).unwrap().lines()) {
            for import in imports(line).into_iter().filter(|import| *import != own) {
                match floors.get(&import) {
                    // Macros and test helpers at the top of the crate have no floor.
                    None => {}
                    Some(below) if below < floor => {}
                    Some(below) => {
                        let direction = if below == floor { "sideways" } else { "up" };
                        let place = format!("{}:{number}", file.display());
                        wrong.push(format!(
                            "{place}: {own} (floor {floor}) imports {direction}: {import} (floor {below})"
                        ));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports must go down, see the table in docs/architecture.md:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_form_of_import_is_seen() {
    assert_eq!(imports("use crate::store::Store;"), ["store"]);
    assert_eq!(imports("    let at = crate::model::now();"), ["model"]);
    assert_eq!(imports("use crate::{app::App, error::Result};"), ["app", "error"]);
    assert!(imports("//! see crate::store").is_empty());
    assert!(floors().len() > 12);
}

/// Public types whose name stands in several modules, each with the reason why that misleads nobody.
const SHARED_NAMES: [(&str, &str); 4] = [
    ("BuiltIn", "one per kind of decision, named through its module: placement::BuiltIn, scaling::BuiltIn"),
    ("Mode", "the wire form of the setting; the document names it so"),
    ("Operation", "the same call, once in the wrapper and once in the simulated world that counts it"),
    ("Problem", "RFC 9457 calls its body a problem, operations research its input"),
];

/// Names of the public types that a file declares, with the file's module path.
fn public_types(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let declared = |line: &str| {
        let rest =
            ["pub struct ", "pub enum ", "pub trait "].iter().find_map(|start| line.strip_prefix(start))?;
        Some(rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned())
    };
    text.lines().filter_map(declared).collect()
}

#[test]
fn no_public_type_shares_its_name_without_a_reason() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for file in &files {
        for name in public_types(file) {
            places.entry(name).or_default().push(file.display().to_string());
        }
    }
    places.retain(|_, places| places.len() > 1);
    let unexplained: Vec<_> =
        places.iter().filter(|(name, _)| !SHARED_NAMES.iter().any(|(shared, _)| shared == name)).collect();
    assert!(unexplained.is_empty(), "give one of each another name, or say here why: {unexplained:#?}");
    let obsolete: Vec<_> = SHARED_NAMES.iter().filter(|(name, _)| !places.contains_key(*name)).collect();
    assert!(obsolete.is_empty(), "these stand in one place only: {obsolete:?}");
}
