//! The command that loads files of events, and a server that they are loaded into.

use std::{
    fmt::Write,
    fs,
    process::{Child, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use referral_events::storage::{Database, entity::referral_event};
use sea_orm::EntityTrait;
use serde_json::Value;

use super::{Ended, OnTerminal, Process, Setup, Workplace};

const PASSWORD: &str = "seven green kettles";

/// Organisation acme with the unit Shop, the account REF, who refers, and accounts from A1 on.
pub struct Loader {
    pub workplace: Workplace,
    pub server: Process,
}

impl Loader {
    pub fn new(setup: Setup, accounts: usize) -> Self {
        let mut workplace = Workplace::over(setup.engine.create_database());
        workplace.run_well(&["migrate"], "");
        workplace.add_caller(PASSWORD);
        workplace.set("REFERRAL_EVENTS_PASSWORD", PASSWORD);
        let mut rows = String::from("number\nREF\n");
        for n in 1..=accounts {
            writeln!(rows, "A{n}").expect("a line");
        }
        workplace.run_well(&["import", "--organisation", "acme", "units", "-"], "alternative_code,name\nU,Shop\n");
        workplace.run_well(&["import", "--organisation", "acme", "accounts_receivable", "-"], &rows);
        let server = workplace.serve(&[]);
        Self { workplace, server }
    }

    pub fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.workplace.path(file), bytes).expect("a file");
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.workplace.path(file)).expect("a file")
    }

    fn arguments<'a>(server: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        let user = ["load", "--server", server, "--username", "carla", "--organisation", "acme"];
        [&user, arguments].concat()
    }

    /// Loads with these arguments, as carla of acme.
    pub fn load(&self, arguments: &[&str]) -> Ended {
        self.load_into(&self.url(), arguments)
    }

    pub fn load_into(&self, server: &str, arguments: &[&str]) -> Ended {
        self.workplace.run(&Self::arguments(server, arguments))
    }

    pub fn load_input(&self, input: &str, arguments: &[&str]) -> Ended {
        self.workplace.run_with_input(&Self::arguments(&self.url(), arguments), input)
    }

    /// Begins to load.
    pub fn begin(&self, arguments: &[&str]) -> Child {
        self.workplace.spawn(&Self::arguments(&self.url(), arguments), Stdio::null(), Stdio::piped())
    }

    /// Begins to load what is given to it bit by bit.
    pub fn begin_with_input(&self, arguments: &[&str]) -> Child {
        let url = self.url();
        self.workplace.spawn_with_input(&Self::arguments(&url, arguments), Stdio::null(), Stdio::piped())
    }

    /// Begins to load where somebody sits at a terminal.
    pub fn begin_on_terminal(&self, server: &str, arguments: &[&str]) -> OnTerminal {
        OnTerminal::start(&self.workplace, &Self::arguments(server, arguments))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Ends the server as a power cut would, and starts it at the same address.
    pub fn restart_server(&mut self) {
        let address = self.server.address.to_string();
        self.server.kill();
        self.server = self.workplace.serve_on(&address, &[]);
    }

    /// The events that there are.
    pub async fn events(&self) -> Vec<referral_event::Model> {
        let database = Database::connect(&self.workplace.database_url()).await.expect("a database");
        let events = referral_event::Entity::find().all(database.reader()).await.expect("events");
        database.close().await.expect("a close");
        events
    }
}

/// A file in which REF refers each of the accounts of these numbers.
pub fn referrals(numbers: impl IntoIterator<Item = usize>) -> String {
    let mut file = String::from(
        "performed_by_unit_identifier.alternative_code,performed_on,referred_accounts_receivable_identifier.number,\
         referred_by_accounts_receivable_identifier.number\n",
    );
    for n in numbers {
        writeln!(file, "U,2016-06-22T15:00:00,A{n},REF").expect("a line");
    }
    file
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("a text");
    encoder.finish().expect("a text")
}

impl Ended {
    /// The objects that it has printed, one a line.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.stdout.lines().map(read).collect()
    }

    /// The summary of a load, which is the last of them.
    #[track_caller]
    pub fn summary(&self) -> Value {
        self.objects().last().expect("a line")["summary"].clone()
    }
}
