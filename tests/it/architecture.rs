//! The house keeps its shape: arrows between the modules point one way.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::{Setup, tests};

tests! {
    Once: modules_use_only_those_below_them, protocols_and_the_database_do_not_meet;
}

/// Each module and the modules of the crate that it may use.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("main", &["cli"]),
    (
        "cli",
        &["server", "config", "directory", "referral", "auth", "guessing", "storage", "logging", "secret", "error"],
    ),
    ("server", &["config", "transport", "contract", "referral", "auth", "guessing", "storage", "secret", "error"]),
    ("config", &["referral", "guessing", "storage", "secret", "error"]),
    ("transport", &["contract", "auth", "referral", "secret", "error"]),
    ("contract", &[]),
    ("auth", &["guessing", "storage", "secret", "error"]),
    ("referral", &["guessing", "storage", "secret", "error"]),
    ("guessing", &["storage", "secret", "error"]),
    ("directory", &["storage", "secret", "error"]),
    ("storage", &["error"]),
    ("logging", &[]),
    ("secret", &[]),
    ("error", &[]),
];

async fn modules_use_only_those_below_them(_: Setup) {
    let mut checked = BTreeSet::new();
    for (module, file, text) in sources() {
        let (_, allowed) =
            MAY_USE.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module} has no row"));
        for used in modules_used(&text) {
            let fine = used == module || allowed.contains(&used.as_str());
            assert!(fine, "{} uses {used}, which {module} must not", file.display());
        }
        checked.insert(module);
    }
    assert_eq!(checked.len(), MAY_USE.len(), "modules without a source: {checked:?}");
}

async fn protocols_and_the_database_do_not_meet(_: Setup) {
    let protocols = ["tonic", "axum", "http", "prost", "hyper"];
    for (module, file, text) in sources() {
        let forbidden: &[&str] = match module.as_str() {
            "referral" | "directory" | "storage" | "auth" | "guessing" | "secret" | "error" => &protocols,
            "transport" | "contract" => &["sea_orm", "sqlx"],
            _ => &[],
        };
        for name in forbidden {
            let uses = text.lines().any(|line| {
                line.match_indices(&format!("{name}::"))
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            });
            assert!(!uses, "{} names {name}", file.display());
        }
    }
}

/// Every source file: its top module, its path, its text.
fn sources() -> Vec<(String, PathBuf, String)> {
    fn visit(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                visit(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    visit(&root, &mut files);
    files
        .into_iter()
        .filter_map(|file| {
            let inside = file.strip_prefix(&root).expect("a file of src").to_owned();
            let top = inside.iter().next()?.to_str()?.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&file).expect("a text");
            // Comments point where they like.
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let text = code.collect::<Vec<_>>().join("\n");
            // The map of the crate names all of them, and uses none.
            (top != "lib").then_some((top, file, text))
        })
        .collect()
}

/// The crate's modules that a source names, as `crate::a` or `crate::{a, b::c}`.
fn modules_used(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(rest.chars().take_while(|c| is_name(*c)).collect());
            continue;
        };
        let mut depth = 0;
        let mut name = String::new();
        let mut in_first_segment = true;
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => in_first_segment = true,
                ':' if depth == 0 => in_first_segment = false,
                c if depth == 0 && in_first_segment && is_name(c) => {
                    name.push(c);
                    continue;
                }
                _ => {}
            }
            if !name.is_empty() {
                used.insert(std::mem::take(&mut name));
            }
        }
        if !name.is_empty() {
            used.insert(name);
        }
    }
    used
}
