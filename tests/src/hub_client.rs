//! Options for resolving a model from a test's own hub and nowhere else.

use std::path::Path;
use std::time::Duration;

use minilm::resolve::{Environment, ResolveOptions};

/// That cache and that hub, whatever the environment says, without the package index.
pub fn options(cache: &Path, endpoint: &str) -> ResolveOptions {
    ResolveOptions::new()
        .environment(Environment::of::<String, String>([], None))
        .cache_dir(cache)
        .endpoint(endpoint)
        .read_timeout(Duration::from_secs(10))
        .package_index(false)
}
