//! What is asked of the servers, and how.

use crate::answers::{ACCEPTED, Answers, Asked};
use crate::peers::Server;
use crate::wrk::{self, REPORT, Window};
use anyhow::Result;
use pitchey_testkit::guard::Guard;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The load on one server after the other.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    answers: &'a Answers,
    connections: u32,
    /// The script for one address, and the one for many.
    scripts: [PathBuf; 2],
    log: PathBuf,
    guard: &'a Guard,
}

impl<'a> Load<'a> {
    pub(crate) fn new(
        answers: &'a Answers,
        connections: u32,
        scratch: &Path,
        guard: &'a Guard,
    ) -> Result<Self> {
        let scripts = ["one.lua", "many.lua"].map(|name| scratch.join(name));
        std::fs::write(&scripts[0], REPORT)?;
        std::fs::write(&scripts[1], many(answers)?)?;
        Ok(Self {
            answers,
            connections,
            scripts,
            log: scratch.join("wrk.log"),
            guard,
        })
    }

    /// One turn of a server.
    pub(crate) fn run(
        &self,
        server: &Server,
        asked: Asked,
        coded: bool,
        length: Duration,
    ) -> Result<Window> {
        let many = asked == Asked::Many;
        let first = self.answers.targets(asked)[0];
        let mut load = wrk::command(self.connections, length, &self.scripts[usize::from(many)]);
        if coded {
            load.arg("--header")
                .arg(format!("Accept-Encoding: {ACCEPTED}"));
        }
        load.arg(format!("http://{}{first}", server.address()));
        wrk::run(load, server.pid(), length, &self.log, self.guard)
    }
}

/// The script that asks for many addresses, in the order of the draws. Requests are written beforehand, so that
/// the load has as little to do for each as it can have.
fn many(answers: &Answers) -> Result<String> {
    let mut script = String::from("local targets = {\n");
    for target in answers.targets(Asked::Many) {
        writeln!(script, "\"{target}\",")?;
    }
    script.push_str(
        "}
local requests, place = {}, 0
init = function(args)
  for number, target in ipairs(targets) do requests[number] = wrk.format('GET', target) end
end
request = function()
  place = place % #requests + 1
  return requests[place]
end
",
    );
    script.push_str(REPORT);
    Ok(script)
}
