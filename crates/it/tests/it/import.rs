//! `pitchey import films`, on files that are made here.

use anyhow::Context as _;
use pitchey_ops::import::{
    Ended, FilmsOptions, Observer, Rejection, Repetition, Report, import_films,
};
use pitchey_ops::{Cli, Interrupt};
use pitchey_runtime::SystemRuntime;
use pitchey_testkit::TestDb;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio_postgres::{Client, NoTls};

/// A database, a folder for files and a connection to look at what came of them.
struct Bench {
    database: TestDb,
    folder: tempfile::TempDir,
    client: Client,
    _connection: tokio::task::JoinHandle<()>,
}

/// Takes notes, and stops the run after so many batches.
#[derive(Default)]
struct Notes {
    rejections: Vec<Rejection>,
    repetitions: Vec<Repetition>,
    batches: u32,
    stop_after: Option<u32>,
    resumed_after: u64,
}

impl Observer for Notes {
    fn begun(&mut self, _length: Option<u64>, lines_done: u64) {
        self.resumed_after = lines_done;
    }
    fn rejected(&mut self, rejection: &Rejection) {
        self.rejections.push(rejection.clone());
    }
    fn repeated(&mut self, repetition: &Repetition) {
        self.repetitions.push(repetition.clone());
    }
    fn batch_done(&mut self, _lines_done: u64, _position: u64) -> ControlFlow<()> {
        self.batches += 1;
        if self.stop_after == Some(self.batches) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Bench {
    async fn new() -> Self {
        let database = TestDb::new().await;
        let (client, connection) = tokio_postgres::connect(database.url(), NoTls)
            .await
            .expect("the test database answers");
        let connection = tokio::spawn(async {
            let _ = connection.await;
        });
        Self {
            database,
            folder: tempfile::tempdir().expect("a temporary folder"),
            client,
            _connection: connection,
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        path
    }

    async fn try_import(
        &self,
        options: &FilmsOptions,
        notes: &mut Notes,
    ) -> anyhow::Result<Report> {
        let url = self.database.url().into();
        import_films(
            options,
            &url,
            SystemRuntime::new(),
            Interrupt::never(),
            notes,
        )
        .await
    }

    async fn import(&self, file: &Path) -> Report {
        self.try_import(&FilmsOptions::new(file), &mut Notes::default())
            .await
            .expect("the import ends")
    }

    async fn number(&self, query: &str) -> i64 {
        let row = self.client.query_one(query, &[]).await;
        row.expect("the query is right").get(0)
    }

    async fn text(&self, query: &str) -> String {
        let row = self.client.query_one(query, &[]).await;
        row.expect("the query is right").get(0)
    }

    /// Changes with any change of any pitch.
    async fn fingerprint(&self) -> String {
        self.text("SELECT md5(string_agg(p::text || p.xmin::text, '' ORDER BY id)) FROM pitches p")
            .await
    }
}

fn film(number: u32) -> serde_json::Value {
    json!({
        "title": format!("Film {number}"),
        "year": 1900 + number % 100,
        "cast": [format!("Actor {}", number % 7), "Theda Bara"],
        "genres": ["Drama", "Silent"],
        "extract": format!("Film {number} is a film. It has two sentences, and the second one is the longer one by far, so that more than a hundred characters come together."),
        "href": format!("Film_{number}"),
    })
}

fn films(numbers: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let mut text = String::new();
    for number in numbers {
        writeln!(text, "{}", film(number)).expect("a string takes writes");
    }
    text.into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes writes");
    encoder.finish().expect("memory takes writes")
}

/// Fifty lines with something odd about them, in ten ways, among a hundred ordinary ones; and how many films
/// there are in all.
fn odd_lines() -> (Vec<u8>, u32) {
    let long = vec![b'x'; 1024 * 1024];
    let bad: [&[u8]; 9] = [
        b"{\"title\": \"Half a film\", \"year\"",
        b"{\"title\": \"\xff\xfe\", \"year\": 1915}",
        b"{\"year\": 1915, \"cast\": []}",
        b"{\"title\": \"Too early\", \"year\": 1066}",
        &long,
        b"{\"title\": \"Wrong\", \"year\": \"nineteen\"}",
        b"{\"title\": \"Twice\", \"year\": 1915, \"year\": 1916}",
        b"",
        b"\xef\xbb\xbf{\"title\": \"Marked\", \"year\": 1915}",
    ];
    let mut file = b"\xef\xbb\xbf".to_vec();
    let mut number = 0;
    for _ in 0..5 {
        for odd in 0..10 {
            for _ in 0..2 {
                file.extend(films([number]));
                number += 1;
            }
            match bad.get(odd) {
                Some(line) => file.extend_from_slice(line),
                None => {
                    // A line that ends with \r\n is no bad line.
                    file.extend(films([number]).trim_ascii_end());
                    file.push(b'\r');
                    number += 1;
                }
            }
            file.push(b'\n');
        }
    }
    (file, number)
}

#[tokio::test]
async fn every_good_line_is_in_and_every_bad_one_is_reported() {
    let bench = Bench::new().await;
    let (file, good) = odd_lines();
    let file = bench.file("odd.ndjson", &file);
    let mut notes = Notes::default();
    let report = bench
        .try_import(&FilmsOptions::new(&file), &mut notes)
        .await
        .expect("bad lines do not stop it");
    assert_eq!(report.ended, Ended::Whole);
    assert_eq!(
        (report.lines, report.created, report.rejected),
        (150, good.into(), 45)
    );
    assert_eq!(
        bench.number("SELECT count(*) FROM pitches").await,
        i64::from(good)
    );
    assert_eq!(notes.rejections, report.rejections);
    let told: Vec<String> = notes.rejections[..9]
        .iter()
        .map(|bad| format!("line {}: {}", bad.line, bad.reason))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    line 3: not JSON: EOF while parsing an object (column 31)
    line 6: not UTF-8 (byte 12)
    line 9: title is missing (column 26)
    line 12: year: 1066 is not between 1870 and 2200
    line 15: 1048576 bytes long, more than the 262144 that a line may have
    line 18: year: invalid type: string "nineteen", expected a whole number (column 37)
    line 21: field "year" is there twice (column 46)
    line 24: empty line
    line 27: begins with a byte order mark, which belongs at the start of a file
    "#);
    // The same again, four more times.
    for (bad, first) in notes
        .rejections
        .iter()
        .zip(notes.rejections.iter().cycle().take(9).cycle())
    {
        assert_eq!(bad.reason, first.reason);
        assert_eq!((bad.line - first.line) % 30, 0);
    }
}

#[tokio::test]
async fn the_exit_code_tells_whether_all_lines_were_good() {
    use clap::Parser as _;
    let bench = Bench::new().await;
    let good = bench.file("good", &films(0..3));
    let bad = bench.file("bad", b"{}\n[]\n");
    let run = async |file: &Path, options: &[&str]| {
        let mut out = Vec::new();
        let file = file.to_str().expect("temporary names are UTF-8");
        let mut line = vec!["pitchey", "--database-url", bench.database.url()];
        line.extend(["import", "films", file]);
        line.extend_from_slice(options);
        let cli = Cli::try_parse_from(line).expect("the command line is right");
        let code = pitchey_ops::run(cli, &mut out)
            .await
            .expect("the import ends");
        (code, String::from_utf8(out).expect("the summary is text"))
    };
    let (code, out) = run(&good, &[]).await;
    assert_eq!(code, ExitCode::SUCCESS, "{out}");
    assert!(out.contains("created"), "{out}");

    let (code, out) = run(&bad, &["--json"]).await;
    assert_eq!(code, ExitCode::from(3));
    let summary: serde_json::Value = serde_json::from_str(&out).expect("it is JSON");
    assert_eq!(summary["rejected"], 2);
    assert_eq!(summary["rejections"][1]["line"], 2);

    let (code, out) = run(&bad, &["--max-errors", "1"]).await;
    assert_eq!(code, ExitCode::FAILURE);
    assert!(out.contains("stopped at line 2"), "{out}");
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let bench = Bench::new().await;
    let file = bench.file("films", &films(0..50));
    assert_eq!(bench.import(&file).await.created, 50);
    let before = bench.fingerprint().await;
    let tags = bench.number("SELECT count(*) FROM cache_outbox").await;
    let again = bench.import(&file).await;
    assert_eq!((again.created, again.updated, again.unchanged), (0, 0, 50));
    assert_eq!(bench.fingerprint().await, before);
    // Nothing changed, so no cache has to forget anything.
    assert_eq!(
        bench.number("SELECT count(*) FROM cache_outbox").await,
        tags
    );
    assert_eq!(bench.number("SELECT count(*) FROM users").await, 7);
}

#[tokio::test]
async fn a_changed_record_changes_its_pitch() {
    let bench = Bench::new().await;
    bench.import(&bench.file("before", &films(0..3))).await;
    let what = "SELECT concat_ws(' ', id, creator_id, published_at, status) FROM pitches WHERE title = 'Film 1'";
    let before = bench.text(what).await;

    let mut changed = film(1);
    changed["genres"] = json!(["Western"]);
    changed["cast"] = json!(["Somebody Else"]);
    let file = [
        films([0]),
        changed.to_string().into_bytes(),
        b"\n".to_vec(),
        films([2]),
    ]
    .concat();
    let report = bench.import(&bench.file("after", &file)).await;
    assert_eq!(
        (report.created, report.updated, report.unchanged),
        (0, 1, 2)
    );

    // What belongs to the site stays, what belongs to the record is new.
    assert_eq!(bench.text(what).await, before);
    let now =
        "SELECT concat_ws(' ', version, genres, cast_members, updated_at > created_at) FROM pitches
               WHERE title = 'Film 1'";
    assert_eq!(bench.text(now).await, "2 {western} {\"Somebody Else\"} t");
    let shelves = "SELECT string_agg(shelf, ' ' ORDER BY shelf) FROM pitch_listings l JOIN pitches p ON p.id = l.pitch_id
                   WHERE title = 'Film 1'";
    assert_eq!(bench.text(shelves).await, "all public western");
    let tag = "SELECT count(*) FROM cache_outbox JOIN pitches p ON tag = 'pitch:' || p.id AND title = 'Film 1'";
    assert_eq!(bench.number(tag).await, 1);
}

#[tokio::test]
async fn what_was_cut_off_goes_on_where_it_stopped() {
    let bench = Bench::new().await;
    let file = bench.file(
        "films",
        &[films(0..25), b"bad\n".to_vec(), films(25..50)].concat(),
    );
    let options = FilmsOptions {
        batch_size: 10,
        ..FilmsOptions::new(&file)
    };
    let mut notes = Notes {
        stop_after: Some(3),
        ..Notes::default()
    };
    let report = bench
        .try_import(&options, &mut notes)
        .await
        .expect("it stops");
    assert_eq!(
        (report.ended, report.created, report.lines),
        (Ended::Interrupted, 30, 31)
    );

    // In other batches, so that one of them lies across the cut.
    let options = FilmsOptions {
        batch_size: 7,
        ..options
    };
    let mut notes = Notes::default();
    let report = bench
        .try_import(&options, &mut notes)
        .await
        .expect("it goes on");
    assert_eq!(notes.resumed_after, 31);
    assert_eq!(
        (report.ended, report.created, report.unchanged),
        (Ended::Whole, 20, 0)
    );
    // The bad line counts, but it was told before.
    assert_eq!(
        (report.lines, report.rejected, notes.rejections.len()),
        (51, 1, 0)
    );
    let run = "SELECT concat_ws(' ', count(*), sum(created), sum(rejected), count(finished_at)) FROM imports";
    assert_eq!(bench.text(run).await, "1 50 1 1");

    // A run that is finished is not gone on with.
    assert_eq!(bench.import(&file).await.unchanged, 50);
}

#[tokio::test]
async fn without_resume_a_run_begins_anew_and_supersedes_the_one_before() {
    let bench = Bench::new().await;
    let file = bench.file("films", &films(0..50));
    let options = FilmsOptions {
        batch_size: 10,
        ..FilmsOptions::new(&file)
    };
    let mut notes = Notes {
        stop_after: Some(2),
        ..Notes::default()
    };
    bench
        .try_import(&options, &mut notes)
        .await
        .expect("it stops");
    let options = FilmsOptions {
        resume: false,
        ..options
    };
    let mut notes = Notes::default();
    let report = bench
        .try_import(&options, &mut notes)
        .await
        .expect("it ends");
    assert_eq!(
        (notes.resumed_after, report.created, report.unchanged),
        (0, 30, 20)
    );
    let open = "SELECT count(*) FROM imports WHERE finished_at IS NULL";
    assert_eq!(bench.number(open).await, 0);
}

#[tokio::test]
async fn a_file_with_a_missing_end_is_an_error_but_what_is_there_is_in() {
    let bench = Bench::new().await;
    // Numbers in disorder, so that half of the bytes are about half of the lines.
    let whole: Vec<u8> = films((0..4000).map(|n| n * 257 % 1_000_003));
    let packed = gzip(&whole);
    let half = bench.file("half", &packed[..packed.len() / 2]);
    let error = bench
        .try_import(&FilmsOptions::new(&half), &mut Notes::default())
        .await
        .expect_err("the end is missing");
    assert!(
        format!("{error:#}").contains("cannot be read on after line"),
        "{error:#}"
    );
    let some = bench.number("SELECT count(*) FROM pitches").await;
    assert!((1000..3500).contains(&some), "{some}");
    let rest = bench.import(&bench.file("whole", &packed)).await;
    assert_eq!(rest.created + rest.unchanged, 4000);
    assert_eq!(rest.unchanged, some.unsigned_abs());
}

#[tokio::test]
async fn a_file_is_read_as_what_it_is_and_from_a_pipe_too() -> anyhow::Result<()> {
    let bench = Bench::new().await;
    let plain = films(0..20);
    bench.import(&bench.file("plain", &plain)).await;
    // The names say something else on purpose.
    let zst = bench.file("films.gz", &zstd::encode_all(&plain[..], 1)?);
    assert_eq!(bench.import(&zst).await.unchanged, 20);
    let gz = bench.file("films.zst", &gzip(&plain));
    assert_eq!(bench.import(&gz).await.unchanged, 20);

    let pipe = bench.folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
    anyhow::ensure!(made.success(), "mkfifo failed");
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::write(pipe, plain))
    };
    let report = bench.import(&pipe).await;
    writer.join().ok().context("the writer panicked")??;
    assert_eq!(report.unchanged, 20);
    let unknown =
        "SELECT count(*) FROM imports WHERE file_sha256 IS NULL AND finished_at IS NOT NULL";
    assert_eq!(bench.number(unknown).await, 1);
    Ok(())
}

#[tokio::test]
async fn the_same_film_twice_is_one_pitch_and_different_films_are_two() {
    let bench = Bench::new().await;
    let mut different = film(1);
    different["extract"] = json!("Told otherwise.");
    let mut other_year = film(1);
    other_year["year"] = json!(2001);
    let lines = [film(1), film(1), different, other_year].map(|film| film.to_string());
    let file = bench.file("films", lines.join("\n").as_bytes());
    let mut notes = Notes::default();
    let report = bench
        .try_import(&FilmsOptions::new(&file), &mut notes)
        .await
        .expect("it ends");
    assert_eq!(
        (
            report.created,
            report.repeated_identical,
            report.repeated_different
        ),
        (2, 1, 1)
    );
    let told: Vec<_> = notes
        .repetitions
        .iter()
        .map(|r| (r.line, r.of, r.identical))
        .collect();
    assert_eq!(told, [(2, 1, true), (3, 1, false)]);
    // The first line counts, in every run.
    assert_eq!(bench.import(&file).await.unchanged, 2);
}

#[tokio::test]
async fn an_account_that_somebody_else_has_is_not_given_films() {
    let bench = Bench::new().await;
    bench
        .client
        .batch_execute(
            "INSERT INTO users (id, username, email, role, display_name)
             VALUES (gen_random_uuid(), 'actor-1', 'me@example.org', 'investor', 'Me')",
        )
        .await
        .expect("the row is right");
    bench.import(&bench.file("films", &films([1, 8]))).await;
    let creators = "SELECT string_agg(DISTINCT username || ':' || role || ':' || display_name, ' ')
                    FROM pitches p JOIN users u ON u.id = p.creator_id";
    let creators = bench.text(creators).await;
    assert!(
        creators.starts_with("actor-1-") && creators.ends_with(":creator:Actor 1"),
        "{creators}"
    );
    // And it is the same one the next time.
    bench.import(&bench.file("more", &films([15]))).await;
    assert_eq!(
        bench
            .number("SELECT count(DISTINCT creator_id) FROM pitches")
            .await,
        1
    );
}

#[tokio::test]
async fn too_many_bad_lines_stop_it_and_what_was_before_is_in() {
    let bench = Bench::new().await;
    let file = bench.file(
        "films",
        &[films(0..3), b"\n\n\n".to_vec(), films(3..6)].concat(),
    );
    let options = FilmsOptions {
        max_errors: 2,
        ..FilmsOptions::new(&file)
    };
    let report = bench
        .try_import(&options, &mut Notes::default())
        .await
        .expect("it stops");
    assert_eq!(
        (report.ended, report.created, report.lines),
        (Ended::TooManyErrors, 3, 6)
    );
    // With more patience it goes on.
    let report = bench.import(&file).await;
    assert_eq!(
        (report.ended, report.created, report.rejected),
        (Ended::Whole, 3, 3)
    );
}

#[tokio::test]
async fn one_import_at_a_time() {
    let bench = Bench::new().await;
    let lock = "SELECT pg_advisory_lock(hashtextextended('pitchey import films', 0))";
    bench
        .client
        .execute(lock, &[])
        .await
        .expect("the lock is free");
    let file = bench.file("films", &films(0..3));
    let error = bench
        .try_import(&FilmsOptions::new(&file), &mut Notes::default())
        .await
        .expect_err("another one has the lock");
    assert!(error.to_string().contains("another import"), "{error}");
}
