use std::path::Path;
use std::sync::mpsc;

use super::*;

/// How long anything may take: longer is a defect.
const LIMIT: Duration = Duration::from_secs(30);

/// What is waited for, if it comes within the limit.
fn within_limit<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    std::thread::spawn(move || done.send(wait()));
    outcome.recv_timeout(LIMIT).unwrap()
}

/// What a request gets in the end.
fn received(reply: Reply) -> Result<Answer, QueueError> {
    within_limit(|| reply.blocking_recv()).unwrap()
}

/// A text of so many tokens.
fn text(tokens: usize) -> TokenIds {
    TokenIds::new(vec![5; tokens])
}

type Reply = oneshot::Receiver<Result<Answer, QueueError>>;

fn request(lengths: &[usize], options: VectorOptions) -> (Request, Reply) {
    let (reply, answer) = oneshot::channel();
    let texts = lengths.iter().map(|&n| text(n)).collect();
    (Request { texts, options, arrived: Instant::now(), reply }, answer)
}

/// Turns with these requests, which want the same.
fn turns(requests: &[&[usize]]) -> (Turns, Vec<Reply>) {
    let mut turns = Turns::default();
    let mut replies = Vec::new();
    for lengths in requests {
        let (request, reply) = request(lengths, VectorOptions::default());
        turns.push(request);
        replies.push(reply);
    }
    (turns, replies)
}

fn lengths(batch: &Batch) -> Vec<usize> {
    batch.texts().iter().map(|text| text.ids().len()).collect()
}

/// A text's length as its vector.
fn answered(turns: &mut Turns, batch: Batch) {
    let vectors = batch.texts().iter().map(|text| Ok(vec![text.ids().len() as f32])).collect();
    turns.computed(batch, vectors, Duration::from_millis(1));
}

/// The first components of an answer's vectors, if it is there.
fn answer(reply: &mut Reply) -> Option<Vec<f32>> {
    let answer = reply.try_recv().ok()?;
    Some(answer.unwrap().vectors.iter().map(|vector| vector[0]).collect())
}

#[test]
fn a_large_request_is_spread_and_small_ones_go_between() {
    let (mut turns, mut replies) = turns(&[&[10, 11, 12, 13, 14, 15], &[1], &[2, 3]]);
    let batch = turns.next_batch(30);
    // 12 does not fit.
    assert_eq!(lengths(&batch), [10, 1, 2, 11, 3]);
    answered(&mut turns, batch);
    turns.finished().into_iter().for_each(turns::Finished::send);
    assert_eq!(answer(&mut replies[0]), None);
    assert_eq!(answer(&mut replies[1]), Some(vec![1.0]));
    assert_eq!(answer(&mut replies[2]), Some(vec![2.0, 3.0]));

    // Who comes meanwhile is next after the one whose turn it is.
    let (late, mut late_reply) = request(&[4], VectorOptions::default());
    turns.push(late);
    let batch = turns.next_batch(30);
    assert_eq!(lengths(&batch), [12, 4, 13]);
    answered(&mut turns, batch);
    let batch = turns.next_batch(30);
    assert_eq!(lengths(&batch), [14, 15]);
    answered(&mut turns, batch);
    turns.finished().into_iter().for_each(turns::Finished::send);
    assert_eq!(answer(&mut late_reply), Some(vec![4.0]));
    assert_eq!(answer(&mut replies[0]), Some(vec![10.0, 11.0, 12.0, 13.0, 14.0, 15.0]));
    assert!(turns.is_empty());
}

#[test]
fn turns_go_round_from_batch_to_batch() {
    let (mut turns, _replies) = turns(&[&[1; 3], &[2; 3], &[3; 3], &[4; 3]]);
    let mut seen = Vec::new();
    loop {
        let batch = turns.next_batch(6);
        if batch.is_empty() {
            break;
        }
        assert!(lengths(&batch).iter().sum::<usize>() <= 6);
        seen.extend(lengths(&batch));
        answered(&mut turns, batch);
    }
    assert_eq!(seen, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
}

#[test]
fn a_text_longer_than_a_batch_goes_alone_and_is_not_passed_over() {
    let (mut turns, _replies) = turns(&[&[5], &[100], &[5]]);
    for expected in [[5], [100], [5]] {
        let batch = turns.next_batch(20);
        assert_eq!(lengths(&batch), expected);
        answered(&mut turns, batch);
    }
}

#[test]
fn texts_of_one_batch_want_the_same_and_others_are_next() {
    let mut turns = Turns::default();
    let plain = VectorOptions::default();
    let cut = plain.dimensions(4);
    let mut replies = Vec::new();
    for (lengths, options) in [(&[1, 2][..], plain), (&[3], cut), (&[4], plain), (&[5], cut)] {
        let (request, reply) = request(lengths, options);
        turns.push(request);
        replies.push(reply);
    }
    let batch = turns.next_batch(5);
    assert_eq!((batch.options, lengths(&batch)), (plain, vec![1, 4]));
    answered(&mut turns, batch);
    let batch = turns.next_batch(100);
    assert_eq!((batch.options, lengths(&batch)), (cut, vec![3, 5]));
    answered(&mut turns, batch);
    let batch = turns.next_batch(100);
    assert_eq!((batch.options, lengths(&batch)), (plain, vec![2]));
}

#[test]
fn who_does_not_wait_is_not_computed() {
    let (mut turns, mut replies) = turns(&[&[1, 2], &[3], &[4]]);
    let batch = turns.next_batch(1);
    assert_eq!(lengths(&batch), [1]);
    // One in the middle of its texts, one before its first.
    replies.drain(..2);
    answered(&mut turns, batch);
    turns.drop_deserted();
    assert_eq!(turns.finished().len(), 2, "their places are free before it is their turn");
    assert_eq!(lengths(&turns.next_batch(100)), [4]);
}

#[test]
fn a_request_without_texts_has_an_answer_without_vectors() {
    let (mut turns, mut replies) = turns(&[&[]]);
    assert!(!turns.is_empty() && turns.next_batch(10).is_empty());
    turns.finished().into_iter().for_each(turns::Finished::send);
    assert_eq!(answer(&mut replies[0]), Some(vec![]));
    assert!(turns.is_empty());
}

/// A queue whose engine says what it computes, and waits for a word before it goes on.
struct Stepwise {
    queue: Queue,
    batches: mpsc::Receiver<Vec<usize>>,
    go_on: mpsc::Sender<Result<(), &'static str>>,
    engine: Engine,
}

impl Stepwise {
    fn start(limits: Limits) -> Stepwise {
        let ((say, batches), (go_on, wait)) = (mpsc::channel(), mpsc::channel());
        let compute = move |batch: &Batch| {
            // Nobody may listen.
            let _ = say.send(lengths(batch));
            match wait.recv().unwrap_or(Ok(())) {
                Ok(()) => Ok(batch.texts().iter().map(|text| vec![text.ids().len() as f32]).collect()),
                Err("panic") => panic!("a mistake"),
                Err("nothing") => Ok(Vec::new()),
                Err(error) => Err(error.to_owned()),
            }
        };
        let (queue, engine) = Queue::start_with(limits, compute).unwrap();
        Stepwise { queue, batches, go_on, engine }
    }

    fn submit(&self, lengths: &[usize]) -> Waiting {
        let texts = lengths.iter().map(|&n| text(n)).collect();
        let place = self.queue.reserve().unwrap();
        let reply = place.submit(texts, VectorOptions::default()).unwrap();
        Waiting { _place: place, reply }
    }

    /// The lengths of the texts that the engine computes next.
    fn batch(&self) -> Vec<usize> {
        self.batches.recv_timeout(LIMIT).unwrap()
    }
}

/// Who waits for an answer, and has a place until it is there.
struct Waiting {
    _place: Permit,
    reply: Reply,
}

impl Waiting {
    fn received(self) -> Result<Answer, QueueError> {
        received(self.reply)
    }
}

#[test]
fn an_idle_engine_starts_at_once_and_what_comes_meanwhile_goes_together() {
    let engine = Stepwise::start(Limits::new(10, 100, 1));
    let first = engine.submit(&[1]);
    assert_eq!(engine.batch(), [1]);
    let meanwhile = [engine.submit(&[2]), engine.submit(&[3, 4])];
    engine.go_on.send(Ok(())).unwrap();
    assert_eq!(first.received().unwrap().vectors, [[1.0]]);
    assert_eq!(engine.batch(), [2, 3, 4]);
    engine.go_on.send(Ok(())).unwrap();
    let [two, three] = meanwhile.map(|reply| reply.received().unwrap());
    assert_eq!((two.vectors, three.vectors), (vec![vec![2.0]], vec![vec![3.0], vec![4.0]]));
    assert_eq!(engine.queue.unanswered(), 0);
}

#[test]
fn few_go_after_each_other_and_many_together() {
    let engine = Stepwise::start(Limits::new(100, 1000, 2));
    let mut replies = vec![engine.submit(&[1])];
    assert_eq!(engine.batch(), [1]);
    replies.extend([engine.submit(&[40]), engine.submit(&[30]), engine.submit(&[30])]);
    for expected in [vec![40], vec![30, 30]] {
        engine.go_on.send(Ok(())).unwrap();
        assert_eq!(engine.batch(), expected);
    }
    replies.extend((0..30).map(|_| engine.submit(&[40])));
    for texts in [25, 1, 1, 1, 1, 1] {
        engine.go_on.send(Ok(())).unwrap();
        assert_eq!(engine.batch(), vec![40; texts]);
    }
    engine.go_on.send(Ok(())).unwrap();

    // What is one request's has no answer before its last text.
    replies.extend([engine.submit(&[40; 10])]);
    assert_eq!(engine.batch(), [40; 10]);
    engine.go_on.send(Ok(())).unwrap();
    for reply in replies {
        reply.received().unwrap();
    }
}

#[test]
fn what_waits_is_counted_until_it_is_in_a_batch_or_given_up() {
    let (mut turns, mut replies) = turns(&[&[10, 20], &[30], &[40, 50]]);
    assert_eq!((turns.requests(), turns.waiting_tokens()), (3, 150));
    let batch = turns.next_batch(10);
    assert_eq!((turns.requests(), turns.waiting_tokens()), (3, 140));
    answered(&mut turns, batch);
    // Nobody waits for the third any more.
    replies.pop();
    turns.drop_deserted();
    assert_eq!((turns.requests(), turns.waiting_tokens()), (2, 50));
    let batch = turns.next_batch(100);
    answered(&mut turns, batch);
    assert_eq!((turns.requests(), turns.waiting_tokens()), (0, 0));
}

#[test]
fn no_more_requests_wait_than_the_limit_and_then_there_is_room_again() {
    let engine = Stepwise::start(Limits::new(2, 100, 1));
    let first = engine.submit(&[1]);
    engine.batch();
    let second = engine.submit(&[2]);
    let error = engine.queue.reserve().err().unwrap();
    assert!(matches!(error, QueueError::Full { requests: 2, .. }), "{error}");
    assert_eq!(error.to_string(), "as many requests are waiting as there may be, which is 2");
    for reply in [first, second] {
        engine.go_on.send(Ok(())).unwrap();
        reply.received().unwrap();
    }
    let third = engine.submit(&[3]);
    engine.go_on.send(Ok(())).unwrap();
    assert_eq!(third.received().unwrap().vectors, [[3.0]]);
}

#[test]
fn a_closed_queue_finishes_what_is_there_and_ends() {
    let engine = Stepwise::start(Limits::new(10, 1, 1));
    let replies = [engine.submit(&[1]), engine.submit(&[2, 3])];
    engine.queue.close();
    let error = engine.queue.reserve().err().unwrap();
    assert_eq!(error, QueueError::Closed);
    (0..3).for_each(|_| engine.go_on.send(Ok(())).unwrap());
    for reply in replies {
        reply.received().unwrap();
    }
    within_limit(|| engine.engine.join()).unwrap();
}

#[test]
fn one_text_that_fails_costs_nobody_else_an_answer() {
    for (how, expected) in [
        ("no such token", QueueError::Encode("no such token".to_owned())),
        ("panic", QueueError::Panicked("a mistake".to_owned())),
    ] {
        let engine = Stepwise::start(Limits::new(10, 100, 1));
        let first = engine.submit(&[1]);
        assert_eq!(engine.batch(), [1]);
        let (good, bad) = (engine.submit(&[2]), engine.submit(&[3, 4]));
        engine.go_on.send(Ok(())).unwrap();
        first.received().unwrap();
        // All of them, then each: the last one, the second request's second text, is the one that fails.
        for outcome in [Err(how), Ok(()), Ok(()), Err(how)] {
            engine.go_on.send(outcome).unwrap();
        }
        assert_eq!(good.received().unwrap().vectors, [[2.0]]);
        assert_eq!(bad.received().unwrap_err(), expected);
        let computed: Vec<Vec<usize>> = engine.batches.try_iter().collect();
        assert_eq!(computed, [vec![2, 3, 4], vec![2], vec![3], vec![4]]);
        let after = engine.submit(&[5]);
        engine.go_on.send(Ok(())).unwrap();
        assert_eq!(after.received().unwrap().vectors, [[5.0]]);
    }
}

fn model() -> Arc<SentenceTransformer> {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
    Arc::new(SentenceTransformer::load(tiny).unwrap())
}

fn metrics(model: &SentenceTransformer) -> Arc<Metrics> {
    Arc::new(Metrics::new(model, "tiny").unwrap())
}

#[test]
fn answers_are_the_bits_of_the_library_whoever_asks_beside() {
    let model = model();
    let (queue, engine) =
        Queue::start(Arc::clone(&model), Limits::new(1000, 64, 1), metrics(&model)).unwrap();
    let texts: Vec<String> = (0..40).map(|i| "the cat sat on a mat ".repeat(i % 7)).collect();
    let ids = model.tokenize_batch(&texts, &EncodeOptions::default()).unwrap();
    let plain = VectorOptions::default();
    let normalized = EncodeOptions::default().normalize_embeddings(true);
    let options = [
        (plain, normalized.clone()),
        (plain.normalize(false), EncodeOptions::default().unscaled(true)),
        (plain.dimensions(5), normalized.truncate_dim(5)),
    ];
    let expected = options.each_ref().map(|(_, options)| model.encode_batch(&texts, options).unwrap());
    let tokens = model.encode_tokens(&texts, &EncodeOptions::default()).unwrap();
    let ask = |some: std::ops::Range<usize>, options| {
        received(queue.reserve().unwrap().submit(ids[some].to_vec(), options).unwrap()).unwrap().vectors
    };
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (ask, options, expected, tokens) = (&ask, &options, &expected, &tokens);
            scope.spawn(move || {
                for round in 0..30 {
                    let first = (client * 5 + round * 3) % 40;
                    let some = first..(first + 1 + round % 9).min(40);
                    let which = (client + round) % 4;
                    let (found, expected): (_, Vec<&[f32]>) = match options.get(which) {
                        Some((wanted, _)) => {
                            (ask(some.clone(), *wanted), some.map(|i| expected[which].row(i)).collect())
                        }
                        None => {
                            let wanted = plain.wanted(Wanted::TokenEmbeddings);
                            let texts = tokens[some.clone()].iter();
                            (
                                ask(some, wanted),
                                texts.map(|text| text.token_embeddings().as_slice()).collect(),
                            )
                        }
                    };
                    assert_eq!(found, expected);
                }
            });
        }
    });
    assert_eq!(queue.unanswered(), 0);
    queue.close();
    within_limit(|| engine.join()).unwrap();
}

#[test]
fn an_id_without_an_embedding_is_the_error_of_its_request_alone() {
    let model = model();
    let (queue, _engine) =
        Queue::start(Arc::clone(&model), Limits::new(10, 1000, 1), metrics(&model)).unwrap();
    let submit = |ids| queue.reserve().unwrap().submit(vec![ids], VectorOptions::default()).unwrap();
    let (good, bad) = (submit(text(3)), submit(TokenIds::new(vec![u32::MAX])));
    let normalized = EncodeOptions::default().normalize_embeddings(true);
    let expected = model.encode_ids(&[text(3)], &normalized).unwrap();
    assert_eq!(received(good).unwrap().vectors, [expected.row(0)]);
    let error = received(bad).unwrap_err();
    assert!(matches!(&error, QueueError::Encode(text) if text.contains(&u32::MAX.to_string())), "{error}");
}

#[test]
fn a_place_is_given_back_whether_or_not_the_request_is_handed_in() {
    let engine = Stepwise::start(Limits::new(1, 100, 1));
    let permit = engine.queue.reserve().unwrap();
    assert!(matches!(engine.queue.reserve(), Err(QueueError::Full { requests: 1, .. })));
    drop(permit);
    let permit = engine.queue.reserve().unwrap();
    engine.queue.close();
    assert_eq!(permit.submit(vec![text(1)], VectorOptions::default()).err(), Some(QueueError::Closed));
    assert_eq!(engine.queue.places(), 1);
    drop(permit);
    assert_eq!((engine.queue.places(), engine.queue.unanswered()), (0, 0));
}

#[test]
fn who_gives_up_makes_room_before_his_turn() {
    let engine = Stepwise::start(Limits::new(3, 1, 1));
    let first = engine.submit(&[1, 1, 1]);
    engine.batch();
    let (second, third) = (engine.submit(&[2]), engine.submit(&[3]));
    assert!(engine.queue.reserve().is_err());
    drop(third);
    let _place = engine.queue.reserve().unwrap();
    assert_eq!(engine.queue.unanswered(), 3);
    // The next batch is the first request's again, or the second's; the third is none any more.
    engine.go_on.send(Ok(())).unwrap();
    engine.batch();
    assert_eq!(engine.queue.unanswered(), 2);
    (0..3).for_each(|_| engine.go_on.send(Ok(())).unwrap());
    first.received().unwrap();
    second.received().unwrap();
}

#[test]
fn a_queue_without_owners_ends() {
    let Stepwise { queue, engine, .. } = Stepwise::start(Limits::new(1, 100, 1));
    let clone = queue.clone();
    drop(queue);
    assert!(!clone.is_closed());
    drop(clone);
    within_limit(|| engine.join()).unwrap();
}

#[test]
fn vectors_that_are_missing_are_an_error() {
    let engine = Stepwise::start(Limits::new(10, 100, 1));
    let reply = engine.submit(&[1]);
    engine.go_on.send(Err("nothing")).unwrap();
    let expected = QueueError::Encode("0 vectors of 1 texts".to_owned());
    assert_eq!(reply.received().unwrap_err(), expected);
}

#[test]
fn who_comes_too_late_hears_how_long_it_takes() {
    let engine = Stepwise::start(Limits::new(1, 100, 1));
    let first = engine.submit(&[1]);
    engine.batch();
    std::thread::sleep(Duration::from_millis(50));
    engine.go_on.send(Ok(())).unwrap();
    first.received().unwrap();
    let _place = engine.queue.reserve().unwrap();
    let Err(QueueError::Full { retry_after, .. }) = engine.queue.reserve() else { panic!("there is room") };
    assert!(retry_after >= Duration::from_millis(50), "{retry_after:?}");
}
