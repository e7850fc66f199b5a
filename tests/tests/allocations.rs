//! Encoding in a steady state allocates what it returns and nothing else, on no thread; before, for a token that the model has
//! not met yet, the row that it keeps of it. The one test of this file: beside another, it would count what that one allocates.
#![allow(unsafe_code, reason = "an allocator that counts is an `unsafe impl`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use minilm::{DEFAULT_MODEL, LoadOptions, Precision, SentenceTransformer};
use minilm_tests::{golden, sized_texts::text_of};

/// How often any thread has asked for memory.
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts.
struct Counting;

// SAFETY: each method is the system allocator's with the caller's arguments, so its contract is kept where the caller
// keeps it; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the layout is as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the layout is as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: memory, layout and size are as the caller promises, and all memory is the system allocator's.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: memory and layout are as the caller promises, and all memory is the system allocator's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longer than a thread without work spins before it parks.
const PAUSE: Duration = Duration::from_millis(5);

/// What `encode` allocates for texts of these lengths, after those that warm it up.
fn check(model: &SentenceTransformer, warm_up: &[usize], lengths: impl Iterator<Item = usize>) {
    for &tokens in warm_up {
        model.encode(&text_of(tokens)).unwrap();
        // The threads park for the first time, and are woken for the first time.
        std::thread::sleep(PAUSE);
        model.encode(&text_of(tokens)).unwrap();
    }
    std::thread::sleep(PAUSE);
    for tokens in lengths {
        let text = text_of(tokens);
        let of = (model.precision(), model.threads());
        let before = ALLOCATIONS.load(Ordering::SeqCst);
        let vector = model.encode(&text);
        let allocations = ALLOCATIONS.load(Ordering::SeqCst) - before;
        drop(vector);
        assert!((1..=1 + tokens).contains(&allocations), "{allocations} for {tokens} tokens, {of:?}");
        for parked in [true, false] {
            if parked {
                std::thread::sleep(PAUSE);
            }
            let before = ALLOCATIONS.load(Ordering::SeqCst);
            let vector = model.encode(&text);
            let after = ALLOCATIONS.load(Ordering::SeqCst);
            assert_eq!(after - before, 1, "{tokens} tokens, precision and threads {of:?}");
            assert_eq!(vector.unwrap().len(), model.embedding_dimension());
        }
    }
}

#[test]
fn encoding_allocates_the_vector_and_nothing_else() {
    for path in [golden::tiny_bert(), DEFAULT_MODEL.into()] {
        let settings = Precision::ALL.into_iter().flat_map(|precision| [(precision, 1), (precision, 2)]);
        for (precision, threads) in settings {
            let options = LoadOptions::default().precision(precision).threads(threads);
            let model = SentenceTransformer::load_with(&path, &options).expect("the model loads");
            let longest = model.max_seq_length();
            // Two threads share the columns of texts of up to 47 tokens, for which each has other scratch memory.
            let warm_up = if threads == 1 { vec![longest] } else { vec![longest, 47] };
            // Not all of the long ones: after a minute the test harness says so, and allocates.
            let step = longest.div_ceil(if precision == Precision::F32 { 32 } else { 8 });
            check(&model, &warm_up, (2..=longest).rev().step_by(step));
        }
    }
}
