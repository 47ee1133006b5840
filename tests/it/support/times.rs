//! What the tests take, by module, for whoever sets `TEST_TIMES`.

use std::{
    collections::BTreeMap,
    env, fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The time of a test, and that of the threads of its runtime: what the database and other processes compute is not in it.
#[derive(Clone, Copy, Default)]
struct Taken {
    trials: usize,
    wall: Duration,
    cpu: Duration,
    longest: Duration,
}

static BY_MODULE: Mutex<BTreeMap<String, Taken>> = Mutex::new(BTreeMap::new());

/// The clock of one test.
pub struct Clock {
    module: String,
    started: Instant,
    of_caller: Duration,
    of_runtime: Arc<Mutex<Duration>>,
}

impl Clock {
    pub fn start(title: &str) -> Self {
        let module = title.split("::").next().unwrap_or_default().to_owned();
        Self { module, started: Instant::now(), of_caller: of_this_thread(), of_runtime: Arc::default() }
    }

    /// What a thread of the test's runtime does at its end.
    pub fn of_thread(&self) -> impl Fn() + Send + Sync + 'static {
        let of_runtime = self.of_runtime.clone();
        move || *of_runtime.lock().expect("a lock") += of_this_thread()
    }

    /// To be called when the runtime has ended.
    pub fn stop(self) {
        let wall = self.started.elapsed();
        let cpu = of_this_thread() - self.of_caller + *self.of_runtime.lock().expect("a lock");
        let mut by_module = BY_MODULE.lock().expect("a lock");
        let taken = by_module.entry(self.module).or_default();
        taken.trials += 1;
        taken.wall += wall;
        taken.cpu += cpu;
        taken.longest = taken.longest.max(wall);
    }
}

/// How long this thread has computed.
fn of_this_thread() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or_default())
}

/// Prints the table, the module that takes longest first.
pub fn print() {
    if env::var_os("TEST_TIMES").is_none() {
        return;
    }
    let mut rows: Vec<(String, Taken)> = BY_MODULE.lock().expect("a lock").clone().into_iter().collect();
    rows.sort_by_key(|(_, taken)| std::cmp::Reverse(taken.wall));
    println!("{:<24} {:>6} {:>9} {:>9} {:>9}", "module", "trials", "wall s", "CPU s", "longest s");
    for (module, taken) in rows {
        let [wall, cpu, longest] = [taken.wall, taken.cpu, taken.longest].map(|time| time.as_secs_f64());
        println!("{module:<24} {:>6} {wall:>9.1} {cpu:>9.1} {longest:>9.1}", taken.trials);
    }
}
