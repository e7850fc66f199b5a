//! k-means++: initial centroids that lie far apart (Arthur, Vassilvitskii: k-means++: The Advantages of Careful Seeding,
//! 2007), greedy as in scikit-learn: of several candidates, the one is taken that leaves the least distance.

use minilm_kernels::{dot, similarity_matrix};

use super::k_means::Points;
use super::random::SplitMix64;
use crate::threads::on_items;

/// Rows that a thread takes at once. What is added up within such a block, and then over blocks, must not depend on the
/// number of threads.
const BLOCK: usize = 256;

/// k of the points, or fewer if there are not k different ones.
pub(super) fn k_means_plus_plus(points: &Points<'_>, k: usize, random: &mut SplitMix64) -> Vec<usize> {
    let n = points.len();
    let first = random.index(n);
    let mut chosen = vec![first];
    // The squared distance of each point to the nearest that is chosen, and their sums, a block each.
    let mut nearest = vec![f32::INFINITY; n];
    let mut sums = Candidates::measure(points, &[first], &nearest).take(0, &mut nearest);

    // scikit-learn takes 2 + ⌊ln k⌋.
    let trials = 2 + k.ilog2() as usize;
    while chosen.len() < k {
        let total: f64 = sums.iter().sum();
        if total <= 0.0 {
            break;
        }
        // Points as likely as their squared distance says.
        let candidates: Vec<usize> =
            (0..trials).map(|_| point_at(random.fraction() * total, &sums, &nearest)).collect();
        let measured = Candidates::measure(points, &candidates, &nearest);
        let best = measured.best();
        chosen.push(candidates[best]);
        sums = measured.take(best, &mut nearest);
    }
    chosen
}

/// The point at which the distances, added up, pass `position`.
fn point_at(mut position: f64, sums: &[f64], nearest: &[f32]) -> usize {
    let mut block = 0;
    while block + 1 < sums.len() && position >= sums[block] {
        position -= sums[block];
        block += 1;
    }
    let start = block * BLOCK;
    // Rounding may lead behind the last point; one at distance 0 is never taken.
    let mut found = None;
    for (i, &distance) in nearest[start..].iter().enumerate() {
        if distance > 0.0 {
            found = Some(start + i);
            if position < f64::from(distance) {
                break;
            }
            position -= f64::from(distance);
        }
    }
    found.or_else(|| nearest.iter().rposition(|&distance| distance > 0.0)).unwrap_or(0)
}

/// What the distances to the nearest chosen point would become, for each of several candidates.
struct Candidates {
    /// `[n][candidates]`
    nearest: Vec<f32>,
    /// Of each block, `[blocks][candidates]`.
    sums: Vec<f64>,
    candidates: usize,
}

impl Candidates {
    fn measure(points: &Points<'_>, candidates: &[usize], nearest: &[f32]) -> Candidates {
        let (isa, d, count) = (points.isa, points.dimension(), candidates.len());
        let mut rows = Vec::with_capacity(count * d);
        candidates.iter().for_each(|&candidate| rows.extend(points.centred.row(candidate)));
        let norms: Vec<f32> = rows.chunks_exact(d).map(|row| dot(isa, row, row)).collect();

        let blocks = points.len().div_ceil(BLOCK);
        let (mut measured, mut sums) = (vec![0.0; points.len() * count], vec![0.0; blocks * count]);
        let work = measured.chunks_mut(BLOCK * count).zip(sums.chunks_mut(count)).enumerate();
        on_items(points.threads, work, Vec::new, |block_rows, (block, (measured, sums))| {
            let range = block * BLOCK..points.len().min((block + 1) * BLOCK);
            points.centred.rows(range.clone(), block_rows);
            similarity_matrix(isa, block_rows, &rows, d, measured);
            for (distances, point) in measured.chunks_exact_mut(count).zip(range) {
                for ((distance, norm), sum) in distances.iter_mut().zip(&norms).zip(&mut *sums) {
                    // Of two equal points this is exactly 0.
                    let squared = (points.norms[point] + norm) - 2.0 * *distance;
                    *distance = squared.max(0.0).min(nearest[point]);
                    *sum += f64::from(*distance);
                }
            }
        });
        Candidates { nearest: measured, sums, candidates: count }
    }

    /// The candidate that leaves the least distance; of equal ones the first.
    fn best(&self) -> usize {
        let mut totals = vec![0.0; self.candidates];
        for sums in self.sums.chunks_exact(self.candidates) {
            totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        (0..self.candidates).min_by(|&a, &b| totals[a].total_cmp(&totals[b])).unwrap_or(0)
    }

    /// Takes a candidate's distances, and returns their sums.
    fn take(self, candidate: usize, nearest: &mut [f32]) -> Vec<f64> {
        for (distance, measured) in nearest.iter_mut().zip(self.nearest.chunks_exact(self.candidates)) {
            *distance = measured[candidate];
        }
        self.sums.chunks_exact(self.candidates).map(|sums| sums[candidate]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_found_by_its_share_of_the_distances() {
        let mut nearest = vec![0.0; 600];
        (nearest[5], nearest[300], nearest[301], nearest[599]) = (1.0, 2.0, 1.0, 4.0);
        let sums = [1.0, 3.0, 4.0];
        for (position, point) in
            [(0.0, 5), (0.99, 5), (1.0, 300), (2.9, 300), (3.5, 301), (4.0, 599), (8.0, 599)]
        {
            assert_eq!(point_at(position, &sums, &nearest), point, "{position}");
        }
        // Sums that are a bit more than their distances lead to a point that is none of the chosen ones.
        nearest[599] = 0.0;
        assert_eq!(point_at(4.1, &[1.0, 3.0, 0.2], &nearest), 301);
    }
}
