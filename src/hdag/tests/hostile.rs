//! Input that wants to hurt.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Far above what an unoptimised build needs, far below what an expanded bomb would take.
const SOON: Duration = Duration::from_secs(60);

#[track_caller]
fn refused_soon(text: &str, message: &str) {
    let start = Instant::now();
    let found = findings(yaml(text));
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains(message), "{}", found[0].message);
    assert!(found[0].location.is_some());
}

#[test]
fn alias_bombs_are_refused() {
    let mut nested = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        nested += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(","));
    }
    refused_soon(&nested, "aliases repeat too much");
    // Few events, but each half a megabyte.
    let long = format!("a: &a {}\nb: [{}]\n", "y".repeat(500_000), vec!["*a"; 100_000].join(","));
    refused_soon(&long, "aliases repeat too much");
    let keys: String = (0..1000).map(|index| format!("k{index}: 1,")).collect();
    let merges: String = (0..1000).map(|index| format!("  x{index}:\n    <<: *a\n")).collect();
    refused_soon(&format!("a: &a {{{keys}}}\nb:\n{merges}"), "aliases repeat too much");
    refused_soon("a: &a\n  b: *a\n", "ecursive reference");
}

#[test]
fn depth_and_breadth_are_bounded() {
    let deep: String = (0..300).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    refused_soon(&deep, "more than 24 levels deep");
    refused_soon(&"[".repeat(100_000), "recursion limit exceeded");
    refused_soon(&format!("hdaGraph: [{}]", "1,".repeat(300_000)), "more than 200000 values");
    let json_bomb = "[".repeat(100_000);
    assert!(findings(json(&json_bomb))[0].message.contains("recursion limit exceeded"));
    let values = format!("{}1{}", "{\"a\":".repeat(110), "}".repeat(110));
    let nested = format!("{{\"hdaGraph\": {{\"id\": \"g\", \"services\": [], \"x\": {values}}}}}");
    assert_eq!(findings(json(&nested)).len(), 1);
}

#[test]
fn long_texts_are_too_large_and_too_many_services_are_an_error() {
    let limits = Limits { max_bytes: 300, max_services: 2 };
    let three = graph(&[("a", ""), ("b", ""), ("c", "")]);
    let result = |limits: &Limits| parse(&three, Format::Yaml, &IntentMapping::default(), limits);
    assert_eq!(
        result(&Limits { max_bytes: 99, ..limits }),
        Err(ParseError::TooLarge(format!("descriptor has {} bytes; at most 99 are allowed", three.len())))
    );
    assert_eq!(
        lines(&findings(result(&limits))),
        "4:5 /hdaGraph/services: has 3 services; at most 2 are allowed"
    );
    assert!(result(&Limits { max_services: 3, ..limits }).is_ok());
    assert_eq!(Limits::default(), Limits { max_bytes: 1_048_576, max_services: 1000 });
}

#[test]
fn a_thousand_services_that_share_an_intent_are_fine() {
    let mut text = graph(&[("a", "trigger: {auto: }, intent: &i {compute: {cpu: light, ram: light}}")]);
    for index in 1..1000 {
        text += &format!(
            "  - {{id: s{index}, deployment: {{trigger: {{auto: }}, intent: *i}}, artifact: {{ociImage: 'oci://h/p/a'}}}}\n"
        );
    }
    let services = yaml(&text).unwrap().descriptor.services;
    assert!(services.len() == 1000 && services.iter().all(|service| service.needs.cpu_millicores == 500));
}

#[test]
fn findings_are_counted_where_they_are_too_many_to_list() {
    let unknown: String = (0..500).map(|index| format!("x{index}: 1, ")).collect();
    let text = format!("hdaGraph: {{{unknown} id: g, services: [{}]}}", "7, ".repeat(1000));
    let Err(ParseError::Invalid(errors)) = yaml(&text) else { panic!("accepted") };
    assert_eq!(errors.len(), 1000);
    let text =
        one("trigger: {auto: }").replace("  id: g\n", &format!("  id: g\n  hdaGraphIntent: {{{unknown}}}\n"));
    let warnings = yaml(&text).unwrap().warnings;
    assert_eq!(warnings.len(), 201);
    assert_eq!(warnings[200].message, "300 more warnings are not listed");
}

/// Bytes of the pointers of findings.
fn pointers(findings: &[Finding]) -> usize {
    findings.iter().map(|finding| finding.pointer.len()).sum()
}

#[test]
fn a_long_name_does_not_stand_in_every_pointer_to_what_is_below_it() {
    const NAME: usize = 400_000;
    let name = "k".repeat(NAME);
    let values: String = (0..5000).map(|index| format!("          k{index}: no\n")).collect();
    let text = one("trigger: {auto: }").replace("artifact: {", "artifact:\n      ").replace('}', "");
    let text = text.replace("deployment: {trigger: {auto: ", "deployment: {trigger: {auto: }}");
    let parsed =
        yaml(&format!("{text}      valuesOverwrite:\n        ? {name}\n        :\n{values}")).unwrap();
    assert!(pointers(&parsed.warnings) < 4 * NAME, "{}", pointers(&parsed.warnings));
    assert_eq!(parsed.warnings.last().unwrap().message, "4997 more warnings are not listed");
    assert_eq!(parsed.descriptor.services[0].values[&name]["k4999"], false);

    let values = vec!["\"\\u0000\""; 5000].join(",");
    let found = findings(json(&format!("{{\"hdaGraph\": {{\"{name}\": [{values}]}}}}")));
    assert!(pointers(&found) < 4 * NAME, "{}", pointers(&found));
    assert_eq!(found.last().unwrap().message, "4999 more errors are not listed");
}

#[test]
fn only_the_first_unknown_names_are_compared_with_all_known_ones() {
    let names = vec!["noize"; 30].join(", ");
    let text = graph(&[("noise", &format!("trigger: {{auto: }}, intent: {{connectionPoints: [{names}]}}"))]);
    let found = findings(yaml(&text));
    let suggested = found.iter().filter(|finding| finding.message.contains("did you mean \"noise\"?"));
    assert_eq!((found.len(), suggested.count()), (30, 20));
}

/// A graph whose service waits for these events.
fn events(condition: &str, queries: impl Iterator<Item = String>) -> String {
    let events: String = queries
        .enumerate()
        .map(|(n, query)| format!("{{id: e{n}, condition: {{promQuery: {query}}}}},"))
        .collect();
    one(&format!("trigger: {{event: {{condition: {condition}, events: [{events}]}}}}"))
}

#[test]
fn expressions_that_would_panic_are_errors_wherever_they_stand() {
    for query in
        ["'x[1e30]'", "'x[1e+30]'", "'x[Inf]'", "'x offset 1e30'", "'x offset - 1e30'", "'x[5m:1e30]'"]
    {
        for condition in ["ANY", "ALL"] {
            let found = findings(yaml(&events(condition, std::iter::once(query.to_owned()))));
            assert_eq!(found.len(), 1, "{query}");
            assert!(found[0].message.contains("a number in it is out of range"), "{}", found[0].message);
        }
    }
    assert!(yaml(&events("ALL", ["x > 1e30".to_owned()].into_iter())).is_ok());
}

#[test]
fn expressions_are_bounded_one_by_one_and_together() {
    let many = |count: usize| (0..count).map(|n| format!("'{n}{}'", "+1".repeat(490)));
    let found = findings(yaml(&events("ANY", many(250))));
    assert_eq!(found.len(), 149);
    let message =
        "the PromQL expressions up to this one have more than 100000 names, numbers, texts and signs";
    assert_eq!(found[0].message, message);
    assert!(found[0].pointer.ends_with("/events/101/condition/promQuery"), "{}", found[0].pointer);
    // The same one counts once.
    assert!(yaml(&events("ANY", (0..900).map(|_| format!("'1{}'", "+1".repeat(490))))).is_ok());
}

#[test]
fn values_in_messages_are_cut() {
    let text = one(&format!("trigger: {{auto: }}, intent: {{compute: {{cpu: {}}}}}", "x".repeat(10_000)));
    assert!(findings(yaml(&text))[0].message.len() < 300);
}

const SEED: &str = "hdaGraph:\n  id: g\n  hdaGraphIntent: {useStaticPlacement: False}\n  services:\n  - &s\n    id: a\n    \
    deployment:\n      trigger: {auto: {dependencies: []}}\n      intent:\n        compute: {cpu: light, gpu: {enabled: True}}\n        \
    connectionPoints: [a]\n    artifact: {ociImage: 'oci://h/p/a:1', valuesOverwrite: {x: [1, {y: no}]}}\n  - <<: *s\n    id: b\n    \
    deployment:\n      trigger:\n        event: {condition: ANY, events: [{id: e, condition: {promQuery: 'up > 0', gracePeriod: 5m}}]}\n";

const PIECES: [&str; 24] = [
    "\n", "  ", "- ", ": ", "[", "]", "{", "}", "&a ", "*a", "<<: ", "!!int ", "'", "\"", "|\n", "null",
    "true", "-1", "1e999", "é", "\t", "# ", "---\n", "\u{0}",
];

/// The guarantees of parsing for every text.
fn holds(text: &str) -> Result<(), TestCaseError> {
    let lines_of_text = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    for format in [Format::Yaml, Format::Json] {
        match parse(text, format, &IntentMapping::default(), &Limits::default()) {
            Ok(parsed) => {
                prop_assert!(super::schema::accepts(&parsed.descriptor.document));
                let again = from_document(
                    parsed.descriptor.document.clone(),
                    &IntentMapping::default(),
                    &Limits::default(),
                );
                prop_assert_eq!(again.map(|again| again.descriptor), Ok(parsed.descriptor));
            }
            Err(ParseError::Invalid(found)) => {
                prop_assert!(!found.is_empty());
                for finding in &found {
                    let line = finding.location.map_or(1, |at| at.line);
                    prop_assert!((1..=lines_of_text + 1).contains(&line), "{:?}", finding);
                }
                prop_assert!(pretty(&found, "f", text).starts_with("error: "));
            }
            Err(ParseError::TooLarge(message)) => prop_assert!(false, "{}", message),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        holds(&text)?;
    }

    #[test]
    fn mutated_descriptors_never_panic(
        edits in prop::collection::vec((any::<Index>(), 0..12_usize, prop::option::of(0..PIECES.len())), 1..6),
    ) {
        let mut text: Vec<char> = SEED.chars().collect();
        for (at, cut, piece) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.map_or("", |piece| PIECES[piece]).chars());
        }
        holds(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn expressions_never_panic(pieces in prop::collection::vec(0..20_usize, 0..12)) {
        let words = ["up", "(", ")", "[5m]", "[1e30]", "{a=\"b\"}", " offset ", "5m", "1e400", "@ ", "+", "-", " and on() ",
            "rate(", "sum by (x) ", ",", "0x1F", "\"s\"", " bool ", "== "];
        let expression: String = pieces.into_iter().map(|piece| words[piece]).collect();
        if let Err(message) = check_expression(&expression) {
            prop_assert!(message.contains("PromQL") || message.contains("an instant vector is needed"), "{}", message);
        }
    }
}
