//! What the comments of the contract say: to people as they stand, and of limits in the few terms that they have for them.

use prost_reflect::{
    FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
    prost_types::source_code_info::Location,
};
use serde_json::Value;

/// Something that the contract has a comment on.
pub trait Commented {
    fn place(&self) -> (FileDescriptor, &[i32]);

    /// The comment, which is Markdown.
    fn comment(&self) -> Comment {
        let (file, path) = self.place();
        let locations = file.file_descriptor_proto().source_code_info.as_ref().map_or(&[][..], |info| &info.location);
        let text = locations.iter().find(|location| location.path == path).map_or("", Location::leading_comments);
        Comment(text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n"))
    }
}

macro_rules! commented {
    ($($kind:ty),+) => {$(
        impl Commented for $kind {
            fn place(&self) -> (FileDescriptor, &[i32]) {
                (self.parent_file(), self.path())
            }
        }
    )+};
}

commented!(ServiceDescriptor, MessageDescriptor, FieldDescriptor);

impl Commented for MethodDescriptor {
    fn place(&self) -> (FileDescriptor, &[i32]) {
        (self.parent_service().parent_file(), self.path())
    }
}

/// The head of a file.
impl Commented for FileDescriptor {
    fn place(&self) -> (FileDescriptor, &[i32]) {
        /// `syntax`, before which it stands.
        const SYNTAX: &[i32] = &[12];
        (self.clone(), SYNTAX)
    }
}

/// A comment of the contract.
pub struct Comment(pub String);

impl Comment {
    /// Its first sentence, on one line, without the full stop.
    pub fn summary(&self) -> String {
        let text = self.on_one_line();
        text.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
    }

    pub fn on_one_line(&self) -> String {
        self.0.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub fn is_mandatory(&self) -> bool {
        let text = self.on_one_line();
        text.contains("Mandatory.") || text.contains("Mandatory (")
    }

    /// `At most 255 characters`.
    pub fn maximum_length(&self) -> Option<usize> {
        let text = self.on_one_line();
        let (before, _) = text.split_once(" characters")?;
        let (before, number) = before.rsplit_once(' ')?;
        number.parse().ok().filter(|_| before.ends_with("t most"))
    }

    /// `1 to 1000`.
    pub fn range(&self) -> Option<(u32, u32)> {
        let text = self.on_one_line();
        let words: Vec<&str> = text.split([' ', ';', '.', ',']).collect();
        words.windows(3).find_map(|words| match words {
            [from, "to", to] => from.parse().ok().zip(to.parse().ok()),
            _ => None,
        })
    }

    /// `Default 100`.
    pub fn default(&self) -> Option<Value> {
        let text = self.on_one_line();
        let (_, value) = text.split_once("Default ")?;
        serde_json::from_str(value.split(['.', ' ', ';']).next()?).ok()
    }

    /// Of a response whose only field is the data of the answer, or of that field.
    pub fn is_data_itself(&self) -> bool {
        self.on_one_line().contains("REST has its attributes in `data` itself")
    }

    /// `Not found: UnitNotFoundException`, of what names something.
    pub fn not_found(&self) -> Option<String> {
        let text = self.on_one_line();
        let (_, code) = text.split_once("Not found: ")?;
        code.split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned)
    }

    /// The attribute of the message here that is mandatory elsewhere: ``Its `number` is optional here``.
    pub fn optional_here(&self) -> Option<String> {
        let text = self.on_one_line();
        let (_, name) = text.split_once("Its `")?;
        let (name, rest) = name.split_once('`')?;
        rest.starts_with(" is optional here").then(|| name.to_owned())
    }
}
