//! What a server says of its own health.

use std::time::{Duration, Instant};

use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{Answer, Server, envelope};

/// The services, and the server as a whole.
const SERVICES: [&str; 3] = ["", "referral.v1.AuthenticationService", "referral.v1.ReferralEventService"];
/// How long a server may take to find out. It promises three seconds; a machine with much to do takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

impl Server {
    pub fn health_client(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }

    /// What `/readyz` answers.
    pub async fn readiness(&self) -> (u16, Answer) {
        let response = self.http().get(self.url("readyz")).send().await.expect("a response");
        if response.status() == 503 {
            assert_eq!(response.headers()["retry-after"], "1");
        }
        envelope(response).await
    }

    /// What `/readyz` and the health of each service say, who never contradict each other for long.
    async fn says(&self) -> Vec<bool> {
        let mut answers = vec![self.readiness().await.0 == 200];
        for service in SERVICES {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = self.health_client().check(request).await.expect("an answer");
            answers.push(answer.into_inner().status() == ServingStatus::Serving);
        }
        answers
    }

    /// Waits until the server says that it is ready, or that it is not, in every way there is; it is alive all the time.
    /// Answers the sentence of `/readyz`.
    pub async fn wait_until_ready(&self, is_ready: bool) -> String {
        let started = Instant::now();
        loop {
            let alive = self.http().get(self.url("livez")).send().await.expect("a response");
            assert_eq!(envelope(alive).await.0, 200);
            let says = self.says().await;
            if says.iter().all(|says| *says == is_ready) {
                return self.readiness().await.1.message;
            }
            assert!(started.elapsed() < PATIENCE, "after {:?}: {says:?}", started.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
