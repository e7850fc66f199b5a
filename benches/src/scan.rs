//! Exact search over a corpus in memory, with threads, beside a plain read of the same memory: by the kernel, and as users of
//! the library get it.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use memmap2::MmapMut;
use minilm::storage::{StoredVectors, VectorOptions};
use minilm::{SearchOptions, SimilarityFunction, Vectors, semantic_search};
use minilm_kernels::{Bits, Component, Corpus, Hit, Isa, Score, TopK, peak, search};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

/// From this size on the system has huge pages, on x86-64 and on AArch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Pieces that threads take one after the other: so many for each, so that none waits long for the last.
const PIECES: usize = 16;

/// What rows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `[n][k]` f32, little-endian.
    F32,
    /// `[n][k]` signed bytes.
    Int8,
    /// `[n][k]` unsigned bytes.
    Uint8,
    /// `[n][k]` bytes of eight bits.
    Ubinary,
}

impl Kind {
    fn component_bytes(self) -> usize {
        match self {
            Kind::F32 => size_of::<f32>(),
            Kind::Int8 | Kind::Uint8 | Kind::Ubinary => 1,
        }
    }
}

/// Which pages rows lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// Huge ones, if the system gives some.
    Huge,
    /// As the system gives them by itself.
    Plain,
    /// Those of an `.npy` file of [`Kind::F32`], mapped.
    Mapped,
}

/// What searches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// [`minilm_kernels::search`], on pieces that threads take one after the other.
    #[default]
    Kernel,
    /// [`semantic_search`] by the dot product, of [`Kind::F32`].
    Dot,
    /// [`semantic_search`] by the cosine, of [`Kind::F32`].
    Cosine,
}

/// Rows, and queries of the same kind.
pub struct Collection {
    kind: Kind,
    k: usize,
    rows: Rows,
    queries: Vec<u8>,
}

/// The best of each query.
pub type Found = Vec<Vec<(usize, f64)>>;

impl Collection {
    /// From files that have nothing but rows, k components each, eight bits a component of [`Kind::Ubinary`]; for
    /// [`Pages::Mapped`] the rows from an `.npy` file.
    ///
    /// # Errors
    ///
    /// What reading gives, and if a file is empty or is not cut into whole rows.
    pub fn open(kind: Kind, k: usize, rows: &Path, queries: &Path, pages: Pages) -> io::Result<Collection> {
        let queries = std::fs::read(queries)?;
        let rows = Rows::read(rows, pages)?;
        let row_bytes = k * kind.component_bytes();
        for len in [rows.get().len(), queries.len()] {
            if len == 0 || !len.is_multiple_of(row_bytes) {
                let error = format!("{len} bytes are no rows of {row_bytes}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        Ok(Collection { kind, k, rows, queries })
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.rows.get().len()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.bytes() / (self.k * self.kind.component_bytes())
    }

    /// How long the `best` of all rows for the first `queries` queries take, and which they are.
    ///
    /// # Errors
    ///
    /// If there are not so many queries, or threads cannot be started.
    pub fn search(
        &self,
        isa: Isa,
        queries: usize,
        best: usize,
        by: By,
        threads: &Threads,
    ) -> Result<(Duration, Found), String> {
        let bytes = queries * self.k * self.kind.component_bytes();
        let Some(queries) = self.queries.get(..bytes) else {
            return Err(format!("{queries} queries of {} bytes", self.queries.len()));
        };
        let (rows, k) = (self.rows.get(), self.k);
        Ok(match self.kind {
            Kind::F32 => {
                let queries: Vec<f32> =
                    queries.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
                let rows = bytemuck::cast_slice(rows);
                match by {
                    By::Kernel => threads.search(isa, &queries, Corpus::new(rows, k), best),
                    By::Dot => {
                        threads.search_library(&queries, rows, k, best, SimilarityFunction::DotProduct)?
                    }
                    By::Cosine => {
                        threads.search_library(&queries, rows, k, best, SimilarityFunction::Cosine)?
                    }
                }
            }
            _ if by != By::Kernel => return Err(format!("{:?} are not searched by {by:?}", self.kind)),
            Kind::Int8 => {
                let rows: &[i8] = bytemuck::cast_slice(rows);
                threads.search(isa, bytemuck::cast_slice(queries), Corpus::new(rows, k), best)
            }
            Kind::Uint8 => threads.search(isa, queries, Corpus::new(rows, k), best),
            Kind::Ubinary => {
                threads.search(isa, Bits::slice(queries), Corpus::new(Bits::slice(rows), k), best)
            }
        })
    }

    /// How long it takes to read all rows once, with the same pieces and threads as a search.
    pub fn read(&self, isa: Isa, threads: &Threads) -> Duration {
        let rows = self.rows.get();
        let numbers: &[f32] = bytemuck::cast_slice(&rows[..rows.len() / size_of::<f32>() * size_of::<f32>()]);
        let piece = numbers.len().div_ceil(threads.pieces()).max(1);
        let start = Instant::now();
        threads.run(|| {
            black_box(numbers.par_chunks(piece).map(|piece| f64::from(peak::read(isa, piece))).sum::<f64>())
        });
        start.elapsed()
    }
}

/// Bytes from a page on.
enum Rows {
    Memory { pages: MmapMut, len: usize },
    Stored(StoredVectors),
}

impl Rows {
    fn read(path: &Path, pages: Pages) -> io::Result<Rows> {
        if pages == Pages::Mapped {
            let stored = StoredVectors::open(path, &VectorOptions::default());
            return stored.map(Rows::Stored).map_err(io::Error::other);
        }
        let mut file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut memory = MmapMut::map_anon(len.next_multiple_of(HUGE_PAGE).max(HUGE_PAGE))?;
        // A kernel without huge pages refuses.
        #[cfg(target_os = "linux")]
        if pages == Pages::Huge {
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        file.read_exact(&mut memory[..len])?;
        Ok(Rows::Memory { pages: memory, len })
    }

    fn get(&self) -> &[u8] {
        match self {
            Rows::Memory { pages, len } => &pages[..*len],
            Rows::Stored(stored) => bytemuck::cast_slice(stored.vectors().as_slice()),
        }
    }
}

/// So many threads.
pub struct Threads {
    pool: ThreadPool,
    number: usize,
}

impl Threads {
    /// A pool of that many.
    ///
    /// # Errors
    ///
    /// If they cannot be started.
    pub fn new(number: usize) -> Result<Threads, String> {
        let pool = ThreadPoolBuilder::new().num_threads(number).build().map_err(|error| error.to_string())?;
        Ok(Threads { pool, number })
    }

    fn pieces(&self) -> usize {
        if self.number == 1 { 1 } else { PIECES * self.number }
    }

    fn run<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        self.pool.install(run)
    }

    /// What a user of the library gets.
    fn search_library(
        &self,
        queries: &[f32],
        rows: &[f32],
        k: usize,
        best: usize,
        function: SimilarityFunction,
    ) -> Result<(Duration, Found), String> {
        let vectors = |numbers| Vectors::new(numbers, k).map_err(|error| error.to_string());
        let (queries, rows) = (vectors(queries)?, vectors(rows)?);
        let options = SearchOptions::default().top_k(best).score_function(function).threads(self.number);
        let start = Instant::now();
        let found =
            self.run(|| semantic_search(queries, rows, &options)).map_err(|error| error.to_string())?;
        let taken = start.elapsed();
        let hits = |hits: Vec<minilm::SearchHit>| {
            hits.into_iter().map(|hit| (hit.corpus_id, f64::from(hit.score))).collect()
        };
        Ok((taken, found.into_iter().map(hits).collect()))
    }

    fn search<C: Component>(
        &self,
        isa: Isa,
        queries: &[C],
        corpus: Corpus<'_, C>,
        best: usize,
    ) -> (Duration, Found)
    where
        C::Score: Into<f64>,
    {
        let m = queries.len() / corpus.k();
        let none = || vec![TopK::new(best); m];
        let parts: Vec<_> = corpus.parts(self.pieces()).collect();
        let start = Instant::now();
        let found = self.run(|| {
            let searched = parts.into_par_iter().fold(none, |mut found, part| {
                search(isa, queries, part, &mut found);
                found
            });
            searched.reduce(none, merged)
        });
        let hits: Vec<Vec<Hit<C::Score>>> = found.into_iter().map(TopK::into_sorted).collect();
        let taken = start.elapsed();
        let hits =
            hits.into_iter().map(|hits| hits.into_iter().map(|hit| (hit.index, hit.score.into())).collect());
        (taken, hits.collect())
    }
}

fn merged<S: Score>(mut all: Vec<TopK<S>>, others: Vec<TopK<S>>) -> Vec<TopK<S>> {
    all.iter_mut().zip(others).for_each(|(all, other)| all.merge(other));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers;

    #[test]
    fn any_pages_and_any_threads_find_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let (rows, queries) = (directory.path().join("rows"), directory.path().join("queries"));
        std::fs::write(&rows, bytemuck::cast_slice::<f32, u8>(&numbers(1000 * 24, 1))).expect("written");
        std::fs::write(&queries, bytemuck::cast_slice::<f32, u8>(&numbers(3 * 24, 2))).expect("written");
        let one = Threads::new(1).expect("a thread");
        let npy = directory.path().join("rows.npy");
        let header = format!("{:117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (1000, 24)}");
        let raw = std::fs::read(&rows).expect("read");
        std::fs::write(&npy, [b"\x93NUMPY\x01\x00v\x00", header.as_bytes(), &raw].concat()).expect("written");
        for (kind, k) in [(Kind::F32, 24), (Kind::Int8, 96), (Kind::Uint8, 96), (Kind::Ubinary, 96)] {
            let expected = Collection::open(kind, k, &rows, &queries, Pages::Huge).expect("opened");
            assert_eq!((expected.rows(), expected.bytes()), (1000, 96_000), "{kind:?}");
            let (_, expected) = expected.search(Isa::SCALAR, 3, 5, By::Kernel, &one).expect("searched");
            for (pages, threads) in [(Pages::Huge, 2), (Pages::Plain, 1), (Pages::Mapped, 3)] {
                if pages == Pages::Mapped && kind != Kind::F32 {
                    continue;
                }
                let rows = if pages == Pages::Mapped { &npy } else { &rows };
                let collection = Collection::open(kind, k, rows, &queries, pages).expect("opened");
                let threads = Threads::new(threads).expect("threads");
                let (_, found) =
                    collection.search(Isa::best(), 3, 5, By::Kernel, &threads).expect("searched");
                assert_eq!(found, expected, "{kind:?}, {pages:?}");
                let by_dot = collection.search(Isa::best(), 3, 5, By::Dot, &threads);
                assert_eq!(
                    by_dot.ok().map(|(_, found)| found),
                    (kind == Kind::F32).then(|| expected.clone())
                );
                assert!(collection.read(Isa::best(), &threads) > Duration::ZERO);
                assert!(collection.search(Isa::best(), 4, 5, By::Kernel, &threads).is_err());
            }
        }
        assert!(Collection::open(Kind::F32, 7, &rows, &queries, Pages::Huge).is_err());
    }
}
