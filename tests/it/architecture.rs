//! The house keeps its shape: arrows between the modules point one way, and no file is in a circle with another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{UseTree, visit::Visit};

use crate::support::{Setup, tests};

tests! {
    Once: modules_use_only_those_below_them, protocols_and_the_database_do_not_meet, no_file_uses_itself_through_others;
}

/// Each module and the modules of the crate that it may use.
const MAY_USE: [(&str, &[&str]); 26] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "server",
            "config",
            "archive",
            "client",
            "load",
            "rows",
            "contract",
            "directory",
            "referral",
            "auth",
            "guessing",
            "storage",
            "logging",
            "secret",
            "error",
            "text",
            "clock",
            "tls",
            "id",
        ],
    ),
    (
        "server",
        &[
            "config",
            "transport",
            "contract",
            "referral",
            "auth",
            "guessing",
            "storage",
            "secret",
            "error",
            "text",
            "clock",
            "tls",
            "metrics",
            "logging",
        ],
    ),
    ("config", &["clock", "referral", "guessing", "storage", "secret", "error", "tls"]),
    ("tls", &[]),
    ("client", &["contract", "secret"]),
    ("archive", &["transport", "contract", "referral", "storage", "error", "date", "id"]),
    ("load", &["client", "contract", "rows", "error", "text", "date"]),
    ("transport", &["contract", "auth", "referral", "secret", "error", "metrics", "text", "date", "id"]),
    ("contract", &["date"]),
    ("auth", &["guessing", "storage", "secret", "error", "metrics", "text", "clock", "together", "id"]),
    ("referral", &["guessing", "storage", "secret", "error", "metrics", "text", "clock", "retry", "id"]),
    ("guessing", &["storage", "secret", "error", "clock", "id"]),
    ("directory", &["rows", "storage", "secret", "error", "text", "date", "retry", "id"]),
    ("storage", &["error", "metrics", "retry", "id"]),
    ("metrics", &[]),
    ("logging", &[]),
    ("secret", &["id"]),
    ("error", &[]),
    ("text", &[]),
    ("id", &[]),
    ("date", &[]),
    ("clock", &[]),
    ("retry", &[]),
    ("rows", &["error"]),
    ("together", &["error", "id"]),
];

async fn modules_use_only_those_below_them(_: Setup) {
    let mut checked = BTreeSet::new();
    for source in sources() {
        // The map of the crate names all of them, and uses none.
        let Some(module) = source.module.first() else { continue };
        let (_, allowed) =
            MAY_USE.iter().find(|(name, _)| name == module).unwrap_or_else(|| panic!("{module} has no row"));
        for used in source.paths.iter().filter_map(|path| path.first()) {
            let is_module = MAY_USE.iter().any(|(name, _)| name == used);
            let fine = !is_module || used == module || allowed.contains(&used.as_str());
            assert!(fine, "{} uses {used}, which {module} must not", source.file.display());
        }
        checked.insert(module.clone());
    }
    assert_eq!(checked.len(), MAY_USE.len(), "modules without a source: {checked:?}");
}

async fn protocols_and_the_database_do_not_meet(_: Setup) {
    let protocols = ["tonic", "axum", "http", "prost", "hyper"];
    for source in sources() {
        let forbidden: &[&str] = match source.module.first().map_or("", String::as_str) {
            "referral" | "directory" | "storage" | "auth" | "guessing" | "secret" | "error" => &protocols,
            "transport" | "contract" => &["sea_orm", "sqlx"],
            _ => &[],
        };
        for name in forbidden {
            assert!(!source.crates.contains(*name), "{} names {name}", source.file.display());
        }
    }
}

/// The `mod.rs` of a folder, which says what is in it, may be used by all that is.
async fn no_file_uses_itself_through_others(_: Setup) {
    let sources = sources();
    let by_module: BTreeMap<&[String], &Source> =
        sources.iter().map(|source| (source.module.as_slice(), source)).collect();
    let uses: BTreeMap<&Path, BTreeSet<&Path>> = sources
        .iter()
        .filter(|source| !source.is_folder())
        .map(|source| {
            let used = source.paths.iter().filter_map(|path| file_of(path, &by_module, 0));
            let used = used.filter(|used| !used.is_folder() && used.file != source.file);
            (source.file.as_path(), used.map(|used| used.file.as_path()).collect())
        })
        .collect();
    for &file in uses.keys() {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Path> = uses[file].iter().copied().collect();
        while let Some(used) = next.pop() {
            assert_ne!(used, file, "{} uses itself through {reached:?}", file.display());
            if reached.insert(used) {
                next.extend(&uses[used]);
            }
        }
    }
}

/// The source that a path leads to, through what others export again.
fn file_of<'a>(path: &[String], by_module: &BTreeMap<&[String], &'a Source>, depth: usize) -> Option<&'a Source> {
    assert!(depth < 10, "{path:?} is exported in a circle");
    let length = (0..=path.len()).rev().find(|length| by_module.contains_key(&path[..*length]))?;
    let source = by_module[&path[..length]];
    let Some(exported) = path.get(length).and_then(|name| source.exports.get(name)) else { return Some(source) };
    let path: Vec<String> = exported.iter().chain(&path[length + 1..]).cloned().collect();
    file_of(&path, by_module, depth + 1)
}

/// A source file, and what it names.
struct Source {
    file: PathBuf,
    module: Vec<String>,
    /// The paths within the crate, from its root.
    paths: BTreeSet<Vec<String>>,
    /// The paths of what it exports again, by name.
    exports: BTreeMap<String, Vec<String>>,
    /// What else its paths begin with.
    crates: BTreeSet<String>,
}

impl Source {
    fn is_folder(&self) -> bool {
        self.file.ends_with("mod.rs") || self.file.ends_with("lib.rs")
    }

    fn name(&mut self, path: Vec<String>, is_exported: bool) {
        let Some(path) = self.absolute(&path) else {
            self.crates.extend(path.into_iter().next());
            return;
        };
        if is_exported && let Some(name) = path.last() {
            self.exports.insert(name.clone(), path.clone());
        }
        self.paths.insert(path);
    }

    /// The path from the root of the crate; none where it leads out of it, or says what is in scope anyway.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let (base, rest) = match path.first()?.as_str() {
            "crate" | "referral_events" => (&self.module[..0], &path[1..]),
            "self" => (&self.module[..], &path[1..]),
            "super" => (&self.module[..self.module.len() - ups], &path[ups..]),
            // A folder names its files by their names alone.
            first if self.is_folder() && self.has_child(first) => (&self.module[..], path),
            _ => return None,
        };
        Some(base.iter().chain(rest).cloned().collect())
    }

    fn has_child(&self, name: &str) -> bool {
        let folder = self.file.parent().expect("a folder");
        folder.join(name).is_dir() || folder.join(format!("{name}.rs")).is_file()
    }
}

impl<'a> Visit<'a> for Source {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let is_exported = !matches!(item.vis, syn::Visibility::Inherited);
        let mut trees = vec![(Vec::new(), &item.tree)];
        while let Some((mut path, tree)) = trees.pop() {
            match tree {
                UseTree::Path(inner) => {
                    path.push(inner.ident.to_string());
                    trees.push((path, &inner.tree));
                }
                UseTree::Group(group) => trees.extend(group.items.iter().map(|tree| (path.clone(), tree))),
                UseTree::Name(name) if name.ident == "self" => self.name(path, is_exported),
                UseTree::Name(syn::UseName { ident }) | UseTree::Rename(syn::UseRename { ident, .. }) => {
                    path.push(ident.to_string());
                    self.name(path, is_exported);
                }
                UseTree::Glob(_) => self.name(path, false),
            }
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            self.name(path.segments.iter().map(|segment| segment.ident.to_string()).collect(), false);
        }
        syn::visit::visit_path(self, path);
    }
}

/// Every source file.
fn sources() -> Vec<Source> {
    fn visit(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                visit(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    visit(&root, &mut files);
    let read = |file: PathBuf| {
        let inside = file.strip_prefix(&root).expect("a file of src").with_extension("");
        let mut module: Vec<String> = inside.iter().map(|part| part.to_str().expect("a text").to_owned()).collect();
        if module.last().is_some_and(|name| name == "mod" || name == "lib") {
            module.pop();
        }
        let text = fs::read_to_string(&file).expect("a text");
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut source =
            Source { file, module, paths: BTreeSet::new(), exports: BTreeMap::new(), crates: BTreeSet::new() };
        source.visit_file(&parsed);
        source
    };
    files.into_iter().map(read).collect()
}
