//! Texts as points of a plane, a colour a cluster.

use std::fmt::Write;

use minilm::Vectors;

use super::colours::CLUSTERS;
use super::placement::{Area, place};
use super::svg::Svg;
use crate::label::{columns_of, shortened};

/// What is drawn.
pub(crate) struct Scatter<'a> {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) texts: &'a [String],
    /// Members of each cluster, the most central first, and the largest cluster first.
    pub(crate) clusters: &'a [Vec<usize>],
    /// Where each text is: one or two coordinates.
    pub(crate) coordinates: Vectors<'a>,
    /// What the coordinates are.
    pub(crate) axes: [String; 2],
}

const FRAME: Area = Area { left: 44.0, top: 84.0, right: 844.0, bottom: 724.0 };
const WIDTH: f64 = 1220.0;
const HEIGHT: f64 = 768.0;

/// Where the legend begins, and how far its lines are from each other.
const LEGEND: (f64, f64) = (872.0, 100.0);
const LEGEND_LINE: f64 = 25.0;

/// Markers of clusters: six colours, then six again with another shape. All others share one.
const SHAPES: usize = 4;
const MOST_COLOURED: usize = CLUSTERS.len() * SHAPES;

/// More points would make a file of many megabytes in which nobody could see more.
const MOST_POINTS: usize = 5000;

/// So many clusters have their text in the plane; the legend has more.
const MOST_TAGS: usize = 12;

/// Columns of texts in the plane, in the legend, and of what shows over a point.
const TAG_COLUMNS: usize = 28;
const LEGEND_COLUMNS: usize = 36;
const HINT_COLUMNS: usize = 200;

const TAG_SIZE: f64 = 12.0;

pub(crate) fn scatter(data: &Scatter<'_>) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, &data.title, &cluster_style());
    let left = FRAME.left;
    svg.text(format_args!("x=\"{left}\" y=\"36\" font-size=\"20\" font-weight=\"600\""), &data.title);
    let drawn = sample(data.clusters);
    let count: usize = drawn.iter().map(Vec::len).sum();
    let mut subtitle = data.subtitle.clone();
    if count < data.texts.len() {
        write!(subtitle, "; {count} of {} texts are drawn, from every cluster its share", data.texts.len())
            .expect("a string takes everything");
    }
    svg.text(format_args!("x=\"{left}\" y=\"60\" font-size=\"13\" class=\"faint\""), &subtitle);
    axes(&mut svg, &data.axes);

    let plane = Plane::of(data.coordinates);
    let radius = match count {
        0..=60 => 5.5,
        61..=300 => 4.5,
        301..=1000 => 3.5,
        1001..=2500 => 2.8,
        _ => 2.2,
    };
    // The largest clusters first, so that the small ones lie above them; but what has no colour below all.
    let coloured = drawn.len().min(MOST_COLOURED);
    for cluster in (coloured..drawn.len()).chain(0..coloured) {
        points(&mut svg, data, &plane, cluster, &drawn[cluster], radius);
    }
    tags(&mut svg, data, &plane, &drawn);
    legend(&mut svg, data);
    svg.finish()
}

/// The classes of the clusters' colours.
fn cluster_style() -> String {
    let (mut light, mut dark) = (String::new(), String::new());
    for (i, (on_white, on_black)) in CLUSTERS.iter().enumerate() {
        for (to, colour) in [(&mut light, on_white), (&mut dark, on_black)] {
            write!(to, ".c{i}{{fill:{colour}}}.tag{i}{{stroke:{colour}}}")
                .expect("a string takes everything");
        }
    }
    format!("{light}\n@media (prefers-color-scheme:dark){{{dark}}}\n")
}

/// The members of each cluster that are drawn: all, or if they are too many, a share of each in even steps from its
/// middle to its edge, the most central one always.
fn sample(clusters: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let all: usize = clusters.iter().map(Vec::len).sum();
    let step = all.div_ceil(MOST_POINTS).max(1);
    let mut drawn: Vec<Vec<usize>> =
        clusters.iter().map(|members| members.iter().copied().step_by(step).collect()).collect();
    // Very many small clusters: the smallest are the last.
    let mut room = MOST_POINTS;
    for members in &mut drawn {
        members.truncate(room);
        room -= members.len();
    }
    drawn
}

/// The frame and what its sides are.
fn axes(svg: &mut Svg, axes: &[String; 2]) {
    let Area { left, top, right, bottom } = FRAME;
    let (width, height) = (right - left, bottom - top);
    svg.raw(format_args!(
        "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"4\"/>\n"
    ));
    let (x, y) = FRAME.centre();
    let (below, beside) = (bottom + 24.0, left - 14.0);
    let attributes = "font-size=\"12\" class=\"faint\" text-anchor=\"middle\"";
    svg.text(format_args!("x=\"{x}\" y=\"{below}\" {attributes}"), &axes[0]);
    svg.text(format_args!("transform=\"translate({beside} {y}) rotate(-90)\" {attributes}"), &axes[1]);
}

/// Coordinates on the screen: both axes have one scale, so that distances can be compared.
struct Plane<'a> {
    coordinates: Vectors<'a>,
    middle: [f32; 2],
    scale: f64,
}

impl<'a> Plane<'a> {
    fn of(coordinates: Vectors<'a>) -> Plane<'a> {
        let (mut middle, mut scale) = ([0.0; 2], f64::INFINITY);
        for axis in 0..coordinates.dimension().min(2) {
            let range =
                |start, pick: fn(f32, f32) -> f32| coordinates.rows().map(|row| row[axis]).fold(start, pick);
            let (least, most) = (range(f32::INFINITY, f32::min), range(f32::NEG_INFINITY, f32::max));
            middle[axis] = (least + most) / 2.0;
            let room = [FRAME.right - FRAME.left, FRAME.bottom - FRAME.top][axis] - 48.0;
            scale = scale.min(room / f64::from(most - least).max(1e-9));
        }
        Plane { coordinates, middle, scale }
    }

    fn at(&self, text: usize) -> (f64, f64) {
        let row = self.coordinates.row(text);
        let along =
            |axis: usize| row.get(axis).map_or(0.0, |x| f64::from(x - self.middle[axis]) * self.scale);
        let (x, y) = FRAME.centre();
        // Up is more.
        (x + along(0), y - along(1))
    }
}

/// The class of a cluster's colour.
fn class(cluster: usize) -> String {
    if cluster < MOST_COLOURED { format!("c{}", cluster % CLUSTERS.len()) } else { "rest".to_owned() }
}

/// A marker around a place, and what shows over it.
fn marker(svg: &mut Svg, cluster: usize, (x, y): (f64, f64), radius: f64, hint: Option<&str>) {
    let coloured = cluster < MOST_COLOURED;
    let r = if coloured { radius } else { 0.7 * radius };
    let shape = if coloured { cluster / CLUSTERS.len() } else { 0 };
    let name = ["circle", "rect", "path", "path"][shape];
    match shape {
        0 => svg.raw(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\"")),
        1 => {
            let (left, top, side) = (x - 0.9 * r, y - 0.9 * r, 1.8 * r);
            svg.raw(format_args!(
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{side:.1}\" height=\"{side:.1}\""
            ));
        }
        2 => {
            let (left, bottom, side, height) = (x - 1.15 * r, y + 0.75 * r, 2.3 * r, 2.0 * r);
            let half = side / 2.0;
            svg.raw(format_args!("<path d=\"M{left:.1} {bottom:.1}h{side:.1}l-{half:.1}-{height:.1}z\""));
        }
        _ => {
            let r = 1.25 * r;
            let top = y - r;
            svg.raw(format_args!(
                "<path d=\"M{x:.1} {top:.1}l{r:.1} {r:.1}l-{r:.1} {r:.1}l-{r:.1}-{r:.1}z\""
            ));
        }
    }
    match hint {
        None => svg.raw(format_args!("/>")),
        Some(hint) => {
            svg.raw(format_args!(">"));
            svg.hint(hint);
            svg.raw(format_args!("</{name}>\n"));
        }
    }
}

fn points(
    svg: &mut Svg,
    data: &Scatter<'_>,
    plane: &Plane<'_>,
    cluster: usize,
    members: &[usize],
    radius: f64,
) {
    svg.raw(format_args!("<g class=\"{} mark\" opacity=\".88\">\n", class(cluster)));
    for &member in members {
        let hint = format!("{}\ncluster {cluster}", shortened(&data.texts[member], HINT_COLUMNS));
        marker(svg, cluster, plane.at(member), radius, Some(&hint));
    }
    svg.raw(format_args!("</g>\n"));
}

/// About how wide a text is, in pixels: there are no fonts here to ask.
fn width_of(text: &str, size: f64) -> f64 {
    columns_of(text) as f64 * 0.56 * size
}

/// At the most central text of each of the largest clusters a tag with this text, where there is room for it.
fn tags(svg: &mut Svg, data: &Scatter<'_>, plane: &Plane<'_>, drawn: &[Vec<usize>]) {
    let points: Vec<(f64, f64)> = drawn.iter().flatten().map(|&text| plane.at(text)).collect();
    let (frame, mut taken, mut tags) = (FRAME.grown(-8.0), Vec::new(), Vec::new());
    for (cluster, members) in drawn.iter().enumerate().take(MOST_TAGS) {
        let Some(&central) = members.first() else { continue };
        let text = shortened(&data.texts[central], TAG_COLUMNS);
        let (anchor, size) = (plane.at(central), (width_of(&text, TAG_SIZE) + 30.0, TAG_SIZE + 9.0));
        let Some(area) = place(anchor, size, &frame, &taken, &points) else { continue };
        taken.push(area);
        // Below all tags a line to the text.
        let end = (anchor.0.clamp(area.left, area.right), anchor.1.clamp(area.top, area.bottom));
        svg.raw(format_args!(
            "<path class=\"tag{}\" stroke-width=\"1.5\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>\n",
            cluster % CLUSTERS.len(),
            anchor.0,
            anchor.1,
            end.0,
            end.1
        ));
        tags.push((cluster, text, area));
    }
    for (cluster, text, area) in tags {
        let Area { left, top, right, bottom } = area;
        let (width, height, (_, y)) = (right - left, bottom - top, area.centre());
        let (number, radius) = (cluster % CLUSTERS.len(), height / 2.0);
        svg.raw(format_args!(
            "<rect class=\"ground tag{number}\" stroke-width=\"1.5\" x=\"{left:.1}\" y=\"{top:.1}\" \
             width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius:.1}\"/><g class=\"c{number}\">"
        ));
        marker(svg, cluster, (left + 11.0, y), 4.5, None);
        svg.raw(format_args!("</g>"));
        let (x, y) = (left + 20.0, y + 0.36 * TAG_SIZE);
        svg.text(format_args!("x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{TAG_SIZE}\""), &text);
    }
}

/// Clusters, their sizes, and what they are about.
fn legend(svg: &mut Svg, data: &Scatter<'_>) {
    let (left, top) = LEGEND;
    let right = WIDTH - 24.0;
    let mut y = top;
    let mut line = |svg: &mut Svg, cluster: usize, size: usize, text: &str, hint: &str| {
        svg.raw(format_args!("<g class=\"{} mark\">", class(cluster)));
        marker(svg, cluster, (left + 7.0, y), 6.0, None);
        svg.raw(format_args!("</g>"));
        let (baseline, x) = (y + 4.5, left + 22.0);
        svg.raw(format_args!("<g>"));
        svg.hint(hint);
        svg.text(format_args!("x=\"{x}\" y=\"{baseline}\" font-size=\"13\""), text);
        svg.raw(format_args!("</g>"));
        svg.text(
            format_args!(
                "x=\"{right}\" y=\"{baseline}\" font-size=\"13\" text-anchor=\"end\" class=\"faint\""
            ),
            &size.to_string(),
        );
        y += LEGEND_LINE;
    };
    for (cluster, members) in data.clusters.iter().enumerate().take(MOST_COLOURED) {
        let Some(&central) = members.first() else { continue };
        let text = &data.texts[central];
        line(svg, cluster, members.len(), &shortened(text, LEGEND_COLUMNS), &shortened(text, HINT_COLUMNS));
    }
    if let Some(rest) = data.clusters.get(MOST_COLOURED..).filter(|rest| !rest.is_empty()) {
        let texts = rest.iter().map(Vec::len).sum();
        let text = format!("{} smaller clusters", rest.len());
        line(svg, MOST_COLOURED, texts, &text, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts on a spiral, in so many clusters of even size.
    fn picture(texts: usize, clusters: usize) -> String {
        let coordinates: Vec<f32> = (0..texts)
            .flat_map(|i| {
                let (angle, radius) = (i as f32 * 0.1, 1.0 + i as f32 / texts as f32);
                [radius * angle.cos(), radius * angle.sin()]
            })
            .collect();
        let texts: Vec<String> = (0..texts).map(|i| format!("text <{i}>")).collect();
        let members = |cluster| (cluster..texts.len()).step_by(clusters).collect();
        scatter(&Scatter {
            title: "a title".to_owned(),
            subtitle: "and more".to_owned(),
            texts: &texts,
            clusters: &(0..clusters).map(members).collect::<Vec<_>>(),
            coordinates: Vectors::new(&coordinates, 2).unwrap(),
            axes: ["across".to_owned(), "up".to_owned()],
        })
    }

    #[test]
    fn every_text_is_a_point_that_says_what_it_is() {
        let svg = picture(30, 3);
        for i in 0..30 {
            assert!(
                svg.contains(&format!("<title>text &lt;{i}&gt;\ncluster {}</title>", i % 3)),
                "{i}: {svg}"
            );
        }
        // Each cluster has a tag, a line of the legend, and there a hint.
        assert_eq!(svg.matches("text &lt;1&gt;<").count(), 3);
        assert!(!svg.contains("are drawn"));
    }

    #[test]
    fn more_clusters_than_markers_share_one() {
        let svg = picture(200, 50);
        assert!(svg.contains("26 smaller clusters") && svg.contains(">104</text>"), "{svg}");
        assert!(!picture(200, 24).contains("smaller clusters"));
    }

    #[test]
    fn many_texts_are_a_sample_of_bounded_size() {
        let svg = picture(100_000, 40);
        assert!(svg.contains("5000 of 100000 texts are drawn, from every cluster its share"), "no note");
        assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
        // As many clusters as texts.
        assert!(picture(20_000, 20_000).contains("5000 of 20000 texts are drawn"));
    }

    #[test]
    fn one_text_and_equal_texts_have_a_place() {
        let texts = ["one".to_owned(), "same".to_owned()];
        for (texts, coordinates, dimension) in
            [(&texts[..1], &[3.0, 4.0][..], 2), (&texts[..], &[0.5, 0.5], 1)]
        {
            let clusters = vec![(0..texts.len()).collect()];
            let svg = scatter(&Scatter {
                title: String::new(),
                subtitle: String::new(),
                texts,
                clusters: &clusters,
                coordinates: Vectors::new(coordinates, dimension).unwrap(),
                axes: [String::new(), String::new()],
            });
            let (x, y) = FRAME.centre();
            assert!(svg.contains(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\"")), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
