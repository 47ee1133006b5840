//! How far a load came, in a file beside the one that is loaded, so that the same command goes on.
//!
//! It is written aside, brought to the disk and renamed: whatever happens, a whole one is there. The files of outcomes are
//! brought to the disk before it, and cut to the lengths that it has where a load goes on that was cut off; what is not as
//! the load left it is somebody else's, and stays as it is.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{chunks::Position, fault::Trouble, outcomes::Written};

/// Of the form below, and of the way in which chunks are cut.
const VERSION: u32 = 2;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journal {
    version: u32,
    /// By which the server knows the load.
    pub load_id: String,
    /// All that tells what becomes of a row, by name.
    settings: BTreeMap<String, String>,
    /// What is before it was answered, or found to be no event.
    pub position: Position,
    /// How many events the server has answered under the id.
    pub offset: u64,
    pub counts: Counts,
    /// What the load has written of the file of failed rows, and of that of created events; `None` of one that it was not
    /// to write.
    pub failed: Option<Written>,
    pub created: Option<Written>,
    /// Whether nothing was written after it: the load ended or stopped by itself, and was not cut off.
    #[serde(default)]
    pub is_at_rest: bool,
}

/// What became of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub created: u64,
    /// Created before, under the same external reference with the same content.
    pub already_there: u64,
    pub failed: u64,
    /// The failed ones, by code.
    pub failures: BTreeMap<String, Failures>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    pub count: u64,
    pub first_line: u64,
}

impl Counts {
    pub fn fail(&mut self, code: &str, line: u64) {
        self.failed += 1;
        let failures = self.failures.entry(code.to_owned()).or_default();
        failures.count += 1;
        if failures.count == 1 {
            failures.first_line = line;
        }
    }
}

impl Journal {
    pub fn new(settings: BTreeMap<String, String>) -> Self {
        Self {
            version: VERSION,
            load_id: Uuid::new_v4().to_string(),
            settings,
            position: Position::default(),
            offset: 0,
            counts: Counts::default(),
            failed: None,
            created: None,
            is_at_rest: false,
        }
    }

    /// That of a load that was begun, where there is one; it must have had the same settings.
    pub fn read(path: &Path, settings: &BTreeMap<String, String>) -> Result<Option<Self>, Trouble> {
        let shown = path.display();
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Trouble::unusable(format!("{shown} cannot be read: {error}"))),
        };
        let journal: Self = serde_json::from_slice(&text).map_err(|error| {
            Trouble::unusable(format!("{shown} is no journal of a load ({error}): give another one with --journal"))
        })?;
        if journal.version != VERSION {
            return Err(Trouble::unusable(format!(
                "{shown} is of another version of this program: go on with that one"
            )));
        }
        let names = journal.settings.keys().chain(settings.keys());
        for name in names {
            let (before, now) = (journal.settings.get(name), settings.get(name));
            if before != now {
                let told = |value: Option<&String>| value.map_or("nothing".to_owned(), |value| format!("{value:?}"));
                return Err(Trouble::unusable(format!(
                    "{shown} is of a load with {} for {name}, and this command has {}: say the same to go on, or give \
                     another journal with --journal to load the file from its beginning",
                    told(before),
                    told(now)
                )));
            }
        }
        Ok(Some(journal))
    }

    /// Goes on under an id of which the server knows nothing yet.
    pub fn renew(&mut self) {
        self.load_id = Uuid::new_v4().to_string();
        self.offset = 0;
    }

    /// Fails where the disk is full: the journal from before is there then.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let aside = aside(path);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
