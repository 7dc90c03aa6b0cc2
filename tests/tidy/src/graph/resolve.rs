//! Follows a path to where the thing that it names is defined.

use super::tree::Tree;
use std::collections::BTreeSet;

/// What a path can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// A module.
    Module(usize),
    /// Something that is defined in this module.
    Item(usize),
}

/// The imports through which a path has come, so that none is followed in a circle.
type Followed = BTreeSet<(usize, usize)>;

impl Tree<'_> {
    /// Whatever `path` can name where it stands in the module `from`; nothing, if that is in no module of the crate.
    pub(super) fn resolve(&self, from: usize, path: &[String]) -> BTreeSet<Found> {
        self.follow(from, path, &mut Followed::new())
    }

    /// The same for the `use` number `import` of the module, which itself brings no name that it could use.
    pub(super) fn resolve_import(&self, from: usize, import: usize) -> BTreeSet<Found> {
        let path = &self.modules[from].scope.imports[import].path;
        self.follow(from, path, &mut Followed::from([(from, import)]))
    }

    fn follow(&self, from: usize, path: &[String], followed: &mut Followed) -> BTreeSet<Found> {
        let Some((first, mut rest)) = path.split_first() else { return BTreeSet::new() };
        let mut found = match first.as_str() {
            "crate" | "$crate" => BTreeSet::from([Found::Module(0)]),
            "self" => BTreeSet::from([Found::Module(from)]),
            "super" => self.parent(from),
            name => self.lookup(from, name, followed),
        };
        while let Some((segment, behind)) = rest.split_first() {
            found = if segment == "super" { self.above(&found) } else { self.step(&found, segment, followed) };
            rest = behind;
        }
        found
    }

    fn parent(&self, of: usize) -> BTreeSet<Found> {
        self.modules[of].parent.map(Found::Module).into_iter().collect()
    }

    fn above(&self, found: &BTreeSet<Found>) -> BTreeSet<Found> {
        let modules = found.iter().filter_map(|one| if let Found::Module(at) = one { Some(*at) } else { None });
        modules.flat_map(|at| self.parent(at)).collect()
    }

    /// One segment further. What a module lacks by our knowledge, a macro made there. What lies in a type is where the type is.
    fn step(&self, found: &BTreeSet<Found>, segment: &str, followed: &mut Followed) -> BTreeSet<Found> {
        let mut next = BTreeSet::new();
        for one in found {
            if let Found::Module(at) = one {
                next.extend(self.lookup(*at, segment, followed));
            }
        }
        if next.is_empty() {
            let items = found.iter().filter(|one| matches!(one, Found::Item(_))).copied();
            next.extend(items);
        }
        if next.is_empty() {
            next.extend(found.iter().map(|one| match one {
                Found::Module(at) | Found::Item(at) => Found::Item(*at),
            }));
        }
        next
    }

    /// What a name means in a module: what is defined or imported there, else what a macro may have defined, else what `*` brings.
    fn lookup(&self, module: usize, name: &str, followed: &mut Followed) -> BTreeSet<Found> {
        let here = &self.modules[module];
        let mut found = BTreeSet::new();
        if here.scope.items.contains(name) {
            found.insert(Found::Item(module));
        }
        found.extend(here.children.get(name).map(|child| Found::Module(*child)));
        for (index, import) in here.scope.imports.iter().enumerate() {
            if import.name.as_deref() == Some(name) && followed.insert((module, index)) {
                found.extend(self.follow(module, &import.path, followed));
                followed.remove(&(module, index));
            }
        }
        if found.is_empty() && here.scope.perhaps.contains(name) {
            found.insert(Found::Item(module));
        }
        if found.is_empty() {
            found = self.lookup_stars(module, name, followed);
        }
        found
    }

    fn lookup_stars(&self, module: usize, name: &str, followed: &mut Followed) -> BTreeSet<Found> {
        let mut found = BTreeSet::new();
        for (index, import) in self.modules[module].scope.imports.iter().enumerate() {
            if import.name.is_none() && followed.insert((module, index)) {
                for star in self.follow(module, &import.path, followed) {
                    if let Found::Module(at) = star {
                        found.extend(self.lookup(at, name, followed));
                    }
                }
                followed.remove(&(module, index));
            }
        }
        found
    }
}
