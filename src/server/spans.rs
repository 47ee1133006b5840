//! The spans of calls, which a collector is told by OTLP.
//!
//! A call is one span, and each of its steps one below it. They are made of what is noted of the call anyway, once it has
//! ended; where no collector is named, nothing is made.

use std::time::{Instant, SystemTime};

use opentelemetry::{
    Context, Key, KeyValue, TraceId,
    trace::{Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use tonic::transport::ClientTlsConfig;

use crate::{
    metrics::{CallRecord, EventOutcome, Facts, StepTaken},
    transport::request::RequestId,
};

const NAME: &str = env!("CARGO_PKG_NAME");
/// What a call fails with where the service is at fault.
const FAILURES: [&str; 3] = ["InternalException", "ServiceUnavailableException", "DeadlineExceededException"];

/// Hands spans to the collector at this address, by gRPC. What else OpenTelemetry knows of settings is read from its own
/// variables of the environment.
pub fn export_to(endpoint: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let mut exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    if endpoint.starts_with("https:") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    Ok(SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter.build()?).build())
}

/// What is said of this service with its spans.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version.clone());
    let named = resource.build();
    let name = named.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    match name {
        Some(name) if !name.starts_with("unknown_service") => named,
        _ => Resource::builder().with_attribute(version).with_service_name(NAME).build(),
    }
}

/// Makes the spans of calls.
#[derive(Clone)]
pub struct Spans(SdkTracer);

impl Spans {
    pub fn of(provider: &SdkTracerProvider) -> Self {
        Self(provider.tracer(NAME))
    }

    /// Begins the span of a call, below that of its caller where there is one.
    pub fn begin(
        &self,
        name: String,
        attributes: Vec<KeyValue>,
        parent: Option<SpanContext>,
        request_id: &RequestId,
    ) -> CallSpan {
        let above = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let began = (SystemTime::now(), Instant::now());
        let call = self.0.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let mut span = call.with_start_time(began.0).start_with_context(&self.0, &above);
        span.set_attribute(KeyValue::new("referral_events.request_id", request_id.as_str().to_owned()));
        CallSpan { span, began, tracer: self.0.clone() }
    }
}

/// The span of a call under way.
pub struct CallSpan {
    span: opentelemetry_sdk::trace::Span,
    /// The same moment by two clocks.
    began: (SystemTime, Instant),
    tracer: SdkTracer,
}

impl CallSpan {
    pub fn trace_id(&self) -> TraceId {
        self.span.span_context().trace_id()
    }

    /// Whether anybody is going to see it.
    pub fn is_recording(&self) -> bool {
        self.span.is_recording()
    }

    /// Ends the span, now, and hands it on with those of the steps. `code` is what the call was answered with.
    pub fn end(self, code: KeyValue, record: &CallRecord) {
        let Self { mut span, began: (began, since), tracer } = self;
        let at = |moment: Instant| began + moment.saturating_duration_since(since);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        for StepTaken { step, since, time } in record.take_steps() {
            let step = tracer.span_builder(step.name()).with_kind(SpanKind::Internal).with_start_time(at(since));
            step.start_with_context(&tracer, &context).end_with_timestamp(at(since + time));
        }
        let Facts { organisation, error, events, .. } = record.facts();
        span.set_attribute(code);
        span.set_attributes(organisation.map(|id| KeyValue::new("referral_events.organisation", id)));
        span.set_attributes(error.map(|code| KeyValue::new("error.type", code)));
        span.set_attributes(events.into_iter().map(|(outcome, count)| {
            let name = match outcome {
                EventOutcome::Created => "created",
                EventOutcome::Replayed => "replayed",
                EventOutcome::Rehearsed => "rehearsed",
                EventOutcome::Unprocessed(code) => code,
            };
            KeyValue::new(format!("referral_events.events.{name}"), count as i64)
        }));
        // What a caller does wrong is no failure of the service.
        if let Some(error) = error.filter(|error| FAILURES.contains(error)) {
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(at(Instant::now()));
    }
}
