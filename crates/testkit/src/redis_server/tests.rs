//! Faults of a real Redis.

use super::*;
use redis::{Commands as _, ErrorKind, RedisResult};

fn code(result: RedisResult<()>) -> Option<String> {
    result.err()?.code().map(str::to_owned)
}

#[test]
fn a_read_only_server_answers_reads_and_refuses_writes_until_it_is_writable() {
    let server = OwnedRedis::start().expect("a server");
    let mut connection = connect(&server.url()).expect("a connection");
    let () = connection.set("k", 1).expect("it is writable");
    server.make_read_only().expect("it obeys");
    assert_eq!(code(connection.set("k", 2)).as_deref(), Some("READONLY"));
    assert_eq!(connection.get("k"), Ok(1));
    server.make_writable().expect("it obeys");
    assert_eq!(code(connection.set("k", 2)), None);
    assert_eq!(connection.get("k"), Ok(2));
}

#[test]
fn a_full_server_answers_reads_and_refuses_writes_until_it_is_writable() {
    let server = OwnedRedis::start().expect("a server");
    let mut connection = connect(&server.url()).expect("a connection");
    let () = connection.set("k", 1).expect("it is writable");
    server.make_full().expect("it obeys");
    assert_eq!(code(connection.set("l", 2)).as_deref(), Some("OOM"));
    assert_eq!(connection.get("k"), Ok(1), "nothing is evicted");
    server.make_writable().expect("it obeys");
    assert_eq!(code(connection.set("l", 2)), None);
}

#[test]
fn a_server_that_is_restarted_empty_has_nothing_even_if_its_data_is_kept() {
    let user = ServiceUser::needed().expect("a user");
    let home = service_user::temporary_directory("pitchey-redis-", user.as_ref()).expect("a home");
    let mut server = OwnedRedis::start_kept(&home, &home.join("log")).expect("a server");
    let url = server.url();
    let () = connect(&url)
        .expect("a connection")
        .set("k", 1)
        .expect("set");
    server.stop().expect("it stops");
    server.restart().expect("it starts");
    let kept: RedisResult<Option<u32>> = connect(&url).expect("a connection").get("k");
    assert_eq!(kept, Ok(Some(1)), "a plain restart keeps it");
    server.restart_empty().expect("it starts");
    let kept: RedisResult<Option<u32>> = connect(&url).expect("a connection").get("k");
    assert_eq!(kept, Ok(None));
    drop(server);
    let _ = fs::remove_dir_all(&home);
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    let mut server = OwnedRedis::start().expect("a server");
    let mut connection = connect(&server.url()).expect("a connection");
    server.pause().expect("it stands still");
    // Absence shows in no other way than by waiting a moment for it.
    connection
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout");
    let silence: RedisResult<()> = connection.set("k", 1);
    assert_eq!(silence.map_err(|error| error.kind()), Err(ErrorKind::Io));
    server.resume().expect("it goes on");
    answers(&server.url()).expect("it answers");
}
