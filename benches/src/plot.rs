//! A [`Record`] as a roofline plot in SVG: what rate the machine allows at each arithmetic intensity, and what
//! rate each kernel reaches.

use std::error::Error;
use std::ops::Range;

use minilm_kernels::Precision;
use plotters::coord::Shift;
use plotters::coord::combinators::LogCoord;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::peaks::Peaks;
use crate::record::{Kernel, Record};
use crate::report::unit;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1200, 800);

/// What the axes leave to the left, to the right, above and below, in pixels.
const MARGINS: (u32, u32, u32, u32) = (90, 24, 112, 62);

/// What is left free beside the description of the vertical axis.
const LEFT_EDGE: u32 = 16;

/// Operations a byte that are shown: to the right of all kernels there is room for the names of the ceilings.
const INTENSITY: Range<f64> = 0.1..1500.0;

const FONT: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

/// A colour for each [`Series`], in their order; the colour-blind can tell them apart (Okabe and Ito,
/// <https://jfly.uni-koeln.de/color/>).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const INK: RGBColor = RGBColor(40, 40, 40);
const ROOF: RGBColor = RGBColor(110, 110, 110);

/// How high a label is, in pixels.
const LABEL: i32 = 17;

/// How far a marker reaches from its point, in pixels.
const REACH: i32 = 5;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Axes = Cartesian2d<LogCoord<f64>, LogCoord<f64>>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Axes>;

/// The plot.
///
/// # Errors
///
/// What the drawing library refuses; nothing is known that it would.
pub fn svg(record: &Record) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let points = points(record);
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        title(&area, record)?;
        let rates = rates(&points, &record.peaks);
        let mut chart = ChartBuilder::on(&area)
            .margin_left(LEFT_EDGE)
            .margin_right(MARGINS.1)
            .margin_top(MARGINS.2)
            .x_label_area_size(MARGINS.3)
            .y_label_area_size(MARGINS.0 - LEFT_EDGE)
            .build_cartesian_2d(INTENSITY.log_scale(), rates.clone().log_scale())?;
        chart
            .configure_mesh()
            .bold_line_style(RGBColor(225, 225, 225))
            .light_line_style(RGBColor(244, 244, 244))
            .axis_style(INK)
            .x_desc("arithmetic intensity (operations a byte; each operand and result counted once)")
            .y_desc("rate (GFLOP/s; in int8 GOP/s)")
            .axis_desc_style(style(16))
            .label_style(style(14))
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .draw()?;
        roofs(&area, &mut chart, &record.peaks, rates.end)?;
        markers(&mut chart, record, &points)?;
        labels(&area, &chart, &points, &record.peaks)?;
        legend(&mut chart, &series(&record.peaks))?;
        area.present()?;
    }
    Ok(text)
}

/// Which marker a kernel gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    DenseLayer,
    Attention,
    Rows,
}

/// A kernel in the plot.
struct Point<'a> {
    kernel: &'a Kernel,
    kind: Kind,
    intensity: f64,
    gops: f64,
}

/// An instruction set and a precision, by their names.
type Series = (&'static str, &'static str);

/// What is drawn: the precisions on the fastest instruction set, the most accurate first, then f32 on the others. All of
/// them would hide each other; the tables have the rest.
fn series(peaks: &Peaks) -> Vec<Series> {
    let fastest = peaks.products.first().map(|peak| peak.isa);
    let mut series = Vec::new();
    for precision in Precision::ALL.map(Precision::name) {
        let found =
            peaks.products.iter().find(|peak| Some(peak.isa) == fastest && peak.precision == precision);
        series.extend(found.map(|peak| (peak.isa, peak.precision)));
    }
    let f32 = peaks.products.iter().filter(|peak| peak.precision == Precision::F32.name());
    series.extend(f32.filter(|peak| Some(peak.isa) != fastest).map(|peak| (peak.isa, peak.precision)));
    series
}

/// The kernels of the series whose operations are counted.
fn points(record: &Record) -> Vec<Point<'_>> {
    let series = series(&record.peaks);
    let point = |kernel: &'_ Kernel| {
        let kind = match kernel.size.split_once(" = ") {
            Some(("m", _)) => Kind::DenseLayer,
            Some(("s", _)) => Kind::Attention,
            _ => Kind::Rows,
        };
        Some((kind, kernel.intensity?, kernel.gops_beside(&record.peaks)?))
    };
    let drawn = record.kernels.iter().filter(|kernel| series.contains(&(kernel.isa, kernel.precision())));
    let points = drawn.filter_map(|kernel| {
        let (kind, intensity, gops) = point(kernel)?;
        Some(Point { kernel, kind, intensity, gops })
    });
    points.collect()
}

/// Rates that are shown: from below the slowest kernel, where the legend is, to above the highest ceiling.
fn rates(points: &[Point<'_>], peaks: &Peaks) -> Range<f64> {
    let lowest = points.iter().map(|point| point.gops).fold(f64::INFINITY, f64::min);
    let highest = ceilings(peaks).iter().map(|ceiling| ceiling.0).fold(1.0, f64::max);
    (lowest.min(highest) / 3.0)..(highest * 1.6)
}

/// Rates of the ceilings and what they are; instruction sets within 5 % of each other share one of f32.
fn ceilings(peaks: &Peaks) -> Vec<(f64, String)> {
    let mut groups: Vec<(Precision, f64, Vec<&str>)> = Vec::new();
    for precision in Precision::ALL {
        for (isa, _) in series(peaks).into_iter().filter(|series| series.1 == precision.name()) {
            let rate = peaks.gops(isa, precision.name()).unwrap_or(0.0);
            let near = |group: &&mut (Precision, f64, Vec<&str>)| {
                group.0 == precision && (rate / group.1 - 1.0).abs() < 0.05
            };
            match groups.iter_mut().find(near) {
                Some(group) => group.2.push(isa),
                None => groups.push((precision, rate, vec![isa])),
            }
        }
    }
    let described = groups.into_iter().map(|(precision, rate, isas)| {
        (rate, format!("{precision} ({}): {rate:.0} {}", isas.join(", "), unit(precision)))
    });
    described.collect()
}

fn style(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

fn anchored(size: u32, h: HPos, v: VPos) -> TextStyle<'static> {
    style(size).pos(Pos::new(h, v))
}

/// Ticks: 0.1, 1, 10, 100.
fn number(x: &f64) -> String {
    if *x < 1.0 { format!("{x:.1}") } else { format!("{x:.0}") }
}

fn title(area: &Area<'_>, record: &Record) -> Result<(), Box<dyn Error>> {
    let machine = &record.machine;
    let left = MARGINS.0 as i32;
    area.draw_text("Kernels of all-MiniLM-L6-v2 on one core", &style(22), (left, 14))?;
    let second =
        format!("{}, {}, commit {}, {}", machine.cpu, machine.compiler, machine.commit, machine.date);
    area.draw_text(&second, &style(13), (left, 44))?;
    Ok(())
}

/// The ceilings of arithmetic and the slopes of memory.
fn roofs(area: &Area<'_>, chart: &mut Chart<'_, '_>, peaks: &Peaks, top: f64) -> Result<(), Box<dyn Error>> {
    let ceilings = ceilings(peaks);
    for (rate, label) in &ceilings {
        let line = [(INTENSITY.start, *rate), (INTENSITY.end, *rate)];
        chart.draw_series(LineSeries::new(line, ROOF.stroke_width(2)))?;
        let (x, y) = chart.backend_coord(&(INTENSITY.end, *rate));
        // Above the line, or where the next would be in the way, below.
        let next = ceilings.iter().any(|(other, _)| other > rate && *other < 1.2 * rate);
        let (anchor, y) = if next { (VPos::Top, y + 4) } else { (VPos::Bottom, y - 4) };
        area.draw_text(label, &anchored(13, HPos::Right, anchor), (x - 6, y))?;
    }

    let mut slopes = Vec::new();
    for bandwidth in &peaks.bandwidth {
        // rate = intensity · bandwidth, as far as the plot goes.
        let rate = bandwidth.gb_per_s;
        let line = [(INTENSITY.start, INTENSITY.start * rate), (top / rate, top)];
        chart.draw_series(LineSeries::new(line, ROOF.stroke_width(1)))?;
        slopes
            .push((chart.backend_coord(&(top / rate, top)), format!("{}: {rate:.0} GB/s", bandwidth.level)));
    }
    // To the left of where each slope ends, so that no line up to a higher row crosses a label.
    let spans: Vec<Range<i32>> = slopes.iter().map(|((x, _), text)| x - text_width(text)..*x).collect();
    for (((x, y), label), row) in slopes.iter().zip(rows_without_overlap(&spans)) {
        let y_label = y - 4 - 17 * row as i32;
        area.draw(&PathElement::new([(*x, *y), (*x, y_label - 12)], ROOF))?;
        area.draw_text(label, &anchored(13, HPos::Right, VPos::Bottom), (x - 4, y_label))?;
    }
    Ok(())
}

/// About how wide a label is, in pixels: there are no fonts here to ask.
fn text_width(text: &str) -> i32 {
    text.chars().count() as i32 * 8
}

/// A row for each label, given by where it begins and ends, so that no two of a row overlap.
fn rows_without_overlap(spans: &[Range<i32>]) -> Vec<usize> {
    let mut rows: Vec<usize> = Vec::new();
    for (i, span) in spans.iter().enumerate() {
        let overlaps = |other: &Range<i32>| span.start < other.end && other.start < span.end;
        let free = |row: usize| rows.iter().zip(spans).all(|(&r, other)| r != row || !overlaps(other));
        let row = (0..i).find(|&row| free(row)).unwrap_or(i);
        rows.push(row);
    }
    rows
}

/// The outline of a marker around a point of the screen.
fn outline(kind: Kind, (x, y): (i32, i32)) -> Vec<(i32, i32)> {
    let r = REACH;
    match kind {
        // Octagons, near enough to circles at this size.
        Kind::DenseLayer => [(-4, -2), (-2, -4), (2, -4), (4, -2), (4, 2), (2, 4), (-2, 4), (-4, 2)]
            .map(|(dx, dy)| (x + dx, y + dy))
            .to_vec(),
        Kind::Attention => vec![(x - r, y + r - 1), (x + r, y + r - 1), (x, y - r)],
        Kind::Rows => vec![(x - r, y), (x, y - r), (x + r, y), (x, y + r)],
    }
}

/// A point a kernel and shape, and a thin line through the sizes of a shape. What comes first in the series is drawn last,
/// above the others.
fn markers<'a, 'b: 'a>(
    chart: &mut Chart<'a, 'b>,
    record: &Record,
    points: &[Point<'_>],
) -> Result<(), Box<dyn Error>> {
    for (i, series) in series(&record.peaks).into_iter().enumerate().rev() {
        let colour = COLOURS[i % COLOURS.len()];
        let of_series: Vec<&Point<'_>> =
            points.iter().filter(|point| (point.kernel.isa, point.kernel.precision()) == series).collect();
        for line in of_series.chunk_by(|a, b| {
            a.kind != Kind::Rows
                && a.kernel.operation == b.kernel.operation
                && a.kernel.shape == b.kernel.shape
        }) {
            let line = line.iter().map(|point| (point.intensity, point.gops));
            chart.draw_series(LineSeries::new(line, colour.mix(0.35).stroke_width(1)))?;
        }
        let markers = of_series.iter().map(|point| {
            EmptyElement::at((point.intensity, point.gops))
                + Polygon::new(outline(point.kind, (0, 0)), colour.mix(0.8).filled())
        });
        chart.draw_series(markers)?;
    }
    Ok(())
}

/// Sizes of dense layers, as numbers, above their precision's ceiling, everything else below its lowest point.
fn labels(
    area: &Area<'_>,
    chart: &Chart<'_, '_>,
    points: &[Point<'_>],
    peaks: &Peaks,
) -> Result<(), Box<dyn Error>> {
    // By precision: the same layer has less to read in a narrower one, so it lies further to the right.
    let mut names: Vec<(Kind, &str, &str)> = Vec::new();
    for point in points {
        let (name, precision) = match point.kind {
            Kind::DenseLayer => (point.kernel.size.as_str(), point.kernel.precision()),
            Kind::Attention => (point.kernel.size.as_str(), ""),
            Kind::Rows => (point.kernel.operation, ""),
        };
        if !names.contains(&(point.kind, name, precision)) {
            names.push((point.kind, name, precision));
        }
    }
    let mut boxes: Vec<[Range<i32>; 2]> = Vec::new();
    for (kind, name, precision) in names {
        let named: Vec<&Point<'_>> = points
            .iter()
            .filter(|point| {
                point.kind == kind
                    && [point.kernel.operation, &point.kernel.size].contains(&name)
                    && ["", point.kernel.precision()].contains(&precision)
            })
            .collect();
        // The middle on a logarithmic axis.
        let intensity = named.iter().map(|point| point.intensity.ln()).sum::<f64>() / named.len() as f64;
        let lowest = named.iter().map(|point| point.gops).fold(f64::INFINITY, f64::min);
        let ceilings = series(peaks).into_iter().filter(|series| series.1 == precision);
        let ceiling = ceilings.filter_map(|(isa, precision)| peaks.gops(isa, precision)).fold(1.0, f64::max);
        let above = kind == Kind::DenseLayer;
        let (x, y) = chart.backend_coord(&(intensity.exp(), if above { ceiling } else { lowest }));
        if above {
            let size = name.trim_start_matches("m = ");
            area.draw_text(size, &anchored(12, HPos::Center, VPos::Bottom), (x, y - 4))?;
        } else {
            // On white, where slopes pass; inside of the axes, and below the labels that are there.
            let half = text_width(name) / 2;
            let x = x.max(MARGINS.0 as i32 + half + 2);
            let mut top = y + REACH + 1;
            while boxes.iter().any(|[across, down]| {
                across.start < x + half && x - half < across.end && down.start < top + LABEL && top < down.end
            }) {
                top += LABEL / 3;
            }
            boxes.push([x - half..x + half, top..top + LABEL]);
            let corners = [(x - half, top), (x + half, top + LABEL)];
            area.draw(&Rectangle::new(corners, WHITE.mix(0.85).filled()))?;
            area.draw_text(name, &anchored(13, HPos::Center, VPos::Top), (x, top + 2))?;
        }
    }
    Ok(())
}

/// Colours, then markers.
fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, series: &[Series]) -> Result<(), Box<dyn Error>> {
    let colours = series.iter().zip(COLOURS.iter().cycle());
    let colours =
        colours.map(|((isa, precision), colour)| (Kind::DenseLayer, *colour, format!("{precision}, {isa}")));
    let kinds = [
        (Kind::DenseLayer, ROOF, "dense layer, 1 to 256 tokens".to_owned()),
        (Kind::Attention, ROOF, "attention, s tokens".to_owned()),
        (Kind::Rows, ROOF, "rows of 384".to_owned()),
    ];
    for (kind, colour, label) in colours.chain(kinds) {
        chart
            .draw_series(std::iter::empty::<Polygon<(f64, f64)>>())?
            .label(label)
            .legend(move |(x, y)| Polygon::new(outline(kind, (x + 10, y)), colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .margin(14)
        .legend_area_size(24)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .label_font(style(14))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peaks::ProductPeak;

    #[test]
    fn labels_that_would_overlap_get_rows_of_their_own() {
        // The second overlaps the first, the third the second alone.
        assert_eq!(rows_without_overlap(&[0..80, 70..150, 140..220, 150..230]), [0, 1, 0, 1]);
        assert_eq!(rows_without_overlap(&[0..80, 1..81, 2..82, 80..90]), [0, 1, 2, 0]);
        assert_eq!(rows_without_overlap(&[0..80, 80..160]), [0, 0]);
    }

    fn peaks() -> Peaks {
        let peak = |(isa, precision, gops)| ProductPeak { isa, precision, gops };
        let products = [
            ("avx512", "f32", 200.0),
            ("avx512", "bf16", 400.0),
            ("avx512", "int8", 800.0),
            ("avx2", "f32", 100.0),
            ("avx2", "int8", 401.0),
            ("scalar", "f32", 99.0),
        ];
        Peaks { clock_ghz: 3.0, products: products.map(peak).to_vec(), bandwidth: Vec::new() }
    }

    #[test]
    fn narrow_precisions_are_drawn_on_the_fastest_instruction_set() {
        let expected =
            [("avx512", "f32"), ("avx512", "bf16"), ("avx512", "int8"), ("avx2", "f32"), ("scalar", "f32")];
        assert_eq!(series(&peaks()), expected);
        let mut int8 = peaks();
        int8.products.retain(|peak| peak.precision == "int8");
        assert_eq!(series(&int8), [("avx512", "int8")]);
    }

    #[test]
    fn instruction_sets_of_one_rate_share_a_ceiling() {
        let found: Vec<String> = ceilings(&peaks()).into_iter().map(|ceiling| ceiling.1).collect();
        let expected = [
            "f32 (avx512): 200 GFLOP/s",
            "f32 (avx2, scalar): 100 GFLOP/s",
            "bf16 (avx512): 400 GFLOP/s",
            "int8 (avx512): 800 GOP/s",
        ];
        assert_eq!(found, expected);
    }
}
