//! Databases on a cluster of Citus that the environment names.

use std::{
    env,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::postgres::apart;

/// The URL of the coordinator's server, without a database, of a user who may create databases on each machine. Its
/// database `postgres` has the extension and knows the workers, by addresses that the tests reach too. No server asks for
/// TLS.
const URL: &str = "TEST_CITUS_URL";

static NEXT: AtomicU32 = AtomicU32::new(1);
/// While a database is made, its template has no room for another's making.
static MAKING: Mutex<()> = Mutex::new(());

/// Why there is no cluster to test on, if so.
pub fn missing() -> Option<&'static str> {
    env::var_os(URL).is_none().then_some("TEST_CITUS_URL is not set")
}

/// A database of a cluster, gone from all of its machines when this is dropped.
pub struct ClusterDatabase {
    name: String,
    /// The URLs of the machines' servers, the coordinator's first.
    servers: Vec<String>,
}

impl ClusterDatabase {
    /// Makes an empty database, which has the extension and knows the workers.
    pub fn create() -> Self {
        let coordinator = env::var(URL).expect("the URL of a cluster").trim_end_matches('/').to_owned();
        let name = format!("referral_events_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        apart(async {
            let sql = "SELECT nodename, nodeport::text FROM pg_dist_node WHERE groupid > 0 AND isactive AND noderole = 'primary'";
            let mut connection =
                PgConnection::connect(&format!("{coordinator}/postgres")).await.expect("a coordinator");
            let workers: Vec<(String, String)> =
                sqlx::query_as(sql).fetch_all(&mut connection).await.expect("the workers of the database postgres");
            let mut servers = vec![coordinator.clone()];
            servers.extend(workers.iter().map(|(host, port)| at(&coordinator, host, port)));
            for server in &servers {
                execute(server, "postgres", &format!("CREATE DATABASE {name}")).await;
                execute(server, &name, "CREATE EXTENSION citus").await;
            }
            for (host, port) in &workers {
                execute(&coordinator, &name, &format!("SELECT citus_add_node('{host}', {port})")).await;
            }
            Self { name, servers }
        })
    }

    pub fn url(&self) -> String {
        format!("{}/{}", self.servers[0], self.name)
    }
}

impl Drop for ClusterDatabase {
    fn drop(&mut self) {
        apart(async {
            for server in &self.servers {
                execute(server, "postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
            }
        });
    }
}

/// The URL of another server, for the same user.
fn at(coordinator: &str, host: &str, port: &str) -> String {
    let mut url = reqwest::Url::parse(coordinator).expect("a URL");
    url.set_host(Some(host)).expect("a host");
    url.set_port(port.parse().ok()).expect("a port");
    url.as_str().trim_end_matches('/').to_owned()
}

async fn execute(server: &str, database: &str, sql: &str) {
    let mut connection = PgConnection::connect(&format!("{server}/{database}")).await.expect("a connection");
    connection.execute(AssertSqlSafe(sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.close().await.expect("a close");
}
