//! How each method may be refused: by the codes that its comment names, with the statuses of the one table of the code.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::MethodDescriptor;

use super::{
    PACKAGE,
    comments::{Comment, Commented},
};
use crate::{
    error::{ErrorKind, ViolationKind},
    transport::status::{StatusRow, row_of},
};

/// Why any call may be refused, be its method told of it or not.
const OF_ANY_CALL: [ErrorKind; 8] = [
    ErrorKind::MalformedRequest,
    ErrorKind::UnknownAttribute,
    ErrorKind::UnsupportedMediaType,
    ErrorKind::RequestTooLarge,
    ErrorKind::TooManyRequests,
    ErrorKind::DeadlineExceeded,
    ErrorKind::ServiceUnavailable,
    ErrorKind::Internal,
];

/// The codes with which a call may be refused, and their descriptions, by HTTP status.
pub type Refusals = BTreeMap<u16, BTreeMap<&'static str, String>>;

/// Every kind of refusal.
pub fn all() -> impl Iterator<Item = StatusRow> {
    let of_events = ViolationKind::ALL.into_iter().map(ErrorKind::EventRefused);
    ErrorKind::OF_CALLS.into_iter().chain(of_events).map(row_of)
}

/// Those of a method: what its comment names, what the comment of its service names for all, and what those of the
/// identifiers in its request do.
pub fn of_method(method: &MethodDescriptor) -> Refusals {
    let mut codes: BTreeSet<String> = OF_ANY_CALL.into_iter().map(|kind| row_of(kind).code.to_owned()).collect();
    codes.extend(named(&method.parent_service().comment().on_one_line()));
    codes.extend(method.input().fields().filter_map(|field| field.kind().as_message()?.comment().not_found()));
    read(&method.comment(), method, &mut codes);
    let mut refusals = Refusals::new();
    for row in all().filter(|row| codes.contains(row.code)) {
        refusals.entry(row.http.as_u16()).or_default().insert(row.code, row.description.into_owned());
    }
    refusals
}

/// Gathers the codes that a comment names, and those of what it refers to: `those of` another method, or of events, be it
/// only those ` that end in` something.
fn read(comment: &Comment, method: &MethodDescriptor, codes: &mut BTreeSet<String>) {
    let text = comment.on_one_line();
    let (_, errors) = text.split_once("Errors").unwrap_or_default();
    codes.extend(named(&text));
    for (at, _) in errors.match_indices("those of ") {
        let name = word(&errors[at + "those of ".len()..]);
        let other = method.parent_service().methods().find(|other| other.name() == name && other != method);
        if let Some(other) = other {
            read(&other.comment(), &other, codes);
        }
    }
    for (at, reference) in errors.match_indices(&format!("{MESSAGE}.{FIELD}")) {
        let message = method.parent_pool().get_message_by_name(&format!("{PACKAGE}.{MESSAGE}"));
        let field = message.and_then(|message| message.get_field_by_name(FIELD));
        let end = errors[at + reference.len()..].strip_prefix(THAT_END_IN).map_or("", word);
        let of_field = field.map(|field| field.comment().on_one_line()).unwrap_or_default();
        codes.extend(named(&of_field).filter(|code| code.ends_with(end)));
    }
}

/// Where the contract has the codes of events.
const MESSAGE: &str = "UnprocessedCustomerEvent";
const FIELD: &str = "error_code";

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}

/// What comes after this is the end of codes, and no code.
const THAT_END_IN: &str = " that end in ";

fn named(text: &str) -> impl Iterator<Item = String> {
    let parts =
        text.split(THAT_END_IN).enumerate().map(|(n, part)| if n == 0 { part } else { &part[word(part).len()..] });
    let words = parts.flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| word.ends_with("Exception")).map(str::to_owned)
}
