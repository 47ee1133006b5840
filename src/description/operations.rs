//! The methods that REST has, by their option `google.api.http`.

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor};

use super::{
    PACKAGE, TOKEN,
    comments::{Comment, Commented},
};

/// The methods of HTTP, as the option has them.
const VERBS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// A method, and how REST calls it.
pub struct Operation {
    pub method: MethodDescriptor,
    /// In small letters.
    pub verb: &'static str,
    pub path: String,
    body: String,
}

/// The services of the contract.
pub fn services(contract: &DescriptorPool) -> impl Iterator<Item = ServiceDescriptor> {
    contract.services().filter(|service| service.package_name() == PACKAGE)
}

/// Those of a service that REST has.
pub fn operations(service: &ServiceDescriptor) -> Vec<Operation> {
    service.methods().filter_map(Operation::of).collect()
}

impl Operation {
    /// `None` where REST has no such method.
    pub fn of(method: MethodDescriptor) -> Option<Self> {
        let http = method.parent_pool().get_extension_by_name("google.api.http")?;
        let options = method.options();
        let rule = options.has_extension(&http).then(|| options.get_extension(&http))?;
        let rule = rule.as_message()?;
        let text = |name| rule.get_field_by_name(name).and_then(|text| text.as_str().map(str::to_owned));
        let address = |verb| Some((verb, text(verb).filter(|path| !path.is_empty())?));
        let (verb, path) = VERBS.into_iter().find_map(address)?;
        let body = text("body")?;
        Some(Self { verb, path, body, method })
    }

    /// The attributes of the call that are in the body, in one object; none where there is no body. Those of a field that
    /// is the body stand beside the others.
    pub fn attributes(&self) -> Vec<FieldDescriptor> {
        let fields = self.method.input().fields().collect();
        if self.body == "*" { fields } else { self.flattened(fields) }
    }

    fn flattened(&self, mut fields: Vec<FieldDescriptor>) -> Vec<FieldDescriptor> {
        let Some(body) = self.body_field() else { return fields };
        fields.retain(|field| *field != body);
        let of_message = body.kind().as_message().map(|message| message.fields().collect::<Vec<_>>());
        fields.extend(of_message.unwrap_or_default());
        fields
    }

    /// The field of the request that is the body, where that is not the request itself.
    pub fn body_field(&self) -> Option<FieldDescriptor> {
        self.method.input().get_field_by_name(&self.body)
    }

    pub fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// What stands in `data` of the answer: the response, or the one message in it where a comment of theirs says so.
    pub fn answer(&self) -> MessageDescriptor {
        let output = self.method.output();
        let fields: Vec<FieldDescriptor> = output.fields().collect();
        let [only] = &fields[..] else { return output };
        let is_itself = [output.comment(), only.comment()].iter().any(Comment::is_data_itself);
        match only.kind() {
            Kind::Message(message) if is_itself => message,
            _ => output,
        }
    }

    pub fn takes_token(&self) -> bool {
        self.method.input().get_field_by_name(TOKEN).is_some()
    }
}
