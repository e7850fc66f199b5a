//! Colours: of clusters, and of numbers.

/// Of clusters, on a light and on a dark background. Those of Okabe and Ito (Color Universal Design, 2008), which people
/// with any colour vision can tell apart, without yellow and black; orange and purple are darker on white, all are lighter on black.
pub(super) const CLUSTERS: [(&str, &str); 6] = [
    ("#0072b2", "#6a8cff"),
    ("#d55e00", "#e8762b"),
    ("#009e73", "#12b886"),
    ("#c05b94", "#d98bb8"),
    ("#d99000", "#f0b429"),
    ("#56b4e9", "#74d3f5"),
];

type Rgb = [u8; 3];

/// From 0 to 1: ColorBrewer's YlGnBu, at places whose lightness (in Oklab) falls in even steps.
const UP: [Rgb; 11] = [
    [255, 255, 229],
    [215, 239, 179],
    [166, 220, 184],
    [113, 199, 190],
    [59, 176, 195],
    [33, 148, 192],
    [32, 121, 181],
    [34, 93, 167],
    [37, 64, 153],
    [26, 43, 124],
    [8, 29, 88],
];

/// From 0 to −1: ColorBrewer's YlOrBr, in the same way.
const DOWN: [Rgb; 11] = [
    [255, 255, 229],
    [254, 231, 154],
    [254, 202, 94],
    [255, 170, 57],
    [248, 138, 34],
    [234, 110, 19],
    [213, 87, 7],
    [188, 69, 3],
    [160, 55, 4],
    [131, 46, 5],
    [102, 37, 6],
];

/// The colour of a number from −1 to 1; of one beyond, of the end.
pub(super) fn colour(value: f64) -> Rgb {
    let stops = if value < 0.0 { &DOWN } else { &UP };
    let at = value.abs().min(1.0) * (stops.len() - 1) as f64;
    let stop = (at as usize).min(stops.len() - 2);
    let share = at - stop as f64;
    let (a, b) = (stops[stop], stops[stop + 1]);
    std::array::from_fn(|i| (f64::from(a[i]) + share * (f64::from(b[i]) - f64::from(a[i])) + 0.5) as u8)
}

/// As SVG writes it.
pub(super) fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Whether white letters can be read on it, rather than black ones.
pub(super) fn is_dark([r, g, b]: Rgb) -> bool {
    // Rec. 601 luma.
    299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) < 140_000
}

/// A text on the colour of a number, for terminals of 256 colours.
pub(crate) fn ansi(text: &str, value: f64) -> String {
    let colour = colour(value);
    // A cube of 6 × 6 × 6, whose levels are 0, 95, 135, 175, 215, 255.
    let level = |x: u8| {
        if x < 48 {
            0
        } else if x < 115 {
            1
        } else {
            (u32::from(x) - 35) / 40
        }
    };
    let [r, g, b] = colour.map(level);
    let letters = if is_dark(colour) { 231 } else { 16 };
    format!("\x1b[48;5;{}m\x1b[38;5;{letters}m{text}\x1b[0m", 16 + 36 * r + 6 * g + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_colours_of_their_stops() {
        assert_eq!(hex(colour(0.0)), "#ffffe5");
        assert_eq!((hex(colour(1.0)), hex(colour(7.0))), ("#081d58".to_owned(), "#081d58".to_owned()));
        assert_eq!(hex(colour(-1.0)), "#662506");
        assert_eq!(colour(0.1), UP[1]);
        assert_eq!(colour(0.05), [235, 247, 204]);
    }

    #[test]
    fn letters_are_light_on_dark_colours() {
        assert!(
            !is_dark(colour(0.0)) && !is_dark(colour(0.3)) && is_dark(colour(0.7)) && is_dark(colour(-1.0))
        );
        assert_eq!(ansi("1.00", 1.0), "\x1b[48;5;17m\x1b[38;5;231m1.00\x1b[0m");
    }
}
