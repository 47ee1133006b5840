//! What the columns of a file are, and its rows into events.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use prost::bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    attributes::{Attribute, Attributes, Content, Given, Values},
    dates::Dates,
    fault::{Code, Fault},
};
use crate::{
    rows::delimiter::is_error_column,
    text::{printable, quoted},
};

const IDENTIFIER: &str = "request_unique_identifier";
const SYSTEM: &str = "external_system";
const REFERENCE: &str = "external_system_reference_number";

/// What the command says of the file's columns.
#[derive(Default)]
pub struct Named {
    /// The file's own names, each with the path of the attribute that it is; with none it is passed over.
    pub columns: Vec<(String, String)>,
    /// What all events have, by path.
    pub constants: Vec<(String, String)>,
    pub reference: Option<Reference>,
}

/// Where external references come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Column(String),
    /// A hash of what the event says.
    Hash,
}

pub struct Mapping {
    pub attributes: Attributes,
    /// What the names that a file may have are, in lower case; nothing where they are passed over.
    names: HashMap<String, Vec<Arc<Attribute>>>,
    /// Those that the command names and a file has to have.
    named: Vec<String>,
    constants: Values,
    reference: Option<Reference>,
    reference_number: Arc<Attribute>,
    identifier: Arc<Attribute>,
    dates: Dates,
}

/// A column of a file.
#[derive(Clone)]
pub struct Column {
    pub name: String,
    /// None where it is passed over.
    pub attributes: Vec<Arc<Attribute>>,
    /// Whether it is of an earlier file of failed rows.
    pub is_of_errors: bool,
}

impl Mapping {
    /// Fails with a sentence where the command names what there is not.
    pub fn new(named: Named, dates: Dates) -> Result<Self, String> {
        let attributes = Attributes::of_the_contract()?;
        let find = |path: &str| attributes.find(path.trim()).cloned().ok_or_else(|| attributes.unknown(path.trim()));
        let mut own = HashMap::new();
        let mut all_named = Vec::new();
        for (name, path) in named.columns {
            let attribute = if path.trim().is_empty() { None } else { Some(find(&path)?) };
            match own.entry(key(&name)) {
                Entry::Occupied(_) => return Err(format!("the column {} is named twice", quoted(&name))),
                Entry::Vacant(entry) => entry.insert(attribute.into_iter().collect()),
            };
            all_named.push(name);
        }
        let mut names: HashMap<_, _> =
            attributes.all().map(|attribute| (attribute.path.clone(), vec![attribute.clone()])).collect();
        names.extend(own);
        if let Some(Reference::Column(name)) = &named.reference {
            names.entry(key(name)).or_default().push(find(REFERENCE)?);
            all_named.push(name.clone());
        }
        let mut constants = attributes.values();
        for (path, value) in &named.constants {
            let attribute = find(path)?;
            let given = read(&dates, &attribute, value).map_err(|fault| format!("--set {path}: {}", fault.reason))?;
            if !constants.give(&attribute, given) {
                return Err(format!("{path} is set twice"));
            }
        }
        let (reference_number, identifier) = (find(REFERENCE)?, find(IDENTIFIER)?);
        let mapping = Self {
            attributes,
            names,
            named: all_named,
            constants,
            reference: named.reference,
            reference_number,
            identifier,
            dates,
        };
        if mapping.reference.is_some() && mapping.is_set(REFERENCE) {
            return Err(format!("--reference-from and --set both give {REFERENCE}: leave one out"));
        }
        Ok(mapping)
    }

    /// Whether all events have it.
    fn is_set(&self, path: &str) -> bool {
        self.attributes.find(path).is_some_and(|attribute| self.constants.has(attribute))
    }

    /// What a name of the file is, where it is known; nothing where it is passed over.
    pub fn attributes_of(&self, name: &str) -> Option<&[Arc<Attribute>]> {
        let as_it_is = self.names.get(name);
        // Most names are as they are compared, and objects have names that are none of an attribute.
        let is_key = name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
        let attributes = if is_key { as_it_is } else { as_it_is.or_else(|| self.names.get(&key(name))) };
        attributes.map(Vec::as_slice)
    }

    pub fn is_known(&self, name: &str) -> bool {
        self.attributes_of(name).is_some()
    }

    /// The columns of a header; or a sentence about what is wrong with it.
    pub fn columns(&self, names: &[&str]) -> Result<Vec<Column>, String> {
        let mut columns: Vec<Column> = Vec::new();
        for name in names.iter().map(|name| name.trim()) {
            let is_of_errors = is_error_column(name);
            let attributes = if is_of_errors { Some(&[][..]) } else { self.attributes_of(name) };
            let attributes = attributes.ok_or_else(|| self.unknown(name, names))?;
            for attribute in attributes {
                let is_it = |other: &Arc<Attribute>| other.path == attribute.path;
                if let Some(other) = columns.iter().find(|column| column.attributes.iter().any(is_it)) {
                    let (path, other) = (&attribute.path, quoted(&other.name));
                    return Err(format!("the columns {other} and {} are both {path}", quoted(name)));
                }
                if self.constants.has(attribute) {
                    let path = &attribute.path;
                    return Err(format!("the column {} is {path}, which --set gives too: leave one out", quoted(name)));
                }
            }
            columns.push(Column { name: name.to_owned(), attributes: attributes.to_vec(), is_of_errors });
        }
        self.check_columns(&columns)?;
        Ok(columns)
    }

    fn unknown(&self, name: &str, all: &[&str]) -> String {
        let unknown = self.attributes.unknown(name);
        let (own, shown) = (quoted(name), printable(name));
        let delimiter = if all.len() == 1 {
            "; a delimiter other than , ; and tab is told by --delimiter, or by a first line such as sep=|"
        } else {
            ""
        };
        format!(
            "the column {own}: {unknown}. Say what it is with --column '{shown}=ATTRIBUTE' (load --attributes has them), or \
             pass over it with --column '{shown}='{delimiter}"
        )
    }

    /// Whether what the command names is there.
    fn check_columns(&self, columns: &[Column]) -> Result<(), String> {
        for name in &self.named {
            if !columns.iter().any(|column| key(&column.name) == key(name)) {
                let names: Vec<_> = columns.iter().map(|column| quoted(&column.name)).collect();
                return Err(format!("the file has no column {}; it has {}", quoted(name), names.join(", ")));
            }
        }
        let has = |path: &str| columns.iter().flat_map(|column| &column.attributes).any(|other| other.path == path);
        if self.lacks_system() && !has(SYSTEM) {
            return Err(NO_SYSTEM.to_owned());
        }
        if self.reference == Some(Reference::Hash) {
            if has(REFERENCE) {
                return Err(format!("the file has {REFERENCE} itself: leave --reference-from out"));
            }
            let attributes = columns.iter().flat_map(|column| &column.attributes);
            attributes.into_iter().try_for_each(|attribute| self.check_secret(attribute))?;
        }
        Ok(())
    }

    /// The same for a file without a header.
    pub fn check_objects(&self) -> Result<(), String> {
        if self.lacks_system() { Err(NO_SYSTEM.to_owned()) } else { Ok(()) }
    }

    /// Whether the file has to say whose numbers its references are.
    fn lacks_system(&self) -> bool {
        matches!(self.reference, Some(Reference::Column(_))) && !self.is_set(SYSTEM)
    }

    /// Whoever may read an event sees its reference, and could try codes until one gives that hash.
    fn check_secret(&self, attribute: &Attribute) -> Result<(), String> {
        if attribute.is_secret && self.reference == Some(Reference::Hash) {
            let path = &attribute.path;
            return Err(format!("{path} is a secret, of which no hash may tell: take references from a column"));
        }
        Ok(())
    }

    /// What all events have.
    pub fn begin(&self) -> Values {
        self.constants.clone()
    }

    /// Gives an event what a cell holds.
    pub fn give(&self, event: &mut Values, attribute: &Attribute, text: &str) -> Result<(), Fault> {
        if event.give(attribute, read(&self.dates, attribute, text)?) {
            return Ok(());
        }
        Err(Fault::new(Code::RepeatedAttribute, format!("{}: given twice", attribute.path)))
    }

    /// The same of a name with what it is.
    pub fn give_named(
        &self,
        event: &mut Values,
        (name, attributes): (&str, Option<&[Arc<Attribute>]>),
        text: &str,
    ) -> Result<(), Fault> {
        let unknown = || Fault::new(Code::UnknownAttribute, self.attributes.unknown(name));
        for attribute in attributes.ok_or_else(unknown)? {
            self.check_secret(attribute).map_err(|reason| Fault::new(Code::SecretInHash, reason))?;
            self.give(event, attribute, text)?;
        }
        Ok(())
    }

    /// Ends the event of the row of that number; answers it as its message is written.
    pub fn finish(&self, mut values: Values, number: u64) -> Bytes {
        if self.reference == Some(Reference::Hash) && !values.has(&self.reference_number) {
            // A message is written in one way only, so that the same row has the same hash in any file.
            let hash = Sha256::digest(self.attributes.encode(&values.without(&self.identifier)));
            values.give(&self.reference_number, Given::Text(hex::encode(&hash[..16])));
        }
        if !values.has(&self.identifier) {
            values.give(&self.identifier, Given::Text(number.to_string()));
        }
        self.attributes.encode(&values).into()
    }
}

const NO_SYSTEM: &str = "numbers of a column are numbers of some system: say which with --set external_system=NAME";

/// Names are compared in any case.
fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// What a text means for the attribute.
fn read(dates: &Dates, attribute: &Attribute, text: &str) -> Result<Given, Fault> {
    let wrong = |code, reason: String| Fault::new(code, format!("{}: {reason}", attribute.path));
    match attribute.content {
        Content::Text => Ok(Given::Text(text.to_owned())),
        Content::Number => text
            .parse()
            .map(Given::Number)
            .map_err(|_| wrong(Code::NotANumber, format!("{} is not a number like 12.5", quoted(text)))),
        Content::Date => dates.read(text).map(Given::Date).map_err(|reason| wrong(Code::NotADate, reason)),
    }
}
