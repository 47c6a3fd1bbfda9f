//! One entry of `services`: its name, its needs, the services it calls, and those it must be near to.
//!
//! Names of other services are only collected here; whether they exist is known after the last service.

use super::reader::{Node, Object, Report};
use super::references::References;
use super::{Context, artifact, trigger, wishes};
use crate::hdag::intents::Classes;
use crate::hdag::naming::{MAX_RELEASE_NAME, is_dns_label};
use crate::hdag::tree::quoted;
use crate::hdag::{Latency, LatencyQos, Resources, Service};

const INTENT_FIELDS: [&str; 5] = ["network", "compute", "coLocation", "connectionPoints", "metrics"];

/// The service; `None` when its id or chart is missing or wrong (which has been reported).
pub(super) fn read(
    index: usize,
    node: Node<'_>,
    context: &Context<'_>,
    references: &mut References,
    report: &mut Report,
) -> Option<Service> {
    let service = node.object(&["id", "deployment", "artifact", "smo"], report);
    if !service.exists() {
        references.add_service(index, None, &service, report);
        return None;
    }
    let id = read_id(&service, report);
    let label =
        id.clone().map_or_else(|| format!("services[{index}]"), |id| format!("service {}", quoted(&id)));
    references.add_service(index, id.as_deref(), &service, report);

    let deployment = service.object("deployment", &["trigger", "intent"], report);
    let intent = deployment.intents("intent", &context.mapping.mapped, &INTENT_FIELDS, report);
    let known = ["deviceProximity", "latencies", "connectionPoints"];
    let network = intent.object_unless_text("network", &known, report);
    let trigger = trigger::read(&deployment, &label, context, references, report);
    let needs = read_compute(&intent, &label, context, report);
    let co_location = read_co_location(&intent, references, report);
    // Published descriptors have them in either place.
    let mut connection_points = read_references(&intent, "connectionPoints", references, report);
    connection_points.extend(read_references(&network, "connectionPoints", references, report));
    let connection_points = without_repeats(connection_points);
    let latencies = read_latencies(&network, id.as_deref(), references, report);
    let proximity = network.object("deviceProximity", &["enabled", "site"], report);
    let device_proximity = proximity.flag("enabled", report);
    let site = wishes::name(&proximity, "site", report);
    let _free = intent.items("metrics", report);
    let custom_intents = std::mem::take(&mut report.custom);
    let wishes = wishes::read_service(&service, id.as_deref(), context, references, report);
    let artifact = artifact::read(&service, &label, context.spans, report);
    let artifact = artifact?;
    Some(Service {
        id: id.filter(|id| is_dns_label(id, MAX_RELEASE_NAME))?,
        trigger,
        needs,
        co_location,
        connection_points,
        latencies,
        device_proximity,
        site,
        anti_affinity: wishes.anti_affinity,
        move_weight: wishes.move_weight,
        traffic: wishes.traffic,
        scaling: wishes.scaling,
        propagation: wishes.propagation,
        discards_volumes: wishes.discards_volumes,
        custom_intents,
        chart: artifact.chart,
        artifact_type: artifact.kind,
        implementer: artifact.implementer,
        values: artifact.values,
    })
}

/// The id as written, so that references to a badly named service do not fail a second time.
fn read_id(service: &Object<'_>, report: &mut Report) -> Option<String> {
    let pointer = service.pointer_to("id");
    let Some(node) = service.get("id") else {
        report.error(pointer, "is required: the name of the service");
        return None;
    };
    let id = node.text(report)?;
    if !is_dns_label(id, MAX_RELEASE_NAME) {
        let message = format!(
            "service id {} must be a DNS label: 1 to {MAX_RELEASE_NAME} characters of a-z, 0-9 and '-', \
             beginning and ending with a letter or digit",
            quoted(id)
        );
        report.error(pointer, message);
    }
    Some(id.to_owned())
}

fn read_compute(intent: &Object<'_>, label: &str, context: &Context<'_>, report: &mut Report) -> Resources {
    let compute = intent.object("compute", &["cpu", "ram", "storage", "gpu"], report);
    let mut amount = |name: &str, classes: &Classes| {
        let Some(class) = compute.text(name, report) else { return classes.default_amount() };
        // A service that keeps nothing says so in a fork.
        if name == "storage" && class.eq_ignore_ascii_case("none") {
            return 0;
        }
        classes.get(class).unwrap_or_else(|| {
            let message = format!(
                "{label} asks for the unknown {name} class {}; known classes are {}",
                quoted(class),
                classes.names().join(", ")
            );
            report.error(compute.pointer_to(name), message);
            classes.default_amount()
        })
    };
    let cpu_millicores = amount("cpu", &context.mapping.cpu);
    let ram_bytes = amount("ram", &context.mapping.ram);
    let storage_bytes = amount("storage", &context.mapping.storage);
    Resources {
        cpu_millicores,
        ram_bytes,
        storage_bytes,
        gpus: i64::from(compute.enabled("gpu", report)),
        pods: 0,
    }
}

/// Names of services, each once, that must exist.
pub(super) fn read_references(
    object: &Object<'_>,
    name: &str,
    references: &mut References,
    report: &mut Report,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for node in object.items(name, report) {
        if let Some(target) = node.text(report) {
            references.require(&node.pointer, target);
            names.push(target.to_owned());
        }
    }
    without_repeats(names)
}

fn read_co_location(intent: &Object<'_>, references: &mut References, report: &mut Report) -> Vec<String> {
    let mut names = Vec::new();
    for node in intent.items("coLocation", report) {
        let node = if node.value.is_object() {
            let entry = node.object(&["id"], report);
            let Some(id) = entry.get("id") else {
                report.error(entry.pointer_to("id"), "is required: the name of a service");
                continue;
            };
            id
        } else {
            node
        };
        if let Some(target) = node.text(report) {
            references.require(&node.pointer, target);
            names.push(target.to_owned());
        }
    }
    without_repeats(names)
}

pub(super) fn without_repeats(names: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

fn read_latencies(
    network: &Object<'_>,
    id: Option<&str>,
    references: &mut References,
    report: &mut Report,
) -> Vec<Latency> {
    let mut latencies = Vec::new();
    for node in network.items("latencies", report) {
        let latency = node.object(&["connectionPoint", "qos"], report);
        let target = latency.text("connectionPoint", report).filter(|target| !target.is_empty());
        if let Some(target) = target {
            references.require(&latency.pointer_to("connectionPoint"), target);
        }
        if target.is_some() && target == id {
            let pointer = latency.pointer_to("connectionPoint");
            report.warn(pointer, "is the service itself, to which there is no latency: it has no effect");
        }
        let qos = match latency.text("qos", report) {
            Some("ultralow") => LatencyQos::Ultralow,
            Some("low") => LatencyQos::Low,
            Some("best-effort") | None => LatencyQos::BestEffort,
            Some(other) => {
                let message =
                    format!("unknown qos {}; allowed are ultralow, low and best-effort", quoted(other));
                report.error(latency.pointer_to("qos"), message);
                continue;
            }
        };
        latencies.push(Latency { connection_point: target.map(str::to_owned), qos });
    }
    latencies
}
