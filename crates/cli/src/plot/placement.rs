//! Where labels go so that they do not lie on each other.

/// A rectangle: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    fn overlaps(&self, other: &Area) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn contains(&self, (x, y): (f64, f64)) -> bool {
        (self.left..self.right).contains(&x) && (self.top..self.bottom).contains(&y)
    }

    fn is_within(&self, other: &Area) -> bool {
        self.left >= other.left
            && self.right <= other.right
            && self.top >= other.top
            && self.bottom <= other.bottom
    }

    /// By so much on every side; less, if it is negative.
    pub(super) fn grown(&self, by: f64) -> Area {
        let Area { left, top, right, bottom } = self;
        Area { left: left - by, top: top - by, right: right + by, bottom: bottom + by }
    }

    pub(super) fn centre(&self) -> (f64, f64) {
        ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }
}

/// From a label's anchor to where it is tried, in halves of its width and height: what people read first is first.
const DIRECTIONS: [(f64, f64); 8] =
    [(1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (0.0, 1.0), (0.8, -1.0), (-0.8, -1.0), (0.8, 1.0), (-0.8, 1.0)];

/// Puts a label of a size beside `anchor`, within `frame` and on none of the areas that are `taken`: where it hides few
/// points and is not far away. `None` if there is no such place.
pub(super) fn place(
    anchor: (f64, f64),
    (width, height): (f64, f64),
    frame: &Area,
    taken: &[Area],
    points: &[(f64, f64)],
) -> Option<Area> {
    let mut best: Option<(f64, Area)> = None;
    for ring in 0..8 {
        for (across, down) in DIRECTIONS {
            let gap = 9.0 + 14.0 * f64::from(ring);
            let x = anchor.0 + across * (width / 2.0 + gap);
            let y = anchor.1 + down * (height / 2.0 + gap);
            let area = Area {
                left: x - width / 2.0,
                top: y - height / 2.0,
                right: x + width / 2.0,
                bottom: y + height / 2.0,
            };
            if !area.is_within(frame) || taken.iter().any(|other| other.overlaps(&area)) {
                continue;
            }
            // A marker is more than its middle.
            let hiding = area.grown(6.0);
            let hidden = points.iter().filter(|&&point| hiding.contains(point)).count();
            let cost = hidden as f64 + 1.5 * f64::from(ring);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, area));
            }
        }
    }
    best.map(|(_, area)| area)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Area = Area { left: 0.0, top: 0.0, right: 400.0, bottom: 300.0 };

    #[test]
    fn a_label_lies_beside_its_anchor() {
        let found = place((200.0, 150.0), (80.0, 20.0), &FRAME, &[], &[]).unwrap();
        assert_eq!(found, Area { left: 209.0, top: 140.0, right: 289.0, bottom: 160.0 });
        // On the other side where the frame ends.
        let found = place((390.0, 150.0), (80.0, 20.0), &FRAME, &[], &[]).unwrap();
        assert_eq!(found.right, 381.0);
    }

    #[test]
    fn labels_never_overlap_and_stay_within_the_frame() {
        let (mut taken, mut left_out) = (Vec::new(), 0);
        for i in 0..60 {
            let anchor = (f64::from(i * 67 % 400), f64::from(i * 31 % 300));
            match place(anchor, (120.0, 20.0), &FRAME, &taken, &[]) {
                Some(area) => taken.push(area),
                None => left_out += 1,
            }
        }
        for (i, area) in taken.iter().enumerate() {
            assert!(area.is_within(&FRAME));
            assert!(taken[..i].iter().all(|other| !other.overlaps(area)));
        }
        assert!(taken.len() > 15 && left_out > 0, "{} placed, {left_out} not", taken.len());
        let wide = place((200.0, 150.0), (500.0, 20.0), &FRAME, &[], &[]);
        assert_eq!(wide, None);
    }

    #[test]
    fn a_label_goes_where_it_hides_little() {
        let crowd: Vec<(f64, f64)> =
            (0..50).map(|i| (190.0 + f64::from(i % 10), 145.0 + f64::from(i / 10))).collect();
        let found = place((195.0, 147.0), (60.0, 20.0), &FRAME, &[], &crowd).unwrap();
        assert!(crowd.iter().all(|&point| !found.contains(point)), "{found:?}");
    }
}
