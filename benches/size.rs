//! How much comes with the crate: the binary's size, and the crates behind it.
//!
//! ```text
//! cargo bench --bench size
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a program for people at a terminal")]

use std::collections::BTreeSet;
use std::process::Command;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return println!("run by `cargo bench`");
    }
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_mcp-rill")).unwrap().len();
    println!("the binary has {bytes} bytes ({:.0} KiB)", bytes as f64 / 1024.0);
    for (what, features) in [
        ("the library without sockets", &["--no-default-features"][..]),
        ("the library", &["--no-default-features", "--features", "net"]),
        ("the binary", &[]),
    ] {
        let crates = crates(features);
        let names: Vec<&str> = crates.iter().map(String::as_str).collect();
        println!("{what} needs {} crates: {}", crates.len(), names.join(", "));
    }
}

/// The crates behind this one, on this system.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| *name != env!("CARGO_PKG_NAME")).map(str::to_owned).collect()
}
