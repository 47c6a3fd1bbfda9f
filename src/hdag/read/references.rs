//! Names that must refer to services, unique ids, and dependencies without cycles.
//!
//! Collected during the walk, checked when all services are known.

use std::collections::{HashMap, HashSet};

use super::reader::{Object, Report, nearest};
use crate::hdag::tree::quoted;

/// Longer cycles are cut in the middle.
const MAX_CYCLE_SHOWN: usize = 40;

/// Unknown names that are compared with all known ones.
const MAX_SUGGESTIONS: usize = 20;

/// References between services.
#[derive(Default)]
pub(super) struct References {
    /// Ids as written, by index of the service; `None` when it has no readable one.
    ids: Vec<Option<String>>,
    seen: HashMap<String, usize>,
    /// Pointer and name of everything that must exist.
    required: Vec<(String, String)>,
    /// Pointer of the list and names, by index of the service.
    dependencies: Vec<(String, Vec<String>)>,
}

impl References {
    /// The service that the following calls are about.
    pub(super) fn add_service(
        &mut self,
        index: usize,
        id: Option<&str>,
        service: &Object<'_>,
        report: &mut Report,
    ) {
        self.ids.push(id.map(str::to_owned));
        self.dependencies.push((String::new(), Vec::new()));
        let Some(id) = id else { return };
        if let Some(first) = self.seen.get(id) {
            let message = format!("service id {} is used twice; services[{first}] has it too", quoted(id));
            report.error(service.pointer_to("id"), message);
        } else {
            self.seen.insert(id.to_owned(), index);
        }
    }

    /// `name`, at `pointer`, must be a service.
    pub(super) fn require(&mut self, pointer: &str, name: &str) {
        self.required.push((pointer.to_owned(), name.to_owned()));
    }

    /// The current service is installed after these.
    pub(super) fn depends(&mut self, pointer: &str, names: &[String]) {
        if let Some(last) = self.dependencies.last_mut() {
            *last = (pointer.to_owned(), names.to_vec());
        }
    }

    /// The current service depends on nothing but its events.
    pub(super) fn conditional(&mut self) {
        if let Some(last) = self.dependencies.last_mut() {
            last.1.clear();
        }
    }

    /// Reports names that are no services, and cycles.
    pub(super) fn check(&self, report: &mut Report) {
        let mut known: Vec<&str> = self.seen.keys().map(String::as_str).collect();
        known.sort_unstable();
        let unknown = self.required.iter().filter(|(_, name)| !self.seen.contains_key(name));
        for (number, (pointer, name)) in unknown.enumerate() {
            let near = Some(name).filter(|_| number < MAX_SUGGESTIONS).and_then(|name| nearest(name, &known));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {}?", quoted(near)));
            report.error(pointer, format!("there is no service {}{near}", quoted(name)));
        }
        for cycle in self.cycles() {
            let mut names: Vec<&str> =
                cycle.iter().chain(cycle.first()).filter_map(|index| self.ids[*index].as_deref()).collect();
            if names.len() > MAX_CYCLE_SHOWN {
                names.splice(MAX_CYCLE_SHOWN - 2..names.len() - 2, ["…"]);
            }
            let pointer = cycle.first().map_or("", |first| self.dependencies[*first].0.as_str());
            report.error(pointer, format!("dependencies form a cycle: {}", names.join(" → ")));
        }
    }

    /// One cycle for each knot of services that depend on each other.
    fn cycles(&self) -> Vec<Vec<usize>> {
        let edges: Vec<Vec<usize>> = self
            .dependencies
            .iter()
            .map(|(_, names)| names.iter().filter_map(|name| self.seen.get(name).copied()).collect())
            .collect();
        let mut cycles = Vec::new();
        let mut told = HashSet::new();
        let mut done = vec![false; edges.len()];
        let mut on_path = vec![false; edges.len()];
        for start in 0..edges.len() {
            // Depth first, with an explicit stack of (service, next dependency to look at).
            let mut path = if done[start] { Vec::new() } else { vec![(start, 0)] };
            while let Some((node, next)) = path.last_mut() {
                let node = *node;
                on_path[node] = true;
                let Some(target) = edges[node].get(*next).copied() else {
                    on_path[node] = false;
                    done[node] = true;
                    path.pop();
                    continue;
                };
                *next += 1;
                if !on_path[target] {
                    if !done[target] {
                        path.push((target, 0));
                    }
                } else if !told.contains(&target) && !told.contains(&node) {
                    let cycle: Vec<usize> =
                        path.iter().map(|(node, _)| *node).skip_while(|node| *node != target).collect();
                    told.extend(cycle.iter().copied());
                    cycles.push(cycle);
                }
            }
        }
        cycles
    }
}
