//! Where objects lie in the bucket. No other module builds a key.

use object_store::path::Path;

/// The keys of one tenant under a storage URL's prefix.
///
/// The prefix itself belongs to the store (see [`crate::store`]), so keys here are relative to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantKeys {
    tenant: String,
}

/// The tenant that a single-user installation writes and reads.
pub const DEFAULT_TENANT: &str = "default";

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

impl Default for TenantKeys {
    fn default() -> Self {
        Self {
            tenant: DEFAULT_TENANT.to_owned(),
        }
    }
}

impl TenantKeys {
    /// The keys of a tenant; `None` unless the name is 1 to 64 of `[A-Za-z0-9_-]`.
    pub fn new(tenant: &str) -> Option<Self> {
        is_name(tenant).then(|| Self {
            tenant: tenant.to_owned(),
        })
    }

    /// The tenant's name.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The folder of one WAL shard: `<tenant>/wal/<shard>`.
    pub fn wal_shard(&self, shard: u32) -> Path {
        Path::from_iter([self.tenant.as_str(), "wal", &shard.to_string()])
    }

    /// One WAL segment: `<tenant>/wal/<shard>/<sequence, 20 digits>.arrow`, so that names sort by sequence.
    pub fn wal_segment(&self, shard: u32, sequence: u64) -> Path {
        self.wal_shard(shard).join(format!("{sequence:020}.arrow"))
    }

    /// Where a WAL segment goes that cannot be read: `<tenant>/quarantine/wal/<shard>/<sequence>.arrow`.
    pub fn quarantined_segment(&self, shard: u32, sequence: u64) -> Path {
        let name = format!("{sequence:020}.arrow");
        Path::from_iter([
            self.tenant.as_str(),
            "quarantine",
            "wal",
            &shard.to_string(),
            &name,
        ])
    }

    /// How far a forwarder is: `<tenant>/forward/<id>.json`.
    pub fn forward_position(&self, id: &str) -> Path {
        Path::from_iter([self.tenant.as_str(), "forward", &format!("{id}.json")])
    }

    /// The folder of groups that were pushed: `<tenant>/push-groups`.
    pub fn push_groups(&self) -> Path {
        Path::from_iter([self.tenant.as_str(), "push-groups"])
    }

    /// A group that was pushed: `<tenant>/push-groups/<hash>.json`.
    pub fn push_group(&self, hash: &str) -> Path {
        self.push_groups().join(format!("{hash}.json"))
    }

    /// The root of a Delta table: `<tenant>/<table>`.
    pub fn table(&self, table: &str) -> Path {
        Path::from_iter([self.tenant.as_str(), table])
    }

    /// What an import has done: `<tenant>/import/<id>.json`; `None` unless the id is 1 to 64 of `[A-Za-z0-9_-]`.
    pub fn import_record(&self, id: &str) -> Option<Path> {
        is_name(id)
            .then(|| Path::from_iter([self.tenant.as_str(), "import", &format!("{id}.json")]))
    }

    /// The shard in a segment's key.
    pub fn segment_shard(key: &Path) -> Option<u32> {
        let folder = key.as_ref().rsplit('/').nth(1)?;
        folder.parse().ok()
    }

    /// The sequence in a segment's key.
    pub fn segment_sequence(key: &Path) -> Option<u64> {
        key.filename()?.strip_suffix(".arrow")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_sort_by_sequence() {
        let keys = TenantKeys::default();
        let key = keys.wal_segment(0, 7);
        assert_eq!(key.as_ref(), "default/wal/0/00000000000000000007.arrow");
        assert_eq!(TenantKeys::segment_sequence(&key), Some(7));
        assert_eq!(TenantKeys::segment_shard(&key), Some(0));
        let quarantined = keys.quarantined_segment(12, 7);
        assert_eq!(TenantKeys::segment_shard(&quarantined), Some(12));
        assert!(keys.wal_segment(0, 9) < keys.wal_segment(0, 10));
    }

    #[test]
    fn a_tenant_cannot_leave_its_prefix() {
        assert!(TenantKeys::new("team-a").is_some());
        for name in ["", "a/b", "..", "a b", "ä"] {
            assert!(TenantKeys::new(name).is_none(), "{name}");
            assert!(TenantKeys::default().import_record(name).is_none());
        }
    }
}
