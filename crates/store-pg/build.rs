//! A new migration must be seen although no Rust file changed: the migrations are embedded.

fn main() {
    println!("cargo::rerun-if-changed=../sql/migrations");
}
