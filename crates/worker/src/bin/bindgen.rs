//! `bindgen MODULE.wasm DIRECTORY`: makes of a compiled module what JavaScript can load.

use std::path::Path;

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let module = arguments.next().context("which module?")?;
    let directory = arguments.next().context("into which directory?")?;
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(Path::new(&module))
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .reset_state_function(true)
        .generate(Path::new(&directory))?;
    Ok(())
}
