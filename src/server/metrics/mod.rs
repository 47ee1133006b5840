//! What a server tells Prometheus: calls by method and answer, what calls count themselves, and what it is at present.

mod gauges;
mod grpc;
mod http;

use std::fmt;

use prometheus_client::{encoding::prometheus_text, registry::Registry};
use prost_reflect::DescriptorPool;

pub use gauges::Gauges;
pub use grpc::{GrpcMethod, GrpcMethods, code_name};
pub use http::{CALLER_LEFT, HttpRoute, HttpRoutes};

use crate::{error::ViolationKind, metrics::CallMetrics, referral::rules::attributes};

/// What stands in a label for what is not known by name, so that nobody outside makes series.
const OTHER: &str = "_OTHER";

/// The metrics of a server.
pub struct Metrics {
    registry: Registry,
    pub calls: CallMetrics,
    pub grpc: GrpcMethods,
    pub http: HttpRoutes,
}

impl Metrics {
    /// `files` have the methods that are served, `gauges` tell what is at present.
    pub fn new(files: &DescriptorPool, gauges: Gauges) -> Self {
        let mut registry = Registry::default();
        let grpc = GrpcMethods::register(&mut registry, files);
        let http = HttpRoutes::register(&mut registry);
        let codes = ViolationKind::ALL.map(ViolationKind::code);
        let calls = CallMetrics::register(&mut registry, codes, attributes::deprecated());
        registry.register_collector(Box::new(gauges));
        Self { registry, calls, grpc, http }
    }

    /// All of them, in Prometheus' text form.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
