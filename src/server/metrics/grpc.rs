//! Calls of gRPC, under the names that servers of other languages use.

use std::{collections::HashMap, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::Code;

use super::OTHER;
use crate::metrics::seconds;

/// All codes, by their numbers, as Go names them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

pub fn code_name(code: Code) -> &'static str {
    CODES.get(code as usize).copied().unwrap_or("Unknown")
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    grpc_type: &'static str,
    grpc_service: String,
    grpc_method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandledLabels {
    grpc_type: &'static str,
    grpc_service: String,
    grpc_method: String,
    grpc_code: &'static str,
}

/// The series of one method.
pub struct GrpcMethod {
    pub service: String,
    pub name: String,
    started: Counter,
    handled: [Counter; CODES.len()],
    handling: Histogram,
}

impl GrpcMethod {
    pub fn start(&self) {
        self.started.inc();
    }

    pub fn handle(&self, code: Code, time: Duration) {
        if let Some(handled) = self.handled.get(code as usize) {
            handled.inc();
        }
        self.handling.observe(time.as_secs_f64());
    }
}

/// Those of all methods that are served.
pub struct GrpcMethods {
    by_path: HashMap<String, Arc<GrpcMethod>>,
    other: Arc<GrpcMethod>,
}

/// The families that methods belong to.
struct Families {
    started: Family<MethodLabels, Counter>,
    handled: Family<HandledLabels, Counter>,
    handling: Family<MethodLabels, Histogram, fn() -> Histogram>,
}

impl Families {
    fn method(&self, labels: MethodLabels) -> Arc<GrpcMethod> {
        let handled = CODES.map(|grpc_code| {
            let MethodLabels { grpc_type, grpc_service, grpc_method } = labels.clone();
            self.handled.get_or_create_owned(&HandledLabels { grpc_type, grpc_service, grpc_method, grpc_code })
        });
        let started = self.started.get_or_create_owned(&labels);
        let handling = self.handling.get_or_create_owned(&labels);
        let MethodLabels { grpc_service: service, grpc_method: name, .. } = labels;
        Arc::new(GrpcMethod { service, name, started, handled, handling })
    }
}

impl GrpcMethods {
    pub fn register(registry: &mut Registry, files: &DescriptorPool) -> Self {
        let families = Families {
            started: Family::default(),
            handled: Family::default(),
            handling: Family::new_with_constructor(seconds),
        };
        let mut by_path = HashMap::new();
        for method in files.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let service = method.parent_service().full_name().to_owned();
            let path = format!("/{service}/{}", method.name());
            let labels = MethodLabels {
                grpc_type: type_of(&method),
                grpc_service: service,
                grpc_method: method.name().to_owned(),
            };
            by_path.insert(path, families.method(labels));
        }
        let other = families.method(MethodLabels {
            grpc_type: "unary",
            grpc_service: OTHER.to_owned(),
            grpc_method: OTHER.to_owned(),
        });
        let Families { started, handled, handling } = families;
        registry.register("grpc_server_started", "RPCs started on the server", started);
        registry.register("grpc_server_handled", "RPCs completed on the server, by code", handled);
        let help = "Time until an RPC was answered, or its caller left";
        registry.register("grpc_server_handling_seconds", help, handling);
        Self { by_path, other }
    }

    pub fn of(&self, path: &str) -> Arc<GrpcMethod> {
        self.by_path.get(path).unwrap_or(&self.other).clone()
    }
}

fn type_of(method: &MethodDescriptor) -> &'static str {
    match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    }
}
