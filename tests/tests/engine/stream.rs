//! Encoding in windows, and what is heard of its progress.

use std::sync::{Arc, Mutex};

use minilm::{EncodeOptions, LoadOptions, SentenceTransformer, StreamError};
use minilm_tests::golden;

fn load(threads: usize) -> SentenceTransformer {
    SentenceTransformer::load_with(golden::tiny_bert(), &LoadOptions::default().threads(threads)).unwrap()
}

fn texts() -> Vec<String> {
    golden::texts("tiny-bert").into_iter().map(|golden| golden.text).cycle().take(500).collect()
}

/// What a listener was told: texts done, and of how many.
type Calls = Arc<Mutex<Vec<(usize, Option<usize>)>>>;

/// Options whose progress is kept in the list.
fn listening(calls: &Calls) -> EncodeOptions {
    let calls = calls.clone();
    EncodeOptions::default().progress(Arc::new(move |texts: usize, total: Option<usize>| {
        calls.lock().unwrap().push((texts, total))
    }))
}

#[test]
fn windows_are_the_batch_in_pieces() {
    let texts = texts();
    for threads in [1, 3] {
        let model = load(threads);
        let all = model.encode_batch(&texts, &EncodeOptions::default()).unwrap();
        for (window_texts, window_bytes, longest) in [(0, 4 << 20, 500), (7, 4 << 20, 7), (500, 0, 1)] {
            let options = EncodeOptions::default().window_texts(window_texts).window_bytes(window_bytes);
            let (mut seen, mut data, mut counts) = (Vec::new(), Vec::new(), Vec::new());
            let source = texts.iter().map(Ok::<_, ()>);
            let n = model.encode_stream(source, &options, |texts, embeddings| {
                assert!(!texts.is_empty() && texts.len() <= longest && texts.len() == embeddings.len());
                seen.extend(texts);
                data.extend_from_slice(embeddings.as_slice());
                counts.extend_from_slice(embeddings.token_counts());
                Ok::<_, ()>(())
            });
            assert_eq!(n.unwrap(), texts.len());
            assert!(seen.into_iter().eq(&texts));
            assert!(data == all.as_slice() && counts == all.token_counts(), "{options:?}");
        }
    }
}

#[test]
fn every_text_is_heard_of_once() {
    let texts = texts();
    for threads in [1, 3] {
        let (model, calls) = (load(threads), Arc::default());
        model.encode_batch(&texts, &listening(&calls)).unwrap();
        let mut calls = std::mem::take(&mut *calls.lock().unwrap());
        // Texts of tens of tokens, micro-batches of 128.
        assert!(calls.len() > 20 && calls.len() < texts.len(), "{}", calls.len());
        assert!(calls.iter().all(|&(_, total)| total == Some(texts.len())));
        calls.sort_unstable();
        assert!(calls.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(calls.last().unwrap().0, texts.len());

        let heard = Arc::default();
        let options = listening(&heard).window_texts(100);
        let mut windows = 0;
        let source = texts.iter().map(Ok::<_, ()>);
        let n = model.encode_stream(source, &options, |_, _| {
            windows += 1;
            let calls = heard.lock().unwrap();
            assert!(calls.iter().all(|&(_, total)| total.is_none()));
            assert_eq!(calls.iter().map(|call| call.0).max(), Some(windows * 100));
            Ok::<_, ()>(())
        });
        assert_eq!((n.unwrap(), windows), (500, 5));
    }
    let calls = Arc::default();
    load(2).encode_batch(&[""; 0], &listening(&calls)).unwrap();
    assert_eq!(*calls.lock().unwrap(), []);
}

#[test]
fn errors_of_both_ends_come_through_and_end_it() {
    let model = load(2);
    let options = EncodeOptions::default().window_texts(2);

    let mut source = [Ok("a"), Ok("b"), Ok("c"), Err("unreadable"), Ok("d")].into_iter();
    let mut windows = 0;
    let error = model.encode_stream(&mut source, &options, |_, _| {
        windows += 1;
        Ok::<_, u8>(())
    });
    assert!(matches!(error, Err(StreamError::Source("unreadable"))));
    assert_eq!((windows, source.len()), (1, 1));

    let mut source = ["a", "b", "c", "d", "e"].into_iter().map(Ok::<_, ()>);
    let error =
        model.encode_stream(
            &mut source,
            &options,
            |texts, _| {
                if texts == ["c", "d"] { Err("full") } else { Ok(()) }
            },
        );
    assert!(matches!(error, Err(StreamError::Sink("full"))));
    assert_eq!(source.len(), 1);
}
