//! Networks and servers that fail in the middle.

use std::time::{Duration, Instant};

use minilm_tests::hub_server::{Fault, Request};

use super::*;

fn ranges(requests: &[Request]) -> Vec<Option<&str>> {
    requests.iter().map(|request| request.range.as_deref()).collect()
}

const ALWAYS: usize = usize::MAX;

#[test]
fn a_body_cut_once_is_continued() {
    let setup = Setup::new();
    setup.server.misbehave("GET", WEIGHTS, Fault::Cut(1234), 1);
    setup.assert_complete(&setup.resolve().unwrap());
    let downloads = setup.server.downloads_of(WEIGHTS);
    assert_eq!(ranges(&downloads), [None, Some("bytes=1234-")]);
}

#[test]
fn a_body_cut_always_is_kept_and_continued_by_the_next_run() {
    let setup = Setup::new();
    setup.server.misbehave("GET", WEIGHTS, Fault::Cut(500), ALWAYS);
    let error = setup.failure();
    assert!(error.contains(WEIGHTS) && error.contains("2000 of 300000 bytes"), "{error}");
    let downloads = setup.server.downloads_of(WEIGHTS);
    let expected = [None, Some("bytes=500-"), Some("bytes=1000-"), Some("bytes=1500-")];
    assert_eq!(ranges(&downloads), expected);
    setup.assert_no_snapshot();
    assert!(!setup.blob(WEIGHTS).exists());
    assert_eq!(fs::metadata(setup.incomplete(WEIGHTS)).unwrap().len(), 2000);

    setup.server.behave();
    setup.server.forget_requests();
    setup.assert_complete(&setup.resolve().unwrap());
    assert_eq!(ranges(&setup.server.downloads_of(WEIGHTS)), [Some("bytes=2000-")]);
    assert_eq!(setup.server.downloads_of("config.json"), [], "what is there is not fetched again");
    assert!(!setup.incomplete(WEIGHTS).exists());
}

#[test]
fn a_download_that_was_complete_needs_no_request_for_it() {
    let setup = Setup::new();
    fs::create_dir_all(setup.path("blobs")).unwrap();
    fs::write(setup.incomplete(WEIGHTS), &tiny().files[WEIGHTS].content).unwrap();
    setup.assert_complete(&setup.resolve().unwrap());
    assert_eq!(setup.server.downloads_of(WEIGHTS), []);
}

#[test]
fn leftovers_that_do_not_fit_are_replaced() {
    for (leftover, expected) in [
        (vec![7; 1000], vec![Some("bytes=1000-"), None]),
        (vec![7; 300_000], vec![None]),
        (vec![7; 400_000], vec![None]),
    ] {
        let setup = Setup::new();
        fs::create_dir_all(setup.path("blobs")).unwrap();
        fs::write(setup.incomplete(WEIGHTS), leftover).unwrap();
        setup.assert_complete(&setup.resolve().unwrap());
        assert_eq!(ranges(&setup.server.downloads_of(WEIGHTS)), expected);
    }
}

#[test]
fn servers_that_cannot_continue_are_asked_for_the_whole() {
    let (range, whole) = (Some("bytes=1000-"), None);
    for (fault, expected) in [
        (Fault::IgnoreRange, vec![range]),
        (Fault::NotSatisfiable, vec![range, whole]),
        (Fault::OtherRange(999), vec![range, whole]),
        (Fault::Header("Content-Range", Some("bytes 1000-299999/300001".to_owned())), vec![range, whole]),
        (Fault::Header("Content-Range", None), vec![range, whole]),
    ] {
        let setup = Setup::new();
        fs::create_dir_all(setup.path("blobs")).unwrap();
        fs::write(setup.incomplete(WEIGHTS), &tiny().files[WEIGHTS].content[..1000]).unwrap();
        setup.server.misbehave("GET", WEIGHTS, fault.clone(), 1);
        setup.assert_complete(&setup.resolve().unwrap());
        assert_eq!(ranges(&setup.server.downloads_of(WEIGHTS)), expected, "{fault:?}");
    }
}

#[test]
fn wrong_content_is_tried_twice_and_leaves_nothing() {
    for name in [WEIGHTS, "config.json"] {
        let setup = Setup::new();
        let wrong = vec![b'x'; tiny().files[name].content.len()];
        setup.server.misbehave("GET", name, Fault::Content(wrong), ALWAYS);
        let error = setup.failure();
        let expected = format!("expected {} {}", kind(name), tiny().files[name].etag());
        assert!(error.contains(&format!("{name} from http://")) && error.contains(&expected), "{error}");
        assert!(error.contains("found "), "{error}");
        assert_eq!(ranges(&downloads(&setup, name)), [None, None]);
        assert!(!setup.blob(name).exists() && !setup.incomplete(name).exists());
        setup.assert_no_snapshot();

        setup.server.behave();
        setup.assert_complete(&setup.resolve().unwrap());
    }
}

fn kind(name: &str) -> &'static str {
    if name == WEIGHTS { "SHA-256" } else { "git blob SHA-1" }
}

/// A file served through a redirect of the hub itself is asked for twice there.
fn downloads(setup: &Setup, name: &str) -> Vec<Request> {
    let mut requests = setup.server.downloads_of(name);
    requests.retain(|request| !request.path.contains("/resolve/"));
    requests
}

#[test]
fn wrong_content_once_is_forgiven() {
    let setup = Setup::new();
    setup.server.misbehave("GET", WEIGHTS, Fault::Content(vec![0; 300_000]), 1);
    setup.assert_complete(&setup.resolve().unwrap());
}

#[test]
fn sizes_must_be_as_announced() {
    for fault in [Fault::Content(vec![0; 299_999]), Fault::Content(vec![0; 300_001]), Fault::Endless] {
        let setup = Setup::new();
        setup.server.misbehave("GET", WEIGHTS, fault.clone(), ALWAYS);
        let error = setup.failure();
        assert!(error.contains("expected 300000 bytes, found"), "{fault:?}: {error}");
        assert!(!setup.blob(WEIGHTS).exists() && !setup.incomplete(WEIGHTS).exists());
        setup.assert_no_snapshot();
    }
    let setup = Setup::new();
    let size = Some("300001".to_owned());
    setup.server.misbehave("HEAD", WEIGHTS, Fault::Header("X-Linked-Size", size), 1);
    let error = setup.failure();
    assert!(error.contains("expected 300001 bytes, found 300000"), "{error}");
}

#[test]
fn busy_servers_are_asked_again() {
    for (method, status) in [("HEAD", 503), ("GET", 503), ("GET", 429), ("HEAD", 500)] {
        let setup = Setup::new();
        setup.server.misbehave(method, WEIGHTS, Fault::Status(status), 2);
        setup.assert_complete(&setup.resolve().unwrap());
    }
    for method in ["HEAD", "GET"] {
        let setup = Setup::new();
        setup.server.misbehave(method, WEIGHTS, Fault::Status(503), ALWAYS);
        let start = Instant::now();
        let error = setup.failure();
        assert!(error.contains("503") && error.contains("As planned"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(8));
    }
}

#[test]
fn closed_connections_are_opened_again() {
    for method in ["HEAD", "GET"] {
        let setup = Setup::new();
        setup.server.misbehave(method, WEIGHTS, Fault::Close, 2);
        setup.assert_complete(&setup.resolve().unwrap());
    }
    let setup = Setup::new();
    setup.server.misbehave("HEAD", "modules.json", Fault::Close, ALWAYS);
    let error = setup.failure();
    assert!(error.contains("cannot be reached"), "{error}");
    assert_eq!(setup.server.requests().len(), 4);
}

#[test]
fn silence_is_not_waited_for_long_and_nothing_is_lost() {
    let setup = Setup::new();
    let impatient = setup.options().read_timeout(Duration::from_millis(300));
    setup.server.misbehave("GET", WEIGHTS, Fault::Stall(4000), 1);
    setup.server.misbehave("GET", WEIGHTS, Fault::Stall(0), 1);
    let start = Instant::now();
    let error = resolve(NAME, &impatient).unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(error.contains("4000 of 300000 bytes"), "{error}");
    assert!(error.contains("sent nothing within the time limit"), "{error}");
    setup.assert_no_snapshot();

    setup.server.behave();
    setup.server.forget_requests();
    setup.assert_complete(&setup.resolve().unwrap());
    assert_eq!(ranges(&setup.server.downloads_of(WEIGHTS)), [Some("bytes=4000-")]);
}

// Elsewhere the blob may have been moved to the snapshot.
#[cfg(unix)]
#[test]
fn damaged_blobs_are_replaced() {
    let setup = Setup::new();
    let model = setup.resolve().unwrap();
    fs::write(setup.blob(WEIGHTS), "damaged").unwrap();
    model.verify().unwrap_err();
    fs::remove_file(setup.path("refs/main")).unwrap();
    setup.server.forget_requests();
    setup.assert_complete(&setup.resolve().unwrap());
    assert_eq!(setup.server.downloads_of(WEIGHTS).len(), 1);
    assert_eq!(setup.server.downloads_of("tokenizer.json"), []);
}
