//! The setting of `serve` about traces.

use clap::Args;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::{config::SettingError, server};

#[derive(Args, Debug)]
pub struct TraceArguments {
    /// The collector that is told the spans of calls, by OTLP over gRPC, as http://127.0.0.1:4317; none if not given
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_short_help = true)]
    otlp_endpoint: Option<String>,
}

impl TraceArguments {
    pub fn open(&self) -> Result<Option<SdkTracerProvider>, SettingError> {
        let Some(endpoint) = self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(None);
        };
        if !(endpoint.starts_with("http://") || endpoint.starts_with("https://")) {
            let message = format!("--otlp-endpoint is a URL as http://127.0.0.1:4317, not {endpoint:?}");
            return Err(SettingError::new(message));
        }
        let provider = server::export_spans_to(endpoint);
        provider.map(Some).map_err(|error| SettingError::new(format!("--otlp-endpoint: {error}")))
    }
}
