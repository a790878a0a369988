//! The program `pitchey`: see the library for what it does.

use clap::Parser as _;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match pitchey_ops::run(pitchey_ops::Cli::parse(), &mut std::io::stdout()).await {
        Ok(code) => code,
        Err(error) => {
            let error = format!("{error:#}");
            eprintln!("pitchey: {}", pitchey_ops::visible_lines(&error));
            ExitCode::FAILURE
        }
    }
}
