//! The program `pitchey`: see the library for what it does.

use clap::Parser as _;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let mut stdout = std::io::stdout();
    // In a box, or the type of all that may run here would be deeper than the compiler follows.
    match Box::pin(pitchey_ops::run(pitchey_ops::Cli::parse(), &mut stdout)).await {
        Ok(code) => code,
        Err(error) => {
            let error = format!("{error:#}");
            eprintln!("pitchey: {}", pitchey_ops::visible_lines(&error));
            ExitCode::FAILURE
        }
    }
}
