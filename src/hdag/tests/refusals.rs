//! Refused descriptors, with the words and the place of each error.

use super::*;

/// The only finding about this text ends with `message` at `pointer` (below the service's deployment).
#[track_caller]
fn refused(text: &str, pointer: &str, message: &str) {
    let found = findings(yaml(text));
    assert_eq!(found.len(), 1, "{}", lines(&found));
    assert_eq!((found[0].pointer.as_str(), found[0].message.as_str()), (pointer, message));
    assert!(found[0].location.is_some());
}

#[track_caller]
fn refused_intent(intent: &str, pointer: &str, message: &str) {
    let pointer = format!("/hdaGraph/services/0/deployment/intent/{pointer}");
    refused(&one(&format!("trigger: {{auto: }}, intent: {{{intent}}}")), &pointer, message);
}

#[track_caller]
fn refused_event(event: &str, pointer: &str, message: &str) {
    let pointer = format!("/hdaGraph/services/0/deployment/trigger/event{pointer}");
    refused(&one(&format!("trigger: {{event: {{{event}}}}}")), &pointer, message);
}

#[test]
fn all_errors_are_told_at_once_with_their_places() {
    let text = r#"hdaGraph:
  id: a/b
  hdaGraphIntent:
    useStaticPlacement: maybe
    highAvailability: {enabled: True, minReplicasOverall: 5, maxReplicasOverall: 2}
  services:
    - id: -rf
      deployment:
        trigger: {auto: {dependencies: [b, nois]}}
        intent:
          network:
            latencies: [{connectionPoint: gone, qos: fast}]
          compute:
            cpu: huge
            gpu: {enabled: 1}
          coLocation: [{id: gone}, {}]
          connectionPoints: b
      artifact:
        ociImage: registry/p/a
    - id: b
      deployment:
        trigger:
          event:
            condition: SOME
            events:
              - id: ""
                condition: {promQuery: "rate(x[5m]", gracePeriod: soon}
      artifact: {}
    - id: b
      deployment: {trigger: {auto: {dependencies: [noise]}, event: {events: []}}}
      artifact: {ociImage: "oci://h/p/b"}
    - 7
    - id: noise
      deployment: {trigger: {auto: {dependencies: [noise]}}}
      artifact: {ociImage: "oci://h/p/noise", valuesOverwrite: [1]}
"#;
    insta::assert_snapshot!(lines(&findings(yaml(text))), @r#"
    2:7 /hdaGraph/id: graph id "a/b" must not contain '/'
    4:25 /hdaGraph/hdaGraphIntent/useStaticPlacement: must be true or false, not "maybe"
    5:59 /hdaGraph/hdaGraphIntent/highAvailability/minReplicasOverall: is 5, which is more than maxReplicasOverall, 2
    7:11 /hdaGraph/services/0/id: service id "-rf" must be a DNS label: 1 to 53 characters of a-z, 0-9 and '-', beginning and ending with a letter or digit
    9:44 /hdaGraph/services/0/deployment/trigger/auto/dependencies/1: there is no service "nois"; did you mean "noise"?
    12:43 /hdaGraph/services/0/deployment/intent/network/latencies/0/connectionPoint: there is no service "gone"
    12:54 /hdaGraph/services/0/deployment/intent/network/latencies/0/qos: unknown qos "fast"; allowed are ultralow, low and best-effort
    14:18 /hdaGraph/services/0/deployment/intent/compute/cpu: service "-rf" asks for the unknown cpu class "huge"; known classes are light, small, medium, large
    15:28 /hdaGraph/services/0/deployment/intent/compute/gpu/enabled: must be true or false, not a number
    16:29 /hdaGraph/services/0/deployment/intent/coLocation/0/id: there is no service "gone"
    16:36 /hdaGraph/services/0/deployment/intent/coLocation/1/id: is required: the name of a service
    17:29 /hdaGraph/services/0/deployment/intent/connectionPoints: must be a list, not text
    19:19 /hdaGraph/services/0/artifact/ociImage: "registry/p/a" is not a chart reference such as oci://host/project/name:version or https://host/name-1.0.0.tgz: it begins neither with oci:// nor with https:// or http://
    24:24 /hdaGraph/services/1/deployment/trigger/event/condition: unknown condition "SOME"; allowed are ANY and ALL
    26:21 /hdaGraph/services/1/deployment/trigger/event/events/0/id: event id "" must have 1 to 253 characters, none of them a control character
    27:40 /hdaGraph/services/1/deployment/trigger/event/events/0/condition/promQuery: "rate(x[5m]" is not a PromQL expression: unclosed left parenthesis
    27:67 /hdaGraph/services/1/deployment/trigger/event/events/0/condition/gracePeriod: "soon" is not a Prometheus duration such as 30s, 5m or 1h30m
    28:17 /hdaGraph/services/1/artifact/ociImage: is required: a chart reference such as oci://host/project/name:version; or helm, with repo and chart
    29:11 /hdaGraph/services/2/id: service id "b" is used twice; services[1] has it too
    30:29 /hdaGraph/services/2/deployment/trigger: service "b" has both an auto and an event trigger; give one
    30:77 /hdaGraph/services/2/deployment/trigger/event/events: must have at least one event
    32:7 /hdaGraph/services/3: must be an object, not a number
    34:51 /hdaGraph/services/4/deployment/trigger/auto/dependencies: dependencies form a cycle: noise → noise
    35:64 /hdaGraph/services/4/artifact/valuesOverwrite: must be an object, not a list
    "#);
}

#[test]
fn findings_in_json_have_the_places_of_their_values_and_warnings_those_of_names() {
    let text = r#"{
  "hdaGraph": {
    "id": "é", "sérvices": [{"a/b": 1}], "imVersion": [],
    "\u0073ervices": [
      {"id": "a", "artifact": {"ociImage": "oci://h/p/a"},
       "deployment": {"trigger": {"auto": {"dependencies": ["élan", "gone"]}}}},
      7
    ]
  }
}"#;
    insta::assert_snapshot!(lines(&findings(json(text))), @r#"
    3:55 /hdaGraph/imVersion: must be text, not a list
    6:61 /hdaGraph/services/0/deployment/trigger/auto/dependencies/0: there is no service "élan"
    6:69 /hdaGraph/services/0/deployment/trigger/auto/dependencies/1: there is no service "gone"
    7:7 /hdaGraph/services/1: must be an object, not a number
    "#);
    let accepted =
        text.replace("\"imVersion\": [],", "").replace("\"élan\", \"gone\"", "").replace("},\n      7", "}");
    insta::assert_snapshot!(lines(&json(&accepted).unwrap().warnings), @r#"3:16 /hdaGraph/sérvices: unknown field "sérvices" has no effect; did you mean "services"?"#);
    assert_eq!(findings(json("{}"))[0].location, Some(Location { line: 1, column: 1 }));
}

#[test]
fn pretty_errors_look_like_a_compilers() {
    let text = "hdaGraph:\n  id: g\n  services:\n  - id: a\n    deployment:\n      trigger: {auto: }\n      \
                intent: {compute: {cpu: tiny}}\n    artifact:\n      ociImage: \"http://h/é\"\n";
    insta::assert_snapshot!(pretty(&findings(yaml(text)), "graph.yaml", text), @r#"
    error: service "a" asks for the unknown cpu class "tiny"; known classes are light, small, medium, large
     --> graph.yaml:7:31  (/hdaGraph/services/0/deployment/intent/compute/cpu)
      |
    7 |       intent: {compute: {cpu: tiny}}
      |                               ^

    error: "http://h/é" is not a chart reference such as oci://host/project/name:version or https://host/name-1.0.0.tgz: its path does not end in .tgz
     --> graph.yaml:9:17  (/hdaGraph/services/0/artifact/ociImage)
      |
    9 |       ociImage: "http://h/é"
      |                 ^
    "#);
    let warnings = yaml(&one("")).unwrap().warnings;
    insta::assert_snapshot!(pretty_warnings(&warnings, "graph.yaml", &one("")), @r#"
    warning: service "a" has no trigger of kind auto or event; auto is assumed
     --> graph.yaml:5:17  (/hdaGraph/services/0/deployment/trigger)
      |
    5 |     deployment: {}
      |                 ^
    "#);
}

#[test]
fn pretty_errors_cannot_steer_the_terminal_and_cut_long_lines() {
    let long = format!("{{\"a\": \"{}\", \"b\": \u{1b}[31m", "x".repeat(500));
    let out = pretty(&findings(json(&long)), "evil\u{7}.json", &long);
    assert!(!out.contains(['\u{1b}', '\u{7}']), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    let caret = lines[4].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[3].chars().nth(caret), Some('\u{fffd}'), "{out}");
    assert!(lines[3].chars().count() < 130);
    assert_eq!(pretty(&[Finding::new("/a", "wrong")], "f", ""), "error: wrong\n --> f  (/a)\n");
}

#[test]
fn syntax_errors_have_one_located_finding() {
    for (text, wanted) in [
        ("a: [1, 2\n", "1:4 : not valid YAML: unclosed bracket '['"),
        ("a:\n\t- b", "2:2 : not valid YAML: tabs disallowed within this context (block indentation)"),
        (
            "hdaGraph:\n  id: x\n  id: y\n",
            "3:3 : not valid YAML: duplicate mapping key `id` is not allowed here",
        ),
        ("a: *b\n", "1:4 : not valid YAML: reference to unknown value"),
        ("a: .inf\n", "1:4 : not valid YAML: value `.inf` is not a finite number; quote it, if it is text"),
        ("a: 1\n---\nb: 1\n", "3:1 : not valid YAML: only single YAML document expected but multiple found"),
        ("", "1:1 : is empty: a descriptor is an object with the single key hdaGraph"),
        ("[1]", "1:1 : must be an object, not a list"),
        ("{}", "1:1 /hdaGraph: is required: a descriptor is an object with the single key hdaGraph"),
        ("hdaGraph: 5", "1:11 /hdaGraph: must be an object, not a number"),
    ] {
        assert_eq!(lines(&findings(yaml(text))), wanted);
    }
    for (text, wanted) in [
        ("{\"é\": 1,}", "1:9 : not valid JSON: trailing comma"),
        ("{\n\"a\": 1, \"a\": 2}", "2:11 : not valid JSON: duplicate key \"a\""),
        ("", "1:1 : not valid JSON: EOF while parsing a value"),
        ("null", "1:1 : is empty: a descriptor is an object with the single key hdaGraph"),
    ] {
        assert_eq!(lines(&findings(json(text))), wanted);
    }
}

#[test]
fn graph_ids_are_checked() {
    let long = "x".repeat(254);
    for (id, problem) in [
        ("''", "graph id must not be empty"),
        ("a/b", "graph id \"a/b\" must not contain '/'"),
        ("'..'", "graph id \"..\" cannot be a name, because paths of URLs lose it"),
        ("' a'", "graph id \" a\" must not begin or end with a blank"),
        ("\"a\\nb\"", "graph id \"a\\nb\" must not contain control characters"),
        (&long, "graph id has 254 characters; at most 253 are allowed"),
        ("12", "must be text, not a number; quote it"),
        ("", "is required: the name of the graph"),
    ] {
        let text = one("trigger: {auto: }").replace("id: g\n", &format!("id: {id}\n"));
        refused(&text, "/hdaGraph/id", problem);
    }
    for id in ["'12'", "Größe und mehr", "a.b_c", &"ä".repeat(253), "on"] {
        let text = one("trigger: {auto: }").replace("id: g\n", &format!("id: {id}\n"));
        assert_eq!(yaml(&text).unwrap().descriptor.id, id.trim_matches('\''));
    }
}

#[test]
fn service_ids_are_dns_labels_that_no_command_takes_for_an_option() {
    let long = "x".repeat(54);
    for id in ["-a", "a-", "A", "a.b", "a_b", "''", "--set", "ä", &long] {
        let text = one("trigger: {auto: }").replacen("id: a", &format!("id: {id}"), 1);
        let found = findings(yaml(&text));
        assert_eq!(found.len(), 1, "{}", lines(&found));
        assert!(found[0].message.contains("must be a DNS label: 1 to 53 characters"), "{}", lines(&found));
    }
    let text = one("trigger: {auto: }").replacen("id: a", &format!("id: {}", &long[1..]), 1);
    assert_eq!(yaml(&text).unwrap().descriptor.services[0].id, &long[1..]);
    refused(
        &graph(&[("a", "trigger: {auto: }"), ("a", "trigger: {auto: }")]),
        "/hdaGraph/services/1/id",
        "service id \"a\" is used twice; services[0] has it too",
    );
}

#[test]
fn an_unknown_class_names_service_class_and_known_classes() {
    refused_intent(
        "compute: {cpu: enormous}",
        "compute/cpu",
        "service \"a\" asks for the unknown cpu class \"enormous\"; known classes are light, small, medium, large",
    );
    refused_intent(
        "compute: {storage: light}",
        "compute/storage",
        "service \"a\" asks for the unknown storage class \"light\"; known classes are small, medium, large",
    );
    refused_intent("compute: {ram: 4}", "compute/ram", "must be text, not a number; quote it");
}

#[test]
fn references_must_exist_except_of_event_sources() {
    let gone = "there is no service \"gone\"";
    refused_intent("connectionPoints: [a, gone]", "connectionPoints/1", gone);
    refused_intent("coLocation: [gone]", "coLocation/0", gone);
    refused_intent("coLocation: [{id: gone}]", "coLocation/0/id", gone);
    refused_intent("coLocation: [{}]", "coLocation/0/id", "is required: the name of a service");
    refused_intent(
        "network: {latencies: [{connectionPoint: gone, qos: low}]}",
        "network/latencies/0/connectionPoint",
        gone,
    );
    let services = [("noise", "trigger: {auto: }"), ("b", "trigger: {auto: {dependencies: [noize]}}")];
    refused(
        &graph(&services),
        "/hdaGraph/services/1/deployment/trigger/auto/dependencies/0",
        "there is no service \"noize\"; did you mean \"noise\"?",
    );
    let event = "trigger: {event: {events: [{id: e, source: [{serviceId: gone, metricId: m}], condition: {promQuery: up}}]}}";
    assert_eq!(yaml(&one(event)).unwrap().warnings, []);
}

#[test]
fn dependency_cycles_are_named() {
    let cycle = |pairs: &[(&str, &str)]| {
        let triggers: Vec<String> =
            pairs.iter().map(|(_, on)| format!("trigger: {{auto: {{dependencies: [{on}]}}}}")).collect();
        let services: Vec<(&str, &str)> =
            pairs.iter().zip(&triggers).map(|((id, _), trigger)| (*id, trigger.as_str())).collect();
        findings(yaml(&graph(&services))).into_iter().map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(cycle(&[("a", "a")]), ["dependencies form a cycle: a → a"]);
    assert_eq!(
        cycle(&[("x", "a"), ("a", "b"), ("b", "x, c"), ("c", ""), ("d", "a, e"), ("e", "d")]),
        ["dependencies form a cycle: x → a → b → x", "dependencies form a cycle: d → e → d"]
    );
    let ring: Vec<String> = (0..1000).map(|index| format!("s{index}")).collect();
    let next: Vec<(&str, &str)> =
        (0..1000).map(|i| (ring[i].as_str(), ring[(i + 1) % 1000].as_str())).collect();
    let told = cycle(&next);
    assert!(told[0].starts_with("dependencies form a cycle: s0 → s1 → s2"), "{}", told[0]);
    assert!(told[0].ends_with("s37 → … → s999 → s0"), "{}", told[0]);
}

#[test]
fn latency_classes_and_replica_bounds_are_checked() {
    refused_intent(
        "network: {latencies: [{qos: fast}]}",
        "network/latencies/0/qos",
        "unknown qos \"fast\"; allowed are ultralow, low and best-effort",
    );
    for (fields, pointer, message) in [
        (
            "minReplicasOverall: 3, maxReplicasOverall: 2",
            "min",
            "is 3, which is more than maxReplicasOverall, 2",
        ),
        ("minReplicasOverall: -1", "min", "must be a whole number of at least 0, not -1"),
        ("maxReplicasOverall: 1.5", "max", "must be a whole number of at least 0, not 1.5"),
        ("maxReplicasOverall: many", "max", "must be a whole number of at least 0, not text"),
    ] {
        let text = one("trigger: {auto: }")
            .replace("id: g\n", &format!("id: g\n  hdaGraphIntent: {{highAvailability: {{{fields}}}}}\n"));
        let pointer = format!("/hdaGraph/hdaGraphIntent/highAvailability/{pointer}ReplicasOverall");
        refused(&text, &pointer, message);
    }
}

#[test]
fn triggers_are_checked() {
    refused(
        &one("trigger: {auto: {}, event: {events: [{id: e, condition: {promQuery: up}}]}}"),
        "/hdaGraph/services/0/deployment/trigger",
        "service \"a\" has both an auto and an event trigger; give one",
    );
    refused_event("condition: ANY", "/events", "must have at least one event");
    refused_event("condition: ANY, events: {}", "/events", "must be a list, not an object");
    let good = "{id: e, condition: {promQuery: up}}";
    refused_event(
        &format!("condition: SOME, events: [{good}]"),
        "/condition",
        "unknown condition \"SOME\"; allowed are ANY and ALL",
    );
    refused_event(
        &format!("condition: ALL, events: [{good}, {good}]"),
        "/events/1/id",
        "event id \"e\" is used twice by this service",
    );
    refused_event("events: [7]", "/events/0", "must be an object, not a number");
    refused_event(
        "events: [{condition: {promQuery: up}}]",
        "/events/0/id",
        "is required: the name of the event's alert",
    );
    refused_event(
        "events: [{id: ' ', condition: {promQuery: up}}]",
        "/events/0/id",
        "event id \" \" must have 1 to 253 characters, none of them a control character",
    );
    refused_event("events: [{id: e}]", "/events/0/condition/promQuery", "is required: a PromQL expression");
    refused_event(
        "events: [{id: e, condition: {promQuery: ' '}}]",
        "/events/0/condition/promQuery",
        "PromQL expression must not be empty",
    );
    refused_event(
        "events: [{id: e, condition: {promQuery: up, gracePeriod: 5 min}}]",
        "/events/0/condition/gracePeriod",
        "\"5 min\" is not a Prometheus duration such as 30s, 5m or 1h30m",
    );
}

#[test]
fn several_events_without_a_condition_are_any_with_a_warning() {
    let events = "{id: e, condition: {promQuery: up}}, {id: f, condition: {promQuery: up}}";
    let parsed = yaml(&one(&format!("trigger: {{event: {{events: [{events}]}}}}"))).unwrap();
    assert_eq!(parsed.warnings.len(), 1);
    assert_eq!(parsed.warnings[0].message, "does not say how the events combine; ANY is assumed");
}

#[test]
fn charts_are_oci_references() {
    let digest = format!("@sha256:{}", "0".repeat(64));
    for good in [
        "oci://h/a".to_owned(),
        "oci://localhost:5000/p/a:1.0.0".to_owned(),
        "oci://127.0.0.1:5000/p/q/a:1.0.0+build.1".to_owned(),
        "oci://registry.example/p/a__b:v1".to_owned(),
        format!("oci://h/p/a{digest}"),
        format!("oci://h/p/a:1{digest}"),
    ] {
        let text = one("trigger: {auto: }").replace("oci://h/p/a", &good);
        assert_eq!(yaml(&text).unwrap().descriptor.services[0].chart, good);
    }
    for (bad, problem) in [
        ("h/p/a", "it begins neither with oci:// nor with https:// or http://"),
        ("https://h/p/a", "its path does not end in .tgz"),
        ("https://me:secret@h/a.tgz", "credentials belong into the setting helm.repositories"),
        ("oci://h", "it has no path to a chart"),
        ("oci:///a", "it has no host"),
        ("oci://h/", "invalid reference format"),
        ("oci://h/p/a:", "invalid reference format"),
        ("oci://h/p/A", "the path must be lower case"),
        ("oci://h/p a", "invalid reference format"),
        ("oci://h/../a", "invalid reference format"),
        ("oci://--password=x/a", "invalid reference format"),
        ("oci://h/p/a@sha256:12", "invalid reference format"),
    ] {
        let text = one("trigger: {auto: }").replace("oci://h/p/a", bad);
        let example = "oci://host/project/name:version or https://host/name-1.0.0.tgz";
        let shown = bad.replace("me:secret@", "***@");
        let message = format!("{shown:?} is not a chart reference such as {example}: {problem}");
        refused(&text, "/hdaGraph/services/0/artifact/ociImage", &message);
    }
}

#[test]
fn charts_of_repositories_and_archives_are_references_like_others() {
    let with = |artifact: &str| {
        one("trigger: {auto: }")
            .replace("ociImage: 'oci://h/p/a'", artifact)
            .replace("ociImage: oci://h/p/a", artifact)
    };
    for (artifact, chart) in [
        (
            "helm: {repo: 'https://charts.example/stable/', chart: web, version: 1.2.3}",
            "https://charts.example/stable#web:1.2.3",
        ),
        ("helm: {repo: 'http://127.0.0.1:8080', chart: web}", "http://127.0.0.1:8080#web"),
        ("helm: 'https://files.example/web-1.2.3.tgz'", "https://files.example/web-1.2.3.tgz"),
        ("ociImage: 'https://files.example/web-1.2.3.tgz'", "https://files.example/web-1.2.3.tgz"),
    ] {
        assert_eq!(yaml(&with(artifact)).unwrap().descriptor.services[0].chart, chart);
    }
    let base = "/hdaGraph/services/0/artifact";
    let refused = |artifact: &str, field: &str, message: &str| {
        refused(&with(artifact), &format!("{base}/{field}"), message);
    };
    refused("helm: {repo: 'https://h'}", "helm/chart", "is required");
    refused(
        "helm: {repo: 'https://h', chart: web, version: 1.2}",
        "helm/version",
        "must be text, not a number; quote it",
    );
    refused(
        "helm: {repo: 'oci://h', chart: web}",
        "helm",
        "repo: it does not begin with https:// or http://",
    );
    let both = "ociImage: 'oci://h/p/a', helm: {repo: 'https://h', chart: web}";
    refused(both, "helm", "cannot be given together with ociImage");
}

#[test]
fn values_are_objects() {
    let with = |artifact: &str| {
        one("trigger: {auto: }").replace("artifact: {", &format!("artifact: {{{artifact}, "))
    };
    let base = "/hdaGraph/services/0/artifact/valuesOverwrite";
    refused(&with("valuesOverwrite: text"), base, "must be an object, not text");
    refused(
        &with("ociConfig: {implementer: wot}, valuesOverwrite: {voChartOverwrite: 1}"),
        &format!("{base}/voChartOverwrite"),
        "service \"a\" has the implementer wot, so voChartOverwrite must be an object",
    );
}

#[test]
fn a_nul_character_is_refused_wherever_it_stands() {
    let text = r#"{"hdaGraph": {"id": "g", "description": "a\u0000b", "x/y": [{"\u0000": 1}],
        "services": [{"id": "a", "deployment": {"trigger": {"auto": {}}}, "artifact": {"ociImage": "oci://h/p/a"}}]}}"#;
    let found = findings(json(text));
    let pointers: Vec<&str> = found.iter().map(|finding| finding.pointer.as_str()).collect();
    assert_eq!(pointers, ["/hdaGraph/description", "/hdaGraph/x~1y/0/\0"]);
}
