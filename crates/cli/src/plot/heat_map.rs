//! A matrix of similarities as coloured cells.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use super::colours::{colour, hex, is_dark};
use super::svg::Svg;
use crate::label::{columns_of, shortened};

/// What is drawn.
pub(crate) struct HeatMap<'a> {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// What the numbers are.
    pub(crate) function: &'a str,
    pub(crate) rows: &'a [String],
    pub(crate) columns: &'a [String],
    /// `[rows][columns]`
    pub(crate) matrix: &'a [f32],
    pub(crate) scale: Scale,
}

/// Which numbers the ends of the colours are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// From the first, which is pale, to the second.
    Sequential(f64, f64),
    /// From −1 over 0, which is pale, to 1.
    Diverging,
}

impl Scale {
    /// Of cosines: whether or not two vectors are opposites is only worth colours if some are. Sentences that have nothing to
    /// do with each other have some −0.1, which is as pale as 0.
    pub(crate) fn of_cosines(matrix: &[f32]) -> Scale {
        let least = matrix.iter().copied().fold(0.0, f32::min);
        if least < -0.3 { Scale::Diverging } else { Scale::Sequential(0.0, 1.0) }
    }

    /// Of numbers without natural ends: their own.
    pub(crate) fn of_all(matrix: &[f32]) -> Scale {
        let least = f64::from(matrix.iter().copied().fold(f32::INFINITY, f32::min));
        let most = f64::from(matrix.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        Scale::Sequential(least, most)
    }

    /// A number as one from −1 to 1.
    pub(crate) fn share(self, value: f64) -> f64 {
        match self {
            Scale::Diverging => value,
            // Of one number alone, the greatest is drawn.
            Scale::Sequential(least, most) if most <= least => 1.0,
            Scale::Sequential(least, most) => ((value - least) / (most - least)).clamp(0.0, 1.0),
        }
    }

    /// The numbers at the ends.
    fn ends(self) -> (f64, f64) {
        match self {
            Scale::Diverging => (-1.0, 1.0),
            Scale::Sequential(least, most) => (least, most),
        }
    }
}

/// More cells on one side would be less than a pixel each, and megabytes: then each is the mean of some.
const MOST_CELLS: usize = 1000;

/// Up to so many rows or columns, cells have their numbers in them, and show the texts under the pointer.
const MOST_NUMBERED: usize = 40;

/// Up to so many rows or columns, there are texts beside them.
const MOST_LABELLED: usize = 500;

/// A number as it is shown: two digits behind the point, fewer of large ones.
pub(crate) fn shown(value: f32) -> String {
    let decimals = match value.abs() {
        x if x < 10.0 => 2,
        x if x < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    // −0.00 is 0.00.
    if text.trim_start_matches('-').trim_matches(['0', '.']).is_empty() {
        return text.trim_start_matches('-').to_owned();
    }
    text.replace('-', "−")
}

/// Sizes in pixels, by how many rows or columns there are.
struct Layout {
    cell: f64,
    /// Of labels; 0 for none.
    font: f64,
    /// How many columns of a terminal a label may take.
    label_columns: usize,
    numbered: bool,
    /// How many rows and columns of the matrix a cell is the mean of.
    step: usize,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    /// Where the picture ends.
    right: f64,
}

impl Layout {
    fn of(data: &HeatMap<'_>) -> Layout {
        let most = data.rows.len().max(data.columns.len());
        let numbered = most <= MOST_NUMBERED;
        let (cell, font, label_columns) = match most {
            0..=8 => (56.0, 13.0, 40),
            9..=16 => (44.0, 13.0, 40),
            17..=28 => (34.0, 12.0, 36),
            29..=MOST_NUMBERED => (28.0, 11.0, 32),
            41..=100 => (14.0, 9.5, 32),
            101..=MOST_LABELLED => (10.0, 7.5, 28),
            _ => (1200.0 / most as f64, 0.0, 0),
        };
        let label = |texts: &[String]| {
            let widest = texts.iter().map(|text| columns_of(&shortened(text, label_columns.max(1)))).max();
            if font > 0.0 { widest.unwrap_or(0) as f64 * 0.56 * font + 8.0 } else { 0.0 }
        };
        let columns = label(data.columns);
        // At 45°, or where they are close together, upright.
        let (up, over) = if numbered { (0.72 * columns, 0.72 * columns) } else { (columns, 0.0) };
        let left = 28.0 + label(data.rows);
        let top = 80.0 + up + 8.0;
        let (width, height) = (cell * data.columns.len() as f64, cell * data.rows.len() as f64);
        let legend = 110.0;
        // The last column's label may reach beyond the legend.
        let right = (left + width + legend).max(left + width + over - cell / 2.0 + 16.0);
        let step = if numbered { 1 } else { most.div_ceil(MOST_CELLS) };
        Layout { cell, font, label_columns, numbered, step, left, top, width, height, right }
    }
}

pub(crate) fn heat_map(data: &HeatMap<'_>) -> String {
    let layout = Layout::of(data);
    let title_width = columns_of(&data.title).max(columns_of(&data.subtitle) * 2 / 3) as f64 * 11.5 + 56.0;
    let width = layout.right.max(title_width).ceil();
    // The legend may be longer than the matrix.
    let height = (layout.top + layout.height.max(LEGEND_HEIGHT + 24.0) + 28.0).ceil();
    let mut svg = Svg::new(width, height, &data.title, "");
    svg.text(format_args!("x=\"28\" y=\"36\" font-size=\"20\" font-weight=\"600\""), &data.title);
    let mut subtitle = data.subtitle.clone();
    let step = layout.step;
    if step > 1 {
        write!(subtitle, "; each cell is the mean of {step} × {step}").expect("a string takes everything");
    }
    svg.text(format_args!("x=\"28\" y=\"60\" font-size=\"13\" class=\"faint\""), &subtitle);
    if layout.font > 0.0 {
        labels(&mut svg, data, &layout);
    }
    if layout.numbered {
        cells(&mut svg, data, &layout)
    } else {
        image(&mut svg, data, &layout)
    }
    legend(&mut svg, data, &layout);
    svg.finish()
}

fn labels(svg: &mut Svg, data: &HeatMap<'_>, layout: &Layout) {
    let Layout { cell, font, label_columns, left, top, .. } = *layout;
    let middle = |i: usize| (i as f64 + 0.5) * cell;
    svg.raw(format_args!("<g font-size=\"{font}\" text-anchor=\"end\">\n"));
    for (i, text) in data.rows.iter().enumerate() {
        let (x, y) = (left - 7.0, top + middle(i) + 0.36 * font);
        svg.text(format_args!("x=\"{x:.1}\" y=\"{y:.1}\""), &shortened(text, label_columns));
    }
    svg.raw(format_args!("</g>\n<g font-size=\"{font}\">\n"));
    let (angle, aside) = if layout.numbered { (-45, 0.0) } else { (-90, 0.36 * font) };
    for (i, text) in data.columns.iter().enumerate() {
        let (x, y) = (left + middle(i) + aside, top - 7.0);
        svg.text(
            format_args!("transform=\"translate({x:.1} {y:.1}) rotate({angle})\""),
            &shortened(text, label_columns),
        );
    }
    svg.raw(format_args!("</g>\n"));
}

/// Cells with their numbers, and under the pointer the texts.
fn cells(svg: &mut Svg, data: &HeatMap<'_>, layout: &Layout) {
    let cell = layout.cell;
    // "−0.05" is 2.8 times as wide as its letters are high.
    let widest = data.matrix.iter().map(|&value| shown(value).chars().count()).max().unwrap_or(1);
    let font = (cell / (0.6 * widest.max(4) as f64 + 0.6)).min(14.0);
    let hints = |texts: &[String]| -> Vec<String> { texts.iter().map(|text| shortened(text, 100)).collect() };
    let (row_hints, column_hints) = (hints(data.rows), hints(data.columns));
    svg.raw(format_args!("<g font-size=\"{font:.1}\" text-anchor=\"middle\">\n"));
    for (row, values) in data.matrix.chunks_exact(data.columns.len()).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            let (x, y) = (layout.left + column as f64 * cell, layout.top + row as f64 * cell);
            let colour = colour(data.scale.share(value.into()));
            let letters = if is_dark(colour) { "#fff" } else { "#1f2328" };
            let (middle, baseline) = (x + cell / 2.0, y + cell / 2.0 + 0.36 * font);
            svg.raw(format_args!("<g>"));
            svg.hint(&format!("{}\n{}\n{}", shown(value), row_hints[row], column_hints[column]));
            svg.raw(format_args!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" rx=\"2\" fill=\"{}\"/>",
                hex(colour),
                side = cell - 1.0
            ));
            let attributes = format_args!("x=\"{middle:.1}\" y=\"{baseline:.1}\" style=\"fill:{letters}\"");
            svg.text(attributes, &shown(value));
            svg.raw(format_args!("</g>\n"));
        }
    }
    svg.raw(format_args!("</g>\n"));
}

/// The cells as a picture of their own, a pixel each: as elements they would be megabytes.
fn image(svg: &mut Svg, data: &HeatMap<'_>, layout: &Layout) {
    let png = png(data, layout.step).expect("memory takes everything");
    let Layout { left, top, width, height, .. } = *layout;
    svg.raw(format_args!(
        "<image x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         preserveAspectRatio=\"none\" image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>\n",
        BASE64_STANDARD.encode(png)
    ));
}

/// A picture of 256 colours, from the scale's least to its greatest; a pixel is the mean of `step` rows and columns.
fn png(data: &HeatMap<'_>, step: usize) -> io::Result<Vec<u8>> {
    let least = if data.scale == Scale::Diverging { -1.0 } else { 0.0 };
    let palette: Vec<u8> =
        (0..=255).flat_map(|i| colour(least + (1.0 - least) * f64::from(i) / 255.0)).collect();
    let (rows, columns) = (data.rows.len().div_ceil(step), data.columns.len().div_ceil(step));
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::default());
    for values in data.matrix.chunks(step * data.columns.len()) {
        let (mut sums, mut counts) = (vec![0.0; columns], vec![0_u32; columns]);
        for row in values.chunks_exact(data.columns.len()) {
            for (column, values) in row.chunks(step).enumerate() {
                sums[column] += values.iter().map(|&value| f64::from(value)).sum::<f64>();
                counts[column] += values.len() as u32;
            }
        }
        let of_palette = |(sum, count): (f64, u32)| {
            let share = data.scale.share(sum / f64::from(count));
            ((share - least) / (1.0 - least)).clamp(0.0, 1.0) * 255.0 + 0.5
        };
        // Each row begins with its filter: none.
        pixels.write_all(&[0])?;
        let row: Vec<u8> = sums.into_iter().zip(counts).map(|mean| of_palette(mean) as u8).collect();
        pixels.write_all(&row)?;
    }

    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], content: &[u8]| {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(content);
        png.extend((content.len() as u32).to_be_bytes());
        png.extend(kind);
        png.extend(content);
        png.extend(crc.sum().to_be_bytes());
    };
    let mut header = Vec::new();
    header.extend((columns as u32).to_be_bytes());
    header.extend((rows as u32).to_be_bytes());
    // Eight bits, a palette, and the only compression, filters and order that there are.
    header.extend([8, 3, 0, 0, 0]);
    chunk(b"IHDR", &header);
    chunk(b"PLTE", &palette);
    chunk(b"IDAT", &pixels.finish()?);
    chunk(b"IEND", &[]);
    Ok(png)
}

const LEGEND_HEIGHT: f64 = 180.0;

/// The colours and their numbers.
fn legend(svg: &mut Svg, data: &HeatMap<'_>, layout: &Layout) {
    let (x, top) = (layout.left + layout.width + 24.0, layout.top);
    let (least, most) = data.scale.ends();
    let steps = 20;
    svg.raw(format_args!("<linearGradient id=\"colours\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">"));
    for step in 0..=steps {
        let share = f64::from(step) / f64::from(steps);
        let stop = hex(colour(data.scale.share(least + share * (most - least))));
        svg.raw(format_args!("<stop offset=\"{share:.2}\" stop-color=\"{stop}\"/>"));
    }
    svg.raw(format_args!(
        "</linearGradient>\n<rect class=\"frame\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"14\" height=\"{LEGEND_HEIGHT}\" \
         style=\"fill:url(#colours)\"/>\n"
    ));
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let (x, y) = (x + 20.0, top + LEGEND_HEIGHT * (1.0 - share) + 4.0);
        let value = shown((least + share * (most - least)) as f32);
        svg.text(format_args!("x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"11\""), &value);
    }
    let y = top + LEGEND_HEIGHT + 20.0;
    svg.text(format_args!("x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"11\" class=\"faint\""), data.function);
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::*;

    #[test]
    fn numbers_are_short() {
        let found = [1.0, 0.125, -0.004, -0.05, -12.34, 1234.5].map(shown);
        assert_eq!(found, ["1.00", "0.12", "0.00", "−0.05", "−12.3", "1234"]);
    }

    #[test]
    fn scales_fit_the_numbers() {
        assert_eq!(Scale::of_cosines(&[1.0, -0.1]), Scale::Sequential(0.0, 1.0));
        assert_eq!(Scale::of_cosines(&[1.0, -0.8]), Scale::Diverging);
        let scale = Scale::of_all(&[-4.0, 0.0, -1.0]);
        assert_eq!([-4.0, -1.0, 0.0, 9.0].map(|x| scale.share(x)), [0.0, 0.75, 1.0, 1.0]);
        assert_eq!(Scale::of_all(&[2.0]).share(2.0), 1.0);
        assert_eq!(Scale::Diverging.share(-0.5), -0.5);
    }

    fn texts(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("text <{i}>")).collect()
    }

    fn picture(n: usize, matrix: &[f32]) -> String {
        let texts = texts(n);
        let (title, subtitle) = ("a & b".to_owned(), "c".to_owned());
        let scale = Scale::of_cosines(matrix);
        let (rows, columns) = (&texts[..], &texts[..]);
        heat_map(&HeatMap { title, subtitle, function: "cosine", rows, columns, matrix, scale })
    }

    #[test]
    fn few_texts_have_cells_with_numbers_and_many_are_one_image() {
        let few = picture(2, &[1.0, 0.5, 0.5, 1.0]);
        assert_eq!(few.matches("<rect x=").count(), 4);
        assert_eq!(few.matches(">0.50</text>").count(), 3, "two cells and the legend");
        assert!(few.contains("text &lt;1&gt;") && !few.contains("<image"), "{few}");
        let some = picture(50, &[0.25; 2500]);
        assert!(some.contains("<image") && some.contains("text &lt;49&gt;") && some.len() < 20_000);
        let many = picture(501, &[0.25; 501 * 501]);
        assert!(many.contains("<image") && !many.contains("text &lt;1&gt;") && many.len() < 20_000);
        assert!(!many.contains("the mean of"));
        let very_many = picture(2001, &vec![0.25; 2001 * 2001]);
        assert!(very_many.contains("c; each cell is the mean of 3 × 3"));
    }

    #[test]
    fn a_pixel_is_a_mean_and_every_number_is_in_one() {
        let texts = texts(3);
        let matrix = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.75];
        let (rows, columns, matrix) = (&texts[..], &texts[..], &matrix[..]);
        let scale = Scale::of_cosines(matrix);
        let (title, subtitle, function) = (String::new(), String::new(), "");
        let png = png(&HeatMap { title, subtitle, function, rows, columns, matrix, scale }, 2).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        assert_eq!(&png[16..24], [0, 0, 0, 2, 0, 0, 0, 2]);
        let start = png.windows(4).position(|kind| kind == b"IDAT").unwrap();
        let length = u32::from_be_bytes(png[start - 4..start].try_into().unwrap()) as usize;
        let mut pixels = Vec::new();
        ZlibDecoder::new(&png[start + 4..start + 4 + length]).read_to_end(&mut pixels).unwrap();
        assert_eq!(pixels, [0, 128, 128, 0, 128, 191]);
    }
}
