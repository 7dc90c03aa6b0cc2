//! Modules that need one another in a circle.

use super::needs::Need;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::BTreeSet;

/// A strongly connected component: each of its modules needs each other one, by some way.
#[derive(Clone, Debug)]
pub struct Component {
    /// The modules' indices.
    pub modules: BTreeSet<usize>,
    /// The arrows among them.
    pub needs: Vec<Need>,
}

/// All components of more than one module, the largest first.
pub fn components(needs: &[Need]) -> Vec<Component> {
    let edges = needs.iter().map(|need| (index(need.from), index(need.to)));
    let graph = DiGraph::<(), ()>::from_edges(edges);
    let mut components: Vec<Component> = tarjan_scc(&graph)
        .into_iter()
        .filter(|nodes| nodes.len() > 1)
        .map(|nodes| {
            let modules: BTreeSet<usize> = nodes.into_iter().map(NodeIndex::index).collect();
            let inside = |need: &&Need| modules.contains(&need.from) && modules.contains(&need.to);
            let needs = needs.iter().filter(inside).cloned().collect();
            Component { modules, needs }
        })
        .collect();
    components
        .sort_by_key(|component| (std::cmp::Reverse(component.modules.len()), component.modules.first().copied()));
    components
}

fn index(module: usize) -> u32 {
    u32::try_from(module).expect("fewer than 2^32 modules")
}
