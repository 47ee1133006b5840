//! `describe`: the description of the API, as the documents have it.

use clap::{Args, ValueEnum};

use super::{Failure, output::print};
use crate::{description, error::Error};

#[derive(Args, Debug)]
pub struct DescribeArguments {
    /// What to print
    form: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// REST as OpenAPI: docs/openapi.json
    Openapi,
    /// The contract of gRPC, as Markdown: docs/reference.md
    Reference,
    /// A collection of requests, for editors that send them: docs/requests.http
    Requests,
}

/// Prints the description in a form.
pub fn run(arguments: &DescribeArguments) -> Result<(), Failure> {
    let described = match arguments.form {
        Form::Openapi => description::openapi().map(|document| format!("{document:#}\n")),
        Form::Reference => description::reference(),
        Form::Requests => description::requests(),
    };
    print(described.map_err(Error::internal)?.as_bytes());
    Ok(())
}
