//! A strict reader of Prometheus' text form, version 0.0.4.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{Server, known_secrets::assert_none_in};

/// What a server tells of itself at one moment.
#[derive(Debug, Default)]
pub struct Scrape {
    /// Each family with its type.
    pub families: BTreeMap<String, String>,
    pub help: BTreeMap<String, String>,
    samples: BTreeMap<Series, f64>,
}

/// A name and labels.
type Series = (String, BTreeMap<String, String>);

impl Scrape {
    /// Reads a text; whatever is not as the form has it fails the test.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        assert_none_in(text);
        let mut scrape = Self::default();
        let mut family = String::new();
        assert!(text.ends_with('\n') && !text.contains('\r'), "lines end with a line feed");
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# HELP ") {
                let (name, help) = described.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(is_name(name) && help.ends_with('.'), "{line}");
                assert!(scrape.help.insert(name.to_owned(), help.to_owned()).is_none(), "told of twice: {line}");
                family = name.to_owned();
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(name == family && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(scrape.families.insert(name.to_owned(), kind.to_owned()).is_none(), "typed twice: {line}");
            } else {
                assert!(!line.starts_with('#') && !line.trim().is_empty(), "{line:?}");
                let (series, value) = sample(line);
                let kind = scrape.families.get(&family).unwrap_or_else(|| panic!("no type before: {line}"));
                let part = series.0.strip_prefix(&family).unwrap_or_else(|| panic!("not of {family}: {line}"));
                let parts: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(parts.contains(&part), "{line}");
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                assert!(scrape.samples.insert(series, value).is_none(), "told twice: {line}");
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn check_histograms(&self) {
        let mut histograms: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            if let Some(family) = name.strip_suffix("_bucket") {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("a bound").replace("+Inf", "inf").parse().expect("a number");
                histograms.entry((family.to_owned(), labels)).or_default().push((bound, *value));
            }
        }
        let counts = self.samples.keys().filter(|(name, _)| name.ends_with("_count")).count();
        assert_eq!(counts, histograms.len());
        for ((family, labels), mut buckets) in histograms {
            buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let rise = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            assert!(rise, "{family} {labels:?}: {buckets:?}");
            let count = self.samples[&(format!("{family}_count"), labels.clone())];
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{family} {labels:?}");
        }
    }

    /// The value of the series with these labels and no others.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        let value = self.samples.get(&(name.to_owned(), of));
        *value.unwrap_or_else(|| panic!("there is no {name} {labels:?}"))
    }

    /// The sum of all series of a name that have these labels, among others.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |of: &BTreeMap<String, String>| labels.iter().all(|(l, v)| of.get(*l).is_some_and(|of| of == v));
        self.samples.iter().filter(|((other, of), _)| other == name && has(of)).map(|(_, value)| value).sum()
    }

    pub fn series(&self) -> BTreeSet<&Series> {
        self.samples.keys().collect()
    }

    pub fn samples(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>, f64)> {
        self.samples.iter().map(|((name, labels), value)| (name.as_str(), labels, *value))
    }

    /// The names of the labels of a family.
    pub fn labels(&self, family: &str) -> BTreeSet<String> {
        let of_family = |name: &str| {
            let part = name.strip_prefix(family);
            part.is_some_and(|part| ["", "_bucket", "_sum", "_count"].contains(&part))
        };
        let labels = self.samples.keys().filter(|(name, _)| of_family(name)).flat_map(|(_, labels)| labels.keys());
        labels.filter(|label| *label != "le").cloned().collect()
    }
}

/// What is told on an admin port.
pub async fn ask_admin(admin: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{admin}/{path}")).await.expect("a response");
    (response.status().as_u16(), response.text().await.expect("a text"))
}

impl Server {
    pub async fn ask_admin(&self, path: &str) -> (u16, String) {
        ask_admin(self.admin(), path).await
    }

    pub async fn scrape(&self) -> Scrape {
        let (status, text) = self.ask_admin("metrics").await;
        assert_eq!(status, 200);
        Scrape::read(&text)
    }
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `name{label="value",…} number`
fn sample(line: &str) -> (Series, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value: f64 = value.replace("+Inf", "inf").parse().unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut labels = BTreeMap::new();
    let name = match series.split_once('{') {
        None => series,
        Some((name, rest)) => {
            let rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("the labels have no end: {line}"));
            // No value of ours has a quote or a comma in it.
            for label in rest.split(',') {
                let (label, value) = label.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
                let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                let value = value.filter(|value| !value.contains(['"', '\\']));
                let value = value.unwrap_or_else(|| panic!("no value of a label: {line}"));
                assert!(is_name(label), "{line}");
                assert!(labels.insert(label.to_owned(), value.to_owned()).is_none(), "{line}");
            }
            name
        }
    };
    assert!(is_name(name), "{line}");
    ((name.to_owned(), labels), value)
}
