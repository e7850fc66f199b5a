//! A [`Record`] as Markdown, which is also what the terminal shows.

use std::fmt::Write as _;

use minilm_kernels::Precision;

use crate::forward::TOKENS;
use crate::record::{Kernel, Record, Relative};

/// The whole record.
pub fn markdown(record: &Record) -> String {
    let mut text = String::from("# Roofline record\n\n");
    text.push_str(&machine(record));
    text.push_str(
        "\n## Peaks\n\n\
         Of one core, the best of many samples. An operation is a multiplication or an addition, of integers in int8. On AVX2 \
         int8 is AVX-VNNI where the processor has it, and bf16 is multiply-adds of f32.\n\n",
    );
    text.push_str(&peaks(record));
    text.push_str(
        "\n## Products\n\n\
         Each sample lies between two samples of the peak of the same precision on the same instruction set; \"of peak\" is \
         the median of the ratios. GOP/s (10⁹ operations a second) and GB/s are of the median time. Bytes are each \
         operand and result, once. Activations of bf16 and int8 are narrowed beforehand: see the rows below. Attention beside \
         dense layers of int8 is that of bf16.\n",
    );
    for precision in Precision::ALL {
        let table = products(&record.kernels, precision.name());
        text.push_str(&table.map_or_else(String::new, |table| format!("\n### {precision}\n\n{table}")));
    }
    text.push_str(
        "\n## Rows and elements\n\n\
         Cycles are not counted by hardware but measured: each sample lies between two samples of a chain of \
         dependent integer instructions of one cycle each. Data lie in L1, but those of LayerNorm, mean pooling and \
         narrowing in L2.\n\n",
    );
    text.push_str(&rows(&record.kernels));
    if !record.rivals.is_empty() {
        text.push_str(
            "\n## Beside matrixmultiply\n\n\
         In f32, one thread, the layout of the weight that suits `matrixmultiply` better, its own choice of instruction \
         set, no bias; ours has it. The ratio is the median of the interleaved ratios.\n\n",
        );
        text.push_str(&rivals(record));
    }
    text.push_str(&format!(
        "\n## Forward pass of {TOKENS} tokens\n\n\
         The encoder's kernels in the encoder's order on random weights, one thread. \"Of peak\" is the arithmetic of dense \
         layers and attention in the time of all of it, over the peak of the dense layers' precision. GELU is a part of the \
         dense layers and softmax of attention; both were timed by themselves between the layers, but for the softmax of \
         bf16, which cannot be had alone. Narrowing turns activations into bf16 or int8.\n\n"
    ));
    text.push_str(&forward(record));
    text
}

/// What stands in the table of a record's machine.
fn machine(record: &Record) -> String {
    let machine = &record.machine;
    let caches: Vec<String> =
        machine.caches.iter().map(|cache| format!("L{} {}", cache.level, binary_size(cache.bytes))).collect();
    table(
        &["", ""],
        &[
            vec!["processor".to_owned(), format!("{} ({})", machine.cpu, machine.architecture)],
            vec!["features".to_owned(), machine.features.join(", ")],
            vec!["data caches".to_owned(), caches.join(", ")],
            vec!["compiler".to_owned(), machine.compiler.to_owned()],
            vec!["commit".to_owned(), machine.commit.clone()],
            vec!["date".to_owned(), machine.date.clone()],
        ],
    )
}

fn peaks(record: &Record) -> String {
    let peaks = &record.peaks;
    let mut cells = vec![vec!["clock".to_owned(), format!("{:.2} GHz", peaks.clock_ghz)]];
    for precision in Precision::ALL {
        for peak in peaks.products.iter().filter(|peak| peak.precision == precision.name()) {
            cells.push(vec![
                format!("products in {precision}, {}", peak.isa),
                format!("{:.0} {}", peak.gops, unit(precision)),
            ]);
        }
    }
    for bandwidth in &peaks.bandwidth {
        cells.push(vec![
            format!("reading {} of {}", binary_size(bandwidth.working_set_bytes), bandwidth.level),
            format!("{:.0} GB/s", bandwidth.gb_per_s),
        ]);
    }
    table(&["peak", "rate"], &cells)
}

/// The first five cells of a kernel's row: what was timed, and how long it took.
fn subject(kernel: &Kernel) -> Vec<String> {
    vec![
        kernel.operation.to_owned(),
        kernel.shape.clone(),
        kernel.size.clone(),
        kernel.isa.to_owned(),
        time(kernel.seconds),
    ]
}

/// What rates of operations in that precision are given in, in 10⁹ a second.
pub(crate) fn unit(precision: Precision) -> &'static str {
    if precision == Precision::Int8 { "GOP/s" } else { "GFLOP/s" }
}

/// Those in that precision, if there are any.
fn products(kernels: &[Kernel], precision: &str) -> Option<String> {
    let mut cells = Vec::new();
    for kernel in kernels.iter().filter(|kernel| kernel.precision() == precision) {
        if let Relative::Product { gops, peak_fraction, .. } = kernel.relative {
            let mut row = subject(kernel);
            row.extend([
                format!("{gops:.1}"),
                format!("{:.1} %", 100.0 * peak_fraction),
                kernel.intensity.map_or_else(String::new, |intensity| format!("{intensity:.1}")),
                format!("{:.1}", kernel.gb_per_s),
            ]);
            cells.push(row);
        }
    }
    let head = ["operation", "shape", "size", "ISA", "time", "GOP/s", "of peak", "operations/byte", "GB/s"];
    (!cells.is_empty()).then(|| table(&head, &cells))
}

fn rows(kernels: &[Kernel]) -> String {
    let mut cells = Vec::new();
    for kernel in kernels {
        if let Relative::Rows { cycles_per_element, .. } = kernel.relative {
            let mut row = subject(kernel);
            row.extend([format!("{cycles_per_element:.2}"), format!("{:.1}", kernel.gb_per_s)]);
            cells.push(row);
        }
    }
    table(&["operation", "shape", "size", "ISA", "time", "cycles/element", "GB/s"], &cells)
}

fn rivals(record: &Record) -> String {
    let cells: Vec<Vec<String>> = record
        .rivals
        .iter()
        .map(|rival| {
            vec![
                format!("{} → {}", rival.k, rival.n),
                format!("m = {}", rival.m),
                rival.isa.to_owned(),
                format!("{:.1}", rival.gflops),
                format!("{:.1}", rival.rival_gflops),
                rival.rival_layout.to_owned(),
                format!("{:.2}", rival.ratio),
            ]
        })
        .collect();
    let head = ["shape", "size", "ISA", "GFLOP/s", "matrixmultiply GFLOP/s", "its layout", "times faster"];
    table(&head, &cells)
}

fn forward(record: &Record) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let cells: Vec<Vec<String>> = record
        .forward
        .iter()
        .map(|forward| {
            vec![
                forward.precision.to_owned(),
                forward.isa.to_owned(),
                time(forward.seconds),
                percent(forward.peak_fraction),
                percent(forward.linear),
                percent(forward.attention),
                percent(forward.layer_norm),
                if forward.narrowing > 0.0 { percent(forward.narrowing) } else { String::new() },
                percent(forward.gelu),
                forward.softmax.map_or_else(String::new, percent),
                format!("**{}**", percent(forward.together)),
            ]
        })
        .collect();
    let head = [
        "precision",
        "ISA",
        "time",
        "of peak",
        "dense layers",
        "attention",
        "LayerNorm",
        "narrowing",
        "GELU",
        "softmax",
        "the last four",
    ];
    table(&head, &cells)
}

/// A Markdown table whose columns line up in a terminal.
fn table(head: &[&str], cells: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = cells.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut row = |cells: &mut dyn Iterator<Item = &str>| {
        for (cell, &width) in cells.zip(&widths) {
            write!(text, "| {cell:<width$} ").expect("a String takes whatever is written");
        }
        text.push_str("|\n");
    };
    row(&mut head.iter().copied());
    row(&mut widths.iter().map(|&width| &DASHES[..width.min(DASHES.len())]));
    for cells in cells {
        row(&mut cells.iter().map(String::as_str));
    }
    text
}

/// As wide as a column may get.
const DASHES: &str =
    "----------------------------------------------------------------------------------------";

/// Three digits and a unit.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s >= 1e-6 => (s * 1e6, "µs"),
        s => (s * 1e9, "ns"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

fn binary_size(bytes: usize) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let found = table(&["a", "long head"], &[vec!["384 → 1152".to_owned(), "1".to_owned()]]);
        let expected = "\
            | a          | long head |\n\
            | ---------- | --------- |\n\
            | 384 → 1152 | 1         |\n";
        assert_eq!(found, expected);
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(time(1.234), "1.23 s");
        assert_eq!(time(0.0456), "45.6 ms");
        assert_eq!(time(7.894e-4), "789 µs");
        assert_eq!(time(2.5e-8), "25.0 ns");
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(binary_size(32 << 10), "32 KiB");
        assert_eq!(binary_size(8 << 20), "8 MiB");
    }
}
