//! A disk that is soon full.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

use super::postgres::unprivileged_user;

/// A file system in memory, of a test's own, that every user may write to.
pub struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// Why there is none, if so.
    pub fn missing() -> Option<&'static str> {
        static CAN_MOUNT: OnceLock<bool> = OnceLock::new();
        let can_mount = CAN_MOUNT.get_or_init(|| Self::mount(1).is_some());
        (!can_mount).then_some("no file system can be mounted")
    }

    pub fn new(megabytes: u32) -> Self {
        Self::mount(megabytes).expect("a mounted file system")
    }

    fn mount(megabytes: u32) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("referral-events-disk-").tempdir().expect("a directory");
        let size = format!("size={megabytes}m,mode=0777");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path());
        let output = mount.output().ok()?;
        output.status.success().then_some(Self { directory })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A folder that belongs to the user that the database server runs as.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("a folder of its own");
        if let Some((uid, gid)) = unprivileged_user() {
            chown(&folder, Some(uid), Some(gid)).expect("a folder for the server's user");
        }
        folder
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    pub fn free(&self) {
        fs::remove_file(self.path().join("filler")).expect("a file");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for a server may still be about to close its files.
        _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
