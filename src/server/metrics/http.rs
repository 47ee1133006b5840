//! Requests of REST, under the names of OpenTelemetry's conventions.

use std::time::Duration;

use axum::http::{Method, Uri};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};

use super::OTHER;
use crate::{
    metrics::seconds,
    server::{health, pages},
    transport::rest,
};

/// What stands for the status of a request whose caller left before the answer.
pub const CALLER_LEFT: u16 = 499;

/// What the routes of calls answer.
const STATUSES: [u16; 14] = [200, 400, 401, 403, 404, 409, 413, 415, 422, 429, CALLER_LEFT, 500, 503, 504];
/// What probes answer.
const OF_PROBES: [u16; 2] = [200, 503];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    http_route: &'static str,
    http_request_method: &'static str,
    http_response_status_code: u16,
}

/// A route, and the method it was asked by; one that it does not take is no name of a label.
#[derive(Clone, Copy, Debug)]
pub struct HttpRoute {
    pub route: &'static str,
    pub method: &'static str,
}

type Durations = Family<Labels, Histogram, fn() -> Histogram>;

pub struct HttpRoutes {
    durations: Durations,
}

impl HttpRoutes {
    pub fn register(registry: &mut Registry) -> Self {
        let durations = Durations::new_with_constructor(seconds);
        let routes = Self { durations: durations.clone() };
        for (route, method) in rest::ROUTES {
            routes.prepare(route, method, &STATUSES);
        }
        for route in health::PROBES {
            routes.prepare(route, "GET", &OF_PROBES);
        }
        for route in pages::ROUTES {
            routes.prepare(route, "GET", &[200]);
        }
        _ = routes.histogram(HttpRoute { route: OTHER, method: OTHER }, 404);
        let help = "Time until a request was answered, or its caller left";
        registry.register("http_server_request_duration_seconds", help, durations);
        routes
    }

    fn prepare(&self, route: &'static str, method: &'static str, statuses: &[u16]) {
        for method in [Some(method), (method == "GET").then_some("HEAD")].into_iter().flatten() {
            statuses.iter().for_each(|status| _ = self.histogram(HttpRoute { route, method }, *status));
        }
        _ = self.histogram(HttpRoute { route, method: OTHER }, 405);
    }

    fn histogram(&self, HttpRoute { route, method }: HttpRoute, status: u16) -> Histogram {
        self.durations.get_or_create_owned(&Labels {
            http_route: route,
            http_request_method: method,
            http_response_status_code: status,
        })
    }

    pub fn of(uri: &Uri, method: &Method) -> HttpRoute {
        let path = rest::plain_path(uri);
        let others = health::PROBES.into_iter().chain(pages::ROUTES).map(|route| (route, "GET"));
        let Some((route, takes)) = rest::ROUTES.into_iter().chain(others).find(|(route, _)| *route == path) else {
            return HttpRoute { route: OTHER, method: OTHER };
        };
        let is_head = takes == "GET" && method == Method::HEAD;
        let known = if is_head { "HEAD" } else { takes };
        HttpRoute { route, method: if method == known { known } else { OTHER } }
    }

    pub fn handle(&self, route: HttpRoute, status: u16, time: Duration) {
        self.histogram(route, status).observe(time.as_secs_f64());
    }
}
