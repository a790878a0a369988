//! `cargo xtask ci`: every check that a change must pass, the quick ones first and the tests last.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::steps::{self, Steps};
use crate::workspace::Workspace;
use crate::{client, deps, migrations, setup, sqlx, test, tidy, wasm, worker};

/// Runs all checks, also after one has failed, and says in the end which did.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::new();
    let mut failed = Vec::new();
    let mut check = |name: &'static str, work: &dyn Fn() -> Result<()>| {
        if let Err(error) = steps.step(name, work) {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    };
    check("format", &|| {
        steps::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))
    });
    check("arrows between crates", &|| deps::run(workspace));
    check("house rules", &|| tidy::run(workspace));
    check("migrations are add-only", &|| migrations::run(workspace));
    if setup::is_installed("cargo-deny") {
        check("licences, bans and sources", &|| {
            // Not the advisories: their database is fetched, which a closed network refuses.
            let checks = ["check", "bans", "licenses", "sources"];
            steps::run(
                Command::new("cargo-deny")
                    .args(checks)
                    .current_dir(&workspace.root),
            )
        });
    } else {
        eprintln!("skipped: licences, bans and sources, because cargo-deny is not installed");
    }
    check("lints", &|| {
        let arguments = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ];
        steps::run(&mut workspace.cargo(&arguments))
    });
    check("WebAssembly", &|| wasm::run(workspace));
    check("documentation", &|| {
        let arguments = [
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--features",
            "pitchey-worker/regions",
            "--quiet",
        ];
        steps::run(
            workspace
                .cargo(&arguments)
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    });
    check("offline data of the statements", &|| {
        sqlx::run(workspace, true)
    });
    if setup::is_installed("npm") {
        check("the browser's realtime client", &|| client::run(workspace));
    } else {
        eprintln!("skipped: the browser's realtime client, because npm is not installed");
    }
    match worker::missing() {
        None => check("the worker's size and deployment", &|| {
            worker::check(workspace)
        }),
        Some(missing) => {
            eprintln!("skipped: the worker's size and deployment, because {missing}");
        }
    }
    let tested = test::run_all(workspace, &mut steps);
    if let Err(error) = tested {
        eprintln!("tests: {error:#}");
        failed.push("tests");
    }
    eprintln!("\n{}", steps.table());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}
