//! Where the limit and the use of memory are read: the process itself, or its control group.
//!
//! A limit that was configured is held against the process's resident memory. A limit that is the
//! control group's is held against what the kernel counts for the group, because that is what it
//! kills by: the sockets' buffers are in it, and other processes of the group. Pages of files that
//! can be dropped at any time are taken off, or a long replay would look like a lack of memory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Reading;

/// Where `/proc` and control groups are mounted.
const ROOT: &str = "/";

/// From here on a limit of a version 1 group means none: it writes the largest multiple of a page
/// that fits a signed 64-bit number.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// What can be read of this process. Found once; the files are read at each look.
#[derive(Debug)]
pub(super) struct Source {
    status: PathBuf,
    group: Option<Group>,
}

/// A control group with a limit: the tightest on the way to the root.
#[derive(Debug)]
struct Group {
    limit: PathBuf,
    used: PathBuf,
    stat: PathBuf,
    /// The line of `stat` that counts pages of files not used lately.
    reclaimable: &'static str,
}

impl Source {
    pub(super) fn of_this_process() -> Self {
        Self::below(Path::new(ROOT))
    }

    /// With everything found below `root`, as it is below `/`.
    fn below(root: &Path) -> Self {
        let status = root.join("proc/self/status");
        Self { status, group: Group::find(root) }
    }

    /// The use of memory against `limit_bytes`, or, where that is 0, against the control group's
    /// limit; `None` where there is neither, or the system does not say.
    pub(super) fn read(&self, limit_bytes: u64) -> Option<Reading> {
        if limit_bytes > 0 {
            return Some(Reading { used_bytes: self.resident_bytes()?, limit_bytes });
        }
        self.group.as_ref()?.read()
    }

    fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(&self.status).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1_024)
    }
}

impl Group {
    /// The group of this process, or the one above it, that has the least limit.
    fn find(root: &Path) -> Option<Self> {
        let membership = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mut tightest: Option<(u64, Self)> = None;
        for line in membership.lines() {
            // hierarchy:controllers:path
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let is_v1 = controllers.split(',').any(|controller| controller == "memory");
            if !is_v1 && !controllers.is_empty() {
                continue;
            }
            let mount = root.join(if is_v1 { "sys/fs/cgroup/memory" } else { "sys/fs/cgroup" });
            let folder = mount.join(path.trim_start_matches('/'));
            for folder in folder.ancestors().take_while(|folder| folder.starts_with(&mount)) {
                let group = Self::at(folder, is_v1);
                if let Some(limit) = group.limit_bytes()
                    && tightest.as_ref().is_none_or(|(least, _)| limit < *least)
                {
                    tightest = Some((limit, group));
                }
            }
        }
        tightest.map(|(_, group)| group)
    }

    fn at(folder: &Path, is_v1: bool) -> Self {
        let (limit, used, reclaimable) = if is_v1 {
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        } else {
            ("memory.max", "memory.current", "inactive_file")
        };
        Self {
            limit: folder.join(limit),
            used: folder.join(used),
            stat: folder.join("memory.stat"),
            reclaimable,
        }
    }

    /// Looked at each time: an operator may change it.
    fn limit_bytes(&self) -> Option<u64> {
        // `max`, which is no number, is no limit.
        number(&self.limit).filter(|limit| *limit < NO_LIMIT_BYTES)
    }

    fn read(&self) -> Option<Reading> {
        let limit_bytes = self.limit_bytes()?;
        let used_bytes = number(&self.used)?;
        let stat = fs::read_to_string(&self.stat).unwrap_or_default();
        let reclaimable_bytes = stat
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == self.reclaimable)
            .and_then(|(_, bytes)| bytes.trim().parse().ok())
            .unwrap_or(0);
        Some(Reading { used_bytes: used_bytes.saturating_sub(reclaimable_bytes), limit_bytes })
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn machine(files: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().expect("a temporary folder can be made");
        for (path, content) in files {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().expect("it has a folder")).expect("can be made");
            fs::write(file, content).expect("can be written");
        }
        root
    }

    fn reading(root: &TempDir, limit_bytes: u64) -> Option<(u64, u64)> {
        let reading = Source::below(root.path()).read(limit_bytes)?;
        Some((reading.used_bytes, reading.limit_bytes))
    }

    #[test]
    fn the_tightest_group_on_the_way_up_counts_and_reclaimable_pages_do_not() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/system.slice/tickgate.service\n"),
            ("sys/fs/cgroup/system.slice/tickgate.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "1000\n"),
            ("sys/fs/cgroup/system.slice/memory.current", "900\n"),
            ("sys/fs/cgroup/system.slice/memory.stat", "file 500\ninactive_file 300\n"),
        ]);
        assert_eq!(reading(&root, 0), Some((600, 1_000)));
    }

    #[test]
    fn a_group_of_version_1_is_read_and_its_largest_number_is_no_limit() {
        let files = |limit: &'static str| {
            machine(&[
                ("proc/self/cgroup", "4:cpu:/\n3:memory:/pod\n0::/\n"),
                ("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", limit),
                ("sys/fs/cgroup/memory/pod/memory.usage_in_bytes", "70\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ])
        };
        assert_eq!(reading(&files("100\n"), 0), Some((70, 100)));
        assert_eq!(reading(&files("9223372036854771712\n"), 0), None);
    }

    #[test]
    fn a_configured_limit_is_held_against_resident_memory() {
        let root = machine(&[
            ("proc/self/status", "Name:\ttickgate\nVmRSS:\t    2048 kB\nRssAnon:\t 1 kB\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "1\n"),
        ]);
        assert_eq!(reading(&root, 5_000_000), Some((2_048 * 1_024, 5_000_000)));
        assert_eq!(reading(&root, 0), Some((1, 1_000)));
    }

    #[test]
    fn where_nothing_can_be_read_there_is_no_limit() {
        let root = machine(&[]);
        assert_eq!(reading(&root, 0), None);
        assert_eq!(reading(&root, 1), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_resident_memory() {
        let reading = Source::of_this_process().read(u64::MAX).expect("Linux says");
        assert!(reading.used_bytes > 0 && reading.used_bytes < u64::MAX);
    }
}
