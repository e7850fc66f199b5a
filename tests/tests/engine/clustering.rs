//! Clusters and projections: scikit-learn's results on the golden vectors, the same bits everywhere, and what is refused.

use std::collections::BTreeMap;

use minilm::Vectors;
use minilm::clustering::{
    AgglomerativeOptions, Clustering, ClusteringError, Distance, KMeansOptions, Linkage, agglomerative,
    k_means,
};
use minilm::projection::pca;
use minilm_tests::golden::GoldenTensors;

const DIMENSION: usize = 384;

/// The vectors that the golden results are of.
fn numbers() -> Vec<f32> {
    GoldenTensors::open("vectors").f32("embeddings_alone")
}

fn vectors(numbers: &[f32]) -> Vectors<'_> {
    Vectors::new(numbers, DIMENSION).unwrap()
}

/// For each cluster of ours the one of scikit-learn's; asserts that the same vectors are together.
#[track_caller]
fn check_labels(found: &Clustering, expected: &[i64]) -> Vec<usize> {
    assert_eq!(found.labels().len(), expected.len());
    let (mut theirs, mut ours) = (BTreeMap::new(), BTreeMap::new());
    for (vector, (&label, &expected)) in found.labels().iter().zip(expected).enumerate() {
        assert_eq!(*theirs.entry(label).or_insert(expected), expected, "vector {vector}");
        assert_eq!(*ours.entry(expected).or_insert(label), label, "vector {vector}");
    }
    assert_eq!(theirs.len(), found.len());
    theirs.into_values().map(|label| label as usize).collect()
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found}, expected {expected}");
}

#[test]
fn k_means_from_given_centroids_is_that_of_scikit_learn() {
    let (numbers, golden) = (numbers(), GoldenTensors::open("clustering"));
    let initial: Vec<f32> = golden
        .i64("k_means.initial")
        .iter()
        .flat_map(|&i| vectors(&numbers).row(i as usize).iter().copied())
        .collect();
    let mut far = initial.clone();
    far[3 * DIMENSION..4 * DIMENSION].iter_mut().for_each(|x| *x *= 50.0);
    far[7 * DIMENSION..8 * DIMENSION].iter_mut().for_each(|x| *x *= -50.0);

    for (name, initial) in [("k_means", initial), ("k_means_empty", far)] {
        let options = KMeansOptions::default().tol(0.0).init(vectors(&initial));
        let found = k_means(vectors(&numbers), 24, &options).unwrap();
        let theirs = check_labels(&found, &golden.i64(&format!("{name}.labels")));
        close(found.inertia(), golden.f64(&format!("{name}.inertia"))[0], 1e-5);
        let expected = golden.f32(&format!("{name}.centroids"));
        for (centroid, label) in found.centroids().rows().zip(theirs) {
            for (x, y) in centroid.iter().zip(&expected[label * DIMENSION..]) {
                close((*x).into(), (*y).into(), 1e-6);
            }
        }
    }
}

#[test]
fn k_means_plus_plus_is_as_good_as_that_of_scikit_learn() {
    // scikit-learn's `KMeans(24)` has 281.1 to 289.1 with random_state 0 … 9, and 279.3 to 282.4 with n_init=10.
    let numbers = numbers();
    let once = k_means(vectors(&numbers), 24, &KMeansOptions::default()).unwrap();
    let found = k_means(vectors(&numbers), 24, &KMeansOptions::default().n_init(10)).unwrap();
    assert!(once.inertia() < 284.0, "{}", once.inertia());
    assert!(found.inertia() < 281.0 && found.inertia() <= once.inertia(), "{}", found.inertia());
    let another = k_means(vectors(&numbers), 24, &KMeansOptions::default().seed(1)).unwrap();
    assert_ne!(another.labels(), once.labels());
}

#[test]
fn agglomerative_clusters_are_those_of_scikit_learn() {
    let (numbers, golden) = (numbers(), GoldenTensors::open("clustering"));
    for &linkage in Linkage::ALL {
        for &distance in Distance::ALL {
            let name = format!("{linkage}.{distance}");
            if linkage == Linkage::Ward && distance == Distance::Cosine {
                continue;
            }
            let threshold = golden.f32(&format!("{name}.threshold"))[0];
            let options =
                AgglomerativeOptions::distance_threshold(threshold).linkage(linkage).distance(distance);
            let found = agglomerative(vectors(&numbers), &options).unwrap();
            check_labels(&found, &golden.i64(&format!("{name}.labels")));

            let expected = golden.f64(&format!("{name}.distances"));
            assert_eq!(found.merges().len(), expected.len());
            for (merge, expected) in found.merges().iter().zip(expected) {
                close(merge.distance.into(), expected, 2e-6);
            }
            let options = AgglomerativeOptions::n_clusters(found.len()).linkage(linkage).distance(distance);
            assert_eq!(agglomerative(vectors(&numbers), &options).unwrap(), found, "{name}");
        }
    }
}

#[test]
fn principal_components_are_those_of_scikit_learn() {
    let (numbers, golden) = (numbers(), GoldenTensors::open("clustering"));
    let found = pca(vectors(&numbers), 3).unwrap();
    for (name, found) in [("components", found.components()), ("coordinates", found.coordinates())] {
        let expected = golden.f64(&format!("pca.{name}"));
        assert_eq!(found.as_slice().len(), expected.len());
        for (x, y) in found.as_slice().iter().zip(expected) {
            close((*x).into(), y, 1e-6);
        }
    }
    let ratios = found.explained_variance_ratio();
    for (name, found) in
        [("explained_variance", found.explained_variance()), ("explained_variance_ratio", &ratios)]
    {
        for (x, y) in found.iter().zip(golden.f64(&format!("pca.{name}"))) {
            close(*x, y, 1e-7);
        }
    }
}

#[test]
fn every_number_of_clusters_is_there_and_none_is_empty() {
    let numbers: Vec<f32> = (0..90).map(|i| ((i * i) % 71) as f32).collect();
    let points = Vectors::new(&numbers, 3).unwrap();
    for k in 1..=30 {
        for clusters in [
            k_means(points, k, &KMeansOptions::default()).unwrap(),
            agglomerative(points, &AgglomerativeOptions::n_clusters(k)).unwrap(),
        ] {
            assert_eq!(clusters.len(), k);
            assert_eq!(clusters.centroids().len(), k);
            let mut members: Vec<usize> = clusters.clusters().concat();
            members.sort_unstable();
            assert_eq!(members, (0..30).collect::<Vec<_>>());
            assert!(clusters.clusters().windows(2).all(|pair| pair[0].len() >= pair[1].len()));
            for (label, members) in clusters.clusters().iter().enumerate() {
                assert!(members.iter().all(|&member| clusters.labels()[member] == label));
            }
        }
    }
}

#[test]
fn equal_vectors_are_never_apart() {
    // Three different vectors, twelve times each, far from the origin.
    let different = [[1000.0, 1000.5], [1000.5, 1000.0], [2000.0, 2500.0]];
    let numbers: Vec<f32> = (0..36).flat_map(|i| different[i % 3]).collect();
    let points = Vectors::new(&numbers, 2).unwrap();
    for k in [3, 7, 36] {
        let found = k_means(points, k, &KMeansOptions::default()).unwrap();
        assert_eq!((found.len(), found.inertia()), (3, 0.0), "{k}");
        assert_eq!(found.centroids().as_slice(), different.concat());
    }
    for &distance in Distance::ALL {
        let options = AgglomerativeOptions::n_clusters(3).linkage(Linkage::Average).distance(distance);
        let found = agglomerative(points, &options).unwrap();
        assert_eq!(found.labels(), (0..36).map(|i| i % 3).collect::<Vec<_>>());
        assert!(found.merges()[..33].iter().all(|merge| merge.distance == 0.0));
    }
    let alone = agglomerative(points, &AgglomerativeOptions::distance_threshold(0.0)).unwrap();
    assert_eq!(alone.len(), 36);
}

#[test]
fn a_single_vector_is_a_cluster() {
    let vector = vec![0.25, 0.5];
    for clusters in [
        k_means(&vector, 1, &KMeansOptions::default()).unwrap(),
        agglomerative(&vector, &AgglomerativeOptions::n_clusters(1)).unwrap(),
        agglomerative(&vector, &AgglomerativeOptions::distance_threshold(1.0)).unwrap(),
    ] {
        assert_eq!((clusters.clusters(), clusters.inertia()), (&[vec![0]][..], 0.0));
        assert_eq!(clusters.centroids().as_slice(), vector);
        assert!(clusters.merges().is_empty());
    }
}

#[test]
fn bad_input_is_refused() {
    let numbers = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let three = Vectors::new(&numbers, 2).unwrap();
    let k = |vectors: Vectors<'_>, k, options: KMeansOptions| {
        k_means(vectors, k, &options).unwrap_err().to_string()
    };
    let merged = |vectors: Vectors<'_>, options: AgglomerativeOptions| {
        agglomerative(vectors, &options).unwrap_err().to_string()
    };
    let none = "there are no vectors to put into clusters; expected at least one";
    let nothing = Vectors::new(&[], 2).unwrap();
    assert_eq!(k(nothing, 1, KMeansOptions::default()), none);
    assert_eq!(merged(nothing, AgglomerativeOptions::n_clusters(1)), none);
    for count in [0, 4] {
        let expected = format!("{count} clusters are asked for; of 3 vectors there can be 1 to 3");
        assert_eq!(k(three, count, KMeansOptions::default()), expected);
        assert_eq!(merged(three, AgglomerativeOptions::n_clusters(count)), expected);
    }
    for (value, says) in [
        (f32::NAN, "component 1 of vector 1 is NaN; expected a finite number"),
        (f32::INFINITY, "component 1 of vector 1 is inf; expected a finite number"),
        (3e15, "component 1 of vector 1 is 3e15; expected at most 1e15 either way, for squares are added up"),
    ] {
        let mut numbers = numbers;
        numbers[3] = value;
        let broken = Vectors::new(&numbers, 2).unwrap();
        assert_eq!(k(broken, 2, KMeansOptions::default()), says);
        assert_eq!(merged(broken, AgglomerativeOptions::distance_threshold(1.0)), says);
        let options = KMeansOptions::default().init(broken);
        assert_eq!(k(three, 3, options), says);
    }
    for threshold in [-0.5, f32::NAN] {
        let expected = format!("distance_threshold is {threshold}; expected a number that is not negative");
        assert_eq!(merged(three, AgglomerativeOptions::distance_threshold(threshold)), expected);
    }
    for (options, says) in [
        (KMeansOptions::default().n_init(0), "n_init is 0; expected at least 1"),
        (KMeansOptions::default().max_iter(0), "max_iter is 0; expected at least 1"),
        (KMeansOptions::default().tol(-1.0), "tol is -1; expected a number that is not negative"),
        (KMeansOptions::default().tol(f64::NAN), "tol is NaN; expected a number that is not negative"),
        (
            KMeansOptions::default().init(Vectors::new(&numbers, 2).unwrap()),
            "3 initial centroids are given for 2 clusters",
        ),
        (
            KMeansOptions::default().init(Vectors::new(&numbers, 3).unwrap()),
            "vectors of dimension 2 and of dimension 3 do not go together",
        ),
    ] {
        assert_eq!(k(three, 2, options), says);
    }
    let ward = AgglomerativeOptions::n_clusters(1).distance(Distance::Cosine);
    let says =
        "ward linkage needs euclidean distances; for cosine distances there are average, complete and single";
    assert_eq!(merged(three, ward), says);
    assert_eq!(
        "medium".parse::<Linkage>().unwrap_err().to_string(),
        "linkage is \"medium\"; expected ward, complete, average or single"
    );
    assert_eq!(
        "manhattan".parse::<Distance>().unwrap_err().to_string(),
        "distance is \"manhattan\"; expected euclidean or cosine"
    );
}

#[test]
fn more_pairs_than_memory_allows_are_refused() {
    let numbers = vec![1.0; 50_000];
    let many = Vectors::new(&numbers, 1).unwrap();
    let error = agglomerative(many, &AgglomerativeOptions::n_clusters(2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "agglomerative clustering of 50000 vectors needs 5.0 GB for the distances of all pairs, more than the limit of \
         4.3 GB; k-means needs no such memory"
    );
    assert!(matches!(error, ClusteringError::TooManyPairs { bytes: 4_999_900_000, .. }));
    let few = Vectors::new(&numbers[..100], 1).unwrap();
    let options = AgglomerativeOptions::n_clusters(2).memory_limit(2 * 100 * 99);
    assert!(agglomerative(few, &options).is_ok());
    let error = agglomerative(few, &options.memory_limit(2 * 100 * 99 - 1)).unwrap_err();
    assert!(matches!(error, ClusteringError::TooManyPairs { vectors: 100, bytes: 19_800, .. }));
}
