//! Lists the statement files, so that a new one needs no second mention.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=statements");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut files = Vec::new();
    for folder in fs::read_dir(root.join("statements")).expect("the statements folder is there") {
        let folder = folder.expect("a folder can be read").path();
        println!("cargo::rerun-if-changed={}", folder.display());
        for file in fs::read_dir(&folder).expect("an aggregate is a folder") {
            let file = file.expect("a file can be read").path();
            if file.extension().is_some_and(|e| e == "sql") {
                files.push(file);
            }
        }
    }
    files.sort();
    let mut source = String::from("&[\n");
    for file in files {
        let path = file.to_str().expect("file names are UTF-8");
        writeln!(source, "    include_str!({path:?}),").expect("a string takes writes");
    }
    source.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("statements.rs"), source).expect("OUT_DIR is writable");
}
