//! Texts of descriptors of a given size, each with much of one thing.

use smo::hdag::Format;

/// One kind of text.
pub struct Shape {
    /// What there is much of.
    pub name: &'static str,
    pub format: Format,
    /// A text of at most so many bytes, and nearly as many.
    pub make: fn(usize) -> String,
}

/// All shapes.
pub const SHAPES: &[Shape] = &[
    yaml("values of a chart", |size| {
        filled(size, &yaml_values(), "", |n| format!("{INNER}key-{n}: value-{n}\n"))
    }),
    json("values of a chart", |size| json_values(size, |n| format!("\"key-{n}\":\"value-{n}\""))),
    yaml("short values", |size| filled(size, &yaml_values(), "", |n| format!("{INNER}{n}: [0,0]\n"))),
    json("short values", |size| json_values(size, |n| format!("\"{n}\":[0,0,0,0,0,0]"))),
    yaml("values that YAML 1.1 reads otherwise", |size| {
        filled(size, &yaml_values(), "", |n| format!("{INNER}{n}: no\n"))
    }),
    yaml("such values below a long name", |size| {
        let name = "k".repeat(size / 2);
        filled(size, &format!("{}{INNER}? {name}\n{INNER}:\n", yaml_values()), "", |_| {
            format!("{INNER}- no\n")
        })
    }),
    json("NUL characters below a long name", |size| {
        let name = "k".repeat(size / 2);
        let head = format!("{}\"{name}\":[0", json_values_head());
        filled(size, &head, "]}}}]}}", |_| ",\"\\u0000\"".to_owned())
    }),
    yaml("deep values", |size| {
        filled(size, &yaml_values(), "", |n| {
            format!("{INNER}k{n}: {}1{}\n", "{a: ".repeat(15), "}".repeat(15))
        })
    }),
    json("deep values", |size| {
        json_values(size, |n| format!("\"k{n}\":{}1{}", "{\"a\":".repeat(100), "}".repeat(100)))
    }),
    yaml("nested lists", |size| "[".repeat(size)),
    json("nested lists", |size| "[".repeat(size)),
    yaml("nested mappings", nested_mappings),
    yaml("nested dashes", |size| "- ".repeat(size / 2)),
    yaml("anchors", |size| filled(size, "", "", |n| format!("- &a{n} x\n"))),
    yaml("anchors in anchors", |size| {
        filled(size, "", "", |_| format!("- {}x{}\n", "&a [".repeat(20), "]".repeat(20)))
    }),
    yaml("aliases", |size| filled(size, "- &a x\n", "", |_| "- *a\n".to_owned())),
    yaml("aliases of aliases", aliases_of_aliases),
    yaml("aliases of a long text", |size| {
        filled(size, &format!("- &a {}\n", "x".repeat(size / 2)), "", |_| "- *a\n".to_owned())
    }),
    yaml("merge keys", |size| {
        let keys: String = (0..1000).map(|n| format!("k{n}: 1, ")).collect();
        filled(size, &format!("a: &a {{{keys}}}\n"), "", |n| format!("x{n}: {{<<: *a}}\n"))
    }),
    yaml("unknown services", |size| {
        filled(size, &calling(&yaml_services(999)), "]}}}\n", |n| format!("{LONG_NAME}{n:06},"))
    }),
    json("unknown services", |size| {
        filled(size, &format!("{}\"x\"", json_services(1000)), "]}}}]}}", |n| {
            format!(",\"{LONG_NAME}{n:06}\"")
        })
    }),
    json("short unknown services", |size| {
        filled(size, &format!("{}\"x\"", json_services(1000)), "]}}}]}}", |n| format!(",\"{n:x}\""))
    }),
    yaml("duplicate keys", |size| filled(size, "", "", |_| "a: 1\n".to_owned())),
    json("duplicate keys", |size| filled(size, "{\"a\":1", "}", |_| ",\"a\":1".to_owned())),
    yaml("a duplicate after many keys", |size| filled(size, "a: 1\n", "a: 1\n", |n| format!("k{n}: 1\n"))),
    json("a duplicate after many keys", |size| {
        filled(size, "{\"a\":1", ",\"a\":1}", |n| format!(",\"k{n}\":1"))
    }),
    yaml("the same name for all services", |size| filled(size, GRAPH, "", |_| yaml_service("a"))),
    yaml("a long plain text", |size| filled(size, DESCRIPTION, "", |_| "word ".to_owned())),
    yaml("a long quoted text", |size| {
        filled(size, &format!("{DESCRIPTION}\""), "\"", |_| "\\x41\\\"".to_owned())
    }),
    json("a long text", |size| {
        filled(size, "{\"hdaGraph\":{\"description\":\"", "\"}}", |_| "\\u0041\\n".to_owned())
    }),
    yaml("a text of many lines", |size| {
        filled(size, &format!("{DESCRIPTION}|\n"), "", |_| "    x\n".to_owned())
    }),
    yaml("a folded text of many lines", |size| {
        filled(size, &format!("{DESCRIPTION}>-\n"), "", |_| "    x\n\n".to_owned())
    }),
    yaml("comments", |size| filled(size, GRAPH, "", |_| "# x\n".to_owned())),
    yaml("blank lines", |size| filled(size, GRAPH, "", |_| "\n".to_owned())),
    yaml("documents", |size| filled(size, "", "", |_| "---\na: 1\n".to_owned())),
    yaml("services that are numbers", |size| filled(size, GRAPH, "", |_| "  - 0\n".to_owned())),
    json("services that are numbers", |size| {
        filled(size, "{\"hdaGraph\":{\"services\":[0", "]}}", |_| ",0".to_owned())
    }),
    json("empty services", |size| {
        filled(size, "{\"hdaGraph\":{\"services\":[{}", "]}}", |_| ",{}".to_owned())
    }),
    json("a number of many digits", |size| {
        filled(size, "{\"hdaGraph\":{\"version\":1", "}}", |_| "1234567890".to_owned())
    }),
    yaml("a number of many digits", |size| filled(size, "version: 1", "", |_| "1234567890".to_owned())),
    json("long numbers", |size| {
        json_values(size, |n| format!("\"{n}\":{}.{}e-300", "9".repeat(400), "9".repeat(400)))
    }),
    yaml("long numbers", |size| {
        filled(size, &yaml_values(), "", |n| {
            format!("{INNER}{n}: {}.{}e-300\n", "9".repeat(400), "9".repeat(400))
        })
    }),
    json("a cycle through all services", dependencies),
    json("connection points", connection_points),
    yaml("unknown fields", |size| filled(size, "hdaGraph:\n", "", |n| format!("  hdaGraphIntend{n}: 1\n"))),
    json("unknown fields", |size| {
        filled(size, "{\"hdaGraph\":{\"id\":\"g\"", "}}", |n| format!(",\"servicesof{n}\":1"))
    }),
    yaml("unknown intents", |size| {
        filled(size, "hdaGraph:\n  hdaGraphIntent:\n", "", |n| format!("    i{n}: {{a: {{b: {{c: 1}}}}}}\n"))
    }),
    yaml("expressions", |size| {
        filled(size, &events("ANY"), "", |n| event(n, &format!("'{}'", expression(n))))
    }),
    yaml("one expression for many events", |size| {
        let head = format!("x: &x '{}'\n{}", expression(0), events("ALL"));
        filled(size, &head, "", |n| if n < 3000 { event(n, "*x") } else { "\n".to_owned() })
    }),
    yaml("one trigger for many services", |size| {
        let event = format!("{{id: e, condition: {{promQuery: '{}'}}}}", expression(0));
        let trigger = format!("{{event: {{condition: ALL, events: [{event}]}}}}");
        shared(size, 500, &trigger, "deployment: {trigger: *x}")
    }),
    yaml("one rate for many services", |size| {
        let query = format!("{{query: '{} + a{{b=\"{{services}}\"}}'}}", expression(0));
        shared(size, 1000, &query, "deployment: {trigger: {auto: }}, smo: {scaling: *x}")
    }),
    yaml("expressions of short terms", |size| {
        filled(size, &events("ANY"), "", |n| event(n, &format!("{n}{}", "+1".repeat(495))))
    }),
    yaml("wrong expressions", |size| filled(size, &events("ANY"), "", |n| event(n, &format!("'sum({n}'")))),
    yaml("expressions with costly patterns", |size| {
        let query = vec!["a=~\"(\\\\w{30}){30}\""; 100].join(",");
        filled(size, &events("ANY"), "", |n| event(n, &format!("'x{n}{{{query}}}'")))
    }),
    yaml("expressions out of range", |size| {
        filled(size, &events("ANY"), "", |n| event(n, &format!("'x{n}[1e30]'")))
    }),
    yaml("expressions of brackets", |size| {
        let expression = format!("{}1{}", "(".repeat(60), ")".repeat(60));
        let expression = format!("'{}'", vec![expression; 8].join("+"));
        filled(size, &events("ANY"), "", |n| event(n, &expression.replacen('1', &n.to_string(), 1)))
    }),
];

/// Indent of a chart's values in YAML.
const INNER: &str = "        ";
const GRAPH: &str = "hdaGraph:\n  id: g\n  services:\n";
const DESCRIPTION: &str = "hdaGraph:\n  id: g\n  description: ";
/// As long as names of services can be, so that each comparison with one is slow.
const LONG_NAME: &str = "a-service-of-a-graph-that-nobody-knows-yet-";

const fn yaml(name: &'static str, make: fn(usize) -> String) -> Shape {
    Shape { name, format: Format::Yaml, make }
}

const fn json(name: &'static str, make: fn(usize) -> String) -> Shape {
    Shape { name, format: Format::Json, make }
}

/// As many numbered pieces between head and tail as `size` bytes hold.
fn filled(size: usize, head: &str, tail: &str, piece: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for number in 0.. {
        let piece = piece(number);
        if text.len() + piece.len() + tail.len() > size {
            break;
        }
        text += &piece;
    }
    text + tail
}

fn yaml_service(id: &str) -> String {
    format!("  - {{id: {id}, deployment: {{trigger: {{auto: }}}}, artifact: {{ociImage: 'oci://h/p/a'}}}}\n")
}

fn yaml_services(count: usize) -> String {
    let services: String = (0..count).map(|n| yaml_service(&format!("{LONG_NAME}x{n}"))).collect();
    format!("{GRAPH}{services}")
}

/// A last service whose list of connection points is open.
fn calling(services: &str) -> String {
    format!(
        "{services}  - {{id: z, artifact: {{ociImage: 'oci://h/p/a'}}, deployment: {{trigger: {{auto: }}, intent: \
         {{connectionPoints: ["
    )
}

/// One service whose mapping of values is open.
fn yaml_values() -> String {
    format!(
        "{GRAPH}  - id: a\n    deployment: {{trigger: {{auto: }}}}\n    artifact:\n      ociImage: oci://h/p/a\n      \
         valuesOverwrite:\n"
    )
}

fn json_service(number: usize, trigger: &str, intent: &str) -> String {
    format!(
        "{{\"id\":\"s{number:x}\",\"artifact\":{{\"ociImage\":\"oci://h/p/a\"}},\"deployment\":{{\"trigger\":{trigger},\
         \"intent\":{intent}}}}}"
    )
}

/// Services, in whose last one the list of connection points is open.
fn json_services(count: usize) -> String {
    let services: Vec<String> = (1..count).map(|n| json_service(n, "{\"auto\":null}", "{}")).collect();
    format!(
        "{{\"hdaGraph\":{{\"id\":\"g\",\"services\":[{},{{\"id\":\"z\",\"artifact\":{{\"ociImage\":\"oci://h/p/a\"}},\
         \"deployment\":{{\"trigger\":{{\"auto\":null}},\"intent\":{{\"connectionPoints\":[",
        services.join(",")
    )
}

/// One service whose object of values is open.
fn json_values_head() -> String {
    "{\"hdaGraph\":{\"id\":\"g\",\"services\":[{\"id\":\"a\",\"deployment\":{\"trigger\":{\"auto\":null}},\
     \"artifact\":{\"ociImage\":\"oci://h/p/a\",\"valuesOverwrite\":{"
        .to_owned()
}

fn json_values(size: usize, piece: impl Fn(usize) -> String) -> String {
    let head = format!("{}\"first\":0", json_values_head());
    filled(size, &head, "}}}]}}", |n| format!(",{}", piece(n)))
}

fn nested_mappings(size: usize) -> String {
    let mut text = String::new();
    for level in 0.. {
        let line = format!("{}a:\n", " ".repeat(level));
        if text.len() + line.len() > size {
            break;
        }
        text += &line;
    }
    text
}

fn aliases_of_aliases(size: usize) -> String {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        text += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","));
    }
    filled(size, &text, "", |n| format!("b{n}: *a9\n"))
}

/// Services that each depend on those after it, and the last ones on the first.
fn dependencies(size: usize) -> String {
    let service = |service: usize| {
        let names: Vec<String> = (1..130).map(|n| format!("\"s{:x}\"", (service + n) % 1000)).collect();
        json_service(service, &format!("{{\"auto\":{{\"dependencies\":[{}]}}}}", names.join(",")), "{}")
    };
    let services: Vec<String> = (0..1000).map(service).collect();
    let head = format!("{{\"hdaGraph\":{{\"id\":\"g\",\"services\":[{}]", services.join(","));
    filled(size, &head, "}}", |_| " ".to_owned())
}

/// Services that each call many others.
fn connection_points(size: usize) -> String {
    let service = |service: usize| {
        let names: Vec<String> = (0..125).map(|n| format!("\"s{:x}\"", (service + n) % 1000)).collect();
        json_service(service, "{\"auto\":null}", &format!("{{\"connectionPoints\":[{}]}}", names.join(",")))
    };
    let services: Vec<String> = (0..1000).map(service).collect();
    let head = format!("{{\"hdaGraph\":{{\"id\":\"g\",\"services\":[{}]", services.join(","));
    filled(size, &head, "}}", |_| " ".to_owned())
}

/// A service whose list of events is open.
fn events(condition: &str) -> String {
    format!(
        "{GRAPH}  - id: a\n    artifact: {{ociImage: 'oci://h/p/a'}}\n    deployment:\n      trigger:\n        event:\n          \
         condition: {condition}\n          events:\n"
    )
}

/// As many services with the anchor `x` as aliases may repeat it, or as a graph may have.
fn shared(size: usize, count: usize, anchored: &str, more: &str) -> String {
    let service = |n| format!("  - {{id: s{n}, artifact: {{ociImage: 'oci://h/p/a'}}, {more}}}\n");
    let head = format!("x: &x {anchored}\n{GRAPH}");
    filled(size, &head, "", |n| if n < count { service(n) } else { "\n".to_owned() })
}

fn event(number: usize, query: &str) -> String {
    format!("          - {{id: e{number}, condition: {{promQuery: {query}}}}}\n")
}

/// An expression of nearly the longest length.
fn expression(number: usize) -> String {
    let terms: Vec<String> =
        (0..48).map(|n| format!("sum by (a) (rate(m{number}{{a=\"{n}\"}}[5m]))")).collect();
    terms.join(" + ")
}
