//! The order of graphs in a tick: by name, and each tick begins one graph later than the one before, so that no graph
//! always comes first to scarce capacity. Pure.

/// The pages of one tick: the graphs after a name, then the rest from the beginning.
pub(super) struct Round {
    /// The graph that the last tick began with; this one begins with the next.
    begun: Option<String>,
    /// The last graph of the page before.
    after: String,
    /// The first graph of this tick.
    first: Option<String>,
    /// The pages from the beginning are read.
    has_wrapped: bool,
    has_ended: bool,
}

impl Round {
    /// A tick that begins with the graph after this one.
    pub(super) fn after(begun: Option<String>) -> Self {
        let after = begun.clone().unwrap_or_default();
        // Without a graph to begin after, the first pages are those from the beginning.
        let has_wrapped = begun.is_none();
        Self { begun, after, first: None, has_wrapped, has_ended: false }
    }

    /// The name after which the next page begins; `None` after the last page.
    pub(super) fn next_page(&self) -> Option<String> {
        (!self.has_ended).then(|| self.after.clone())
    }

    /// Whether a graph of the page belongs to this tick, and did not have its turn before.
    pub(super) fn is_due(&self, name: &str) -> bool {
        !self.has_wrapped || self.begun.as_deref().is_none_or(|begun| name <= begun)
    }

    /// Notes the last graph of the page that is due; `None` when there was none.
    pub(super) fn turn_to(&mut self, last: Option<&str>) {
        match last {
            Some(last) => last.clone_into(&mut self.after),
            None if self.has_wrapped => self.has_ended = true,
            None => {
                self.has_wrapped = true;
                self.after.clear();
            }
        }
    }

    /// Notes that a graph has its turn.
    pub(super) fn note(&mut self, name: &str) {
        self.first.get_or_insert_with(|| name.to_owned());
    }

    /// The graph that this tick began with.
    pub(super) fn first(self) -> Option<String> {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of all graphs in a tick, two a page.
    fn order(names: &[&str], begun: Option<&str>) -> (Vec<String>, Option<String>) {
        let mut round = Round::after(begun.map(str::to_owned));
        let mut order = Vec::new();
        while let Some(after) = round.next_page() {
            let page = names.iter().filter(|name| **name > after.as_str()).take(2);
            let due: Vec<&str> = page.copied().filter(|name| round.is_due(name)).collect();
            due.iter().for_each(|name| round.note(name));
            round.turn_to(due.last().copied());
            order.extend(due.into_iter().map(str::to_owned));
        }
        (order, round.first())
    }

    #[test]
    fn each_tick_begins_one_graph_later_and_has_all_of_them_once() {
        let names = ["a", "b", "c", "d", "e"];
        let mut begun = None;
        for expected in ["abcde", "bcdea", "cdeab", "deabc", "eabcd", "abcde"] {
            let (found, first) = order(&names, begun.as_deref());
            assert_eq!(found.concat(), expected);
            begun = first;
        }
        // The graph that it began with may be gone.
        assert_eq!(order(&["a", "c"], Some("b")).0.concat(), "ca");
        assert_eq!(order(&[], Some("b")), (Vec::new(), None));
        assert_eq!(order(&["a"], Some("a")).0.concat(), "a");
    }
}
