//! What a measurement was taken on, and with.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The machine, the compiler and the source that figures belong to.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name, as the system tells it.
    pub cpu: String,
    /// For example `x86_64`.
    pub architecture: &'static str,
    /// The processor's features that kernels can use.
    pub features: Vec<&'static str>,
    /// The first core's data caches, smallest first.
    pub caches: Vec<Cache>,
    /// `rustc --version` of the compiler that built this.
    pub compiler: &'static str,
    /// The commit of the checkout, `-dirty` if it was changed since.
    pub commit: String,
    /// Year, month and day in UTC, `2025-01-31`.
    pub date: String,
}

/// One level of the first core's data caches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// 1, 2 or 3.
    pub level: usize,
    /// Its size.
    pub bytes: usize,
}

impl Machine {
    /// This machine, now.
    pub fn detect() -> Machine {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Machine {
            cpu: cpu_name().unwrap_or_else(|| "unknown".to_owned()),
            architecture: std::env::consts::ARCH,
            features: minilm_kernels::cpu_features(),
            caches: caches(Path::new("/sys/devices/system/cpu/cpu0/cache")),
            compiler: env!("RUSTC_VERSION"),
            commit: output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
                .unwrap_or_else(|| "unknown".to_owned()),
            date: date(seconds / 86_400),
        }
    }
}

/// What the program wrote, if it could be run and had something to say.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn cpu_name() -> Option<String> {
    if cfg!(target_os = "macos") {
        return output("sysctl", &["-n", "machdep.cpu.brand_string"]);
    }
    // /proc/cpuinfo has no names on aarch64; lscpu knows them by their numbers.
    let lines = output("lscpu", &[]).or_else(|| std::fs::read_to_string("/proc/cpuinfo").ok())?;
    let name = lines.lines().find(|line| line.to_lowercase().starts_with("model name"))?;
    Some(name.split_once(':')?.1.trim().to_owned())
}

/// The data caches that Linux lists in that directory; none elsewhere.
fn caches(directory: &Path) -> Vec<Cache> {
    let read = |index: usize, file: &str| {
        let text = std::fs::read_to_string(directory.join(format!("index{index}/{file}"))).ok()?;
        Some(text.trim().to_owned())
    };
    let mut caches = Vec::new();
    let mut index = 0;
    while let Some(kind) = read(index, "type") {
        let level = read(index, "level").and_then(|level| level.parse().ok());
        let bytes = read(index, "size").and_then(|size| cache_size(&size));
        if let (true, Some(level), Some(bytes)) = (kind != "Instruction", level, bytes) {
            caches.push(Cache { level, bytes });
        }
        index += 1;
    }
    caches.sort_by_key(|cache| cache.level);
    caches
}

/// `32K` → 32768.
fn cache_size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 1 << 20),
            None => (text, 1),
        },
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// The date of that day since 1970-01-01, by Howard Hinnant's `civil_from_days`,
/// <https://howardhinnant.github.io/date_algorithms.html>, for days from 1970 on.
fn date(days: u64) -> String {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months are counted from March on.
    let months = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_days() {
        // `date -u -d @$((86400 * days)) +%F`
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(58), "1970-02-28");
        assert_eq!(date(59), "1970-03-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(19_783), "2024-03-01");
        assert_eq!(date(20_088), "2024-12-31");
        assert_eq!(date(47_540), "2100-02-28");
        assert_eq!(date(47_541), "2100-03-01");
    }

    #[test]
    fn sizes_of_caches() {
        assert_eq!(cache_size("32K"), Some(32_768));
        assert_eq!(cache_size("2M"), Some(2_097_152));
        assert_eq!(cache_size("512"), Some(512));
        assert_eq!(cache_size("?"), None);
    }

    #[test]
    fn this_machine_has_a_compiler_and_a_date() {
        let machine = Machine::detect();
        assert!(machine.compiler.starts_with("rustc 1."), "{}", machine.compiler);
        assert!(machine.date.as_str() > "2025-01-01", "{}", machine.date);
    }
}
