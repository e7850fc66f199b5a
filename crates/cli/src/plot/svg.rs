//! The elements of an SVG file.

use std::fmt::{self, Write};

/// Colours and fonts by class, so that a browser with a dark background gets other ones. Fonts are those of the reader's
/// system: that is where the glyphs of all scripts are.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI','Noto Sans','Helvetica Neue',Arial,'DejaVu Sans',sans-serif;fill:#1f2328}
.ground{fill:#fff}.frame{fill:none;stroke:#d0d7de}.faint{fill:#59636e}.rest{fill:#9aa4ae}
.mark{stroke:#fff;stroke-width:.75px}.mark :hover{stroke:#1f2328;stroke-width:2px}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.frame{stroke:#3d444d}.faint{fill:#9198a1}
.rest{fill:#656c76}.mark{stroke:#0d1117}.mark :hover{stroke:#e6edf3}}";

/// A picture that is written from back to front.
pub(super) struct Svg(String);

impl Svg {
    /// With its background; `style` is added to the style of all pictures.
    pub(super) fn new(width: f64, height: f64, title: &str, style: &str) -> Svg {
        let mut svg = Svg(String::new());
        svg.raw(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<style>\n{STYLE}\n{style}</style>\n",
            Escaped(title)
        ));
        svg.raw(format_args!("<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n"));
        svg
    }

    /// Elements as they are.
    pub(super) fn raw(&mut self, elements: fmt::Arguments<'_>) {
        self.0.write_fmt(elements).expect("a string takes everything");
    }

    /// A text, whose element has these attributes.
    pub(super) fn text(&mut self, attributes: fmt::Arguments<'_>, text: &str) {
        self.raw(format_args!("<text {attributes}>{}</text>\n", Escaped(text)));
    }

    /// What shows while the pointer is over an element, which it stands in.
    pub(super) fn hint(&mut self, text: &str) {
        self.raw(format_args!("<title>{}</title>", Escaped(text)));
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// A text in XML, without the characters that XML 1.0 does not allow.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' => f.write_char(character)?,
                '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let escaped = Escaped("a<b> & \"c\"\n\u{1}\u{ffff}é日").to_string();
        assert_eq!(escaped, "a&lt;b&gt; &amp; &quot;c&quot;\n\u{fffd}\u{fffd}é日");
    }

    #[test]
    fn a_picture_is_one_element() {
        let mut svg = Svg::new(10.0, 20.5, "a & b", ".x{}");
        svg.text(format_args!("x=\"{}\"", 1.5), "<");
        let svg = svg.finish();
        assert!(
            svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"20.5\""),
            "{svg}"
        );
        assert!(svg.contains("<title>a &amp; b</title>") && svg.contains(".x{}</style>"), "{svg}");
        assert!(svg.ends_with("<text x=\"1.5\">&lt;</text>\n</svg>\n"), "{svg}");
    }
}
