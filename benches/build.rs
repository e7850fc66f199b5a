//! Tells the roofline report which compiler built it.

use std::process::Command;

fn main() {
    // Cargo runs this again whenever the compiler changes.
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8(output.stdout).expect("rustc writes UTF-8");
    println!("cargo::rustc-env=RUSTC_VERSION={}", version.trim());
}
