//! Answers out of documents: retrieval-augmented generation, up to the prompt for a language model.
//!
//! ```sh
//! cargo run --release -p minilm --example retrieval -- "How is int8 calibrated?"
//! cargo run --release -p minilm --example retrieval -- "What did we decide?" notes/*.md
//! ```
//!
//! Without files it reads the documentation of this project. In five steps: the documents are cut into chunks that the model
//! takes whole; the chunks go into an index, each with its place for an id; the index is searched with the question; the best
//! chunks become the context of a prompt, each with a number; and the prompt is printed, for a language model to answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use minilm::chunking::ChunkOptions;
use minilm::storage::{Id, TextItem};
use minilm::{EncodeOptions, Index, IndexOptions, IndexWriter, SearchOptions, SentenceTransformer};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let question = arguments.next().unwrap_or_else(|| "Why do all machines give the same bits?".to_owned());
    let mut documents: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    if documents.is_empty() {
        documents = own_documentation();
    }

    let model = SentenceTransformer::load(minilm::DEFAULT_MODEL)?;

    // 1. Chunks. 128 tokens are a paragraph or two: small enough to be about one thing. Each overlaps the one before by up to
    //    16 tokens, so that what stands at a cut is found, too.
    let chunker = model.chunker(&ChunkOptions::markdown().max_tokens(128).overlap(16))?;
    let mut items = Vec::new();
    let mut headings = BTreeMap::new();
    for path in &documents {
        let document = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        for chunk in chunker.chunks(&document) {
            let chunk = chunk?;
            let place = format!("{}:{}", path.display(), line_of(&document, chunk.start));
            headings.insert(place.clone(), chunk.headings.join(" > "));
            items.push(TextItem { id: Some(Id::Text(place)), text: chunk.text.to_owned() });
        }
    }
    eprintln!("{} documents in {} chunks", documents.len(), items.len());

    // 2. The index. Here it is thrown away in the end; a program keeps it, and adds to it.
    let directory = tempfile::tempdir()?;
    let mut writer = IndexWriter::create(directory.path(), &model, &IndexOptions::default())?;
    writer.add(items.into_iter().map(Ok::<_, std::convert::Infallible>))?;

    // 3. The search.
    let index = Index::open(directory.path())?;
    let search = SearchOptions::default().top_k(4).score_threshold(0.2);
    let found = index.search(&model, &[&question], &EncodeOptions::default(), &search)?;

    // 4. and 5. The prompt.
    println!("Answer the question from the numbered excerpts alone, and say which of them you used.\n");
    for (number, hit) in found[0].iter().enumerate() {
        let place = hit.id.to_string();
        println!("[{}] {place} ({}), similarity {:.3}", number + 1, headings[&place], hit.score);
        println!("{}\n", hit.text.trim());
    }
    println!("Question: {question}");
    Ok(())
}

/// The documentation in the root of this checkout.
fn own_documentation() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    ["README.md", "ARCHITECTURE.md", "kernels/README.md", "fixtures/README.md", "benches/README.md"]
        .map(|file| root.join(file))
        .to_vec()
}

/// Counted from 1.
fn line_of(document: &str, byte: usize) -> usize {
    1 + document[..byte].matches('\n').count()
}
