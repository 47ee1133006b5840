//! Which protocol a request speaks, by its content type.

use axum::http::{HeaderMap, Version, header};

use crate::error::{Error, ErrorKind, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    GrpcWeb,
    Rest,
}

/// Of gRPC-Web, binary and as text.
const GRPC_WEB: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

impl Protocol {
    /// Whatever calls itself gRPC and cannot be served is refused here, before it does anything.
    pub fn of(headers: &HeaderMap, version: Version) -> Result<Self> {
        let unsupported = |message| Err(Error::new(ErrorKind::UnsupportedMediaType, message));
        let Some(media_type) = media_type(headers).filter(|media_type| media_type.starts_with("application/grpc"))
        else {
            return Ok(Self::Rest);
        };
        match media_type.as_str() {
            "application/grpc" | "application/grpc+proto" if version >= Version::HTTP_2 => Ok(Self::Grpc),
            "application/grpc" | "application/grpc+proto" => {
                unsupported("gRPC needs HTTP/2; over HTTP/1.1 send gRPC-Web, or JSON to the REST paths.")
            }
            media_type if GRPC_WEB.contains(&media_type) => Ok(Self::GrpcWeb),
            _ => unsupported(
                "Of gRPC, the content types application/grpc, application/grpc+proto and those of gRPC-Web are served.",
            ),
        }
    }
}

/// The content type without its parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
