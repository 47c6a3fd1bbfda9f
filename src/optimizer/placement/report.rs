//! A placement decision as text for people: the plan, its basis, and the alternatives.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::{Certificate, ClusterVerdict, Infeasibility, Outcome, Plan, Problem};
use crate::optimizer::text::amounts;

/// Renders a decision.
#[must_use]
pub fn report(problem: &Problem, outcome: &Outcome) -> String {
    let mut sections =
        vec![format!("Graph {}, strategy {}: {}", problem.graph, problem.strategy, outcome.word())];
    match outcome {
        Outcome::Optimal(plan) | Outcome::Feasible(plan) => sections.extend(of_plan(plan)),
        Outcome::Infeasible(cause) => sections.extend(of_infeasibility(cause)),
        Outcome::TimedOut(cause) => sections.push(cause.summary.clone()),
    }
    sections.push(clusters(problem));
    sections.retain(|section| !section.is_empty());
    sections.join("\n\n") + "\n"
}

fn of_plan(plan: &Plan) -> Vec<String> {
    let mut services = table(&["SERVICE", "CLUSTER", "FROM", "REPLICAS", "WHY"]);
    for service in &plan.explanation {
        let replicas = plan.replicas.get(&service.service).map_or_else(String::new, ToString::to_string);
        let from = service.moved_from.clone().unwrap_or_else(|| "-".to_owned());
        services.add_row([&service.service, &service.cluster, &from, &replicas, &service.reason]);
    }
    let mut terms = table(&["OBJECTIVE", "VALUE"]);
    for term in &plan.objective.terms {
        terms.add_row([term.name.clone(), format!("{:.3}", term.value)]);
    }
    terms.add_row(["total".to_owned(), format!("{:.3}", plan.objective.total)]);
    right(&mut terms, 1);
    let mut sections = vec![services.trim_fmt(), terms.trim_fmt(), proof(plan), alternatives(plan)];
    sections.push(list("Warnings:", &plan.warnings));
    sections
}

fn proof(plan: &Plan) -> String {
    let (Some(bound), Some(gap)) = (plan.bound, plan.gap) else {
        return "Nothing is proven about better placements.".to_owned();
    };
    let how = match plan.certificate {
        Certificate::None => return "Nothing is proven about better placements.".to_owned(),
        Certificate::Counting => "by counting",
        Certificate::Milp => "by a mixed-integer model",
        Certificate::Relaxation => "by a relaxation",
    };
    format!("Proven {how}: no placement costs less than {bound:.3} (gap {:.2} %).", gap * 100.0)
}

/// For each service and each cluster it is not on: the obstacle or the additional cost.
fn alternatives(plan: &Plan) -> String {
    let mut table = table(&["SERVICE", "INSTEAD ON", "POSSIBLE", "COST", "WHAT IS IN THE WAY"]);
    for service in &plan.explanation {
        for verdict in service.clusters.iter().filter(|verdict| verdict.cluster != service.cluster) {
            let cost = verdict.cost_difference.map_or_else(String::new, |cost| format!("{cost:+.3}"));
            table.add_row([
                &service.service,
                &verdict.cluster,
                yes_no(verdict.feasible),
                &cost,
                &violated(verdict),
            ]);
        }
    }
    right(&mut table, 3);
    table.trim_fmt()
}

fn of_infeasibility(cause: &Infeasibility) -> Vec<String> {
    let mut verdicts = table(&["CLUSTER", "POSSIBLE", "WHAT IS IN THE WAY"]);
    for verdict in &cause.clusters {
        verdicts.add_row([&verdict.cluster, yes_no(verdict.feasible), &violated(verdict)]);
    }
    let title = match (cause.proven, cause.minimal) {
        (true, true) => "These cannot all hold (none of them is superfluous):",
        (true, false) => "These cannot all hold:",
        (false, _) => "In conflict:",
    };
    vec![
        cause.summary.clone(),
        if cause.clusters.is_empty() { String::new() } else { verdicts.trim_fmt() },
        list(title, &cause.conflict),
        list("Each of these would help:", &cause.relaxations),
    ]
}

fn violated(verdict: &ClusterVerdict) -> String {
    verdict.violated.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn clusters(problem: &Problem) -> String {
    let mut table = table(&["CLUSTER", "AVAILABLE", "FREE", "PRICE/H", "CARBON G/H", "REGION"]);
    let number = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    for cluster in &problem.clusters {
        table.add_row([
            cluster.name.clone(),
            yes_no(cluster.available).to_owned(),
            amounts(cluster.free, &cluster.unlimited()),
            number(cluster.attributes.price_per_core_hour),
            number(cluster.attributes.carbon_per_core_hour),
            cluster.attributes.region.clone().unwrap_or_else(|| "?".to_owned()),
        ]);
    }
    (3..=4).for_each(|column| right(&mut table, column));
    table.trim_fmt()
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn list(title: &str, lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("{title}\n  - {}", lines.join("\n  - ")) }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

fn right(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
