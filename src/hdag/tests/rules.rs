//! Prometheus' durations and expressions.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn durations_of_rule_files() {
    for (text, seconds) in [
        ("0", 0),
        ("0s", 0),
        ("5m", 300),
        ("1h30m", 5400),
        ("1y", 31_536_000),
        ("1w2d", 777_600),
        ("090s", 90),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    assert_eq!(parse_duration("1s500ms"), Ok(Duration::from_millis(1500)));
    for bad in
        ["", "5", "m", "5 m", "1.5h", "-5m", "30m1h", "1m1m", "5M", "5min", "1h ", "٥m", "1d-1h", "inf"]
    {
        let message = format!("{bad:?} is not a Prometheus duration such as 30s, 5m or 1h30m");
        assert_eq!(parse_duration(bad), Err(message));
    }
    for long in ["293y", "99999999999999999999s", "292y52w"] {
        assert_eq!(parse_duration(long), Err(format!("duration {long:?} is longer than 292 years")));
    }
}

#[test]
fn the_longest_duration_is_given_as_written() {
    assert_eq!(longest_duration(["5m", "90s", "1h", "60m"]), "1h");
    assert_eq!(longest_duration(["0s"]), "0s");
    assert_eq!(longest_duration([]), "0s");
}

#[test]
fn expressions_that_an_alert_can_have() {
    for good in [
        "up == 0",
        "sum by (service) (rate(flask_http_request_total{service=\"a\"}[5m])) > 0.5",
        "(a > 1) and on() (b > 2)",
        "absent(up{job=~\"a.*\"}) or vector(1)",
        "histogram_quantile(0.9, sum by (le) (rate(x_bucket[1m]))) # tail",
        "1",
    ] {
        assert_eq!(check_expression(good), Ok(()), "{good}");
    }
}

#[test]
fn expressions_that_an_alert_cannot_have() {
    let long = format!("x{}", "+x".repeat(2100));
    let chain = format!("x{}", "+x".repeat(500));
    let deep = format!("{}x{}", "(".repeat(70), ")".repeat(70));
    for (bad, part) in [
        ("", "must not be empty"),
        ("rate(x[5m]", "is not a PromQL expression: unclosed left parenthesis"),
        ("x y", "is not a PromQL expression"),
        ("x{a=~\"(\"}", "is not a PromQL expression: illegal regex"),
        ("rate(x)", "is not a PromQL expression"),
        ("nosuch(x)", "is not a PromQL expression"),
        ("x[5m]", "gives a range vector; an instant vector is needed"),
        ("\"x\"", "gives a string; an instant vector is needed"),
        ("x[1e30]", "is not a PromQL expression: a number in it is out of range"),
        (&long, "has 4201 bytes; at most 4096 are allowed"),
        (&chain, "has 1001 names, numbers, texts and signs; at most 1000 are allowed"),
        ("x{a=~\"[b\"}", "is not a PromQL expression: illegal regex for \"[b\""),
        ("x{a!~ # why\n'\\\\1'}", "is not a PromQL expression: illegal regex for \"\\\\1\""),
        (&deep, "is nested deeper than 64 brackets"),
    ] {
        let message = check_expression(bad).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn regular_expressions_are_checked_without_being_compiled() {
    // The program of each of these would be larger than the parser allows, and take long to make.
    for regex in [r"\\w{900}", r"(\\pL{50}){50}", r"(?i)[a-z]{1000}", "a{b}[c]"] {
        for matcher in ["=~", "!~"] {
            let query = format!("sum(rate(x{{a{matcher}\"{regex}\", b=\"{{[\"}}[5m])) # [");
            assert_eq!(check_expression(&query), Ok(()), "{query}");
        }
    }
    let raw = format!("x{{{}}}", vec!["a=~`[a-z]{900}`"; 100].join(","));
    assert_eq!(check_expression(&raw), Ok(()));
}

#[test]
fn the_costliest_expressions_fit_a_small_stack() {
    let expressions = ["-", "+x", "^x", "<x"].map(|piece| {
        let repeated = piece.repeat(999 / piece.len());
        if piece == "-" { format!("{repeated}x") } else { format!("x{repeated}") }
    });
    let check = move || expressions.map(|expression| check_expression(&expression).is_ok());
    let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(check).unwrap();
    assert_eq!(thread.join().unwrap(), [true; 4]);
}

proptest! {
    #[test]
    fn written_durations_read_back(hours in 0..1000_u64, minutes in 0..1000_u64, seconds in 0..1000_u64) {
        let total = hours * 3600 + minutes * 60 + seconds;
        prop_assert_eq!(parse_duration(&format!("{hours}h{minutes}m{seconds}s")), Ok(Duration::from_secs(total)));
    }

    #[test]
    fn arbitrary_durations_never_panic(text in "[0-9ywdhms.+-]{0,24}") {
        let parsed = parse_duration(&text);
        prop_assert_eq!(parsed.is_ok() && text != "0", parsed.is_ok() && text.ends_with(['y', 'w', 'd', 'h', 'm', 's']));
    }
}
